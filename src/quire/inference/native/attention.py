"""Attention in a step: keys and values go into the blocks of the cache, and each token gathers from those of its text.

A block holds for each head its keys as [K][32] and its values as [32][K]: so both products run over 32 numbers that lie
side by side, the scores of 32 positions and the columns of the values. Its numbers are float32, or float16, which are
widened where they are read.
"""

from __future__ import annotations

import math
from typing import Any

import numba

from quire.inference.blocks import BLOCK
from quire.inference.native import memory as mem
from quire.inference.native import vectors as v
from quire.inference.native.program import (
    CACHE,
    CACHE_HEAD,
    CACHE_LAYER,
    CACHE_SIZE,
    CONSTANTS,
    COSINES,
    GATHERED,
    HEAD_DIM,
    HEADS,
    KEY_NORM,
    KV_HEADS,
    POSITIONS,
    QK_NORM,
    QKV,
    QKV_STRIDE,
    QUERY_NORM,
    ROWS_AT_ONCE,
    SCORES,
    SCRATCH,
    SCRATCH_THREAD,
    SINES,
    TABLES,
    THREADS,
    TOKENS,
    VALUE_DIM,
    compiled,
    tile_of,
)

AHEAD = 2  # blocks that are asked for before they are read


@compiled
def put(size: int, target: int, value: Any) -> None:
    """Write a number of 4 bytes or of 2."""
    if size == 4:
        mem.store(target, value)
    else:
        mem.store_half(target, value)


