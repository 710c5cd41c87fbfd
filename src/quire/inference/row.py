"""The next token of one row of logits on a CPU, in NumPy: what `quire.inference.sampling` does, with little overhead.

One row of a few thousand numbers is so little work that calls cost more than arithmetic, and a call of NumPy costs a
fraction of one of PyTorch. A filter first drops, in one comparison, most tokens of which it is clear that they go, and
sorts what is left.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from quire.errors import QuireError
from quire.inference.settings import SamplingSettings
from quire.inference.state import Choice, Row, SamplingState

Ids = np.ndarray[Any, np.dtype[np.int64]]
LARGEST = np.finfo(np.float32).max
GROUP_BITS = 18  # leaves the exponent and 5 bits: 32 groups for each halving of the weight
GROUP_OF_ONE = int(np.float32(1).view(np.int32)) >> GROUP_BITS
NUM_GROUPS = 1024
BLOCK = 64
FEW = 300  # weights that are sorted as fast as they are grouped


class Draw(Protocol):
    """What draws from a row of scores (V,), whose largest is `highest`, by one random number of [0, 1).

    Temperature, min-p, top-k and top-p are applied; nothing else of the settings is.
    """

    def __call__(self, scores: Row, highest: float, settings: SamplingSettings, uniform: float) -> int:
        """Return the token."""


def choose_in_row(logits: Row, likeliest: int, state: SamplingState, drawing: Draw | None = None) -> Choice:
    """Choose the next token of one text; arguments as for `quire.inference.sampling.choose`, for a row (V,).

    Scores may overflow, to what they should be: the caller sets `np.errstate(over="ignore")`.

    Args:
        likeliest: the first of the largest logits, or of those that are no numbers.
    """
    settings = state.settings
    scores, highest = logits, logits[likeliest]
    if math.isnan(highest):
        raise no_numbers()
    sure = settings.temperature == 0 and state.only_ignores_end and likeliest != state.end_of_text
    if state.edits and not (sure and highest < math.inf):
        scores = state.edited(logits)
        likeliest = int(scores.argmax())
        highest = scores[likeliest]
    if not -math.inf < highest < math.inf:
        scores = _repaired(scores)
        likeliest = int(scores.argmax())
        highest = scores[likeliest]
    if highest == -math.inf:
        token = state.end_of_text
    elif settings.temperature == 0:
        token = likeliest
    elif drawing is None or settings.typical_p < 1:
        token = _drawn(scores, highest, state)
    else:
        token = drawing(scores, float(highest), settings, state.uniforms.random())
    if settings.logprobs is None:
        return Choice(token, None, ())
    return with_log_probabilities(logits, token, settings.logprobs)


def _drawn(scores: Row, highest: np.float32, state: SamplingState) -> int:
    settings = state.settings
    # The largest is taken off first: a tiny temperature would make both it and its neighbours infinite.
    levels = scores - highest
    if settings.temperature != 1:
        levels /= np.float32(max(settings.temperature, 1e-6))
    weights = np.exp(levels)  # (V,), the largest is 1
    ids: Ids | None = None
    if settings.min_p > 0:
        ids = (weights >= np.float32(settings.min_p)).nonzero()[0]
        weights = weights.take(ids)
    if 0 < settings.top_k < len(weights):
        smallest = np.partition(weights, len(weights) - settings.top_k)[len(weights) - settings.top_k]
        kept = (weights >= smallest).nonzero()[0]
        ids, weights = kept if ids is None else ids.take(kept), weights.take(kept)
    if settings.top_p < 1:
        kept = _top_p(weights, settings.top_p)
        ids, weights = kept if ids is None else ids.take(kept), weights.take(kept)
    if settings.typical_p < 1:
        kept = _typical(levels if ids is None else levels[ids], weights, settings.typical_p)
        ids, weights = kept if ids is None else ids.take(kept), weights.take(kept)
    place = _passed(weights, state.uniforms.random())
    return place if ids is None else int(ids[place])


def _passed(weights: Row, uniform: float) -> int:
    """Return the first place where the running sum of the weights passes `uniform` of all."""
    sums = weights.astype(np.float64)
    begin = 0
    mark = None
    if len(sums) > FEW:  # find the block first, as a running sum is slow and a sum is not
        whole = len(sums) // BLOCK * BLOCK
        blocks = np.append(sums[:whole].reshape(-1, BLOCK).sum(1), sums[whole:].sum()).cumsum()
        mark = uniform * blocks[-1]
        block = min(int(blocks.searchsorted(mark, side="right")), int(blocks.searchsorted(blocks[-1])))
        begin = block * BLOCK
        mark -= blocks[block - 1] if block else 0.0
        sums = sums[begin : begin + BLOCK]
    sums = sums.cumsum()
    if mark is None:
        mark = uniform * sums[-1]
    # Where a product or a sum was rounded, the mark may lie behind the last: then it is the last that weighs anything.
    return begin + min(int(sums.searchsorted(mark, side="right")), int(sums.searchsorted(sums[-1])))


def _top_p(weights: Row, p: float) -> Ids:
    target, above = p * float(weights.sum()), 0.0
    # Tokens of at most this weight hold at most 1 - p of all together, so the others reach p without them.
    floor = 0.999 * target / p * (1 - p) / len(weights)
    last = weights.compress(weights > floor)
    if len(last) > FEW:
        # The upper bits of a positive float order it as the whole does: only one group of them needs sorting.
        groups = np.minimum(GROUP_OF_ONE - (last.view(np.int32) >> GROUP_BITS), NUM_GROUPS - 1)
        sums = np.bincount(groups, weights=last).cumsum()
        group = min(int(sums.searchsorted(target)), int(groups.max()))
        above = float(sums[group - 1]) if group else 0.0
        last = last.compress(groups == group)
    ordered = np.sort(last)[::-1]
    needed = int((ordered.cumsum(dtype=np.float64) + above).searchsorted(target))
    return np.asarray((weights >= ordered[min(needed, len(ordered) - 1)]).nonzero()[0])


def _typical(levels: Row, weights: Row, p: float) -> Ids:
    possible = (weights > 0).nonzero()[0]
    surprise, masses = -levels[possible].astype(np.float64), weights[possible].astype(np.float64)
    total = masses.sum()
    distance = np.abs(surprise - (masses * surprise).sum() / total)
    order = distance.argsort(kind="stable")
    needed = int(masses[order].cumsum().searchsorted(p * total))
    return np.asarray(possible[distance <= distance[order[min(needed, len(order) - 1)]]])


def no_numbers() -> QuireError:
    """Return what is wrong with a row of scores that are none."""
    return QuireError("the model gave scores that are no numbers (nan): its weights are damaged")


def _repaired(scores: Row) -> Row:
    if np.isnan(scores).any():
        raise no_numbers()
    return np.asarray(np.minimum(scores, LARGEST))


def with_log_probabilities(logits: Row, token: int, top: int) -> Choice:
    """Return the choice of `token` with its log-probability and those of the `top` likeliest tokens.

    Args:
        logits: plain scores of the model (V,).
        token: an id below V.
        top: 0 tells that of `token` only.
    """
    logits = np.minimum(logits, LARGEST)
    highest = float(logits.max())
    if highest == -math.inf or math.isnan(highest):
        raise no_numbers()
    # A sum of float32 in pairs: off by less than 1e-6 of itself.
    log_total = highest + math.log(float(np.exp(logits - np.float32(highest)).sum()))
    if top == 0:
        return Choice(token, float(logits[token]) - log_total, ())
    top = min(top, len(logits))
    smallest = np.partition(logits, len(logits) - top)[len(logits) - top]
    candidates = (logits >= smallest).nonzero()[0]
    best = candidates[(-logits[candidates]).argsort(kind="stable")][:top]
    alternatives = tuple((int(each), float(logits[each]) - log_total) for each in best)
    return Choice(token, float(logits[token]) - log_total, alternatives)
