"""What an expression is: an interval of fractions, of no width where each number is taken as it is printed.

Matrices are lists of rows of intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from _checks.expressions import Number, number
from _checks.intervals import (
    LARGEST,
    PI,
    RISING,
    TURNING,
    Interval,
    NotArithmeticError,
    ShapeError,
    exp,
    ln,
    sqrt,
    turning,
)

Value = Any  # an Interval, or rows of them


def printed(tree: Any) -> Number | None:
    """Return the number that a tree is nothing but, `-0.68`, `3.6·10¹¹` and `68 %` included, or None."""
    if isinstance(tree, Number):
        return tree
    if tree[0] == "negative" and (inner := printed(tree[1])):
        return _scaled(inner, Fraction(-1), 0)
    if tree[0] == "%" and (inner := printed(tree[1])):
        return _scaled(inner, Fraction(1, 100), 2)
    if tree[0] == "*" and isinstance(tree[1], Number) and _is_power_of_ten(tree[2]):
        factor = _exact(tree[2])
        if factor.denominator == 1 or factor.numerator == 1:
            return _scaled(tree[1], factor, -(len(str(max(factor.numerator, factor.denominator))) - 1))
    return None


def _is_power_of_ten(tree: Any) -> bool:
    return isinstance(tree, tuple) and tree[0] in ("^", "power") and tree[1] == number("10")


def _scaled(inner: Number, factor: Fraction, places: int) -> Number:
    shift = places if abs(factor) >= 1 or places > 0 else -places
    return Number(
        inner.value * factor, inner.unit * abs(factor), inner.decimals + shift, inner.digits, inner.pointed, inner.cut
    )


def evaluate(tree: Any, rounded: Callable[[Number], bool]) -> Value:
    """Return what a tree is; the numbers that `rounded` picks may be off by half of their last digit.

    Raises:
        NotArithmeticError: it has no value, or none that can be computed here.
    """
    if isinstance(tree, Number):
        spread = tree.half if rounded(tree) else Fraction(0)
        return Interval(tree.value - spread, tree.value + spread)
    kind = tree[0]
    if kind == "pi":
        return Interval(PI, PI)
    if kind == "matrix":
        return [[_scalar(evaluate(cell, rounded)) for cell in row] for row in tree[1]]
    if kind == "call":
        return _call(tree[1], [evaluate(argument, rounded) for argument in tree[2]])
    left = evaluate(tree[1], rounded)
    if kind == "negative":
        return _each(left, lambda x: -x)
    if kind == "%":
        return _scalar(left) * Interval(Fraction(1, 100), Fraction(1, 100))
    if kind == "transposed":
        if isinstance(left, Interval):
            raise NotArithmeticError("a number has no transpose")
        return [list(row) for row in zip(*left, strict=True)]
    if kind == "^":
        return _power(_scalar(left), -tree[2].value if tree[3] else tree[2].value)
    right = evaluate(tree[2], rounded)
    if kind == "power":
        exponent = _scalar(right)
        if exponent.low != exponent.high:
            raise NotArithmeticError("an exponent that is not known")
        return _power(_scalar(left), exponent.low)
    if kind in ("+", "mixed"):
        return _add(left, right)
    if kind == "-":
        return _add(left, _each(right, lambda x: -x))
    if kind == "/":
        return _multiply(left, _scalar(right).inverse())
    if kind == "mod":
        return _remainder(_scalar(left), _scalar(right))
    return _multiply(left, right)


def _remainder(left: Interval, right: Interval) -> Interval:
    if right.low != right.high or right.low <= 0:
        raise NotArithmeticError("a remainder by what is no one positive number")
    times = left.low // right.low
    if left.high // right.low != times:
        raise NotArithmeticError("a remainder that is not known")
    return Interval(left.low - times * right.low, left.high - times * right.low)


def _exact(tree: Any) -> Fraction:
    return _scalar(evaluate(tree, lambda _: False)).low


def _scalar(value: Value) -> Interval:
    if not isinstance(value, Interval):
        raise NotArithmeticError("a matrix where a number should be")
    return value


def _each(value: Value, function: Callable[[Interval], Interval]) -> Value:
    return function(value) if isinstance(value, Interval) else [[function(cell) for cell in row] for row in value]


def _size(value: Value) -> str:
    return "a number" if isinstance(value, Interval) else f"a matrix of {len(value)} × {len(value[0])}"


def _add(left: Value, right: Value) -> Value:
    if isinstance(left, Interval) and isinstance(right, Interval):
        return left + right
    if isinstance(left, Interval) or isinstance(right, Interval) or len(left[0]) != len(right[0]):
        raise ShapeError(f"a sum of {_size(left)} and {_size(right)}")
    if len(right) == 1:  # one row of biases is added to every row
        right = right * len(left)
    if len(left) != len(right):
        raise ShapeError(f"a sum of {_size(left)} and {_size(right)}")
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]


def _multiply(left: Value, right: Value) -> Value:
    if isinstance(left, Interval):
        return _each(right, lambda x: x * left)
    if isinstance(right, Interval):
        return _each(left, lambda x: x * right)
    if len(left[0]) != len(right):
        raise ShapeError(f"a product of {_size(left)} and {_size(right)}")
    zero = Interval(Fraction(0), Fraction(0))
    return [
        [sum((a * b for a, b in zip(row, column, strict=True)), zero) for column in zip(*right, strict=True)]
        for row in left
    ]


def _power(base: Interval, exponent: Fraction) -> Interval:
    if abs(exponent) > LARGEST:
        raise NotArithmeticError("an exponent too large")
    if exponent.denominator != 1:
        if base.low <= 0:
            raise NotArithmeticError("a root of no positive number")
        if exponent == Fraction(1, 2):
            return Interval(sqrt(base.low), sqrt(base.high))
        ends = [exp(exponent * ln(end)) for end in (base.low, base.high)]
        return Interval(min(ends), max(ends))
    if exponent < 0:
        return _power(base, -exponent).inverse()
    ends = [base.low**exponent.numerator, base.high**exponent.numerator]
    if exponent.numerator % 2 == 0 and base.low < 0 < base.high:
        ends.append(Fraction(0))
    return Interval(min(ends), max(ends))


def _call(name: str, arguments: list[Value]) -> Value:
    if name in RISING:
        return _each(arguments[0], lambda x: Interval(RISING[name](x.low), RISING[name](x.high)))
    if name in TURNING:
        return _each(arguments[0], lambda x: turning(name, x))
    known = [_scalar(argument) for argument in arguments]
    choose = max if name == "max" else min
    return Interval(choose(x.low for x in known), choose(x.high for x in known))
