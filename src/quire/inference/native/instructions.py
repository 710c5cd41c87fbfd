"""LLVM instructions that the kernels are written with: vectors of 16 float32 numbers, loops with sums in registers.

`b` is the place where instructions are written, llvmlite's `IRBuilder`; an address is an int64 number.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numba.extending
from llvmlite import binding, ir
from numba.core import cgutils, config

LANES = 16
X86, ARM = ("x86_64", "AMD64"), ("aarch64", "arm64")
F32, F16, I8, I32, I64 = ir.FloatType(), ir.HalfType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
VECTOR, HALVES, INTS, BYTES = (ir.VectorType(kind, LANES) for kind in (F32, F16, I32, I8))
ZERO = ir.Constant(VECTOR, [0.0] * LANES)
ALIGNMENT = {I8: 1, BYTES: 1, F16: 2, HALVES: 2}  # of what is not of 4 bytes
Values = list[Any]


def converts_halves() -> bool:
    """Return whether what is compiled for has instructions between float16 and float32.

    Elsewhere LLVM would call a library that is not there, and end the process. numba compiles for this processor, or
    for what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say; of a name alone nothing is known.
    """
    if platform.machine() in ARM:
        return True
    name, features = (getattr(config, setting, None) for setting in ("CPU_NAME", "CPU_FEATURES"))
    if name or features is not None:
        return "+f16c" in (features or "").split(",")
    return bool(binding.get_host_cpu_features().get("f16c"))


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that writes instructions callable in compiled code.

    Given numba's context and the types of its arguments, it returns its signature, and the function that writes them.
    """
    return numba.extending.intrinsic(function)  # type: ignore[no-any-return, no-untyped-call, unused-ignore]


def constant(value: float) -> ir.Constant:
    return ir.Constant(VECTOR, [value] * LANES)


def at(b: Any, address: Any, kind: Any, offset: int = 0) -> Any:
    if offset:
        address = b.add(address, I64(offset))
    return b.inttoptr(address, kind.as_pointer())


def load(b: Any, address: Any, kind: Any, offset: int = 0) -> Any:
    value = b.load(at(b, address, kind, offset))
    value.align = ALIGNMENT.get(kind, 4)
    return value


def store(b: Any, value: Any, address: Any, offset: int = 0) -> None:
    b.store(value, at(b, address, value.type, offset)).align = ALIGNMENT.get(value.type, 4)


def fetch(b: Any, address: Any, offset: int = 0) -> None:
    """Ask for a cache line ahead of its use, into the second cache: the first can wait for fewer lines at a time."""
    call(b, "llvm.prefetch.p0", ir.VoidType(), at(b, address, I8, offset), I32(0), I32(2), I32(1))


def splat(b: Any, number: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = b.insert_element(undefined, number, I32(0))
    return b.shuffle_vector(first, undefined, ir.Constant(INTS, [0] * LANES))


def _function(module: Any, kind: Any, name: str) -> Any:
    return cgutils.get_or_insert_function(module, kind, name)  # type: ignore[no-untyped-call, unused-ignore]


def call(b: Any, name: str, kind: Any, *arguments: Any) -> Any:
    function = _function(b.module, ir.FunctionType(kind, [argument.type for argument in arguments]), name)
    return b.call(function, arguments)


def apart(b: Any, name: str, arguments: Values, build: Callable[..., None]) -> None:
    """Call a function that `build` writes, once for a module: put in where it is called, it would be compiled anew."""
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    function = _function(b.module, kind, name)
    if not function.blocks:
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block())
        build(inner, *function.args)
        inner.ret_void()
    b.call(function, arguments)


def choose(b: Any, number: Any, cases: dict[int, Callable[[], None]]) -> None:
    """Write what one of `cases` writes, that of `number`; no case is none of them."""
    end, never = b.append_basic_block("chosen"), b.append_basic_block("never")
    switch = b.switch(number, never)
    for value, write in cases.items():
        block = b.append_basic_block("case")
        switch.add_case(I64(value), block)
        b.position_at_end(block)
        write()
        b.branch(end)
    b.position_at_end(never)
    b.unreachable()
    b.position_at_end(end)


def multiply_add(b: Any, x: Any, y: Any, z: Any) -> Any:
    return call(b, "llvm.fma.v16f32", VECTOR, x, y, z)


def reduce(b: Any, vector: Any, join: Callable[[Any, Any], Any]) -> Any:
    """Join the 16 numbers of a vector, halves first: one order on every machine."""
    width = LANES
    while width > 1:
        width //= 2
        kind = ir.VectorType(I32, width)
        low, high = (
            b.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), ir.Constant(kind, places))
            for places in (list(range(width)), list(range(width, 2 * width)))
        )
        vector = join(low, high)
    return b.extract_element(vector, I32(0))


def loop(b: Any, count: Any, sums: Values, body: Callable[[Any, Values], Values]) -> Values:
    """Write `for i in range(count): sums = body(i, sums)`, the sums in registers; return them."""
    before, head, end = b.block, b.append_basic_block("loop"), b.append_basic_block("after")
    b.cbranch(b.icmp_signed(">", count, I64(0)), head, end)
    b.position_at_end(head)
    i = b.phi(I64)
    i.add_incoming(I64(0), before)
    held = []
    for start in sums:
        held.append(b.phi(start.type))
        held[-1].add_incoming(start, before)
    new = body(i, held)
    following = b.add(i, I64(1))
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


def exponential(b: Any, x: Any) -> Any:
    """e^x to about 2 units in the last place: 2^n of the whole part, a polynomial of the rest; 0 below -87."""
    low = b.fcmp_ordered("<", x, constant(-87.0))
    x = b.select(low, constant(-87.0), x)
    x = b.select(b.fcmp_ordered(">", x, constant(88.0)), constant(88.0), x)
    n = call(b, "llvm.roundeven.v16f32", VECTOR, b.fmul(x, constant(1.4426950408889634)))
    rest = multiply_add(b, n, constant(-0.693359375), x)
    rest = multiply_add(b, n, constant(2.12194440e-4), rest)
    result = constant(1 / 5040)
    for term in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        result = multiply_add(b, result, rest, constant(term))
    power = b.shl(b.add(b.fptosi(n, INTS), ir.Constant(INTS, [127] * LANES)), ir.Constant(INTS, [23] * LANES))
    result = b.fmul(result, b.bitcast(power, VECTOR))
    return b.select(low, ZERO, result)
