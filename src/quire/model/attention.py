"""Attention: each token gathers from the tokens before it what its query asks for."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from quire.model.cache import Placement
from quire.model.config import ModelConfig
from quire.model.normalization import RMSNorm
from quire.model.rotary import rotate


class Attention(nn.Module):
    """Causal self-attention with grouped queries, rotary positions and normalised queries and keys.

    Head h of the queries reads key and value head h // (num_heads / num_kv_heads).

    Source: Vaswani et al. 2017, section 3.2; Ainslie et al. 2023 (grouped queries); Henry et al. 2020 (QK-norm).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, head_dim = config.hidden_size, config.head_dim
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, head_dim
        self.q_proj = nn.Linear(width, config.num_heads * head_dim, bias=False)
        self.k_proj = nn.Linear(width, config.num_kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(width, config.num_kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(config.num_heads * head_dim, width, bias=False)
        self.q_norm = RMSNorm(head_dim, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(head_dim, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layer: int, placement: Placement | None
    ) -> torch.Tensor:
        """Return what each token gathers, (B, T, D).

        Args:
            x: the normalised residual stream (B, T, D).
            cos: cosines of the positions (T, K) or (B, 1, T, K).
            sin: sines, likewise.
            layer: the number of this block, which names its part of the cache.
            placement: where keys and values go in the cache; None = no cache, the tokens see one another.
        """
        B, T, _ = x.shape
        q = self.q_proj(x).view(B, T, self.num_heads, self.head_dim).transpose(1, 2)  # (B, H, T, K)
        k = self.k_proj(x).view(B, T, self.num_kv_heads, self.head_dim).transpose(1, 2)  # (B, kv heads, T, K)
        v = self.v_proj(x).view(B, T, self.num_kv_heads, self.head_dim).transpose(1, 2)  # (B, kv heads, T, K)
        # Tables and norm weights are float32; under autocast the product goes back to the type of the values.
        q = rotate(self.q_norm(q), cos, sin).to(v.dtype)
        k = rotate(self.k_norm(k), cos, sin).to(v.dtype)
        mask, causal = None, True
        if placement is not None:
            k, v = placement.store(layer, k, v)
            q, mask, causal = q.to(k.dtype), placement.mask, placement.causal
        if T == 1 and mask is None:
            # One token that sees everything: the heads of a group are queries of one head, which spares
            # half the time of the general way below (10 against 18 microseconds with 300 keys).
            grouped = q.reshape(B, self.num_kv_heads, -1, self.head_dim)  # (B, kv heads, H / kv heads, K)
            gathered = F.scaled_dot_product_attention(grouped, k, v).reshape(B, self.num_heads, 1, self.head_dim)
        else:
            grouped_heads = self.num_heads != self.num_kv_heads
            if mask is None and causal and gains_by_float32(q) and not grouped_heads:
                gathered = CausalAttention16.apply(q, k, v)  # type: ignore[no-untyped-call]  # (B, H, T, K)
            else:
                gathered = F.scaled_dot_product_attention(
                    q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped_heads
                )  # (B, H, T, K)
        return self.o_proj(gathered.transpose(1, 2).reshape(B, T, -1))  # type: ignore[no-any-return]


def gains_by_float32(q: torch.Tensor) -> bool:
    """Return whether the backward pass of attention is faster in float32: for 16-bit numbers in training on a CPU."""
    return q.device.type == "cpu" and q.dtype in (torch.bfloat16, torch.float16) and torch.is_grad_enabled()


class CausalAttention16(torch.autograd.Function):
    """Causal attention of 16-bit numbers on a CPU, whose backward pass computes in float32.

    PyTorch's kernels, the same as of `F.scaled_dot_product_attention`. Their backward pass is slower in bfloat16 than
    in float32 where heads are 32 wide, and about as fast where they are 64 wide (benchmarks/training_speed.py has
    transformers without this beside quire with it); so it is done in float32, which also rounds less.
    """

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return what each token gathers from those up to itself; all of them (B, H, T, K)."""
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        gathered, log_sums = kernel(q, k, v, 0.0, True)  # (B, H, T, K), (B, H, T)
        ctx.save_for_backward(q, k, v, gathered, log_sums)
        return gathered  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the gradients of q, k and v."""
        q, k, v, gathered, log_sums = ctx.saved_tensors
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        wide = (part.float() for part in (gradient, q, k, v, gathered))
        return tuple(part.to(q.dtype) for part in kernel(*wide, log_sums, 0.0, True))
