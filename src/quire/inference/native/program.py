"""What a step is given, as whole numbers, and what all of its parts need: tiles of tokens, waiting for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from quire.inference.native import memory as mem

TILE = 8  # tokens of a full tile
SPINS = 4000  # looks at a counter before a waiting thread lets others have its processor

# Places in the program: what stays the same from step to step, …
(
    THREADS, LAYERS, WIDTH, STRIDE, HEADS, KV_HEADS, HEAD_DIM, VALUE_DIM, QKV_STRIDE, HIDDEN, LOGIT_STRIDE,
    QK_NORM, FINAL_NORM, CONSTANTS, COSINES, SINES, CACHE, CACHE_SIZE, CACHE_LAYER, CACHE_HEAD,
    SCRATCH, SCRATCH_THREAD, SCORES, RESIDUAL, PACKED, PACKED_THREAD, QKV, GATHERED, INNER, LOGITS, BARRIER,
    # … and what is new in each.
    TOKENS, TOKEN_IDS, POSITIONS, TABLES, WANTED, WANTED_TOKENS,
    PROGRAM_SIZE,
) = range(38)  # fmt: skip
# A matrix is six numbers: address, address of the scales, kind, inputs, panels, bytes of a panel. A layer is four
# matrices and four norms; the embedding and the head are a matrix each, in the two rows after the last layer.
MATRIX = 6
QKV_MATRIX, OUT_MATRIX, GATE_UP_MATRIX, DOWN_MATRIX = range(0, 4 * MATRIX, MATRIX)
ATTENTION_NORM, FEEDFORWARD_NORM, QUERY_NORM, KEY_NORM = range(4 * MATRIX, 4 * MATRIX + 4)
LAYER_SIZE = 4 * MATRIX + 4
FEW = 4  # up to so many tokens, every thread computes the norms for itself: sooner than waiting for others
ROWS_AT_ONCE = 4

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Mark a function for numba; it is compiled as a part of `step`."""
    return cast(F, numba.njit(nogil=True, error_model="numpy", boundscheck=False)(function))


@compiled
def wait_for_all(barrier: int, threads: int) -> None:
    """Return when every thread has come here."""
    if threads == 1:
        return
    round_ = mem.atomic_load(barrier + 64)
    if mem.atomic_add(barrier, 1) + 1 == threads:
        mem.atomic_add(barrier, -threads)
        mem.atomic_add(barrier + 64, 1)
        return
    looks = 0
    while mem.atomic_load(barrier + 64) == round_:
        looks += 1
        if looks > SPINS:
            mem.give_way()
        else:
            mem.pause()


@compiled
def tile_of(token: int, tokens: int) -> tuple[int, int]:
    """Return the first token of the tile that `token` is in, and the tile's width."""
    full = tokens - tokens % TILE
    if token < full:
        return token - token % TILE, TILE
    start, width = full, TILE // 2
    while True:
        if tokens & width:
            if token < start + width:
                return start, width
            start += width
        width //= 2
