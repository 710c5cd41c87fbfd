"""Checks each `0.3 + 0.12 = 0.42` and `2 / 3 ≈ 0.667` that a page writes.

python docs/_checks/arithmetic.py [PAGE...]    name the statements that are wrong, and count those that were checked

`=` means exact, or rounded to the digits that are printed; an integer is exact. `≈` also allows that the numbers on the
other side were rounded before they were printed: those with a decimal point and three digits or more that carry as many
digits as the result. It allows this only where that rounding can show, where it moves the result by a quarter of its
last digit or more; `14 / 13.0384` is 1.0738 for whoever has 13.0384 on paper. What code printed, in outputs and
computed regions, was rounded from numbers known in full; there each rounding is allowed. Sides with letters are left
out, so in `z = 0.3 + 0.12 = 0.42` the second equation is checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _checks.expressions import Number, Token, numbers, parse, without_mixed, without_percent
from _checks.intervals import Interval, NotArithmeticError, ShapeError
from _checks.pages import line_of, pages, parts
from _checks.signs import RELATIONS, signs
from _checks.values import Value, evaluate, printed

EXACT = Fraction(1, 10**40)
FULL_DIGITS = 15  # a float64 printed in full; its last digit is that of the floating-point result
FULL = Fraction(64, 2**53)  # relative
ROUNDED_DIGITS = 3  # a number with fewer is taken as it stands: 0.4 is four tenths
FELT = Fraction(1, 4)  # of the last digit of a result: what the rounding of its inputs must move to count
ENDS = frozenset({"break", "other", ",", *RELATIONS})
BEFORE = ENDS | {"(", "[", "{"}
AFTER = ENDS | {")", "]", "}", "cell", "row", "end"}
SPOKEN = frozenset({"mod", "modulo", "div", "over", "plus", "minus", "times", "per"})
OPERANDS = frozenset({"letter", "number", ")", "]", "}", "%", "other"})
NUMERALS = frozenset(
    {"one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "hundred", "million"}
)
JOINING = frozenset({"and", "or", "xor", "not", "to", "by", "of"})


Cells = list[list[Number]] | None  # of a side that is nothing but printed numbers


@dataclass(frozen=True)
class Statement:
    """Two neighbouring sides of a chain and the relation between them."""

    line: int
    text: str
    left: Any
    relation: str
    right: Any
    position: int
    computed: bool = False  # printed by code, from numbers that it knows in full


@dataclass(frozen=True)
class Problem:
    """A statement that does not hold: what it says, and what is."""

    line: int
    text: str
    says: str
    is_: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}\n    says {self.says}, but it is {self.is_}"


def statements(markdown: str) -> Iterator[Statement]:
    """Yield the statements of a page whose two sides are numbers."""
    tokens = signs(markdown)
    outputs = [(part.shown_start, part.shown_end) for part in parts(markdown)]
    for number, token in enumerate(tokens):
        if token.kind not in RELATIONS:
            continue
        left, right = _left(tokens, number), _right(tokens, number)
        if left is None or right is None:
            continue
        start, end = tokens[left[1]].position, tokens[right[1] - 1]
        bare = isinstance(left[0], Number) and printed(right[0]) is not None
        before = tokens[left[1] - 1] if left[1] else None
        if before is not None and before.kind == "word":
            spoken = before.text.lower()
            if spoken in SPOKEN and _is_operand(tokens, left[1] - 2):
                continue
            if isinstance(left[0], Number) and (bare or spoken in JOINING | SPOKEN):
                continue
        text = " ".join(markdown[start : end.position + len(end.text)].split())
        computed = any(first <= token.position < last for first, last in outputs)
        line = line_of(markdown, token.position)
        yield Statement(line, text, left[0], token.kind, right[0], token.position, computed)


def _left(tokens: list[Token], relation: int) -> tuple[Any, int] | None:
    first = relation
    while first > 0 and tokens[first - 1].kind not in (*RELATIONS, "break", "word", "other"):
        first -= 1
    for start in range(first, relation):
        before = tokens[start - 1] if start else None
        if not _begins(before, tokens[start]):
            continue
        try:
            tree, taken = parse(tokens[start:relation])
        except NotArithmeticError:
            continue
        if start + taken == relation:
            return tree, start
    return None


def _is_operand(tokens: list[Token], number: int) -> bool:
    # `x plus 2 + 3 = 5` is about x; `a mean over 2 + 3 = 5 rows` adds 2 and 3.
    token = tokens[number] if number >= 0 else None
    return token is not None and (token.kind in OPERANDS or token.text.lower() in NUMERALS)


def _begins(before: Token | None, token: Token) -> bool:
    if before is None or before.kind in BEFORE or before.kind == "word":
        return not (before is not None and before.kind == "word" and not token.spaced)
    return before.kind == "number" and token.kind == "number"


def _right(tokens: list[Token], relation: int) -> tuple[Any, int] | None:
    try:
        tree, taken = parse(tokens[relation + 1 :])
    except NotArithmeticError:
        return None
    end = relation + 1 + taken
    if end < len(tokens):
        after = tokens[end]
        if after.kind == "word" and _goes_on(tokens, end):
            return None
        aside = after.kind in ("(", "number") and after.spaced and after.mode in ("prose", "text")
        if not (after.kind in AFTER or (after.kind == "word" and after.spaced) or aside):
            return None
    return tree, end


def _goes_on(tokens: list[Token], end: int) -> bool:
    # `390 = 347 kept + 29 dropped` is a sum of things that are named.
    while end < len(tokens) and tokens[end].kind == "word":
        end += 1
    return end < len(tokens) and tokens[end].kind in ("+", "-", "*", "/")


def problem(statement: Statement) -> Problem | None:
    """Return what is wrong with a statement, or None.

    Raises:
        NotArithmeticError: one of its sides has no value that can be computed.
    """
    left, right = statement.left, statement.right
    try:
        for read in (lambda tree: tree, without_percent, without_mixed):
            if _holds(read(left), statement.relation, read(right), statement.computed):
                return None
        if _in_binary(left, right) or _in_binary(right, left):
            return None
        return Problem(statement.line, statement.text, _shown(right), _shown(left))
    except ShapeError as error:
        return Problem(statement.line, statement.text, "they are equal", str(error))


def _in_binary(value: Any, bits: Any) -> bool:
    # 195 = 11000011, a byte and its bits
    if not (isinstance(value, Number) and isinstance(bits, Number)) or bits.value.denominator != 1:
        return False
    spelled = str(bits.value.numerator)
    return set(spelled) <= {"0", "1"} and int(spelled, 2) == value.value


def _holds(left: Any, relation: str, right: Any, computed: bool) -> bool:
    a, b = printed_cells(left), printed_cells(right)
    fewest = _fewest(a) or _fewest(b)
    xs, ys = (_rows(evaluate(tree, lambda _: False)) for tree in (left, right))
    if [len(row) for row in xs] != [len(row) for row in ys]:
        raise ShapeError(f"a matrix of {len(xs)} × {len(xs[0])} beside one of {len(ys)} × {len(ys[0])}")
    wide_xs, wide_ys = xs, ys
    if relation == "≈" and (a is None or b is None):
        wide_xs, wide_ys = (
            _rows(evaluate(tree, lambda x: x.pointed and x.digits >= ROUNDED_DIGITS and _carries(x, fewest)))
            if own is None
            else exact
            for tree, own, exact in ((left, a, xs), (right, b, ys))
        )
    for i in range(len(xs)):
        for j in range(len(xs[i])):
            sides = a and a[i][j], b and b[i][j]
            if _agree(xs[i][j], ys[i][j], relation, *sides):
                continue
            x, y = wide_xs[i][j], wide_ys[i][j]
            felt = computed or (_felt(x, sides[1]) and _felt(y, sides[0]))
            if not (felt and _agree(x, y, relation, *sides)):
                return False
    return True


def _felt(value: Interval, result: Number | None) -> bool:
    return result is None or value.high - value.low >= FELT * result.unit


def _rows(value: Value) -> list[list[Interval]]:
    return [[value]] if isinstance(value, Interval) else value


def printed_cells(tree: Any) -> Cells:
    """Return the numbers of a side that is nothing but printed numbers, in rows, or None."""
    if not isinstance(tree, Number) and tree[0] == "matrix":
        rows = [[printed(cell) for cell in row] for row in tree[1]]
        return rows if all(cell is not None for row in rows for cell in row) else None  # type: ignore[return-value]
    single = printed(tree)
    return [[single]] if single is not None else None


def _fewest(rows: list[list[Number]] | None) -> tuple[int, int] | None:
    if rows is None:
        return None
    cells = [cell for row in rows for cell in row]
    return min(cell.decimals for cell in cells), min(cell.digits for cell in cells)


def _carries(x: Number, fewest: tuple[int, int] | None) -> bool:
    # A number with fewer digits than the result is not a rounded one: the result could not be known so well.
    return fewest is None or x.decimals >= fewest[0] or x.digits >= fewest[1]


def _agree(a: Interval, b: Interval, relation: str, left: Number | None, right: Number | None) -> bool:
    gap = max(Fraction(0), a.low - b.high, b.low - a.high)
    if gap <= EXACT * max(1, abs(a.low)):
        return True
    for side, other in ((left, b), (right, a)):
        if side is not None and side.cut:
            if 0 <= abs(other.low) - abs(side.value) < side.unit and other.low * side.value >= 0:
                return True
        elif side is not None and gap <= _allowance(side, relation):
            return True
    return False


def _allowance(side: Number, relation: str) -> Fraction:
    allowed = side.half if side.pointed else Fraction(0)
    if side.digits >= FULL_DIGITS and side.pointed:
        allowed += FULL * abs(side.value)
    if relation == "≈" and not side.pointed:
        unit = side.unit
        while side.value % (unit * 1000) == 0 and side.value:
            unit *= 1000
        allowed = unit / 2
    return allowed


def _shown(tree: Any) -> str:
    value = evaluate(tree, lambda _: False)
    if not isinstance(value, Interval):
        return "(" + "; ".join(", ".join(f"{float(cell.low):.12g}" for cell in row) for row in value) + ")"
    single = value.low
    return (
        str(single.numerator)
        if single.denominator == 1
        else f"{float(single):.17g}"
        if _long(tree)
        else f"{float(single):.12g}"
    )


def _long(tree: Any) -> bool:
    return any(x.digits >= FULL_DIGITS - 3 for x in numbers(tree))


def checked(markdown: str, *, computed: bool = False) -> tuple[int, list[Problem]]:
    """Return how many statements of a page were checked, and those that do not hold.

    With `computed` the whole page is something that code printed.
    """
    count, found = 0, []
    for statement in statements(markdown):
        try:
            wrong = problem(replace(statement, computed=computed or statement.computed))
        except NotArithmeticError:
            continue
        count += 1
        found += [wrong] if wrong is not None else []
    return count, found


def problems(markdown: str) -> list[Problem]:
    """Return the statements of a page that do not hold."""
    return checked(markdown)[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--list", action="store_true", help="also print every statement that is checked")
    args = parser.parse_args()
    total = wrong = 0
    for page in args.pages or pages():
        markdown = page.read_text("utf-8")
        if args.list:
            for statement in statements(markdown):
                print(f"{page}:{statement.line}: {statement.text}")
        count, found = checked(markdown)
        total += count
        wrong += len(found)
        for one in found:
            print(f"{page}: {one}")
    print(f"{total} statements checked, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
