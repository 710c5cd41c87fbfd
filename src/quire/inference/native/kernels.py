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
from typing import Any

import numba

from quire.inference.native import memory as mem
from quire.inference.native import vectors as v
from quire.inference.native.attention import attend_all, keep
from quire.inference.native.program import (
    ATTENTION_NORM,
    BARRIER,
    CONSTANTS,
    DOWN_MATRIX,
    FEEDFORWARD_NORM,
    FEW,
    FINAL_NORM,
    GATE_UP_MATRIX,
    GATHERED,
    HIDDEN,
    INNER,
    LAYERS,
    LOGIT_STRIDE,
    LOGITS,
    OUT_MATRIX,
    PACKED,
    PACKED_THREAD,
    QKV,
    QKV_MATRIX,
    QKV_STRIDE,
    RESIDUAL,
    SCRATCH,
    SCRATCH_THREAD,
    STRIDE,
    THREADS,
    TILE,
    TOKEN_IDS,
    TOKENS,
    WANTED,
    WANTED_TOKENS,
    WIDTH,
    compiled,
    tile_of,
    wait_for_all,
)


@compiled
def scales_of(kind: int, scales: int, inputs: int, number: int) -> int:
    """Return where the scales of a panel are: 32 numbers, in 4 bits 32 for each group of inputs."""
    return scales + number * 128 * (inputs // v.GROUP if kind == v.INT4 else 1)


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
            v.panel(kind, width, w + number * size, x + start * inputs * 4, place, stride, inputs, own, add)
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
    if kind == v.FLOAT32:
        for k in range(inputs):
            mem.store(target + 4 * k, mem.load(w + 4 * (k * v.PANEL + lane)))
    elif kind == v.INT8:
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
            v.panel(kind, width, w + even * size, rows, gates, 128, inputs, scales_of(kind, scales, inputs, even), 0)
            v.panel(kind, width, w + odd * size, rows, ups, 128, inputs, scales_of(kind, scales, inputs, odd), 0)
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
