"""Arithmetic as it is written in a text: numbers with their printed digits, parsed, evaluated exactly or as intervals.

An expression is a tree of tuples, `("+", left, right)` and the like, with a `Number` at each leaf. Its value is an
interval of fractions, of no width where each number is taken as it is printed. Matrices are lists of rows of intervals.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

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


@dataclass(frozen=True)
class Token:
    """One sign of a text: its kind, how it is spelled, where it stands, whether a blank stands before it."""

    kind: str
    text: str
    position: int
    spaced: bool
    mode: str  # prose, text, code or math


@dataclass(frozen=True)
class Number:
    """A number as printed: its value, the size of its last digit, and what its digits say of its precision."""

    value: Fraction
    unit: Fraction  # of the last printed digit
    decimals: int  # digits after the point
    digits: int  # significant ones
    pointed: bool  # has a decimal point
    cut: bool = False  # its digits go on (0.333…), they are not rounded

    @property
    def half(self) -> Fraction:
        return self.unit if self.cut else self.unit / 2


def number(text: str, *, cut: bool = False) -> Number:
    """Return a printed number, thousands separators and exponent included."""
    plain = text.replace(",", "").replace("_", "").replace("{", "").replace("}", "").lower()
    mantissa, _, exponent = plain.partition("e")
    whole, _, fraction = mantissa.partition(".")
    unit = Fraction(10) ** (int(exponent or 0) - len(fraction))
    digits = len((whole + fraction).lstrip("0"))
    return Number(Fraction(plain), unit, len(fraction) - int(exponent or 0), digits, "." in mantissa, cut)


FACTORS = frozenset({"(", "frac", "sqrt", "function", "e", "matrix"})  # what a number directly before it multiplies


def parse(tokens: Sequence[Token]) -> tuple[Any, int]:
    """Return the longest expression that tokens begin with, and how many of them it takes.

    Raises:
        NotArithmeticError: they do not begin with an expression of numbers.
    """
    reader = _Reader(tokens)
    tree = reader.sum()
    return tree, reader.at


class _Reader:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def kind(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].kind if self.at + ahead < len(self.tokens) else ""

    def take(self, kind: str) -> Token:
        if self.kind() != kind:
            raise NotArithmeticError(f"{kind} is missing")
        self.at += 1
        return self.tokens[self.at - 1]

    def sum(self) -> Any:
        tree = self.product()
        terms = [tree]
        while self.kind() in ("+", "-"):
            tree = self._with(self.tokens[self.at].kind, tree, self.product)
            terms.append(tree[2])
        if len(terms) > 1 and any(isinstance(term, tuple) and term[0] == "mod" for term in terms):
            raise NotArithmeticError("a + b mod n is read in two ways")
        return tree

    def _with(self, sign: str, left: Any, right: Callable[[], Any]) -> Any:
        self.at += 1
        return (sign, left, right())

    def product(self) -> Any:
        tree = self.signed()
        while True:
            if self.kind() in ("*", "/", "mod"):
                tree = self._with(self.kind(), tree, self.signed)
            elif self.kind() == "pi" or (self.kind() in FACTORS and self._touches()):
                factor = self.power()
                tree = ("mixed" if _is_below_one(tree, factor) else "*", tree, factor)
            else:
                return tree

    def _touches(self) -> bool:
        # 2(3 + 4) is a product; in a sentence, `exercise 2 (3 + 4 = 7)` is none.
        token = self.tokens[self.at]
        return token.mode == "math" or not token.spaced

    def signed(self) -> Any:
        if self.kind() in ("-", "+"):
            sign = self.take(self.kind()).kind
            inner = self.signed()
            return ("negative", inner) if sign == "-" else inner
        return self.power()

    def power(self) -> Any:
        tree = self.atom()
        while True:
            if self.kind() == "raised":
                tree = (
                    "^",
                    tree,
                    number(self.take("raised").text.lstrip("-")),
                    self.tokens[self.at - 1].text[0] == "-",
                )
            elif self.kind() == "^":
                self.at += 1
                if self.kind() == "transposed":
                    self.at += 1
                    tree = ("transposed", tree)
                else:
                    tree = ("power", tree, self.signed_atom())
            elif self.kind() == "%":
                self.at += 1
                tree = ("%", tree)
            else:
                return tree

    def signed_atom(self) -> Any:
        if self.kind() == "-":
            self.at += 1
            return ("negative", self.atom())
        return self.atom()

    def group(self) -> Any:
        self.take("{")
        tree = self.sum()
        self.take("}")
        return tree

    def atom(self) -> Any:
        kind = self.kind()
        if kind == "number":
            text = self.take("number").text
            cut = text.endswith("…")
            tree = number(text.rstrip("…"), cut=cut)
            if self.kind() == "vulgar" and not self.tokens[self.at].spaced:
                return ("+", tree, self.vulgar())
            return tree
        if kind == "vulgar":
            return self.vulgar()
        if kind == "pi":
            self.at += 1
            return ("pi",)
        if kind in ("(", "["):
            self.at += 1
            tree = self.sum()
            self.take(")" if kind == "(" else "]")
            return tree
        if kind == "{":
            return self.group()
        if kind == "wrap":  # \underbrace{...}_{...}
            self.at += 1
            tree = self.group()
            if self.kind() == "_":
                self.at += 1
                self.skip_group()
            return tree
        if kind == "frac":
            self.at += 1
            above = self.group() if self.kind() == "{" else self.atom()
            below = self.group() if self.kind() == "{" else self.atom()
            return ("/", above, below)
        if kind == "sqrt":
            self.at += 1
            return ("call", "sqrt", [self.atom()])
        if kind == "e":
            self.at += 1
            self.take("^")
            return ("call", "exp", [self.signed_atom()])
        if kind == "function":
            return self.call()
        if kind == "matrix":
            return self.matrix()
        raise NotArithmeticError(f"{kind or 'the end'} where a number should be")

    def vulgar(self) -> Any:
        above, below = unicodedata.normalize("NFKC", self.take("vulgar").text).split("⁄")
        return ("/", number(above), number(below))

    def skip_group(self) -> None:
        depth = 0
        while self.kind():
            depth += {"{": 1, "}": -1}.get(self.kind(), 0)
            self.at += 1
            if depth == 0:
                return

    def call(self) -> Any:
        name = self.take("function").text
        if self.kind() != "(":
            if name in ("max", "min"):
                raise NotArithmeticError("the largest of nothing")
            return ("call", name, [self.signed_atom()])
        self.at += 1
        arguments = [self.sum()]
        while self.kind() == ",":
            self.at += 1
            arguments.append(self.sum())
        self.take(")")
        if len(arguments) > 1 and name not in ("max", "min"):
            raise NotArithmeticError(f"{name} of more than one number")
        return ("call", name, arguments)

    def matrix(self) -> Any:
        self.take("matrix")
        rows = [[self.sum()]]
        while self.kind() in ("cell", "row"):
            new = self.take(self.kind()).kind == "row"
            if self.kind() == "end":
                break
            if new:
                rows.append([self.sum()])
            else:
                rows[-1].append(self.sum())
        self.take("end")
        if len({len(row) for row in rows}) != 1:
            raise NotArithmeticError("rows of different length")
        return ("matrix", rows)


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


def _is_below_one(whole: Any, part: Any) -> bool:
    # 1 \\frac{1}{2}: written like this, one and a half
    return (
        isinstance(whole, Number)
        and isinstance(part, tuple)
        and part[0] == "/"
        and all(isinstance(side, Number) and not side.pointed for side in (whole, *part[1:]))
        and part[1].value < part[2].value
    )


def _is_power_of_ten(tree: Any) -> bool:
    return isinstance(tree, tuple) and tree[0] in ("^", "power") and tree[1] == number("10")


def _scaled(inner: Number, factor: Fraction, places: int) -> Number:
    shift = places if abs(factor) >= 1 or places > 0 else -places
    return Number(
        inner.value * factor, inner.unit * abs(factor), inner.decimals + shift, inner.digits, inner.pointed, inner.cut
    )


def numbers(tree: Any) -> list[Number]:
    """Return the numbers of a tree, in order."""
    if isinstance(tree, Number):
        return [tree]
    if isinstance(tree, (tuple, list)):
        return [found for part in tree for found in numbers(part)]
    return []


def without_percent(tree: Any) -> Any:
    """Return a tree in which `68 %` is 68."""
    if isinstance(tree, tuple):
        return without_percent(tree[1]) if tree[0] == "%" else tuple(without_percent(part) for part in tree)
    return [without_percent(part) for part in tree] if isinstance(tree, list) else tree


def without_mixed(tree: Any) -> Any:
    """Return a tree in which a number before a fraction is multiplied by it: `1 \\frac{1}{2}` is a half."""
    if isinstance(tree, tuple):
        return tuple("*" if part == "mixed" else without_mixed(part) for part in tree)
    return [without_mixed(part) for part in tree] if isinstance(tree, list) else tree


Value = Any  # an Interval, or rows of them


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
