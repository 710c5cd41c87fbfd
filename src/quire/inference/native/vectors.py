"""What the kernels are made of: products of a few rows with a panel of weights, and sums over vectors of 16 numbers.

numba translates Python loops well, but leaves to LLVM's guess how they become vector instructions, and lets a sum's
order depend on it. Here both are said: a vector is 16 float32 numbers, whatever the processor has (LLVM splits it
where registers are shorter), and every sum has one order. A result therefore depends on its own row alone: never on
how many rows are computed beside it, nor on which thread does it.

An address is an int64 number, as of `array.ctypes.data`; nothing checks it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types

from quire.inference.native import instructions as op

PANEL = 2 * op.LANES  # outputs that a panel of weights has
GROUP = 32  # inputs that share a scale in 4 bits
FETCHING = 8  # rows that compute long enough on a panel for the next one to come meanwhile
FLOAT32, INT8, INT4 = range(3)  # kinds of weights
Values = op.Values


def _finish(b: Any, sums: Values, y: Any, y_stride: Any, add: Any, width: int) -> None:
    """Store the sums of `width` vectors a row; where `add` is not 0, add to what is there."""
    adding, plain, end = (b.append_basic_block(name) for name in ("add", "set", "done"))
    b.cbranch(b.icmp_signed("!=", add, op.I64(0)), adding, plain)
    for block, adds in ((adding, True), (plain, False)):
        b.position_at_end(block)
        for place, value in enumerate(sums):
            row, offset = divmod(place, width)
            address = b.add(y, b.mul(y_stride, op.I64(row)))
            held = b.fadd(op.load(b, address, op.VECTOR, 64 * offset), value) if adds else value
            op.store(b, held, address, 64 * offset)
        b.branch(end)
    b.position_at_end(end)


def _panel(kind: int, rows: int) -> Callable[..., None]:
    """Return what writes a kernel: `rows` rows x, packed [inputs][rows], times a panel of weights [inputs][32]."""
    size = {FLOAT32: 4, INT8: 1}.get(kind, 0)

    def weights(b: Any, address: Any) -> Values:
        if kind == FLOAT32:
            return [op.load(b, address, op.VECTOR, 64 * half) for half in (0, 1)]
        return [b.sitofp(b.sext(op.load(b, address, op.BYTES, 16 * half), op.INTS), op.VECTOR) for half in (0, 1)]

    def products(b: Any, halves: Values, x: Any, sums: Values) -> Values:
        """Return the sums with one input's products added."""
        new = []
        for row in range(rows):
            number = op.splat(b, op.load(b, x, op.F32, 4 * row))
            new += [op.multiply_add(b, halves[half], number, sums[2 * row + half]) for half in (0, 1)]
        return new

    def wide(b: Any, w: Any, x: Any, inputs: Any, scales: Any) -> Values:
        def body(i: Any, sums: Values) -> Values:
            place = b.add(w, b.mul(i, op.I64(PANEL * size)))
            halves = weights(b, place)
            if rows >= FETCHING:
                following = b.add(place, b.mul(inputs, op.I64(PANEL * size)))
                for line in range(-(-PANEL * size // 64)):
                    op.fetch(b, following, 64 * line)
            return products(b, halves, b.add(x, b.mul(i, op.I64(4 * rows))), sums)

        sums = op.loop(b, inputs, [op.ZERO] * (2 * rows), body)
        if kind == INT8:
            scale = [op.load(b, scales, op.VECTOR, 64 * half) for half in (0, 1)]
            sums = [b.fmul(value, scale[place % 2]) for place, value in enumerate(sums)]
        return sums

    def narrow(b: Any, w: Any, x: Any, inputs: Any, scales: Any) -> Values:
        """4 bits: the halves of byte j of a group are its inputs j and j + 16; each group has scales of its own."""
        offset, low = ir.Constant(op.INTS, [8] * op.LANES), ir.Constant(op.INTS, [15] * op.LANES)
        four = ir.Constant(op.INTS, [4] * op.LANES)

        def group(g: Any, totals: Values) -> Values:
            start = b.add(w, b.mul(g, op.I64(PANEL * GROUP // 2)))
            first = b.add(x, b.mul(g, op.I64(4 * rows * GROUP)))

            def pair(j: Any, sums: Values) -> Values:
                address = b.add(start, b.mul(j, op.I64(PANEL)))
                both = [b.zext(op.load(b, address, op.BYTES, 16 * half), op.INTS) for half in (0, 1)]
                input_ = b.add(first, b.mul(j, op.I64(4 * rows)))
                ones = [b.sitofp(b.sub(b.and_(value, low), offset), op.VECTOR) for value in both]
                sums = products(b, ones, input_, sums)
                others = [b.sitofp(b.sub(b.lshr(value, four), offset), op.VECTOR) for value in both]
                return products(b, others, b.add(input_, op.I64(4 * rows * GROUP // 2)), sums)

            sums = op.loop(b, op.I64(GROUP // 2), [op.ZERO] * (2 * rows), pair)
            scale = b.add(scales, b.mul(g, op.I64(4 * PANEL)))
            halves = [op.load(b, scale, op.VECTOR, 64 * half) for half in (0, 1)]
            return [op.multiply_add(b, sums[n], halves[n % 2], totals[n]) for n in range(2 * rows)]

        return op.loop(b, b.sdiv(inputs, op.I64(GROUP)), [op.ZERO] * (2 * rows), group)

    def write(b: Any, w: Any, x: Any, y: Any, y_stride: Any, inputs: Any, scales: Any, add: Any) -> None:
        _finish(b, (narrow if kind == INT4 else wide)(b, w, x, inputs, scales), y, y_stride, add, 2)

    return write


@op.intrinsic
def panel(
    context: Any, kind: Any, rows: Any, w: Any, x: Any, y: Any, y_stride: Any, inputs: Any, scales: Any, add: Any
) -> Any:  # fmt: skip
    """Multiply one panel of weights of a kind with a tile of 1, 2, 4 or 8 rows: y[row][32] = or += the sums."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        kind, rows, *others = arguments
        op.choose(
            b,
            b.add(b.mul(kind, op.I64(16)), rows),
            {
                16 * kind + rows: partial(op.apart, b, f"quire_panel_{kind}_{rows}", others, _panel(kind, rows))
                for kind in (FLOAT32, INT8, INT4)
                for rows in (1, 2, 4, 8)
            },
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9), build


def _strip(size: int, vectors: int, rows: int) -> Callable[..., None]:
    """Return what writes a kernel: rows of numbers x, apart by a stride, times [inputs][16 vectors], apart by another.

    The first half of four vectors is at w, the second at `other`: two blocks of keys, or one row of values. Both have
    numbers of `size` bytes, x has float32. What is as far from `next_w` and `next_other` is asked for on the way, ahead
    of its use.
    """

    def write(
        b: Any, w: Any, other: Any, w_stride: Any, x: Any, x_stride: Any, y: Any, y_stride: Any, inputs: Any, add: Any,
        next_w: Any, next_other: Any
    ) -> None:  # fmt: skip
        starts = [b.add(x, b.mul(x_stride, op.I64(row))) for row in range(rows)]

        def part(address: Any, place: int) -> Any:
            if size == 4:
                return op.load(b, address, op.VECTOR, 64 * place)
            return b.fpext(op.load(b, address, op.HALVES, 32 * place), op.VECTOR)

        def body(i: Any, sums: Values) -> Values:
            offset = b.mul(i, w_stride)
            parts = [part(b.add(w, offset), place) for place in range(min(vectors, 2))]
            if vectors == 4:
                parts += [part(b.add(other, offset), place) for place in (0, 1)]
            for begin in (next_w, next_other) if vectors == 4 else (next_w,):
                for line in range(-(-min(vectors, 2) * 16 * size // 64)):
                    op.fetch(b, b.add(begin, offset), 64 * line)
            new = []
            for row, start in enumerate(starts):
                number = op.splat(b, op.load(b, b.add(start, b.mul(i, op.I64(4))), op.F32))
                new += [
                    op.multiply_add(b, part, number, sums[vectors * row + place]) for place, part in enumerate(parts)
                ]
            return new

        _finish(b, op.loop(b, inputs, [op.ZERO] * (vectors * rows), body), y, y_stride, add, vectors)

    return write


@op.intrinsic
def strip(
    context: Any, size: Any, vectors: Any, rows: Any, w: Any, other: Any, w_stride: Any, x: Any, x_stride: Any, y: Any,
    y_stride: Any, inputs: Any, add: Any, next_w: Any, next_other: Any
) -> Any:  # fmt: skip
    """Multiply 1, 2 or 4 rows with 16, 32 or 64 columns of the cache, whose numbers have 4 or 2 bytes."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        size, vectors, rows, *others = arguments
        number = b.add(b.add(b.mul(size, op.I64(64)), b.mul(vectors, op.I64(8))), rows)
        op.choose(
            b,
            number,
            {
                64 * size + 8 * vectors + rows: partial(
                    op.apart, b, f"quire_strip_{size}_{vectors}_{rows}", others, _strip(size, vectors, rows)
                )
                for size in ((4, 2) if op.converts_halves() else (4,))
                for vectors in (1, 2, 4)
                for rows in (1, 2, 4)
            },
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 14), build


@op.intrinsic
def sum_of_squares(context: Any, address: Any, vectors: Any) -> Any:
    """Return the sum of the squares of so many vectors of 16 numbers."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        address, vectors = arguments

        def body(i: Any, sums: Values) -> Values:
            value = op.load(b, b.add(address, b.mul(i, op.I64(64))), op.VECTOR)
            return [op.multiply_add(b, value, value, sums[0])]

        return op.reduce(b, op.loop(b, vectors, [op.ZERO], body)[0], b.fadd)

    return types.float32(types.int64, types.int64), build


@op.intrinsic
def largest(context: Any, address: Any, vectors: Any) -> Any:
    """Return the largest of so many vectors of 16 numbers."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        def larger(x: Any, y: Any) -> Any:
            return b.select(b.fcmp_ordered(">", y, x), y, x)

        def body(i: Any, held: Values) -> Values:
            return [larger(held[0], op.load(b, b.add(arguments[0], b.mul(i, op.I64(64))), op.VECTOR))]

        return op.reduce(b, op.loop(b, arguments[1], [op.constant(float("-inf"))], body)[0], larger)

    return types.float32(types.int64, types.int64), build


@op.intrinsic
def exponentiate(context: Any, address: Any, vectors: Any, shift: Any) -> Any:
    """Replace each number x of so many vectors by e^(x - shift) and return their sum."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        address, vectors, shift = arguments
        less = op.splat(b, shift)

        def body(i: Any, sums: Values) -> Values:
            place = b.add(address, b.mul(i, op.I64(64)))
            value = op.exponential(b, b.fsub(op.load(b, place, op.VECTOR), less))
            op.store(b, value, place)
            return [b.fadd(sums[0], value)]

        return op.reduce(b, op.loop(b, vectors, [op.ZERO], body)[0], b.fadd)

    return types.float32(types.int64, types.int64, types.float32), build


@op.intrinsic
def gated(context: Any, gate: Any, up: Any, vectors: Any) -> Any:
    """Replace each number g at `gate` by silu(g) * u, with the u of the same place at `up`."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        gate, up, vectors = arguments

        def body(i: Any, sums: Values) -> Values:
            offset = b.mul(i, op.I64(64))
            place = b.add(gate, offset)
            g, u = op.load(b, place, op.VECTOR), op.load(b, b.add(up, offset), op.VECTOR)
            below = b.fadd(op.exponential(b, b.fsub(op.ZERO, g)), op.constant(1.0))
            op.store(b, b.fmul(b.fdiv(g, below), u), place)
            return []

        op.loop(b, vectors, [], body)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), build
