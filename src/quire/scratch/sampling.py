"""From logits to the next token: what each setting does to the distribution, for one row of logits.

They are applied in this order, which is that of `quire.inference.sampling`: repetition penalty, temperature, min-p,
top-k, top-p; what is left is drawn from. Each takes logits (V,) and gives logits, -inf = out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.activations import softmax

Array = NDArray[np.float64]


def penalise_repetition(logits: ArrayLike, seen: Iterable[int], penalty: float) -> Array:
    """Make tokens that were there before less likely (penalty > 1) or more (< 1).

    Args:
        logits: (V,).
        seen: the ids of the tokens so far, in any order, any number of times.
        penalty: positive; positive logits are divided by it, negative ones multiplied.

    Raises:
        ValueError: the penalty is not positive, a token is not in the vocabulary, or the logits are no row.

    Source: Keskar et al. 2019, "CTRL", section 4.1.
    """
    if not 0 < penalty < np.inf:
        raise ValueError(f"the repetition penalty must be positive, not {penalty}")
    result = _row(logits)
    chosen = sorted(set(seen))
    if chosen and not 0 <= chosen[0] <= chosen[-1] < len(result):
        wrong = chosen[0] if chosen[0] < 0 else chosen[-1]
        raise ValueError(f"seen token {wrong} is not in the vocabulary of {len(result)} (0 to {len(result) - 1})")
    scores = result[chosen]
    result[chosen] = np.where(scores > 0, scores / penalty, scores * penalty)
    return result


def apply_temperature(logits: ArrayLike, temperature: float) -> Array:
    """Divide the logits by `temperature`: below 1 likely tokens become likelier, at 0 only the likeliest is left.

    The largest logit is taken off first, which changes no probability and keeps a tiny temperature from overflowing.
    Of several likeliest tokens, 0 keeps the one with the lowest id.

    Raises:
        ValueError: the temperature is negative or not finite, or the logits are no row.
    """
    if not 0 <= temperature < np.inf:
        raise ValueError(f"the temperature must be 0 or more, not {temperature}")
    row = _row(logits)
    if temperature == 0:
        result = np.full_like(row, -np.inf)
        result[row.argmax()] = 0.0
        return result
    return np.asarray((row - row.max()) / max(temperature, 1e-6))


def keep_top_k(logits: ArrayLike, k: int) -> Array:
    """Keep what is at least as likely as the k-th likeliest token. 0, or V and over, keeps all.

    Raises:
        ValueError: k is negative, or the logits are no row.

    Source: Fan et al. 2018, "Hierarchical Neural Story Generation", section 5.4.
    """
    row = _row(logits)
    if k != int(k) or k < 0:
        raise ValueError(f"top-k must be a whole number, 0 (keep all) or more, not {k}")
    if k == 0 or k >= len(row):
        return row
    return _keep(row, row >= np.sort(row)[-k])


def keep_top_p(logits: ArrayLike, p: float) -> Array:
    """Keep the smallest set of likeliest tokens whose mass reaches `p`: at least one, and any tied with the last.

    Raises:
        ValueError: p is not in (0, 1], or the logits are no row.

    Source: Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.
    """
    row = _row(logits)
    if not 0 < p <= 1:
        raise ValueError(f"top-p must be more than 0 and at most 1, not {p}")
    if p == 1:
        return row
    ordered = np.sort(row)[::-1]  # likeliest first
    probabilities = softmax(ordered)
    before = np.cumsum(probabilities) - probabilities  # the mass of all likelier tokens
    needed = max(int((before < p).sum()), 1)
    return _keep(row, row >= ordered[needed - 1])


def keep_min_p(logits: ArrayLike, p: float) -> Array:
    """Keep tokens whose probability is at least `p` times that of the likeliest. 0 keeps all.

    Raises:
        ValueError: p is not in [0, 1], or the logits are no row.

    Source: Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling".
    """
    row = _row(logits)
    if not 0 <= p <= 1:
        raise ValueError(f"min-p must be 0 to 1, not {p}")
    if p == 0:
        return row
    probabilities = softmax(row)
    return _keep(row, probabilities >= p * probabilities.max())


def distribution(
    logits: ArrayLike,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seen: Iterable[int] = (),
) -> Array:
    """Return the probabilities (V,) that the next token is drawn from; what is left out has 0.

    Args:
        logits: scores of the model (V,).
        temperature: see `apply_temperature`.
        top_k: see `keep_top_k`.
        top_p: see `keep_top_p`.
        min_p: see `keep_min_p`.
        repetition_penalty: see `penalise_repetition`.
        seen: the tokens so far, for the repetition penalty.

    Raises:
        ValueError: as the functions named.
    """
    row = penalise_repetition(logits, seen, repetition_penalty)
    row = apply_temperature(row, temperature)
    row = keep_min_p(row, min_p)
    row = keep_top_k(row, top_k)
    row = keep_top_p(row, top_p)
    return softmax(row)


def draw(probabilities: ArrayLike, uniform: float) -> int:
    """Return the token at which the running sum of the probabilities passes the random number.

    Args:
        probabilities: (V,), summing to 1 but for rounding.
        uniform: a number of [0, 1).

    Raises:
        ValueError: the number is not in [0, 1), or the probabilities are negative, all zero or no row.
    """
    shares = _row(probabilities)
    if not 0 <= uniform < 1:
        raise ValueError(f"the random number must be in [0, 1), not {uniform}")
    sums = np.cumsum(shares)
    if shares.min() < 0 or not 0 < sums[-1] < np.inf:
        raise ValueError("probabilities must not be negative and must not all be zero")
    return int(np.searchsorted(sums, uniform * sums[-1], side="right"))  # the first whose sum is over the mark


def _keep(row: Array, kept: NDArray[np.bool_]) -> Array:
    return np.asarray(np.where(kept, row, -np.inf), dtype=np.float64)


def _row(logits: ArrayLike) -> Array:
    row: Array = np.array(logits, dtype=np.float64)
    if row.ndim != 1 or not row.size:
        raise ValueError(f"one row of numbers (V,) is needed, not the shape {row.shape}")
    if np.isnan(row).any() or row.max() in (-np.inf, np.inf):
        raise ValueError("the row must hold a number at its largest place, and nan nowhere")
    return row
