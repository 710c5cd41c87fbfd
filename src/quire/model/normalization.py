"""Normalisation by root mean square."""

from __future__ import annotations

import torch
from torch import nn


class RMSNorm(nn.Module):
    """Scale each row to a root mean square of 1, then by a learned weight: x / sqrt(mean(x^2) + eps) * weight.

    Computed in float32 whatever the input is, because a mean of squares overflows float16 at values above 256.
    The result has float32, or the input's type outside of autocast.

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
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale).to(x.dtype) * self.weight
