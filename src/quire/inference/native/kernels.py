"""One decoder step as a function of addresses: what each thread computes, and where threads wait for each other.

Every thread calls `step` with its number and the same program, an array of whole numbers. A phase is shared out by
outputs or by tokens, and ends at a barrier where the next needs what others computed:

1. norm, then queries, keys and values of all tokens (shared by outputs)
2. keys and values into the cache (shared by tokens and heads)
3. attention (shared by tokens and heads)
4. its projection, added to the residual stream (shared by outputs)
5. norm, gate and up with SwiGLU (shared by outputs)
6. down, added to the residual stream (shared by outputs)

Rows that go into a product are packed: tokens in tiles of 8, what is left over in tiles of 4, 2 and 1; within a tile
[inputs][tokens]. The sums of a token are the same in every tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from quire.inference.native import memory as mem
from quire.inference.native import vectors as v

BLOCK = 32  # positions of a block of the cache
TILE = 8  # tokens of a full tile
SPINS = 4000  # looks at a counter before a waiting thread lets others have its processor

# Places in the program: what stays the same from step to step, …
(
    THREADS, LAYERS, WIDTH, STRIDE, HEADS, KV_HEADS, HEAD_DIM, VALUE_DIM, QKV_STRIDE, HIDDEN, LOGIT_STRIDE,
    QK_NORM, FINAL_NORM, CONSTANTS, COSINES, SINES, CACHE, CACHE_LAYER, CACHE_HEAD, SCRATCH, SCRATCH_THREAD, SCORES,
    RESIDUAL, PACKED, PACKED_THREAD, QKV, GATHERED, INNER, LOGITS, BARRIER,
    # … and what is new in each.
    TOKENS, TOKEN_IDS, POSITIONS, TABLES, WANTED, WANTED_TOKENS,
    PROGRAM_SIZE,
) = range(37)  # fmt: skip
# A matrix is six numbers: address, address of the scales, kind, inputs, panels, bytes of a panel. A layer is four
# matrices and four norms; the embedding and the head are a matrix each, in the two rows after the last layer.
MATRIX = 6
QKV_MATRIX, OUT_MATRIX, GATE_UP_MATRIX, DOWN_MATRIX = range(0, 4 * MATRIX, MATRIX)
ATTENTION_NORM, FEEDFORWARD_NORM, QUERY_NORM, KEY_NORM = range(4 * MATRIX, 4 * MATRIX + 4)
LAYER_SIZE = 4 * MATRIX + 4
FLOAT32, INT8, INT4 = range(3)
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


@compiled
def panel(kind: int, width: int, w: int, x: int, y: int, stride: int, inputs: int, scales: int, add: int) -> None:
    """Multiply one panel of weights with one tile of rows: y[token][32] = or += the sums."""
    if kind == FLOAT32:
        if width == 8:
            v.float_8(w, x, y, stride, inputs, scales, add)
        elif width == 4:
            v.float_4(w, x, y, stride, inputs, scales, add)
        elif width == 2:
            v.float_2(w, x, y, stride, inputs, scales, add)
        else:
            v.float_1(w, x, y, stride, inputs, scales, add)
    elif kind == INT8:
        if width == 8:
            v.int8_8(w, x, y, stride, inputs, scales, add)
        elif width == 4:
            v.int8_4(w, x, y, stride, inputs, scales, add)
        elif width == 2:
            v.int8_2(w, x, y, stride, inputs, scales, add)
        else:
            v.int8_1(w, x, y, stride, inputs, scales, add)
    elif width == 8:
        v.int4_8(w, x, y, stride, inputs, scales, add)
    elif width == 4:
        v.int4_4(w, x, y, stride, inputs, scales, add)
    elif width == 2:
        v.int4_2(w, x, y, stride, inputs, scales, add)
    else:
        v.int4_1(w, x, y, stride, inputs, scales, add)


@compiled
def scales_of(kind: int, scales: int, inputs: int, number: int) -> int:
    """Return where the scales of a panel are: 32 numbers, in 4 bits 32 for each group of inputs."""
    return scales + number * 128 * (inputs // v.GROUP if kind == INT4 else 1)


@compiled
def multiply(m: Any, at: int, x: int, tokens: int, y: int, stride: int, add: int, thread: int, threads: int) -> None:
    """Multiply packed rows with this thread's share of the panels of the matrix described at `m[at:]`."""
    w, scales, kind, inputs, panels, size = m[at], m[at + 1], m[at + 2], m[at + 3], m[at + 4], m[at + 5]
    for number in range(panels * thread // threads, panels * (thread + 1) // threads):
        start = 0
        while start < tokens:
            width = tile_of(start, tokens)[1]
            place = y + start * stride + number * 128
            own = scales_of(kind, scales, inputs, number)
            panel(kind, width, w + number * size, x + start * inputs * 4, place, stride, inputs, own, add)
            start += width


@compiled
def normalise(p: Any, x: int, weight: int, target: int, width: int, place: int) -> None:
    """Write the normalised row at `x` into column `place` of the packed tile at `target`."""
    size = p[WIDTH]
    mean = v.sum_of_squares(x, p[STRIDE] // 64) / numba.float32(size)
    scale = numba.float32(1.0) / math.sqrt(mean + mem.load(p[CONSTANTS]))
    target += 4 * place
    for k in range(size):
        mem.store(target + 4 * width * k, mem.load(x + 4 * k) * scale * mem.load(weight + 4 * k))


@compiled
def normalise_all(p: Any, weight: int, thread: int) -> Any:
    """Pack the normalised residual stream; return where it is. What is written is complete for this thread."""
    tokens, threads = p[TOKENS], p[THREADS]
    few = tokens <= FEW
    packed = p[PACKED] + (thread * p[PACKED_THREAD] if few else 0)
    for token in range(0 if few else thread, tokens, 1 if few else threads):
        start, width = tile_of(token, tokens)
        normalise(p, p[RESIDUAL] + token * p[STRIDE], weight, packed + 4 * start * p[WIDTH], width, token - start)
    if not few:
        wait_for_all(p[BARRIER], threads)
    return packed


@compiled
def embed(p: Any, m: Any, token: int, target: int) -> None:
    """Write the row of a token, read out of the panels of the embedding table."""
    w, scales, kind, inputs, size = m[0], m[1], m[2], m[3], m[5]
    number, lane = token // v.PANEL, token % v.PANEL
    w += number * size
    if kind == FLOAT32:
        for k in range(inputs):
            mem.store(target + 4 * k, mem.load(w + 4 * (k * v.PANEL + lane)))
    elif kind == INT8:
        scale = mem.load(scales + 4 * token)
        for k in range(inputs):
            mem.store(target + 4 * k, numba.float32(mem.load_int8(w + k * v.PANEL + lane)) * scale)
    else:
        own = scales_of(kind, scales, inputs, number) + 4 * lane
        for k in range(p[WIDTH]):
            group, place = k // v.GROUP, k % v.GROUP
            both = mem.load_int8(w + (group * (v.GROUP // 2) + place % (v.GROUP // 2)) * v.PANEL + lane) & 255
            value = (both >> 4 if place >= v.GROUP // 2 else both & 15) - 8
            mem.store(target + 4 * k, numba.float32(value) * mem.load(own + group * 4 * v.PANEL))


@compiled
def turn(p: Any, source: int, norm: int, position: int, target: int, step: int, factor: Any) -> None:
    """Write a head's row to `target`, numbers `step` bytes apart: normalised, turned to its position, times a factor.

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
        mem.store(target + step * k, (a * cosine - b * sine) * factor)
        mem.store(target + step * (k + half), (b * cosine + a * sine) * factor)


@compiled
def block_of(p: Any, layer: int, token: int, number: int, head: int) -> Any:
    """Return where the cache holds block `number` of a token's text for a head: keys [K][32], then values [32][K]."""
    table = mem.load_int64(p[TABLES] + 8 * token)
    block = mem.load_int32(table + 4 * number)
    return p[CACHE] + layer * p[CACHE_LAYER] + (block * p[KV_HEADS] + head) * p[CACHE_HEAD]


@compiled
def keep(p: Any, m: Any, layer: int, thread: int) -> None:
    """Put the keys and values of this step's tokens into the cache: this thread's share."""
    size, heads = p[HEAD_DIM], p[KV_HEADS]
    for item in range(thread, p[TOKENS] * heads, p[THREADS]):
        token, head = item // heads, item % heads
        position = mem.load_int32(p[POSITIONS] + 4 * token)
        keys = block_of(p, layer, token, position // BLOCK, head)
        row = p[QKV] + token * p[QKV_STRIDE] + 4 * size * (p[HEADS] + head)
        place = position % BLOCK
        turn(p, row, m[KEY_NORM], position, keys + 4 * place, 4 * BLOCK, numba.float32(1.0))
        values = keys + 4 * size * BLOCK + 4 * place * p[VALUE_DIM]
        for k in range(size):
            mem.store(values + 4 * k, mem.load(row + 4 * (size * heads + k)))


@compiled
def strip(
    vectors: int, rows: int, w: int, other: int, w_stride: int, x: int, x_stride: int, y: int, y_stride: int,
    inputs: int, add: int,
) -> None:  # fmt: skip
    """Multiply up to four rows with 16, 32 or 64 columns of the cache."""
    if vectors == 4:
        if rows == 4:
            v.wide_4(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)
        elif rows == 2:
            v.wide_2(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)
        else:
            v.wide_1(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)
    elif vectors == 2:
        if rows == 4:
            v.strip_4(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)
        elif rows == 2:
            v.strip_2(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)
        else:
            v.strip_1(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)
    elif rows == 4:
        v.narrow_4(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)
    elif rows == 2:
        v.narrow_2(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)
    else:
        v.narrow_1(w, other, w_stride, x, x_stride, y, y_stride, inputs, add)


@compiled
def attend(
    p: Any, m: Any, layer: int, token: int, span: int, head: int, first: int, heads: int, thread: int
) -> None:  # fmt: skip
    """Gather for `span` tokens of one text, one after the other, and `heads` query heads from `first` on.

    All of them read key and value head `head`; together they are 1, 2 or 4 rows. A token that sees less than the last
    one has shares of zero for the rest, which adds nothing to its sums.
    """
    size, padded, scores_stride, rows = p[HEAD_DIM], p[VALUE_DIM], p[SCORES], span * heads
    queries = p[SCRATCH] + thread * p[SCRATCH_THREAD]
    gathered = queries + ROWS_AT_ONCE * 4 * padded
    scores = gathered + ROWS_AT_ONCE * 4 * padded
    position = mem.load_int32(p[POSITIONS] + 4 * token)
    seen = position + span
    blocks = (seen + BLOCK - 1) // BLOCK
    for row in range(rows):
        source = p[QKV] + (token + row // heads) * p[QKV_STRIDE] + 4 * size * (first + row % heads)
        place = queries + 4 * padded * row
        turn(p, source, m[QUERY_NORM], position + row // heads, place, 4, mem.load(p[CONSTANTS] + 4))
    for number in range(0, blocks, 2):
        keys = other = block_of(p, layer, token, number, head)
        vectors = 2
        if number + 1 < blocks:
            vectors, other = 4, block_of(p, layer, token, number + 1, head)
        for ahead in range(number + 2, min(number + 4, blocks)):
            mem.fetch(block_of(p, layer, token, ahead, head), 2 * size)
        place = scores + 128 * number
        strip(vectors, rows, keys, other, 4 * BLOCK, queries, 4 * padded, place, scores_stride, size, 0)
    for row in range(rows):
        own = scores + scores_stride * row
        for place in range(position + row // heads + 1, blocks * BLOCK):
            mem.store(own + 4 * place, numba.float32(-math.inf))
        most = v.largest(own, 2 * blocks)
        total = v.exponentiate(own, 2 * blocks, most)
        mem.store(queries + 4 * padded * row, numba.float32(1.0) / total)  # the query is no longer needed
    vectors = 4 if padded % 64 == 0 else (2 if padded % 32 == 0 else 1)
    for number in range(blocks):
        values = block_of(p, layer, token, number, head) + 4 * size * BLOCK
        here = min(BLOCK, seen - number * BLOCK)
        if number + 1 < blocks:
            mem.fetch(block_of(p, layer, token, number + 1, head) + 4 * size * BLOCK, 2 * padded)
        for part in range(0, padded, 16 * vectors):
            columns = values + 4 * part
            strip(
                vectors, rows, columns, columns + 128, 4 * padded, scores + 128 * number, scores_stride,
                gathered + 4 * part, 4 * padded, here, number,
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
    for item in range(thread, (tokens + spans - 1) // spans * heads * parts, threads):
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
                attend(p, m, layer, token, span, head, head * group + first, count, thread)
                first += count
            token += span


@compiled
def feed_forward(p: Any, m: Any, x: int, thread: int) -> None:
    """Write this thread's share of silu(gate) * up, packed; panels of gate and up alternate in the matrix."""
    at = GATE_UP_MATRIX
    w, scales, kind, inputs, panels, size = m[at], m[at + 1], m[at + 2], m[at + 3], m[at + 4], m[at + 5]
    tokens, pairs, hidden = p[TOKENS], panels // 2, p[HIDDEN]
    gates = p[SCRATCH] + thread * p[SCRATCH_THREAD]
    ups = gates + 128 * TILE
    for number in range(pairs * thread // p[THREADS], pairs * (thread + 1) // p[THREADS]):
        even, odd = 2 * number, 2 * number + 1
        count = min(v.PANEL, hidden - number * v.PANEL)
        start = 0
        while start < tokens:
            width = tile_of(start, tokens)[1]
            rows = x + 4 * start * inputs
            panel(kind, width, w + even * size, rows, gates, 128, inputs, scales_of(kind, scales, inputs, even), 0)
            panel(kind, width, w + odd * size, rows, ups, 128, inputs, scales_of(kind, scales, inputs, odd), 0)
            v.gated(gates, ups, 2 * width)
            target = p[INNER] + 4 * (start * hidden + number * v.PANEL * width)
            for row in range(width):
                for k in range(count):
                    mem.store(target + 4 * (k * width + row), mem.load(gates + 128 * row + 4 * k))
            start += width


@compiled
def forward(p: Any, layers: Any, thread: int) -> None:
    """Compute one step: this thread's part of it."""
    tokens, threads, barrier = p[TOKENS], p[THREADS], p[BARRIER]
    for token in range(thread, tokens, threads):
        number = mem.load_int32(p[TOKEN_IDS] + 4 * token)
        target = p[RESIDUAL] + token * p[STRIDE]
        embed(p, layers[p[LAYERS]], number, target)
        for k in range(p[WIDTH], p[STRIDE] // 4):  # the products add to what fills a row up: no damage may stay there
            mem.store(target + 4 * k, numba.float32(0.0))
    wait_for_all(barrier, threads)
    for layer in range(p[LAYERS]):
        m = layers[layer]
        x = normalise_all(p, m[ATTENTION_NORM], thread)
        multiply(m, QKV_MATRIX, x, tokens, p[QKV], p[QKV_STRIDE], 0, thread, threads)
        wait_for_all(barrier, threads)
        keep(p, m, layer, thread)
        wait_for_all(barrier, threads)
        attend_all(p, m, layer, thread)
        wait_for_all(barrier, threads)
        multiply(m, OUT_MATRIX, p[GATHERED], tokens, p[RESIDUAL], p[STRIDE], 1, thread, threads)
        wait_for_all(barrier, threads)
        x = normalise_all(p, m[FEEDFORWARD_NORM], thread)
        feed_forward(p, m, x, thread)
        wait_for_all(barrier, threads)
        multiply(m, DOWN_MATRIX, p[INNER], tokens, p[RESIDUAL], p[STRIDE], 1, thread, threads)
        wait_for_all(barrier, threads)
    wanted = p[WANTED]
    for place in range(thread, wanted, threads):
        token = mem.load_int32(p[WANTED_TOKENS] + 4 * place)
        start, width = tile_of(place, wanted)
        target = p[PACKED] + 4 * start * p[WIDTH]
        normalise(p, p[RESIDUAL] + token * p[STRIDE], p[FINAL_NORM], target, width, place - start)
    wait_for_all(barrier, threads)
    multiply(layers[p[LAYERS] + 1], 0, p[PACKED], wanted, p[LOGITS], p[LOGIT_STRIDE], 0, thread, threads)
    wait_for_all(barrier, threads)
