"""Matrices as they are written down, in text with brackets that span their rows."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from quire.scratch.explain.blocks import Block
from quire.scratch.explain.expressions import Expression
from quire.scratch.explain.numbers import NumberForm


@dataclass(frozen=True)
class Matrix(Expression):
    """A matrix of expressions, given row by row."""

    rows: tuple[tuple[Expression, ...], ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return tuple(entry for row in self.rows for entry in row)

    @property
    def tall(self) -> bool:
        return True

    def text(self, form: NumberForm) -> str:
        rows = ", ".join("[" + ", ".join(entry.text(form) for entry in row) + "]" for row in self.rows)
        return f"[{rows}]" if len(self.rows) > 1 else rows

    def latex(self, form: NumberForm) -> str:
        rows = r" \\ ".join(" & ".join(entry.latex(form) for entry in row) for row in self.rows)
        return f"\\begin{{pmatrix}} {rows} \\end{{pmatrix}}"

    def value(self, form: NumberForm) -> Fraction | None:
        return None

    def block(self, form: NumberForm) -> Block:
        cells = [[entry.text(form) for entry in row] for row in self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
        if len(lines) == 1:
            return Block((f"[ {lines[0]} ]",))
        middle = [("⎢", "⎥")] * (len(lines) - 2)
        edges = [("⎡", "⎤"), *middle, ("⎣", "⎦")]
        return Block(
            tuple(f"{left} {line} {right}" for (left, right), line in zip(edges, lines, strict=True)),
            (len(lines) - 1) // 2,
        )
