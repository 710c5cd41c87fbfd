"""From logits to the next token: what each setting does to the distribution, as functions without state.

They are applied in this order, which is that of Hugging Face's `generate`: repetition penalty, temperature, top-k,
top-p, min-p; what is left is drawn from. Each function takes logits (B, V) and gives logits, -inf = out; a row's
result depends on no other row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from quire.inference.settings import SamplingSettings

__all__ = ["SamplingSettings", "distribution", "draw", "keep_min_p", "keep_top_k", "keep_top_p", "penalise_repetition"]


def penalise_repetition(logits: torch.Tensor, seen: Sequence[Sequence[int]], penalty: float) -> torch.Tensor:
    """Make tokens that were there before less likely (penalty > 1) or more (< 1).

    Args:
        logits: (B, V).
        seen: for each row the ids of the tokens so far, in any order, any number of times.
        penalty: positive logits are divided by it, negative ones multiplied.

    Source: Keskar et al. 2019, "CTRL", section 4.1.
    """
    result = logits.clone()
    for row, ids in enumerate(seen):
        chosen = torch.tensor(sorted(set(ids)), device=logits.device, dtype=torch.long)
        scores = logits[row, chosen]
        result[row, chosen] = torch.where(scores > 0, scores / penalty, scores * penalty)
    return result


def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Keep what is at least as likely as the k-th likeliest token of its row. 0, or V and over, keeps all."""
    if k == 0 or k >= logits.shape[-1]:
        return logits
    smallest = logits.topk(k).values[..., -1:]  # (B, 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Keep the smallest set of likeliest tokens whose mass reaches `p`: at least one, and any tied with the last.

    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
    """
    if p >= 1:
        return logits
    ordered = logits.sort(descending=True).values  # (B, V)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # (B, V): the mass of all likelier tokens
    needed = (before < p).sum(-1, keepdim=True).clamp_min(1)  # (B, 1)
    smallest = ordered.gather(-1, needed - 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


def keep_min_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Keep tokens whose probability is at least `p` times that of the likeliest.

    Source: Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling".
    """
    if p <= 0:
        return logits
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < p * probabilities.amax(-1, keepdim=True), -torch.inf)


def distribution(logits: torch.Tensor, settings: SamplingSettings, seen: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the probabilities (B, V) that the next tokens are drawn from.

    At temperature 0 all the mass is on the likeliest token (of several, the one with the lowest id).

    Args:
        logits: scores of the model (B, V).
        settings: which of the functions above to apply.
        seen: the tokens of each row so far, for the repetition penalty.
    """
    logits = logits.float()
    if settings.repetition_penalty != 1:
        logits = penalise_repetition(logits, seen, settings.repetition_penalty)
    if settings.temperature == 0:
        likeliest = (logits == logits.amax(-1, keepdim=True)).int().argmax(-1, keepdim=True)  # (B, 1)
        return torch.zeros_like(logits).scatter_(-1, likeliest, 1.0)
    # The largest is taken off first: a tiny temperature would make both it and its neighbours infinite.
    logits = (logits - logits.amax(-1, keepdim=True)) / max(settings.temperature, 1e-6)
    logits = keep_top_k(logits, settings.top_k)
    logits = keep_top_p(logits, settings.top_p)
    logits = keep_min_p(logits, settings.min_p)
    return logits.softmax(-1)


def draw(probabilities: torch.Tensor, uniforms: Sequence[float]) -> list[int]:
    """Return for each row the token at which the running sum of its probabilities passes its random number.

    Args:
        probabilities: (B, V), each row summing to 1 but for rounding.
        uniforms: one number of [0, 1) a row.
    """
    # float64: in float32 the running sum over a large vocabulary is off by more than a rare token's probability.
    sums = probabilities.double().cumsum(-1)  # (B, V)
    marks = torch.tensor(uniforms, dtype=torch.float64, device=sums.device)[:, None] * sums[:, -1:]  # (B, 1)
    chosen = torch.searchsorted(sums, marks, right=True)[:, 0]  # (B,): the first whose sum is over the mark
    return [int(token) for token in chosen.tolist()]
