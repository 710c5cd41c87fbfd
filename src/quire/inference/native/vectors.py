"""What the kernels are made of, as LLVM instructions: vectors of 16 numbers, atomic counters, plain addresses.

numba translates Python loops well, but leaves to LLVM's guess how they become vector instructions, and lets a sum's
order depend on it. Here both are said: a vector is 16 float32 numbers, whatever the processor has (LLVM splits it
where registers are shorter), and every sum has one order. A result therefore depends on its own row alone: never on
how many rows are computed beside it, nor on which thread does it.

An address is an int64 number, as of `array.ctypes.data`; nothing checks it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
PANEL = 2 * LANES  # outputs that a panel of weights has
GROUP = 32  # inputs that share a scale in 4 bits

_F32, _I8, _I32, _I64 = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_VECTOR, _INTS, _BYTES = (ir.VectorType(kind, LANES) for kind in (_F32, _I32, _I8))
_ZERO = ir.Constant(_VECTOR, [0.0] * LANES)
Values = list[Any]


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


def _at(b: Any, address: Any, kind: Any, offset: int = 0) -> Any:
    if offset:
        address = b.add(address, _I64(offset))
    return b.inttoptr(address, kind.as_pointer())


def _load(b: Any, address: Any, kind: Any, offset: int = 0) -> Any:
    value = b.load(_at(b, address, kind, offset))
    value.align = 1 if kind in (_BYTES, _I8) else 4
    return value


def _store(b: Any, value: Any, address: Any, offset: int = 0) -> None:
    b.store(value, _at(b, address, value.type, offset)).align = 4


def _splat(b: Any, number: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = b.insert_element(undefined, number, _I32(0))
    return b.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))


def _call(b: Any, name: str, kind: Any, *arguments: Any) -> Any:
    function = cgutils.get_or_insert_function(
        b.module, ir.FunctionType(kind, [argument.type for argument in arguments]), name
    )
    return b.call(function, arguments)


def _apart(b: Any, name: str, arguments: Values, build: Callable[..., None]) -> None:
    """Call a function that `build` writes, once for a module: put in where it is called, it would be compiled anew."""
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(b.module, kind, name)
    if not function.blocks:
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block())
        build(inner, *function.args)
        inner.ret_void()
    b.call(function, arguments)


def _multiply_add(b: Any, x: Any, y: Any, z: Any) -> Any:
    return _call(b, "llvm.fma.v16f32", _VECTOR, x, y, z)


def _reduce(b: Any, vector: Any, join: Callable[[Any, Any], Any]) -> Any:
    """Join the 16 numbers of a vector, halves first: one order on every machine."""
    width = LANES
    while width > 1:
        width //= 2
        kind = ir.VectorType(_I32, width)
        low, high = (
            b.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), ir.Constant(kind, places))
            for places in (list(range(width)), list(range(width, 2 * width)))
        )
        vector = join(low, high)
    return b.extract_element(vector, _I32(0))


def _loop(b: Any, count: Any, sums: Values, body: Callable[[Any, Values], Values]) -> Values:
    """Write `for i in range(count): sums = body(i, sums)`, the sums in registers; return them."""
    before, head, end = b.block, b.append_basic_block("loop"), b.append_basic_block("after")
    b.cbranch(b.icmp_signed(">", count, _I64(0)), head, end)
    b.position_at_end(head)
    i = b.phi(_I64)
    i.add_incoming(_I64(0), before)
    held = []
    for start in sums:
        held.append(b.phi(start.type))
        held[-1].add_incoming(start, before)
    new = body(i, held)
    following = b.add(i, _I64(1))
    last = b.block
    i.add_incoming(following, last)
    for phi, value in zip(held, new, strict=True):
        phi.add_incoming(value, last)
    b.cbranch(b.icmp_signed("<", following, count), head, end)
    b.position_at_end(end)
    results = []
    for start, value in zip(sums, new, strict=True):
        results.append(b.phi(start.type))
        results[-1].add_incoming(start, before)
        results[-1].add_incoming(value, last)
    return results


def _exp(b: Any, x: Any) -> Any:
    """e^x to about 2 units in the last place: 2^n of the whole part, a polynomial of the rest; 0 below -87."""
    low = b.fcmp_ordered("<", x, _constant(-87.0))
    x = b.select(low, _constant(-87.0), x)
    x = b.select(b.fcmp_ordered(">", x, _constant(88.0)), _constant(88.0), x)
    n = _call(b, "llvm.roundeven.v16f32", _VECTOR, b.fmul(x, _constant(1.4426950408889634)))
    rest = _multiply_add(b, n, _constant(-0.693359375), x)
    rest = _multiply_add(b, n, _constant(2.12194440e-4), rest)
    result = _constant(1 / 5040)
    for term in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        result = _multiply_add(b, result, rest, _constant(term))
    power = b.shl(b.add(b.fptosi(n, _INTS), ir.Constant(_INTS, [127] * LANES)), ir.Constant(_INTS, [23] * LANES))
    result = b.fmul(result, b.bitcast(power, _VECTOR))
    return b.select(low, _ZERO, result)


def _finish(b: Any, sums: Values, y: Any, y_stride: Any, add: Any, width: int) -> None:
    """Store the sums of `width` vectors a row; where `add` is not 0, add to what is there."""
    adding, plain, end = (b.append_basic_block(name) for name in ("add", "set", "done"))
    b.cbranch(b.icmp_signed("!=", add, _I64(0)), adding, plain)
    for block, adds in ((adding, True), (plain, False)):
        b.position_at_end(block)
        for place, value in enumerate(sums):
            row, offset = divmod(place, width)
            address = b.add(y, b.mul(y_stride, _I64(row)))
            held = b.fadd(_load(b, address, _VECTOR, 64 * offset), value) if adds else value
            _store(b, held, address, 64 * offset)
        b.branch(end)
    b.position_at_end(end)


def _panel(kind: str, rows: int) -> Any:
    """Return a kernel: `rows` rows x, packed [inputs][rows], times a panel of weights [inputs][32]: [rows][32]."""
    size = {"float32": 4, "int8": 1}.get(kind, 0)

    def weights(b: Any, address: Any) -> Values:
        if kind == "float32":
            return [_load(b, address, _VECTOR, 64 * half) for half in (0, 1)]
        return [b.sitofp(b.sext(_load(b, address, _BYTES, 16 * half), _INTS), _VECTOR) for half in (0, 1)]

    def products(b: Any, halves: Values, x: Any, sums: Values) -> Values:
        """Return the sums with one input's products added."""
        new = []
        for row in range(rows):
            number = _splat(b, _load(b, x, _F32, 4 * row))
            new += [_multiply_add(b, halves[half], number, sums[2 * row + half]) for half in (0, 1)]
        return new

    def wide(b: Any, w: Any, x: Any, inputs: Any, scales: Any) -> Values:
        def body(i: Any, sums: Values) -> Values:
            halves = weights(b, b.add(w, b.mul(i, _I64(PANEL * size))))
            return products(b, halves, b.add(x, b.mul(i, _I64(4 * rows))), sums)

        sums = _loop(b, inputs, [_ZERO] * (2 * rows), body)
        if kind == "int8":
            scale = [_load(b, scales, _VECTOR, 64 * half) for half in (0, 1)]
            sums = [b.fmul(value, scale[place % 2]) for place, value in enumerate(sums)]
        return sums

    def narrow(b: Any, w: Any, x: Any, inputs: Any, scales: Any) -> Values:
        """4 bits: the halves of byte j of a group are its inputs j and j + 16; each group has scales of its own."""
        offset, low = ir.Constant(_INTS, [8] * LANES), ir.Constant(_INTS, [15] * LANES)
        four = ir.Constant(_INTS, [4] * LANES)

        def group(g: Any, totals: Values) -> Values:
            start = b.add(w, b.mul(g, _I64(PANEL * GROUP // 2)))
            first = b.add(x, b.mul(g, _I64(4 * rows * GROUP)))

            def pair(j: Any, sums: Values) -> Values:
                address = b.add(start, b.mul(j, _I64(PANEL)))
                both = [b.zext(_load(b, address, _BYTES, 16 * half), _INTS) for half in (0, 1)]
                input_ = b.add(first, b.mul(j, _I64(4 * rows)))
                ones = [b.sitofp(b.sub(b.and_(value, low), offset), _VECTOR) for value in both]
                sums = products(b, ones, input_, sums)
                others = [b.sitofp(b.sub(b.lshr(value, four), offset), _VECTOR) for value in both]
                return products(b, others, b.add(input_, _I64(4 * rows * GROUP // 2)), sums)

            sums = _loop(b, _I64(GROUP // 2), [_ZERO] * (2 * rows), pair)
            scale = b.add(scales, b.mul(g, _I64(4 * PANEL)))
            halves = [_load(b, scale, _VECTOR, 64 * half) for half in (0, 1)]
            return [_multiply_add(b, sums[n], halves[n % 2], totals[n]) for n in range(2 * rows)]

        return _loop(b, b.sdiv(inputs, _I64(GROUP)), [_ZERO] * (2 * rows), group)

    @intrinsic
    def panel(context: Any, w: Any, x: Any, y: Any, y_stride: Any, inputs: Any, scales: Any, add: Any) -> Any:
        def write(b: Any, w: Any, x: Any, y: Any, y_stride: Any, inputs: Any, scales: Any, add: Any) -> None:
            _finish(b, (narrow if kind == "int4" else wide)(b, w, x, inputs, scales), y, y_stride, add, 2)

        def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
            _apart(b, f"quire_{kind}_{rows}", arguments, write)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), build

    return panel


def _strip(vectors: int, rows: int) -> Any:
    """Return a kernel: `rows` rows of numbers x, apart by a stride, times [inputs][16 vectors], apart by another.

    The first half of four vectors is at w, the second at `other`: two blocks of keys, or one row of values.
    """

    @intrinsic
    def strip(
        context: Any, w: Any, other: Any, w_stride: Any, x: Any, x_stride: Any, y: Any, y_stride: Any, inputs: Any,
        add: Any
    ) -> Any:  # fmt: skip
        def write(
            b: Any, w: Any, other: Any, w_stride: Any, x: Any, x_stride: Any, y: Any, y_stride: Any, inputs: Any,
            add: Any
        ) -> None:  # fmt: skip
            starts = [b.add(x, b.mul(x_stride, _I64(row))) for row in range(rows)]

            def body(i: Any, sums: Values) -> Values:
                offset = b.mul(i, w_stride)
                parts = [_load(b, b.add(w, offset), _VECTOR, 64 * part) for part in range(min(vectors, 2))]
                if vectors == 4:
                    parts += [_load(b, b.add(other, offset), _VECTOR, 64 * part) for part in (0, 1)]
                new = []
                for row, start in enumerate(starts):
                    number = _splat(b, _load(b, b.add(start, b.mul(i, _I64(4))), _F32))
                    new += [
                        _multiply_add(b, part, number, sums[vectors * row + place]) for place, part in enumerate(parts)
                    ]
                return new

            _finish(b, _loop(b, inputs, [_ZERO] * (vectors * rows), body), y, y_stride, add, vectors)

        def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
            _apart(b, f"quire_strip_{vectors}_{rows}", arguments, write)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9), build

    return strip


float_1, float_2, float_4, float_8 = (_panel("float32", rows) for rows in (1, 2, 4, 8))
int8_1, int8_2, int8_4, int8_8 = (_panel("int8", rows) for rows in (1, 2, 4, 8))
int4_1, int4_2, int4_4, int4_8 = (_panel("int4", rows) for rows in (1, 2, 4, 8))
wide_1, wide_2, wide_4 = (_strip(4, rows) for rows in (1, 2, 4))
strip_1, strip_2, strip_4 = (_strip(2, rows) for rows in (1, 2, 4))
narrow_1, narrow_2, narrow_4 = (_strip(1, rows) for rows in (1, 2, 4))


@intrinsic
def sum_of_squares(context: Any, address: Any, vectors: Any) -> Any:
    """Return the sum of the squares of so many vectors of 16 numbers."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        address, vectors = arguments

        def body(i: Any, sums: Values) -> Values:
            value = _load(b, b.add(address, b.mul(i, _I64(64))), _VECTOR)
            return [_multiply_add(b, value, value, sums[0])]

        return _reduce(b, _loop(b, vectors, [_ZERO], body)[0], b.fadd)

    return types.float32(types.int64, types.int64), build


@intrinsic
def largest(context: Any, address: Any, vectors: Any) -> Any:
    """Return the largest of so many vectors of 16 numbers."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        def larger(x: Any, y: Any) -> Any:
            return b.select(b.fcmp_ordered(">", y, x), y, x)

        def body(i: Any, held: Values) -> Values:
            return [larger(held[0], _load(b, b.add(arguments[0], b.mul(i, _I64(64))), _VECTOR))]

        return _reduce(b, _loop(b, arguments[1], [_constant(float("-inf"))], body)[0], larger)

    return types.float32(types.int64, types.int64), build


@intrinsic
def exponentiate(context: Any, address: Any, vectors: Any, shift: Any) -> Any:
    """Replace each number x of so many vectors by e^(x - shift) and return their sum."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        address, vectors, shift = arguments
        less = _splat(b, shift)

        def body(i: Any, sums: Values) -> Values:
            place = b.add(address, b.mul(i, _I64(64)))
            value = _exp(b, b.fsub(_load(b, place, _VECTOR), less))
            _store(b, value, place)
            return [b.fadd(sums[0], value)]

        return _reduce(b, _loop(b, vectors, [_ZERO], body)[0], b.fadd)

    return types.float32(types.int64, types.int64, types.float32), build


@intrinsic
def gated(context: Any, gate: Any, up: Any, vectors: Any) -> Any:
    """Replace each number g at `gate` by silu(g) * u, with the u of the same place at `up`."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        gate, up, vectors = arguments

        def body(i: Any, sums: Values) -> Values:
            offset = b.mul(i, _I64(64))
            place = b.add(gate, offset)
            g, u = _load(b, place, _VECTOR), _load(b, b.add(up, offset), _VECTOR)
            below = b.fadd(_exp(b, b.fsub(_ZERO, g)), _constant(1.0))
            _store(b, b.fmul(b.fdiv(g, below), u), place)
            return []

        _loop(b, vectors, [], body)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), build


@intrinsic
def fetch(context: Any, address: Any, lines: Any) -> Any:
    """Ask for so many cache lines of 64 bytes ahead of their use."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        def body(i: Any, sums: Values) -> Values:
            place = b.inttoptr(b.add(arguments[0], b.mul(i, _I64(64))), _I8.as_pointer())
            _call(b, "llvm.prefetch.p0", ir.VoidType(), place, _I32(0), _I32(3), _I32(1))
            return []

        _loop(b, arguments[1], [], body)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


@intrinsic
def load(context: Any, address: Any) -> Any:
    """Return the float32 number at an address."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return _load(b, arguments[0], _F32)

    return types.float32(types.int64), build


@intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Write a float32 number to an address."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        _store(b, arguments[1], arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), build


@intrinsic
def load_int8(context: Any, address: Any) -> Any:
    """Return the signed byte at an address as a number."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.sext(_load(b, arguments[0], _I8), _I64)

    return types.int64(types.int64), build


@intrinsic
def load_int32(context: Any, address: Any) -> Any:
    """Return the 32-bit whole number at an address."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.sext(_load(b, arguments[0], _I32), _I64)

    return types.int64(types.int64), build


@intrinsic
def load_int64(context: Any, address: Any) -> Any:
    """Return the 64-bit whole number at an address."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return _load(b, arguments[0], _I64)

    return types.int64(types.int64), build


@intrinsic
def atomic_add(context: Any, address: Any, value: Any) -> Any:
    """Add to the whole number at an address, as one act that no thread sees half of; return what was there."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.atomic_rmw("add", _at(b, arguments[0], _I64), arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), build


@intrinsic
def atomic_load(context: Any, address: Any) -> Any:
    """Return the whole number at an address, as other threads have left it."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.load_atomic(_at(b, arguments[0], _I64), "seq_cst", 8)

    return types.int64(types.int64), build


@intrinsic
def pause(context: Any) -> Any:
    """Tell the processor that this thread only waits."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        if platform.machine() in ("x86_64", "AMD64"):
            _call(b, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def give_way(context: Any) -> Any:
    """Let another thread have this processor."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        if platform.system() != "Windows":
            _call(b, "sched_yield", _I32)
        return context.get_dummy_value()

    return types.void(), build
