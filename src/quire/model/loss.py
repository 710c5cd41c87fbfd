"""Cross-entropy of a large vocabulary without holding the scores of all tokens at once.

The logits of a micro-batch are B T x V numbers: with 2,048 tokens and a vocabulary of 32,768 they are 256 MiB in
float32, and a plain loss holds them three times (scores, probabilities, their gradient). But the gradient of the
summed loss with respect to the logits of a row needs that row alone: it is softmax(z) - onehot(target). So a chunk of
rows goes all the way - scores, loss, gradient, and through the head to the gradients of the hidden rows and of the
table - before the next one begins, and no chunk is needed again: the same products as before, in the memory of one
chunk. `torch.nn.functional.linear_cross_entropy` of torch 2.13 does the same; it is not in earlier ones, and where
this was measured (docs/training.md) it was slower.

Source: Hsu et al. 2024, "Liger Kernel" (arXiv:2410.10989), section 3.2; Wijmans et al. 2024 (arXiv:2411.09009).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

IGNORED = -100
"""A target of this value is no target: nothing is to be predicted there."""

WHOLE_BYTES = {"cpu": 4 << 20}
"""Logits of up to so many bytes in float32 are held whole: on a CPU those that stay in its caches, ..."""
WHOLE_BYTES_ELSEWHERE = 2 << 30
"""... and on a GPU none at all, so there only logits that take a real part of its memory are cut."""
CHUNK_BYTES = {"cpu": 4 << 20}
"""The logits of a chunk: likewise, ..."""
CHUNK_BYTES_ELSEWHERE = 512 << 20
"""... on a GPU so many that its products run at their full rate."""


def rows_at_once(rows: int, vocabulary: int, device: str) -> int:
    """Return how many of `rows` rows of logits are held at once: all of them, or a chunk.

    Args:
        rows: tokens of a micro-batch, B T.
        vocabulary: V.
        device: a torch device type.
    """
    each = 4 * vocabulary
    if rows * each <= WHOLE_BYTES.get(device, WHOLE_BYTES_ELSEWHERE):
        return rows
    return max(1, CHUNK_BYTES.get(device, CHUNK_BYTES_ELSEWHERE) // each)


def summed_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, rows: int | None = None
) -> torch.Tensor:
    """Return the cross-entropy summed over all targets, in nats, as a float32 scalar.

    Args:
        hidden: what the head reads (N, D).
        weight: the head's table (V, D).
        targets: token ids (N); `IGNORED` where nothing is to be predicted.
        rows: rows of logits to hold at once; by default `rows_at_once`.
    """
    count = hidden.shape[0]
    rows = rows_at_once(count, weight.shape[0], hidden.device.type) if rows is None else rows
    if rows >= count:
        logits = F.linear(hidden, weight)  # (N, V)
        return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    learning = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)  # within, none is enabled
    total: torch.Tensor = _Chunked.apply(hidden, weight, targets, rows, dtype, learning)  # type: ignore[no-untyped-call]
    return total


class _Chunked(torch.autograd.Function):
    """Loss and both gradients, chunk by chunk; backward only multiplies them by what comes from above."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        rows: int,
        dtype: torch.dtype,
        learning: bool,
    ) -> torch.Tensor:
        table = weight.to(dtype)  # (V, D)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for_hidden = torch.empty_like(hidden) if learning else None  # (N, D)
        for_weight = torch.zeros_like(weight) if learning else None  # (V, D), added up in float32
        for start in range(0, hidden.shape[0], rows):
            target = targets[start : start + rows, None]  # (rows, 1)
            kept = target != IGNORED
            target = target.clamp(min=0)
            # Rows without a target are left out in width D, which is less to go through than V: zeros there, and here.
            x = (hidden[start : start + rows] * kept).to(dtype)  # (rows, D)
            shares = (x @ table.T).float().log_softmax(1)  # (rows, V), their logarithms
            total = total - (shares.gather(1, target) * kept).sum()
            if for_hidden is not None and for_weight is not None:
                slope = shares.exp_().scatter_add_(1, target, -torch.ones_like(target, dtype=torch.float32)).to(dtype)
                for_hidden[start : start + rows] = (slope @ table) * kept
                if weight.dtype == dtype:
                    for_weight.addmm_(slope.T, x)
                else:
                    for_weight.add_(slope.T @ x)
        if for_hidden is not None and for_weight is not None:
            ctx.save_for_backward(for_hidden, for_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        for_hidden, for_weight = ctx.saved_tensors
        return for_hidden * gradients[0].to(for_hidden.dtype), for_weight * gradients[0], None, None, None, None
