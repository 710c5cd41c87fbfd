"""Normalisation by root mean square."""

from __future__ import annotations

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
        return F.rms_norm(wide, self.weight.shape, self.weight.to(wide.dtype), self.eps)
