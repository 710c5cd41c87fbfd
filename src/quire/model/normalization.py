"""Normalisation by root mean square."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    """Scale each row to a root mean square of 1, then by a learned weight: x / sqrt(mean(x^2) + eps) * weight.

    Computed in float32 whatever the input is, because a mean of squares overflows float16 at values above 256.
    The result is float32 (float64 for float64).

    Args:
        width: the length of the rows.
        eps: added to the mean square.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised rows of `x` (..., width)."""
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        # A weight that was gathered in a narrower format is widened: one kernel, and not one for each operation.
        weight = self.weight.to(wide.dtype)
        if wide.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return NormalizedRows.apply(wide, weight, self.eps)  # type: ignore[no-any-return, no-untyped-call]
        return F.rms_norm(wide, weight.shape, weight, self.eps)


class NormalizedRows(torch.autograd.Function):
    """`F.rms_norm` with its derivative written out, for training on a CPU without the compiler.

    There `F.rms_norm` is a chain of operations, each of which goes back by itself and makes new tensors. With
    n = x / rms(x), the normalised row of K numbers, and g the gradient of n * weight, the whole derivative is
    (g * weight - n * mean(g * weight * n)) / rms(x), in half the time (docs/decisions.md).
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        """Return the rows of `x` (..., K), normalised and multiplied by `weight` (K)."""
        scale = x.square().mean(-1, keepdim=True).add_(eps).rsqrt_()  # (..., 1), 1 / rms
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Return the gradients of x and of the weight."""
        x, weight, scale = ctx.saved_tensors
        normalised = x * scale  # (..., K)
        slopes = gradient * normalised  # (..., K)
        along = (slopes @ weight).div_(-x.shape[-1]).unsqueeze(-1)  # (..., 1)
        for_x = (gradient * weight).addcmul_(normalised, along).mul_(scale)
        return for_x, slopes.reshape(-1, x.shape[-1]).sum(0), None
