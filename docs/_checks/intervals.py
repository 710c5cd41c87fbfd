"""Numbers known up to an interval, and the functions of textbooks on them, to 40 digits and more."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

PRECISE = Context(prec=60, Emin=-999_999, Emax=999_999)
EXACT = Fraction(1, 10**40)
LARGEST = 5_000  # of an exponent, or the argument of exp: more is no example worked by hand


class NotArithmeticError(ValueError):
    """Tokens are no expression of numbers alone, or one that has no value."""


class ShapeError(ValueError):
    """Matrices are added, multiplied or set equal whose shapes do not allow it."""


@dataclass(frozen=True)
class Interval:
    low: Fraction
    high: Fraction

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __mul__(self, other: Interval) -> Interval:
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(ends), max(ends))

    def inverse(self) -> Interval:
        if self.low <= 0 <= self.high:
            raise NotArithmeticError("division by zero")
        return Interval(1 / self.high, 1 / self.low)


# Functions. All but max, min and those of angles grow with their argument: an interval goes to that of its ends.


def _fraction(value: Decimal) -> Fraction:
    return Fraction(value)


def _decimal(value: Fraction) -> Decimal:
    return PRECISE.divide(Decimal(value.numerator), Decimal(value.denominator))


def exp(x: Fraction) -> Fraction:
    if abs(x) > LARGEST:
        raise NotArithmeticError("an exponential too large")
    return _fraction(PRECISE.exp(_decimal(x)))


def ln(x: Fraction) -> Fraction:
    if x <= 0:
        raise NotArithmeticError("the logarithm of no positive number")
    return _fraction(PRECISE.ln(_decimal(x)))


def sqrt(x: Fraction) -> Fraction:
    if x < 0:
        raise NotArithmeticError("the root of a negative number")
    roots = math.isqrt(x.numerator), math.isqrt(x.denominator)
    if roots[0] ** 2 == x.numerator and roots[1] ** 2 == x.denominator:
        return Fraction(*roots)
    return _fraction(PRECISE.sqrt(_decimal(x)))


def _sigmoid(x: Fraction) -> Fraction:
    return 1 / (1 + exp(-x))


RISING: dict[str, Callable[[Fraction], Fraction]] = {
    "exp": exp,
    "ln": ln,
    "log": ln,
    "log2": lambda x: ln(x) / ln(Fraction(2)),
    "log10": lambda x: ln(x) / ln(Fraction(10)),
    "sqrt": sqrt,
    "tanh": lambda x: 2 * _sigmoid(2 * x) - 1,
    "sigmoid": _sigmoid,
    "relu": lambda x: max(x, Fraction(0)),
}
TURNING = frozenset({"sin", "cos", "tan"})
FUNCTIONS = frozenset(RISING) | TURNING | {"max", "min"}
PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


def _sin(x: Fraction) -> Fraction:
    x = Fraction(round((x - 2 * PI * round(x / (2 * PI))) * 10**60), 10**60)
    total, term, number = x, x, 1
    while abs(term) > Fraction(1, 10**55):
        term = Fraction(round(-term * x * x / ((number + 1) * (number + 2)) * 10**60), 10**60)
        total, number = total + term, number + 2
    return total


def _cos(x: Fraction) -> Fraction:
    return _sin(x + PI / 2)


def turning(name: str, x: Interval) -> Interval:
    if max(abs(x.low), abs(x.high)) > LARGEST:
        raise NotArithmeticError("an angle too large")
    if name == "tan":
        ends = [(_sin(end), _cos(end)) for end in (x.low, x.high)]
        if x.high - x.low > 1 or any(abs(below) < EXACT for _, below in ends) or ends[0][1] * ends[1][1] < 0:
            raise NotArithmeticError("the tangent of a right angle")
        return Interval(*(above / below for above, below in ends))
    middle, spread = (x.low + x.high) / 2, (x.high - x.low) / 2  # neither changes faster than the angle
    value = _sin(middle) if name == "sin" else _cos(middle)
    return Interval(max(value - spread, Fraction(-1)), min(value + spread, Fraction(1)))