@compiled
def turn(p: Any, source: int, norm: int, position: int, number: int, target: int, step: int, factor: Any) -> None:
    """Write a head's row to `target`: normalised, turned to its position, times a factor.

    Its numbers get `number` bytes each and lie `step` bytes apart.

    As in Hugging Face's models, number i turns with number i + K / 2.
    """
    size = p[HEAD_DIM]
    half = size // 2
    scale = numba.float32(1.0)
    if p[QK_NORM]:
        squares = v.sum_of_squares(source, size // 16)
        for k in range(size - size % 16, size):
            squares += mem.load(source + 4 * k) * mem.load(source + 4 * k)
        scale = numba.float32(1.0) / math.sqrt(squares / numba.float32(size) + mem.load(p[CONSTANTS]))
    cosines, sines = p[COSINES] + 4 * position * half, p[SINES] + 4 * position * half
    for k in range(half):
        a, b = mem.load(source + 4 * k) * scale, mem.load(source + 4 * (k + half)) * scale
        if p[QK_NORM]:
            a, b = a * mem.load(norm + 4 * k), b * mem.load(norm + 4 * (k + half))
        cosine, sine = mem.load(cosines + 4 * k), mem.load(sines + 4 * k)
        put(number, target + step * k, (a * cosine - b * sine) * factor)
        put(number, target + step * (k + half), (b * cosine + a * sine) * factor)


@compiled
def block_of(p: Any, layer: int, token: int, number: int, head: int) -> Any:
    """Return where the cache holds block `number` of a token's text for a head: keys [K][32], then values [32][K]."""
    table = mem.load_int64(p[TABLES] + 8 * token)
    block = mem.load_int32(table + 4 * number)
    return p[CACHE] + layer * p[CACHE_LAYER] + (block * p[KV_HEADS] + head) * p[CACHE_HEAD]


@compiled
def keep(p: Any, m: Any, layer: int, thread: int) -> None:
    """Put the keys and values of this step's tokens into the cache: this thread's share."""
    size, heads, number = p[HEAD_DIM], p[KV_HEADS], p[CACHE_SIZE]
    for item in range(thread, p[TOKENS] * heads, p[THREADS]):
        token, head = item // heads, item % heads
        position = mem.load_int32(p[POSITIONS] + 4 * token)
        keys = block_of(p, layer, token, position // BLOCK, head)
        row = p[QKV] + token * p[QKV_STRIDE] + 4 * size * (p[HEADS] + head)
        place = position % BLOCK
        turn(p, row, m[KEY_NORM], position, number, keys + number * place, number * BLOCK, numba.float32(1.0))
        values = keys + number * (size * BLOCK + place * p[VALUE_DIM])
        for k in range(size):
            put(number, values + number * k, mem.load(row + 4 * (size * heads + k)))


@compiled
def part_of(p: Any, layer: int, token: int, head: int, number: int, then: int, then_head: int) -> Any:
    """Return where part `number` of what is read for a token begins: blocks of keys, as many of values, then another's.

    The other is token `then` with its head, or -1.
    """
    blocks = mem.load_int32(p[POSITIONS] + 4 * token) // BLOCK + 1
    if number >= 2 * blocks:
        if then < 0:
            return block_of(p, layer, token, 0, head)  # which has been read
        token, head, number = then, then_head, number - 2 * blocks
        blocks = mem.load_int32(p[POSITIONS] + 4 * token) // BLOCK + 1
    if number < blocks:
        return block_of(p, layer, token, number, head)
    return block_of(p, layer, token, min(number, 2 * blocks - 1) - blocks, head) + p[CACHE_SIZE] * p[HEAD_DIM] * BLOCK


@compiled
def attend(
    p: Any, m: Any, layer: int, token: int, span: int, head: int, first: int, heads: int, thread: int, then: int,
    then_head: int
) -> None:  # fmt: skip
    """Gather for `span` tokens of one text, one after the other, and `heads` query heads from `first` on.

    All of them read key and value head `head`; together they are 1, 2 or 4 rows. A token that sees less than the last
    one has shares of zero for the rest, which adds nothing to its sums. What comes `AHEAD` blocks later is asked for
    meanwhile, up to the first blocks of what this thread gathers next: see `part_of`.
    """
    size, padded, scores_stride, rows = p[HEAD_DIM], p[VALUE_DIM], p[SCORES], span * heads
    number = p[CACHE_SIZE]
    queries = p[SCRATCH] + thread * p[SCRATCH_THREAD]
    gathered = queries + ROWS_AT_ONCE * 4 * padded
    scores = gathered + ROWS_AT_ONCE * 4 * padded
    position = mem.load_int32(p[POSITIONS] + 4 * token)
    seen = position + span
    blocks = (seen + BLOCK - 1) // BLOCK
    last = token + span - 1
    for row in range(rows):
        source = p[QKV] + (token + row // heads) * p[QKV_STRIDE] + 4 * size * (first + row % heads)
        place = queries + 4 * padded * row
        turn(p, source, m[QUERY_NORM], position + row // heads, 4, place, 4, mem.load(p[CONSTANTS] + 4))
    for at in range(0, blocks, 2):
        keys = other = block_of(p, layer, token, at, head)
        vectors = 2
        if at + 1 < blocks:
            vectors, other = 4, block_of(p, layer, token, at + 1, head)
        ahead = part_of(p, layer, last, head, at + AHEAD, then, then_head)
        ahead_other = part_of(p, layer, last, head, at + 1 + AHEAD, then, then_head)
        place = scores + 128 * at
        v.strip(
            number, vectors, rows, keys, other, number * BLOCK, queries, 4 * padded, place, scores_stride, size, 0,
            ahead, ahead_other
        )  # fmt: skip
    for row in range(rows):
        own = scores + scores_stride * row
        for place in range(position + row // heads + 1, blocks * BLOCK):
            mem.store(own + 4 * place, numba.float32(-math.inf))
        most = v.largest(own, 2 * blocks)
        total = v.exponentiate(own, 2 * blocks, most)
        mem.store(queries + 4 * padded * row, numba.float32(1.0) / total)  # the query is no longer needed
    vectors = 4 if padded % 64 == 0 else (2 if padded % 32 == 0 else 1)
    for at in range(blocks):
        values = block_of(p, layer, token, at, head) + number * size * BLOCK
        here = min(BLOCK, seen - at * BLOCK)
        ahead = part_of(p, layer, last, head, blocks + at + AHEAD, then, then_head) - values
        for part in range(0, padded, 16 * vectors):
            columns = values + number * part
            v.strip(
                number, vectors, rows, columns, columns + number * 32, number * padded, scores + 128 * at,
                scores_stride, gathered + 4 * part, 4 * padded, here, at, columns + ahead, columns + ahead + number * 32
            )  # fmt: skip
    for row in range(rows):
        own_token = token + row // heads
        start, width = tile_of(own_token, p[TOKENS])
        target = p[GATHERED] + 4 * start * p[HEADS] * size + 4 * (own_token - start)
        share = mem.load(queries + 4 * padded * row)
        for k in range(size):
            value = mem.load(gathered + 4 * (padded * row + k)) * share
            mem.store(target + 4 * width * ((first + row % heads) * size + k), value)


@compiled
def power_below(number: int) -> int:
    """Return the largest of 4, 2 and 1 that is not above `number`."""
    return 4 if number >= 4 else (2 if number >= 2 else 1)


@compiled
def attend_all(p: Any, m: Any, layer: int, thread: int) -> None:
    """Let this thread's share of tokens and heads gather from the cache: heads of a group and tokens of a text at once.

    Four rows that read the same keys take little longer than one, which waits for its own sums.
    """
    tokens, heads, threads = p[TOKENS], p[KV_HEADS], p[THREADS]
    group = p[HEADS] // heads
    together = power_below(min(ROWS_AT_ONCE, group))
    while together > 1 and tokens * heads * ((group + together - 1) // together) < 2 * threads:
        together //= 2
    spans = ROWS_AT_ONCE // together  # tokens at once
    parts = (group + together - 1) // together
    items = (tokens + spans - 1) // spans * heads * parts
    for item in range(thread, items, threads):
        token, head, part = item // (heads * parts) * spans, item // parts % heads, item % parts
        end = min(tokens, token + spans)
        while token < end:
            span = 1
            table = mem.load_int64(p[TABLES] + 8 * token)
            while token + span < end and mem.load_int64(p[TABLES] + 8 * (token + span)) == table:
                span += 1
            span = power_below(span)
            first, last = part * together, min(group, (part + 1) * together)
            while first < last:
                count = power_below(last - first)
                then, then_head = token + span, head
                if then >= end:
                    following = item + threads
                    then, then_head = following // (heads * parts) * spans, following // parts % heads
                    if following >= items:
                        then = -1
                attend(p, m, layer, token, span, head, head * group + first, count, thread, then, then_head)
                first += count
            token += span
