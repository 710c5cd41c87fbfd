"""Running heads, feet and page numbers: what stands at the same place of many pages and says the same, or counts."""

from __future__ import annotations

import bisect
import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from quire.documents.formats.pdf_lines import TextLine

# So many rows from the top and from the bottom of a page may be running heads and feet.
_ROWS = 3

# The same words stand on this many pages at least; where their number counts on with the pages, two are enough.
_MIN_PAGES = 3

# Their places differ by at most this many points: descenders come and go.
_SAME_PLACE = 4.0

# They are at most so long, and at most this many usual line heights high: titles are larger.
_MAX_LENGTH = 120
_MAX_HEIGHT = 1.8

# A last head may count this much further than the one before it.
_MAX_LEAP = 1000

_NUMBER = re.compile(r"\b(?:\d+|[ivxlc]+)\b")
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


@dataclass(slots=True, eq=False)
class _Row:
    """A row at the edge of a page: its lines, by their number on the page."""

    page: int
    members: list[int]
    text: str
    top: float
    bottom: float
    numbers: list[int]
    roman: list[bool]

    def key(self) -> str:
        return _NUMBER.sub("#", self.text)


def running(pages: Sequence[Sequence[TextLine]]) -> list[set[int]]:
    """Return for each page the numbers of those of its lines that are running heads or feet.

    A row of lines at the top or bottom of a page is one if rows at the same place of other pages say the same but for
    numbers, and those numbers stay, or never fall and one of them rises from each page to the next. Where such rows
    count the pages, another row at that place whose first or last number fits between theirs is one too (the head of
    a chapter of one page). Rows further in are heads only if all rows further out are, and a page keeps its heads if it
    says nothing else.
    """
    found: list[set[int]] = [set() for _ in pages]
    if len(pages) < 2:
        return found
    for edge in (1, -1):
        columns = [_edge_rows(number, lines, edge) for number, lines in enumerate(pages)]
        heads = _heads([row for rows in columns for row in rows])
        for number, rows in enumerate(columns):
            for row in rows:
                if row not in heads:
                    break
                found[number].update(row.members)
    return [set() if len(heads) == len(lines) else heads for heads, lines in zip(found, pages, strict=True)]


def _edge_rows(page: int, lines: Sequence[TextLine], edge: int) -> list[_Row]:
    """Return the outermost rows of a page, from outside in; `edge` is 1 for its top and -1 for its bottom."""
    numbers = [number for number, line in enumerate(lines) if line.upright]
    if not numbers:
        return []
    places = [line.top for line in lines] if edge > 0 else [-line.bottom for line in lines]
    numbers.sort(key=places.__getitem__)
    highest = _MAX_HEIGHT * median([lines[number].bottom - lines[number].top for number in numbers])
    rows: list[_Row] = []
    for number in numbers:
        line = lines[number]
        row = rows[-1] if rows else None
        if row is not None and min(row.bottom, line.bottom) - max(row.top, line.top) > 0.5 * (line.bottom - line.top):
            row.members.append(number)
            row.top, row.bottom = min(row.top, line.top), max(row.bottom, line.bottom)
            continue
        if len(rows) == _ROWS:
            break
        rows.append(_Row(page, [number], "", line.top, line.bottom, [], []))
    for place, row in enumerate(rows):
        row.members.sort(key=lambda number: lines[number].left)
        row.text = " ".join(" ".join(lines[number].text for number in row.members).casefold().split())
        found = _NUMBER.findall(row.text)
        row.numbers = [_value(text) for text in found]
        row.roman = [text[0] in _ROMAN for text in found]
        if len(row.text) > _MAX_LENGTH or row.bottom - row.top > highest:
            return rows[:place]
    return rows


def _value(text: str) -> int:
    if text[0] not in _ROMAN:
        return int(text[:18])
    values = [_ROMAN[letter] for letter in text]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def _heads(rows: Sequence[_Row]) -> set[_Row]:
    """Return those of `rows`, all at one edge, that are running heads."""
    alike: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        alike[row.key()].append(row)
    heads: set[_Row] = set()
    counting: list[tuple[float, dict[int, int]]] = []  # place, and the number that each page has there
    for group in alike.values():
        for rows_there in _at_one_place(group):
            column = _counting_column(rows_there)
            if column is None:
                continue
            heads.update(rows_there)
            if column >= 0:
                counts = {row.page: row.numbers[column] for row in rows_there}
                counting.append((rows_there[0].bottom, counts))
    places = _places(counting)
    for row in rows:
        if row not in heads and row.numbers and any(_fits(row, place) for place in places):
            heads.add(row)
    return heads


@dataclass(slots=True, eq=False)
class _Place:
    """A place at which pages are counted: the number of each page that has one there, in the order of the pages."""

    bottom: float
    pages: list[int]
    numbers: list[int]


def _places(counting: Sequence[tuple[float, dict[int, int]]]) -> list[_Place]:
    merged: list[tuple[float, dict[int, int]]] = []
    for bottom, counts in sorted(counting, key=lambda place: place[0]):
        if merged and bottom - merged[-1][0] <= _SAME_PLACE:
            merged[-1][1].update(counts)
        else:
            merged.append((bottom, dict(counts)))
    return [
        _Place(bottom, sorted(counts), [counts[page] for page in sorted(counts)])
        for bottom, counts in merged
        if len(counts) >= _MIN_PAGES
    ]


def _at_one_place(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return `rows` in groups of one place each, every group in the order of the pages."""
    groups: list[list[_Row]] = []
    for row in sorted(rows, key=lambda row: row.bottom):
        if groups and row.bottom - groups[-1][0].bottom <= _SAME_PLACE:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [sorted(group, key=lambda row: row.page) for group in groups]


def _counting_column(rows: Sequence[_Row]) -> int | None:
    """Return which of their numbers counts the pages, -1 if they say the same on every page, or None if neither."""
    if len(rows) < 2:
        return None
    if len(rows) >= _MIN_PAGES and all(row.text == rows[0].text for row in rows):
        return -1
    if len({len(row.numbers) for row in rows}) != 1 or not rows[0].numbers:
        return None
    pairs = list(itertools.pairwise(rows))
    rising = -1
    for column in range(len(rows[0].numbers)):
        # Arabic numbers begin anew after Roman ones.
        steps = [
            (after.numbers[column] - row.numbers[column], after.page - row.page)
            for row, after in pairs
            if row.roman == after.roman
        ]
        if any(step < 0 for step, _ in steps):
            return None
        if steps and all(step >= pages if len(rows) >= _MIN_PAGES else step == pages for step, pages in steps):
            rising = column
    return rising if rising >= 0 else None


def _fits(row: _Row, place: _Place) -> bool:
    """Whether `row` stands at `place` and begins or ends with a number between those of the pages around."""
    if abs(row.bottom - place.bottom) > _SAME_PLACE:
        return False
    index = bisect.bisect_left(place.pages, row.page)
    if index < len(place.pages) and place.pages[index] == row.page:
        return False
    least = place.numbers[index - 1] if index > 0 else -1
    most = place.numbers[index] if index < len(place.pages) else least + _MAX_LEAP
    values = [row.numbers[0]] if row.text[0].isdigit() else []
    values += [row.numbers[-1]] if row.text[-1].isdigit() else []
    return any(least < value < most for value in values)
