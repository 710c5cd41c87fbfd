"""How a number is printed: exactly where that is short, else rounded, and it is always known which of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

SETTLED = 14  # significant digits that float64 arithmetic on decimals keeps after a few operations
LARGE_SIZE = 9
LARGE = 10.0**LARGE_SIZE  # from here on a rounded number is written with a power of ten
SMALL = 1e-4  # and below this


@dataclass(frozen=True)
class Written:
    """A number as printed: its text, its LaTeX, whether that is exact, and the value that the print says."""

    text: str
    latex: str
    exact: bool
    value: Fraction | None  # None of an infinity


@dataclass(frozen=True)
class NumberForm:
    """How numbers are printed.

    A number that needs at most `digits + extra` decimals is printed exactly: 0.1 + 0.2 is 0.3. Any other is rounded to
    `digits` decimals, or to `digits` significant digits where it is below 0.1; below 0.0001 and from a milliard on it
    gets a power of ten.

    Args:
        digits: decimals of a rounded number, 1 to 12.
        extra: decimals more that an exact number may have; 0 behind numbers that are rounded themselves.
        significant: significant digits that a number with a power of ten has at most; None is digits + 1.
    """

    digits: int = 4
    extra: int = 2
    significant: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.digits <= 12:
            raise ValueError(f"digits = {self.digits}: between 1 and 12")

    def write(self, value: float) -> Written:
        """Return `value` as it is printed. Raises ValueError of a value that is not a number."""
        if math.isnan(value):
            raise ValueError("nan is not a number that can be shown")
        if math.isinf(value):
            sign = "-" if value < 0 else ""
            return Written(f"{sign}∞", f"{sign}\\infty", True, None)
        full = Decimal(repr(float(value)))
        whole = float(value).is_integer() and abs(value) < 2**53
        settled = _normal(full if whole else _rounded(full, SETTLED))
        size = settled.adjusted()  # the power of ten of the first digit
        decimals = max(0, -_exponent(settled))
        if decimals <= self.digits + self.extra and size < (15 if whole else LARGE_SIZE):
            return _fixed(settled, True)
        if abs(settled) < Decimal(repr(SMALL)) or abs(settled) >= Decimal(repr(LARGE)):
            rounded = _rounded(full, min(self.digits + 1, self.significant or SETTLED))
            return _with_power(settled, True) if rounded == settled else _with_power(rounded, False)
        places = max(self.digits, self.digits - 1 - size)
        return _fixed(full.quantize(Decimal(1).scaleb(-places)), False)


def to_settled_digits(value: float) -> float:
    """Return `value` to the digits that settle: 1 - 5e-15 is printed as 1, so what is made of it must be made of 1."""
    return float(f"{value:.{SETTLED - 1}e}")


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # infinities do not come here
    return exponent


def _rounded(number: Decimal, significant: int) -> Decimal:
    return Decimal(f"{number:.{significant - 1}e}")


def _normal(number: Decimal) -> Decimal:
    """Take off the zeros at the end, and the sign of zero."""
    return Decimal(0) if number == 0 else number.normalize()


def _fixed(number: Decimal, exact: bool) -> Written:
    text = f"{number:f}"
    return Written(text, text, exact, Fraction(number))


def _with_power(number: Decimal, exact: bool) -> Written:
    mantissa, _, power = f"{number:e}".partition("e")
    exponent = int(power)
    text = f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    factor = mantissa[:-1] if mantissa in {"1", "-1"} else f"{mantissa} \\times "
    latex = f"{factor}10^{{{exponent}}}"
    return Written(text, latex, exact, Fraction(number))
