"""Functions as they are written down: ReLU(0.68), max(0, 0.68), ln(0.5)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from quire.scratch.explain.blocks import Block, beside
from quire.scratch.explain.expressions import Expression
from quire.scratch.explain.numbers import NumberForm

# Functions of which some values are exact: name -> (LaTeX, {argument: value}).
FUNCTIONS: dict[str, tuple[str, dict[int, int]]] = {
    "ln": (r"\ln", {1: 0}),
    "tanh": (r"\tanh", {0: 0}),
    "sin": (r"\sin", {0: 0}),
    "cos": (r"\cos", {0: 1}),
}

GREEK = {"σ": r"\sigma", "Φ": r"\Phi", "φ": r"\varphi"}


@dataclass(frozen=True)
class Call(Expression):
    """A function of something: ReLU(0.68), max(0, 0.68), ln(0.5)."""

    name: str
    arguments: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.arguments

    @property
    def symbolic(self) -> bool:
        return self.name == "f'" or any(part.symbolic for part in self.arguments)

    def text(self, form: NumberForm) -> str:
        return f"{self.name}({', '.join(part.text(form) for part in self.arguments)})"

    def latex(self, form: NumberForm) -> str:
        if self.name in {"", "f'"}:
            name = self.name
        elif self.name in FUNCTIONS:
            name = FUNCTIONS[self.name][0]
        elif self.name in {"max", "min"}:
            name = f"\\{self.name}"
        else:
            name = GREEK.get(self.name, f"\\operatorname{{{self.name}}}")
        return f"{name}({', '.join(part.latex(form) for part in self.arguments)})"

    def value(self, form: NumberForm) -> Fraction | None:
        values = [part.value(form) for part in self.arguments]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        if self.name in {"max", "min"}:
            return max(known) if self.name == "max" else min(known)
        if self.name == "ReLU":
            return max(known[0], Fraction(0))
        exact = FUNCTIONS.get(self.name, ("", {}))[1]
        return Fraction(exact[int(known[0])]) if known[0].denominator == 1 and int(known[0]) in exact else None

    def block(self, form: NumberForm) -> Block:
        if not self.tall:
            return Block((self.text(form),))
        inner = beside([part.block(form) for part in self.arguments])
        return beside([Block((f"{self.name}(",)), inner, Block((")",))])
