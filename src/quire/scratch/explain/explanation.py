"""A computation worked out: a title, numbered steps, and in each the statements, written once for text and Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from quire.scratch.explain.blocks import Block, beside
from quire.scratch.explain.expressions import Expression
from quire.scratch.explain.numbers import SETTLED, NumberForm

WIDTH = 88  # columns of text; an equation that is wider goes on in the next line
WIDE = 76  # columns of text from which on a displayed equation is broken in Markdown too
RELATIONS = {"=": "=", "≈": r"\approx", "<": "<", ">": ">", "≤": r"\le", "≥": r"\ge", "→": r"\to", "←": r"\leftarrow"}


@dataclass(frozen=True)
class Code:
    """A piece of text shown as it is, as `this` in Markdown."""

    content: str


@dataclass(frozen=True)
class Equation:
    """Expressions joined by relations; the relation "" becomes = or ≈, whichever is true of the numbers printed."""

    sides: tuple[Expression, ...]
    relations: tuple[str, ...]

    def joined_by(self, form: NumberForm) -> list[str]:
        forms = self._forms(form)
        return [
            relation or relation_between((self.sides[i], forms[i]), (self.sides[i + 1], forms[i + 1]))
            for i, relation in enumerate(self.relations)
        ]

    def _forms(self, form: NumberForm) -> list[NumberForm]:
        """Return the form of each side: what comes of rounded numbers is told to no more digits than they have."""
        forms, now = [], form
        for side in self.sides:
            forms.append(now)
            if not side.exact(now):
                fewest = min(side.rounded(now), now.significant or SETTLED)
                now = replace(form, extra=0, significant=fewest)
        return forms

    @property
    def tall(self) -> bool:
        return any(side.tall for side in self.sides)

    def _breaks(self, form: NumberForm, width: int) -> list[bool]:
        """Return for each side whether a line begins with it: where all is too wide, after the first right side."""
        widths = [side.block(now).width + 3 for side, now in zip(self.sides, self._forms(form), strict=True)]
        if sum(widths) - 3 <= width:
            return [False] * len(widths)
        breaks, filled = [], 0
        for count, wide in enumerate(widths):
            new = count == 2 or (count > 2 and filled + wide > width)
            filled = widths[0] + wide if new else filled + wide
            breaks.append(new)
        return breaks

    def text(self, form: NumberForm, width: int = WIDTH) -> list[str]:
        indent = " " * self.sides[0].block(form).width
        rows: list[list[Block]] = [[self.sides[0].block(form)]]
        breaks, forms = self._breaks(form, width), self._forms(form)
        for count, relation in enumerate(self.joined_by(form), 1):
            if breaks[count]:
                rows.append([Block((indent,))])
            rows[-1] += [Block((f" {relation} ",)), self.sides[count].block(forms[count])]
        return [line.rstrip() for row in rows for line in beside(row).lines]

    def latex(self, form: NumberForm, align: bool = False) -> str:
        """Return one line, or with `align` lines of an aligned environment."""
        result = self.sides[0].latex(form)
        breaks, forms = self._breaks(form, WIDE), self._forms(form)
        for count, relation in enumerate(self.joined_by(form), 1):
            new = align and breaks[count]
            result += (" \\\\\n" if new else " ") + ("&" if align and (new or count == 1) else "")
            result += f"{RELATIONS[relation]} {self.sides[count].latex(forms[count])}"
        return result

    def wide(self, form: NumberForm) -> bool:
        """Whether it takes more than one line where it is displayed."""
        return any(self._breaks(form, WIDE))


def relation_between(left: tuple[Expression, NumberForm], right: tuple[Expression, NumberForm]) -> str:
    """Return "=" where the two sides, each as printed in its form, are equal, else "≈"."""
    (one, form), (other, other_form) = left, right
    if not (one.exact(form) and other.exact(other_form)):
        return "≈"
    if one.symbolic or other.symbolic:
        return "="
    return "=" if one.value(form) == other.value(other_form) else "≈"


@dataclass(frozen=True)
class Sentence:
    """Words with expressions, equations and code in them."""

    parts: tuple[str | Expression | Equation | Code, ...]

    def text(self, form: NumberForm) -> str:
        result = ""
        for part in self.parts:
            if isinstance(part, str):
                result += part
            elif isinstance(part, Code):
                result += part.content
            elif isinstance(part, Equation):
                result += " ".join(line.strip() for line in part.text(form, 10**6))
            else:
                result += part.text(form)
        return result

    def lines(self, form: NumberForm) -> list[str]:
        """Return the text in lines of a readable width; code is never broken."""
        if any(isinstance(part, Code) for part in self.parts):
            return [self.text(form)]
        return textwrap.wrap(self.text(form), WIDTH, break_long_words=False, break_on_hyphens=False)

    def markdown(self, form: NumberForm) -> str:
        result = ""
        for part in self.parts:
            if isinstance(part, str):
                result += part
            elif isinstance(part, Code):
                result += _code(part.content)
            else:
                result += f"${part.latex(form)}$"
        return result


@dataclass(frozen=True)
class Table:
    """A table: its heads and its rows, each cell a sentence."""

    heads: tuple[Sentence, ...]
    rows: tuple[tuple[Sentence, ...], ...]

    def text(self, form: NumberForm) -> list[str]:
        cells = [[cell.text(form) for cell in row] for row in (self.heads, *self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        right = [all(_starts_as_number(row[column]) for row in cells[1:]) for column in range(len(widths))]
        # Equations side by side would run into each other.
        joint = (
            " | "
            if any(isinstance(part, Equation) for row in self.rows for each in row for part in each.parts)
            else "  "
        )
        lines = []
        for row in cells:
            padded = [
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(row, widths, right, strict=True)
            ]
            lines.append(joint.join(padded).rstrip())
        lines.insert(1, ("─|─" if joint.strip() else "  ").join("─" * width for width in widths))
        return lines

    def markdown(self, form: NumberForm) -> list[str]:
        texts = [[cell.text(form) for cell in row] for row in self.rows]
        right = [all(_starts_as_number(row[column]) for row in texts) for column in range(len(self.heads))]
        lines = ["| " + " | ".join(cell.markdown(form) for cell in self.heads) + " |"]
        lines.append("|" + "|".join(" --: " if to_right else " --- " for to_right in right) + "|")
        lines += ["| " + " | ".join(_cell(cell, form) for cell in row) + " |" for row in self.rows]
        return lines


def _cell(cell: Sentence, form: NumberForm) -> str:
    return "".join(
        _code(part.content).replace("|", r"\|") if isinstance(part, Code) else Sentence((part,)).markdown(form)
        for part in cell.parts
    )


def _starts_as_number(text: str) -> bool:
    return text == "" or text.lstrip("-")[:1].isdigit() or text.lstrip("-") == "∞"


def _code(content: str) -> str:
    fence = "``" if "`" in content else "`"
    edge = " " if content.startswith("`") or content.endswith("`") else ""
    return f"{fence}{edge}{content}{edge}{fence}"


@dataclass(frozen=True)
class Step:
    """A numbered step: what is done, and the lines that do it."""

    heading: str
    lines: tuple[Equation | Sentence | Table, ...]


@dataclass(frozen=True)
class Explanation:
    """A computation worked out step by step.

    Args:
        title: what is computed.
        steps: the numbered steps.
        result: its values in full precision, by name; arrays, numbers, texts, and lists and dictionaries of them.
    """

    title: str
    steps: tuple[Step, ...]
    result: dict[str, Any] = field(default_factory=dict)

    def to_text(self, digits: int = 4) -> str:
        """Return plain text; `digits` is the number of decimals of rounded numbers."""
        form = NumberForm(digits)
        blocks = [self.title]
        for count, step in enumerate(self.steps, 1):
            lines = [f"{count}. {step.heading}"]
            indent = " " * (len(str(count)) + 2)
            for before, line in zip((None, *step.lines), step.lines, strict=False):
                content = line.lines(form) if isinstance(line, Sentence) else line.text(form)
                if _apart(before, line, form):
                    lines.append("")
                lines += [(indent + row).rstrip() for row in content]
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks) + "\n"

    def to_markdown(self, digits: int = 4, *, title: bool = True) -> str:
        """Return Markdown with LaTeX (the subset that KaTeX knows), without headings so that it fits into any page.

        Args:
            digits: decimals of rounded numbers.
            title: whether the title stands above it, in bold.
        """
        form = NumberForm(digits)
        blocks = [f"**{self.title}**"] if title else []
        for count, step in enumerate(self.steps, 1):
            blocks.append(f"**{count}. {step.heading}**")
            equations: list[Equation] = []
            for line in (*step.lines, None):
                if isinstance(line, Equation):
                    equations.append(line)
                    continue
                if equations:
                    blocks.append(_displayed(equations, form))
                    equations = []
                if isinstance(line, Sentence):
                    blocks.append(line.markdown(form))
                elif isinstance(line, Table):
                    blocks.append("\n".join(line.markdown(form)))
        return "\n\n".join(blocks) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Return title, result and steps as plain values; infinities become the texts "inf" and "-inf"."""
        form = NumberForm()
        steps = []
        for step in self.steps:
            lines: list[str] = []
            for line in step.lines:
                lines += [line.text(form)] if isinstance(line, Sentence) else line.text(form)
            steps.append({"heading": step.heading, "lines": lines})
        return {"title": self.title, "result": plain(self.result), "steps": steps}


