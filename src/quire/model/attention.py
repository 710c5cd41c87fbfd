"""Attention: each token gathers from the tokens before it what its query asks for."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from quire.model.cache import Placement
from quire.model.config import ModelConfig
from quire.model.normalization import RMSNorm
from quire.model.rotary import rotate
from quire.model.size import LONGEST_KEPT, query_blocks


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
            if mask is None and causal and gains_by_shares(q):
                if grouped_heads:
                    k, v = (part.repeat_interleave(self.num_heads // self.num_kv_heads, 1) for part in (k, v))
                gathered = CausalAttention.apply(q, k, v)  # type: ignore[no-untyped-call]  # (B, H, T, K)
            else:
                gathered = F.scaled_dot_product_attention(
                    q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped_heads
                )  # (B, H, T, K)
        return self.o_proj(gathered.transpose(1, 2).reshape(B, T, -1))  # type: ignore[no-any-return]


def gains_by_shares(q: torch.Tensor) -> bool:
    """Return whether attention is faster where its shares are kept: of 16-bit numbers in training on a CPU."""
    short = q.shape[2] <= LONGEST_KEPT
    return short and q.device.type == "cpu" and q.dtype in (torch.bfloat16, torch.float16) and torch.is_grad_enabled()


class CausalAttention(torch.autograd.Function):
    """Causal attention in matrix products, which keeps the share of every token in every other for the way back.

    PyTorch's kernel for CPUs works in small tiles, keeps only a number a row, and computes the shares again on the way
    back, in bfloat16 slower than in float32. In the short contexts that are trained on CPUs, products of many heads at
    once take a third to two thirds of its time in bfloat16, and as long as it in float32, which is left to it. What is
    exponentiated is computed in float32.

    Source: Vaswani et al. 2017, section 3.2.1; the gradient of softmax is p * (g - sum(p * g)).
    """

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return what each token gathers from those up to itself; all of them (B, H, T, K)."""
        B, H, T, K = q.shape
        kind = torch.float32 if q.dtype == torch.float16 else q.dtype  # processors are slow at products in float16
        wide = torch.promote_types(kind, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            queries, keys, values = (part.reshape(B * H, T, K).to(kind) for part in (q, k, v))
            scaled, wide_keys = queries.to(wide) * K**-0.5, keys.to(wide).transpose(1, 2)
            gathered, kept = [], []
            for start, end in query_blocks(T):
                hidden = torch.full((end - start, end), -math.inf, dtype=wide, device=q.device).triu_(start + 1)
                scores = torch.baddbmm(hidden, scaled[:, start:end], wide_keys[:, :, :end])  # (B H, block, end)
                shares = torch.softmax(scores, -1).to(kind)
                gathered.append(torch.bmm(shares, values[:, :end]))
                kept.append(shares)
            ctx.save_for_backward(queries, keys, values, *kept)
            return torch.cat(gathered, 1).view(B, H, T, K).to(q.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the gradients of q, k and v."""
        q, k, v, *kept = ctx.saved_tensors
        B, H, T, K = gradient.shape
        wide = torch.promote_types(q.dtype, torch.float32)
        given = gradient.reshape(B * H, T, K).to(q.dtype)
        blocks = query_blocks(T)
        to_q: list[torch.Tensor] = []
        # A block of queries adds to the keys up to its end, block by block of them: added into slices of one tensor it
        # would be the same numbers, but torch.compile makes a mask of each slice, and nests them.
        to_k: list[torch.Tensor] = []
        to_v: list[torch.Tensor] = []
        with torch.autocast(gradient.device.type, enabled=False):
            for number, ((start, end), shares) in enumerate(zip(blocks, kept, strict=True)):
                own = given[:, start:end]
                of_shares = torch.bmm(own, v[:, :end].transpose(1, 2)).to(wide)  # (B H, block, end)
                of_scores = torch.ops.aten._softmax_backward_data(of_shares, shares.to(wide), -1, wide)
                of_scores = (of_scores * K**-0.5).to(q.dtype)
                to_q.append(torch.bmm(of_scores, k[:, :end]))
                sizes = [last - first for first, last in blocks[: number + 1]]
                for sums, parts in (
                    (to_k, torch.bmm(of_scores.transpose(1, 2), q[:, start:end])),
                    (to_v, torch.bmm(shares.transpose(1, 2), own)),
                ):
                    *before, last = (part.to(wide) for part in torch.split(parts, sizes, 1))
                    sums[:] = [*(total + part for total, part in zip(sums, before, strict=True)), last]
        return tuple(torch.cat(each, 1).view(B, H, T, K).to(gradient.dtype) for each in (to_q, to_k, to_v))
