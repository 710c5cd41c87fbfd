"""Arithmetic as it is written down: each expression has a text, a LaTeX and, where it has one, an exact value.

The value is that of the numbers *as printed*. It decides whether two sides are joined by = or by ≈.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from quire.scratch.explain.blocks import Block, beside
from quire.scratch.explain.numbers import SETTLED, NumberForm

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4  # how tightly an expression holds together
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Expression:
    """Anything that can stand in an equation."""

    level: ClassVar[int] = ATOM

    @property
    def parts(self) -> tuple[Expression, ...]:
        return ()

    def text(self, form: NumberForm) -> str:
        raise NotImplementedError

    def latex(self, form: NumberForm) -> str:
        raise NotImplementedError

    def value(self, form: NumberForm) -> Fraction | None:
        """Return the exact value of what is printed; None where it holds a symbol or has no exact decimal."""
        raise NotImplementedError

    def exact(self, form: NumberForm) -> bool:
        """Whether every number in it is printed exactly."""
        return all(part.exact(form) for part in self.parts)

    def rounded(self, form: NumberForm) -> int:
        """Return how many significant digits the least precise of its rounded numbers has."""
        return min((part.rounded(form) for part in self.parts), default=SETTLED)

    @property
    def symbolic(self) -> bool:
        """Whether a letter stands in it."""
        return any(part.symbolic for part in self.parts)

    @property
    def tall(self) -> bool:
        """Whether its text takes more than one line."""
        return any(part.tall for part in self.parts)

    def block(self, form: NumberForm) -> Block:
        return Block((self.text(form),))

    def holds(self, form: NumberForm) -> int:
        """How tightly it holds together when printed."""
        return self.level


@dataclass(frozen=True)
class Number(Expression):
    """A number, kept in full and printed in the form that is asked for."""

    number: float

    def text(self, form: NumberForm) -> str:
        return form.write(self.number).text

    def latex(self, form: NumberForm) -> str:
        return form.write(self.number).latex

    def value(self, form: NumberForm) -> Fraction | None:
        return form.write(self.number).value

    def exact(self, form: NumberForm) -> bool:
        return form.write(self.number).exact

    def rounded(self, form: NumberForm) -> int:
        written = form.write(self.number)
        return SETTLED if written.exact else len(written.text.partition("e")[0].lstrip("-0.").replace(".", ""))

    def holds(self, form: NumberForm) -> int:
        written = form.write(self.number)
        if written.text.startswith("-"):
            return SUM
        return PRODUCT if "times" in written.latex else POWER if "^" in written.latex else ATOM


@dataclass(frozen=True)
class Symbol(Expression):
    """A letter, with indices: Symbol("z", 1, 2) is z₁₂. `tex` where its LaTeX differs."""

    name: str
    indices: tuple[int, ...] = ()
    tex: str = ""

    @property
    def symbolic(self) -> bool:
        return True

    def text(self, form: NumberForm) -> str:
        joint = "," if any(index > 9 for index in self.indices) else ""
        return self.name + joint.join(str(index) for index in self.indices).translate(SUBSCRIPTS)

    def latex(self, form: NumberForm) -> str:
        joint = "," if any(index > 9 for index in self.indices) else ""
        below = joint.join(str(index) for index in self.indices)
        return (self.tex or self.name) + (f"_{{{below}}}" if below else "")

    def value(self, form: NumberForm) -> Fraction | None:
        return None


def _in_brackets(part: Expression, form: NumberForm, least: int) -> tuple[str, str]:
    text, latex = part.text(form), part.latex(form)
    if part.holds(form) < least:
        return f"({text})", f"({latex})"
    return text, latex


@dataclass(frozen=True)
class Sum(Expression):
    """A sum; a negative number in it, or a Negative, is written as a difference."""

    level: ClassVar[int] = SUM
    terms: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.terms

    def _joined(self, form: NumberForm) -> list[tuple[str, Expression]]:
        joined: list[tuple[str, Expression]] = []
        for term in self.terms:
            if joined and isinstance(term, Negative):
                joined.append(("-", term.inner))
            elif joined and isinstance(term, Number) and term.text(form).startswith("-"):
                joined.append(("-", Number(-term.number)))
            else:
                joined.append(("+", term))
        return joined

    def _written(self, form: NumberForm, latex: bool) -> str:
        result = ""
        for sign, term in self._joined(form):
            piece = _in_brackets(term, form, PRODUCT if sign == "-" else SUM)[latex]
            result += f" {sign} {piece}" if result else piece
        return result

    def text(self, form: NumberForm) -> str:
        return self._written(form, False)

    def latex(self, form: NumberForm) -> str:
        return self._written(form, True)

    def value(self, form: NumberForm) -> Fraction | None:
        total = Fraction(0)
        for term in self.terms:
            value = term.value(form)
            if value is None:
                return None
            total += value
        return total

    def block(self, form: NumberForm) -> Block:
        if not self.tall:
            return Block((self.text(form),))
        blocks: list[Block] = []
        for sign, term in self._joined(form):
            text = Block((_in_brackets(term, form, PRODUCT if sign == "-" else SUM)[0],))
            blocks += [Block((f" {sign} ",))] * bool(blocks) + [term.block(form) if term.tall else text]
        return beside(blocks)

    def holds(self, form: NumberForm) -> int:
        return self.terms[0].holds(form) if len(self.terms) == 1 else SUM


@dataclass(frozen=True)
class Negative(Expression):
    """A minus before something that is not just a number."""

    level: ClassVar[int] = SUM
    inner: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.inner,)

    def text(self, form: NumberForm) -> str:
        return f"-{_in_brackets(self.inner, form, PRODUCT)[0]}"

    def latex(self, form: NumberForm) -> str:
        return f"-{_in_brackets(self.inner, form, PRODUCT)[1]}"

    def value(self, form: NumberForm) -> Fraction | None:
        inner = self.inner.value(form)
        return None if inner is None else -inner


@dataclass(frozen=True)
class Product(Expression):
    """A product; negative factors stand in parentheses. Letters of matrices are joined without ×: X W."""

    level: ClassVar[int] = PRODUCT
    factors: tuple[Expression, ...]
    matrices: bool = False

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.factors

    def text(self, form: NumberForm) -> str:
        joint = " " if self.matrices else " × "
        return joint.join(_in_brackets(factor, form, PRODUCT)[0] for factor in self.factors)

    def latex(self, form: NumberForm) -> str:
        joint = r" \, " if self.matrices else r" \times "
        return joint.join(_in_brackets(factor, form, PRODUCT)[1] for factor in self.factors)

    def value(self, form: NumberForm) -> Fraction | None:
        total = Fraction(1)
        for factor in self.factors:
            value = factor.value(form)
            if value is None:
                return None
            total *= value
        return total

    def block(self, form: NumberForm) -> Block:
        if not self.tall:
            return Block((self.text(form),))
        blocks: list[Block] = []
        for factor in self.factors:
            text = Block((_in_brackets(factor, form, PRODUCT)[0],))
            blocks += [Block((" × ",))] * bool(blocks) + [factor.block(form) if factor.tall else text]
        return beside(blocks)


@dataclass(frozen=True)
class Quotient(Expression):
    """A fraction."""

    level: ClassVar[int] = PRODUCT
    above: Expression
    below: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.above, self.below)

    def text(self, form: NumberForm) -> str:
        return f"{_in_brackets(self.above, form, PRODUCT)[0]} / {_in_brackets(self.below, form, POWER)[0]}"

    def latex(self, form: NumberForm) -> str:
        return f"\\frac{{{self.above.latex(form)}}}{{{self.below.latex(form)}}}"

    def value(self, form: NumberForm) -> Fraction | None:
        above, below = self.above.value(form), self.below.value(form)
        return None if above is None or not below else above / below

    def block(self, form: NumberForm) -> Block:
        if not self.above.tall:
            return Block((self.text(form),))
        return beside([self.above.block(form), Block((f" / {_in_brackets(self.below, form, POWER)[0]}",))])


@dataclass(frozen=True)
class Power(Expression):
    """A power; of the base e, the exponential function."""

    level: ClassVar[int] = POWER
    base: Expression
    exponent: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.base, self.exponent)

    def text(self, form: NumberForm) -> str:
        return f"{_in_brackets(self.base, form, ATOM)[0]}^{_in_brackets(self.exponent, form, ATOM)[0]}"

    def latex(self, form: NumberForm) -> str:
        return f"{_in_brackets(self.base, form, ATOM)[1]}^{{{self.exponent.latex(form)}}}"

    def value(self, form: NumberForm) -> Fraction | None:
        base, exponent = self.base.value(form), self.exponent.value(form)
        if exponent == 0:
            return Fraction(1)
        if base == 0 and exponent is not None and exponent > 0:
            return Fraction(0)
        if base is None or exponent is None or abs(exponent) > 64 or base <= 0 < exponent.denominator - 1 or base == 0:
            return None
        below = exact_root(base, exponent.denominator)
        return None if below is None else below**exponent.numerator


def exact_root(value: Fraction, degree: int) -> Fraction | None:
    """Return the root of a fraction where it is a fraction again, else None; `value` is positive or `degree` is 1."""
    if degree == 1 or value == 0:
        return value
    if degree > 64 or max(value.numerator, value.denominator) > 10**300:
        return None
    root = Fraction(round(value.numerator ** (1 / degree)), round(value.denominator ** (1 / degree)))
    return root if root**degree == value else None


@dataclass(frozen=True)
class Euler(Expression):
    """The number e."""

    def text(self, form: NumberForm) -> str:
        return "e"

    def latex(self, form: NumberForm) -> str:
        return "e"

    def value(self, form: NumberForm) -> Fraction | None:
        return None


@dataclass(frozen=True)
class Root(Expression):
    """A square root."""

    inner: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.inner,)

    def text(self, form: NumberForm) -> str:
        return f"√{_in_brackets(self.inner, form, ATOM)[0]}"

    def latex(self, form: NumberForm) -> str:
        return f"\\sqrt{{{self.inner.latex(form)}}}"

    def value(self, form: NumberForm) -> Fraction | None:
        inner = self.inner.value(form)
        return None if inner is None or inner < 0 else exact_root(inner, 2)
