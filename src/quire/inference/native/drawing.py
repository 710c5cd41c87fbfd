"""The next token drawn from one row of scores, compiled: what `quire.inference.row` does in NumPy, in fewer passes.

Nothing is sorted. The weight at which top-k or top-p cuts is found by its bits, which order positive numbers as their
values do: tokens are counted and weighed by the upper ten, then those of the group in which the cut lies by the next
ten, then by the last.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from quire.inference.native import instructions as op
from quire.inference.native import program as k
from quire.inference.native import vectors as v
from quire.inference.native.compiling import Once, compiled
from quire.inference.native.packing import aligned
from quire.inference.settings import SamplingSettings
from quire.inference.state import Row

BITS = 10
GROUPS = 1 << BITS
BLOCK = 64  # weights whose sum is skipped at once where a token is drawn
ALL = 1 << 62


@k.compiled
def cut(weights: Any, bits: Any, size: int, count: int, mass: float, counts: Any, masses: Any) -> int:
    """Return the bits of a weight: down to it the heaviest of `size` are at least `count`, or weigh at least `mass`.

    Where all of them are not enough, that is the lightest. `bits` are the weights' own, all of them of 0 to 1; `counts`
    and `masses` are room for `GROUPS` numbers.
    """
    group = 0  # the upper bits of the cut, as far as they are known
    counted, weighed = 0, 0.0  # of what is above the group
    for shift in (2 * BITS, BITS, 0):
        counts[:] = 0
        masses[:] = 0.0
        for place in range(size):
            if bits[place] >> (shift + BITS) == group:
                part = (bits[place] >> shift) & (GROUPS - 1)
                counts[part] += 1
                masses[part] += weights[place]
        last, last_counted, last_weighed = 0, counted, weighed
        for part in range(GROUPS - 1, -1, -1):
            if counts[part] == 0:
                continue
            last, last_counted, last_weighed = part, counted, weighed
            counted += counts[part]
            weighed += masses[part]
            if counted >= count or weighed >= mass:
                break
        group = (group << BITS) | last
        counted, weighed = last_counted, last_weighed
    return group


@k.compiled
def total_of(weights: Any, start: int, end: int) -> float:
    """Return the sum of the weights from `start` on, before `end`."""
    a = b = c = d = 0.0
    fours = start + (end - start) // 4 * 4
    for place in range(start, fours, 4):  # four sums do not wait for each other
        a += weights[place]
        b += weights[place + 1]
        c += weights[place + 2]
        d += weights[place + 3]
    for place in range(fours, end):
        a += weights[place]
    return (a + b) + (c + d)


@k.compiled
def passed(weights: Any, size: int, share: float, blocks: Any) -> int:
    """Return the first place where the running sum of `size` weights passes `share` of all."""
    number = (size + BLOCK - 1) // BLOCK
    total = 0.0
    for block in range(number):
        start = block * BLOCK
        total += total_of(weights, start, min(size, start + BLOCK))
        blocks[block] = total
    mark = share * total
    block = 0
    while block < number - 1 and blocks[block] <= mark:
        block += 1
    running = blocks[block - 1] if block else 0.0
    last = -1
    for place in range(block * BLOCK, min(size, (block + 1) * BLOCK)):
        if weights[place] > 0.0:
            last = place
            running += weights[place]
            if running > mark:
                break
    # Where a product or a sum was rounded, the mark may lie behind the last: then it is the last that weighs anything.
    if last < 0:
        for place in range(size):
            if weights[place] > 0.0:
                last = place
    return last


def _compile(sources: str) -> Any:
    """Return the compiled function. `sources` is in the key of numba's cache, which looks at this file alone."""

    def draw(
        scores: Any, highest: Any, temperature: Any, min_p: Any, top_k: int, top_p: float, uniform: float, weights: Any,
        bits: Any, ids: Any, blocks: Any, counts: Any, masses: Any
    ) -> int:  # fmt: skip
        if sources == "":
            return -1
        size = len(scores)
        for place in range(size):  # the largest is taken off first: a tiny temperature would make neighbours infinite
            weights[place] = (scores[place] - highest) / temperature
        vectors = (size + op.LANES - 1) // op.LANES
        for place in range(size, vectors * op.LANES):
            weights[place] = -np.inf
        v.exponentiate(weights.ctypes.data, vectors, numba.float32(0.0))
        floor, whole = min_p, 0.0
        of_all = top_p < 1.0 and top_k == 0 and min_p == 0.0
        if of_all:
            whole = total_of(weights, 0, size)
            # Tokens of at most this weight hold at most 1 - p of all together, so the others reach p without them.
            floor = numba.float32(0.999 * (1.0 - top_p) * whole / size)
        left = 0
        for place in range(size):  # writes over what has been read
            weight = weights[place]
            weights[left] = weight
            ids[left] = place
            left += 1 if weight >= floor and weight > 0.0 else 0
        if 0 < top_k < left:
            least = cut(weights, bits, left, top_k, np.inf, counts, masses)
            kept = 0
            for place in range(left):
                weight = weights[place]
                stays = bits[place] >= least
                weights[kept] = weight
                ids[kept] = ids[place]
                kept += 1 if stays else 0
            left = kept
        if top_p < 1.0:
            if not of_all:
                whole = total_of(weights, 0, left)
            least = cut(weights, bits, left, ALL, top_p * whole, counts, masses)
            for place in range(left):
                if bits[place] < least:
                    weights[place] = 0.0
        return int(ids[passed(weights, left, uniform, blocks)])

    row, whole = numba.float32[::1], numba.int64[::1]
    signature = numba.int64(
        row, numba.float32, numba.float32, numba.float32, numba.int64, numba.float64, numba.float64, row,
        numba.int32[::1], whole, numba.float64[::1], whole, numba.float64[::1],
    )  # fmt: skip
    return compiled(draw, signature, nogil=True, error_model="numpy", boundscheck=False)


compiled_draw = Once(_compile, op, v, k)


class Drawing:
    """Draws from rows of scores; for one thread at a time.

    Args:
        vocab_size: V, numbers of a row.
    """

    def __init__(self, vocab_size: int) -> None:
        self._draw, self._size = compiled_draw(), vocab_size
        room = -(-vocab_size // BLOCK) * BLOCK
        weights = aligned(room, np.float32)
        blocks = np.zeros(room // BLOCK)
        groups = np.zeros(GROUPS, np.int64), np.zeros(GROUPS)
        self._room = weights, weights.view(np.int32), np.zeros(room, np.int64), blocks, *groups

    def __call__(self, scores: Row, highest: float, settings: SamplingSettings, uniform: float) -> int:
        """Return the token that is drawn; see `quire.inference.row.Draw`.

        What weighs less than e^-87 of the likeliest weighs nothing.

        Raises:
            ValueError: the row has another size.
        """
        if len(scores) != self._size:
            raise ValueError(f"{len(scores)} scores, where there should be {self._size}")
        temperature = max(settings.temperature, 1e-6)
        token: int = self._draw(
            scores,
            highest,
            temperature,
            settings.min_p,
            min(settings.top_k, self._size),
            settings.top_p,
            uniform,
            *self._room,
        )
        return token
