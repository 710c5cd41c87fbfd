"""Numbers at plain addresses, and what threads need to work in step; nothing checks an address."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types

from quire.inference.native import instructions as op

LARGEST_HALF = 65504.0


@op.intrinsic
def load(context: Any, address: Any) -> Any:
    """Return the float32 number at an address."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return op.load(b, arguments[0], op.F32)

    return types.float32(types.int64), build


@op.intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Write a float32 number to an address."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        op.store(b, arguments[1], arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), build


@op.intrinsic
def store_half(context: Any, address: Any, value: Any) -> Any:
    """Write a number to an address, rounded to float16: the nearest, of two as near the even one.

    What is beyond the largest is written as that: infinite, it would be no number in the sums of all of its block.
    """

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        if op.converts_halves():  # elsewhere nobody comes here, and what it would need is not there to be linked
            value, most = arguments[1], op.F32(LARGEST_HALF)
            value = b.select(b.fcmp_ordered(">", value, most), most, value)
            value = b.select(b.fcmp_ordered("<", value, op.F32(-LARGEST_HALF)), op.F32(-LARGEST_HALF), value)
            op.store(b, b.fptrunc(value, op.F16), arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), build


@op.intrinsic
def load_int8(context: Any, address: Any) -> Any:
    """Return the signed byte at an address as a number."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.sext(op.load(b, arguments[0], op.I8), op.I64)

    return types.int64(types.int64), build


@op.intrinsic
def load_int32(context: Any, address: Any) -> Any:
    """Return the 32-bit whole number at an address."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.sext(op.load(b, arguments[0], op.I32), op.I64)

    return types.int64(types.int64), build


@op.intrinsic
def load_int64(context: Any, address: Any) -> Any:
    """Return the 64-bit whole number at an address."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return op.load(b, arguments[0], op.I64)

    return types.int64(types.int64), build


@op.intrinsic
def atomic_add(context: Any, address: Any, value: Any) -> Any:
    """Add to the whole number at an address, as one act that no thread sees half of; return what was there."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.atomic_rmw("add", op.at(b, arguments[0], op.I64), arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), build


@op.intrinsic
def atomic_load(context: Any, address: Any) -> Any:
    """Return the whole number at an address, as other threads have left it."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        return b.load_atomic(op.at(b, arguments[0], op.I64), "seq_cst", 8)

    return types.int64(types.int64), build


@op.intrinsic
def pause(context: Any) -> Any:
    """Tell the processor that this thread only waits."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        if platform.machine() in op.X86:
            op.call(b, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), build


@op.intrinsic
def give_way(context: Any) -> Any:
    """Let another thread have this processor."""

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        if platform.system() != "Windows":
            op.call(b, "sched_yield", op.I32)
        return context.get_dummy_value()

    return types.void(), build