def _apart(before: Any, line: Any, form: NumberForm) -> bool:
    """Whether a blank line stands between two lines of text: around what takes several lines."""
    if before is None:
        return False
    return any(
        isinstance(each, Table) or (isinstance(each, Equation) and len(each.text(form)) > 1 and each.tall)
        for each in (before, line)
    )


def _displayed(equations: Sequence[Equation], form: NumberForm) -> str:
    if len(equations) == 1 and not equations[0].wide(form):
        return f"$$\n{equations[0].latex(form)}\n$$"
    rows = " \\\\\n".join(equation.latex(form, align=True) for equation in equations).split("\n")
    # Rows of fractions would touch each other without a gap.
    rows = [f"{row}[4pt]" if "\\frac" in row and row.endswith("\\\\") else row for row in rows]
    body = "\n".join(rows)
    return f"$$\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n$$"


def plain(value: Any) -> Any:
    """Return `value` with arrays as lists, so that `json` can write it."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return str(value)
    return value


# ---- short ways to write them -------------------------------------------------------------------------------------


def equation(*items: Expression | str) -> Equation:
    """Return expressions joined by =, ≈ as is true, or by the relation that stands between two of them as a text."""
    sides: list[Expression] = []
    relations: list[str] = []
    waiting = ""
    for item in items:
        if isinstance(item, str):
            waiting = item
            continue
        if sides:
            relations.append(waiting)
        sides.append(item)
        waiting = ""
    return Equation(tuple(sides), tuple(relations))


def say(*parts: str | Expression | Equation | Code) -> Sentence:
    """Return a sentence of words, expressions, equations and code."""
    return Sentence(parts)


def cells(*row: str | Expression | Equation | Code | Sentence) -> tuple[Sentence, ...]:
    """Return a row of a table."""
    return tuple(cell if isinstance(cell, Sentence) else Sentence((cell,)) for cell in row)


def table(heads: Sequence[Any], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table of heads and rows whose cells are words, expressions, equations, code or sentences."""
    return Table(cells(*heads), tuple(cells(*row) for row in rows))


def step(heading: str, *lines: Equation | Sentence | Table) -> Step:
    """Return a step."""
    return Step(heading, lines)
