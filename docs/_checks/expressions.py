"""Arithmetic as it is written in a text, parsed: numbers with their printed digits.

An expression is a tree of tuples, `("+", left, right)` and the like, with a `Number` at each leaf.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from _checks.intervals import (
    NotArithmeticError,
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


def _is_below_one(whole: Any, part: Any) -> bool:
    # 1 \\frac{1}{2}: written like this, one and a half
    return (
        isinstance(whole, Number)
        and isinstance(part, tuple)
        and part[0] == "/"
        and all(isinstance(side, Number) and not side.pointed for side in (whole, *part[1:]))
        and part[1].value < part[2].value
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
