"""Checks that each number of a page comes from something that was computed.

python docs/_checks/provenance.py [PAGE...]    name the numbers that stand on a page and come from nowhere

A number with a decimal point, or of four digits or more, in prose, tables, alternative texts, inline code or formulas
must be one that the page computes: that of an output, a computed region, a setting, a console command, a literal of
executed or included Python, or the result of a sum that the arithmetic check has found right. A number of three digits
or more may stand anywhere on the page; one of fewer, which is easily met by chance, and one that is rounded, in the
same section of second level. Signs are not compared, `62 %` is also 0.62. A number counts too if it stands on a page
that the same paragraph links to.

Not asked: whole numbers below 1000, years, dates, numbers of sections, versions and standards, names (`fp16`, `GPT-2`),
addresses, the bits of paragraphs that speak of binary numbers, and what is chosen and not computed: a command of
quire in a block, a setting in code (`dropout=0.3`). Outputs and computed regions are compared with what comes out.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _checks.arithmetic import printed_cells, problem, statements
from _checks.expressions import Number, Token, number, parse
from _checks.intervals import NotArithmeticError
from _checks.pages import DOCS, fences, line_of, pages, parts
from _checks.signs import signs
from _checks.values import printed

FROM_DIGITS = 4  # a whole number with fewer is not asked where it comes from
TELLING = 3  # digits of a number that hardly stands on a page by chance
FIGURE = re.compile(
    r"(?<![\w.])(?P<figure>(?:\d{1,3}(?:(?:,|_|\{,\})\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w])"
    r"(?:\s*(?:\\times|\\cdot|×|·)\s*10(?:\^\{?(?P<exponent>-?\d+)\}?|(?P<raised>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)))?(?P<percent>\s?\\?%)?"
)
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
YEAR = re.compile(
    r"(?:\b(?:in|since|of|from|until|year) |[A-ZÀ-Ž][\w’'-]+,? \(?|et al\.,? \(?|\d{4}(?:,| and|[-–]) ?)$"
)
NUMBERED = re.compile(
    r"(?:[Ss]ections?|[Cc]hapters?|[Ff]igures?|[Tt]ables?|[Ee]quations?|§|[Vv]ersions?|[Rr]eleases?) ?$"
)
NAMED = re.compile(r"(?:\b(?:Python|PyTorch|NumPy|Sphinx|Matplotlib|Node|CUDA|RFC|ISO|IEEE|arXiv)[ :-]?)$")
LINK = re.compile(r"\]\((?P<page>[^)#\s:]+\.md)(?:#[^)\s]*)?\)")
HEADING = re.compile(r"^## ", re.MULTILINE)
INCLUDED = re.compile(r"\{literalinclude\} (?P<file>\S+)")
OBJECT = re.compile(r"^:pyobject: (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Claim:
    """A number as a page states it, and where it stands."""

    line: int
    position: int
    text: str
    value: Fraction
    unit: Fraction  # of its last digit
    percent: bool
    cut: bool

    def __str__(self) -> str:
        return f"line {self.line}: {self.text} is computed nowhere"

    def readings(self) -> Iterator[tuple[Fraction, Fraction]]:
        """Yield value and unit as they can be meant."""
        yield self.value, self.unit
        if self.percent:
            yield self.value / 100, self.unit / 100


@dataclass(frozen=True)
class Figure:
    """A number that something computed, how finely it is known, and where."""

    value: Fraction
    unit: Fraction
    position: int


class Evidence:
    """The numbers that a page computes."""

    def __init__(self, figures: Iterable[Figure], sections: list[int]) -> None:
        self.sections = sections
        self.exact: set[Fraction] = set()
        self.near: dict[int, list[Figure]] = {}
        for figure in figures:
            self.exact.add(figure.value)
            self.near.setdefault(self.section(figure.position), []).append(figure)

    def section(self, position: int) -> int:
        """Return the number of the section that holds a position."""
        return bisect_right(self.sections, position)

    def supports(self, claim: Claim) -> bool:
        """Whether a claim is one of the numbers, or one of its section rounded."""
        near = self.near.get(self.section(claim.position), [])
        telling = len(str(int(abs(claim.value) / claim.unit))) >= TELLING
        return any(
            (telling and value in self.exact) or any(_is(figure, value, unit, claim.cut) for figure in near)
            for value, unit in claim.readings()
        )


def _is(figure: Figure, value: Fraction, unit: Fraction, cut: bool) -> bool:
    if figure.unit >= unit:
        return figure.value == value
    return 0 <= figure.value - value < unit if cut else abs(figure.value - value) <= unit / 2


def claims(markdown: str) -> Iterator[Claim]:
    """Yield the numbers of a page that must come from somewhere."""
    executed = [(part.start, part.end) for part in parts(markdown)]
    tokens = signs(markdown)
    for at, token in enumerate(tokens):
        start = token.position
        if any(first <= start < last for first, last in executed) or _chosen(markdown, token):
            continue
        if token.kind == "number":
            stated = _stated(tokens[at:])
        elif token.kind == "letter" and (tailed := re.match(r"\d+(?:,\d{3})*(?:\.\d+)?(?=[A-Za-zµ])", token.text)):
            stated = number(tailed[0])  # 1.5x, 8192k
        else:
            continue
        if not (stated.pointed or len(str(int(stated.value / max(stated.unit, Fraction(1))))) >= FROM_DIGITS):
            continue
        if _named(markdown, start, token.text):
            continue
        percent = at + 1 < len(tokens) and tokens[at + 1].kind == "%"
        text = " ".join(markdown[max(0, start - 30) : start + len(token.text) + 15].split())
        yield Claim(
            line_of(markdown, start),
            start,
            f"{token.text} (… {text} …)",
            stated.value,
            stated.unit,
            percent,
            stated.cut,
        )


def _stated(tokens: list[Token]) -> Number:
    if len(tokens) > 3 and tokens[1].kind == "*" and tokens[2].text == "10" and tokens[3].kind in ("^", "raised"):
        for end in range(8, 3, -1):  # 4.54 \times 10^{-5}
            try:
                tree, taken = parse(tokens[:end])
            except NotArithmeticError:
                continue
            whole = printed(tree)
            if taken == end and whole is not None:
                return whole
    return number(tokens[0].text.rstrip("…"), cut=tokens[0].text.endswith("…"))


def _chosen(markdown: str, token: Token) -> bool:
    line = markdown[markdown.rfind("\n", 0, token.position) + 1 : token.position]
    if token.mode == "text":
        return line.lstrip().startswith("quire ")
    return token.mode == "code" and re.search(r"[a-z]=$", line) is not None


def _paragraph(markdown: str, position: int) -> str:
    start, end = markdown.rfind("\n\n", 0, position), markdown.find("\n\n", position)
    return markdown[start + 2 if start >= 0 else 0 : end if end >= 0 else len(markdown)]


def _named(markdown: str, start: int, text: str) -> bool:
    before = markdown[max(0, start - 40) : start]
    if re.fullmatch(r"(?:1[89]|20)\d\d", text) and YEAR.search(before.replace("\n", " ")):
        return True
    if re.fullmatch("[01]+", text) and "binary" in _paragraph(markdown, start):
        return True
    before = before.replace("\n", " ")
    return NUMBERED.search(before) is not None or NAMED.search(before) is not None


def figures(text: str, position: int = 0) -> Iterator[Figure]:
    """Yield the numbers of an output or a text."""
    for found in FIGURE.finditer(text.replace("{,}", ",")):
        if not any(sign.isdigit() for sign in found["figure"]) or found["figure"][0] in "eE":
            continue
        known = number(found["figure"])
        exponent = found["exponent"] or (found["raised"] or "").translate(RAISED)
        scale = Fraction(10) ** int(exponent or 0)
        yield from _both(known.value * scale, known.unit * scale, position, found["percent"] is not None)
        if exponent:
            yield Figure(known.value, known.unit, position)


def _both(value: Fraction, unit: Fraction, position: int, percent: bool) -> Iterator[Figure]:
    yield Figure(value, unit, position)
    if percent:
        yield Figure(value / 100, unit / 100, position)


def _literals(source: str, position: int) -> Iterator[Figure]:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            spelled = (ast.get_source_segment(source, node) or repr(node.value)).replace("_", "")
            if FIGURE.fullmatch(spelled):
                known = number(spelled)
                yield Figure(known.value, known.unit, position)


def _included(markdown: str, page: Path) -> Iterator[Figure]:
    for block in fences(markdown):
        if not (named := INCLUDED.match(block.language)):
            continue
        source = (page.parent / named["file"]).read_text("utf-8")
        if wanted := OBJECT.search(block.body):
            node: ast.AST = ast.parse(source)
            for name in wanted[1].split("."):
                node = next(child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == name)
            source = ast.unparse(node)
        yield from _literals(source, block.start)


def evidence(markdown: str, page: Path) -> Evidence:
    """Return the numbers that a page computes."""
    found: list[Figure] = []
    for part in parts(markdown):
        if part.kind in ("python", "computed"):
            found += _literals(part.source, part.start)
        else:
            found += figures(part.source, part.start)
        found += figures(part.shown or "", part.start)
    found += _included(markdown, page)
    for statement in statements(markdown):
        sides = printed_cells(statement.left), printed_cells(statement.right)
        try:
            if (sides[0] is None) == (sides[1] is None) or problem(statement) is not None:
                continue
        except NotArithmeticError:
            continue
        found += [
            Figure(abs(cell.value), cell.unit, statement.position) for row in sides[0] or sides[1] or [] for cell in row
        ]
    return Evidence(found, [heading.start() for heading in HEADING.finditer(markdown)])


def unsupported(markdown: str, page: Path) -> tuple[int, list[Claim]]:
    """Return how many numbers of a page were asked where they come from, and those that come from nowhere."""
    known = evidence(markdown, page)
    asked = list(claims(markdown))
    return len(asked), [claim for claim in asked if not known.supports(claim) and not _quoted(claim, markdown, page)]


def _quoted(claim: Claim, markdown: str, page: Path) -> bool:
    for link in LINK.finditer(_paragraph(markdown, claim.position)):
        linked = (page.parent / link["page"]).resolve()
        if linked.is_file() and linked != page.resolve():
            there = [figure.value for figure in figures(linked.read_text("utf-8"))]
            if any(value in there for value, _ in claim.readings()):
                return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path)
    args = parser.parse_args()
    total = missing = 0
    for page in args.pages or [page for page in pages() if page.is_relative_to(DOCS / "learn")]:
        count, found = unsupported(page.read_text("utf-8"), page)
        total += count
        missing += len(found)
        for claim in found:
            print(f"{page}: {claim}")
    print(f"{total} numbers checked, {missing} computed nowhere")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
