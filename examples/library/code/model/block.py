"""One block: attention, then feed-forward, each added to the residual stream."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from quire.model.attention import Attention
from quire.model.cache import Placement
from quire.model.config import ModelConfig
from quire.model.feedforward import FeedForward
from quire.model.normalization import RMSNorm


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)); dropout on what is added.

    The norm stands inside the branch, so that the stream itself runs from embedding to head untouched and
    gradients reach every block (Xiong et al. 2020).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config)
        self.dropout = config.dropout

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layer: int, placement: Placement | None
    ) -> torch.Tensor:
        """Return the residual stream (B, T, D) after this block; the arguments are those of `Attention.forward`."""
        gathered = self.self_attn(self.input_layernorm(x), cos, sin, layer, placement)
        x = x + F.dropout(gathered, self.dropout, self.training)
        update = self.mlp(self.post_attention_layernorm(x))
        return x + F.dropout(update, self.dropout, self.training)
