"""The feed-forward part: what a token makes of what it has gathered."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from quire.model.config import ModelConfig


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)), where silu(z) = z / (1 + exp(-z)).

    Source: Shazeer 2020, "GLU Variants Improve Transformer".
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the update (B, T, D) of the normalised residual stream `x` (B, T, D)."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]
