"""Running heads, feet and page numbers: what stands at the same place of many pages and says the same, or counts."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median, median_low

from quire.documents.formats.pdf_lines import TextLine

# So many rows from the top and from the bottom of a page may be running heads and feet.
_ROWS = 3

# The same words, or a number that goes with the pages, stand on this many pages at least; where a number stands on two
# pages alone and nothing but it changes, two are enough.
_MIN_PAGES = 3

# Their places differ by at most this many points: descenders come and go.
_SAME_PLACE = 4.0

# They are at most so long, and at most this many usual line heights high: titles are larger.
_MAX_LENGTH = 120
_MAX_HEIGHT = 1.8

# What stands off from the text has this many usual distances of rows to it.
_APART = 1.5

# Type that is so many times as large, or ink so many times as high, as is usual on the page is that of a heading.
_LARGER = 1.1
_HIGHER = 1.3

# In an excerpt numbers leap; this share of the steps from one to the next still goes with the pages.
_MIN_EXACT = 0.25

# A page of which more than this share would go is a form or a slip, and keeps its text.
_MAX_SHARE = 1 / 3

# What may stand around a page number, and words that say no more than that it is one.
_MARKS = r"[\s\-\u2013\u2014\u00b7\u2022|/()\[\]<>~*]"
_PAGE = r"(?:page|p|pp|pg|seite|s|página|pagina|pág|pag|strona|str|sida|side|стр|страница|第)"
_OF = rf"(?:{_MARKS}*(?:/|\b(?:of|von|de|di|sur|van|av|af|z|из)\b){_MARKS}*\d+)?"
_NUMBER = r"(?<!\w)(\d{1,9}|[ivxlc]{1,9})(?!\w)"
_LONE = re.compile(rf"{_MARKS}*(?:{_PAGE}[.:]?{_MARKS}*)?(\d{{1,9}}|[ivxlc]{{1,9}}){_OF}{_MARKS}*[页頁]?")
_BEFORE = re.compile(rf"^{_MARKS}*(?:{_PAGE}[.:]?{_MARKS}*)?{_NUMBER}{_OF}(?![.,:)])")  # and words behind it
_BEHIND = re.compile(rf"(?<![.,:§$€£#№])(?<![:§$€£#№] ){_NUMBER}{_OF}{_MARKS}*$")
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


@dataclass(slots=True, eq=False)
class _Number:
    """A number that may be that of its page.

    Args:
        ahead: how far it is ahead of the page, counted from 0.
        roman: whether it is written in Roman numerals.
        words: of the row without it.
        line: the line that says nothing else; None where it stands among words.
        sure: whether the row says so, by marks or a word for a page around it, or by other words beside it.
    """

    ahead: int
    roman: bool
    words: str
    line: int | None
    sure: bool = False


@dataclass(slots=True, eq=False)
class _Row:
    """A row at the edge of a page: its lines, by their number on the page, from left to right."""

    page: int
    members: list[int]
    top: float
    bottom: float
    text: str = ""
    apart: bool = False  # from the text of the page, and in no larger or bolder type
    numbers: list[_Number] = field(default_factory=list)


_Heads = dict[_Row, _Number | None]


def running(pages: Sequence[Sequence[TextLine]]) -> list[set[int]]:
    """Return for each page the numbers of those of its lines that are running heads or feet and are left out.

    A row of lines at the top or bottom of a page is one if rows at the same place of three pages say the same, or if it
    has the number of the page: see `_counted`. Rows further in are heads only if all rows further out are. Of rows that
    say the same but for the number of the page the first one stays, without a number that stands by itself. A page of
    which more than a third would go keeps its text.
    """
    if len(pages) < 2:
        return [set() for _ in pages]
    found: list[list[tuple[_Row, _Number | None]]] = [[] for _ in pages]
    for edge in (1, -1):
        columns = [_edge_rows(number, lines, edge) for number, lines in enumerate(pages)]
        heads = _heads([row for rows in columns for row in rows])
        for rows, on_page in zip(columns, found, strict=True):
            on_page.extend((row, heads[row]) for row in itertools.takewhile(heads.__contains__, rows))
    said: set[str] = set()
    return [_left_out(lines, heads, said) for lines, heads in zip(pages, found, strict=True)]


def _left_out(lines: Sequence[TextLine], heads: Sequence[tuple[_Row, _Number | None]], said: set[str]) -> set[int]:
    """Return the lines of a page's `heads` that go: page numbers, and what an earlier page has `said`."""
    members = {member for row, _ in heads for member in row.members}
    short = _length(lines[member] for member in members) > _MAX_SHARE * _length(lines)
    left_out: set[int] = set()
    for row, number in heads:
        words = row.text if number is None else number.words
        if words in said:
            left_out.update(row.members)
        elif number is not None and number.line is not None:
            left_out.add(number.line)
        said.add(words)
    return set() if short else left_out


def _length(lines: Iterable[TextLine]) -> int:
    return sum(len(line.text) for line in lines)


def _edge_rows(page: int, lines: Sequence[TextLine], edge: int) -> list[_Row]:
    """Return the outermost rows of a page, from outside in; `edge` is 1 for its top and -1 for its bottom."""
    upright = [number for number, line in enumerate(lines) if line.upright]
    if not upright:
        return []
    places = [line.top for line in lines] if edge > 0 else [-line.bottom for line in lines]
    upright.sort(key=places.__getitem__)
    height = median([lines[number].bottom - lines[number].top for number in upright])
    rows: list[_Row] = []
    for number in upright:
        line = lines[number]
        row = rows[-1] if rows else None
        if row is not None and min(row.bottom, line.bottom) - max(row.top, line.top) > 0.5 * (line.bottom - line.top):
            row.members.append(number)
            row.top, row.bottom = min(row.top, line.top), max(row.bottom, line.bottom)
            continue
        if len(rows) > _ROWS:
            break
        rows.append(_Row(page, [number], line.top, line.bottom))
    within = _apart(rows, [places[number] for number in upright], height, edge)
    for place, row in enumerate(rows[:_ROWS]):
        row.members.sort(key=lambda number: lines[number].left)
        texts = [_folded(lines[number].text) for number in row.members]
        row.text = " ".join(texts)
        if len(row.text) > _MAX_LENGTH or row.bottom - row.top > _MAX_HEIGHT * height:
            return rows[:place]
        row.numbers = list(_numbers(row, texts))
        row.apart = place < within
    headings = _headings(rows[:within], lines, upright, height) if edge > 0 else []
    for row in headings:  # no heading stands at the foot of a page
        row.apart = False
    return rows[:_ROWS]


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _apart(rows: Sequence[_Row], places: Sequence[float], height: float, edge: int) -> int:
    """Return how many of the outermost rows stand off from what is further in."""
    steps = [after - before for before, after in itertools.pairwise(places)]
    usual = max(median_low([step for step in steps if step > 0.3 * height] or [height]), height)
    outer = [row.top if edge > 0 else -row.bottom for row in rows]
    gaps = [after - before >= _APART * usual for before, after in itertools.pairwise(outer)]
    return max((number for number, gap in enumerate(gaps, start=1) if gap), default=0)


def _headings(rows: Sequence[_Row], lines: Sequence[TextLine], upright: Sequence[int], height: float) -> list[_Row]:
    """Return those of `rows` that are in larger or bolder type than is usual among the `upright` lines of the page."""
    size = median([lines[number].size for number in upright])
    bold = 2 * sum(lines[number].bold for number in upright) > len(upright)
    return [
        row
        for row in rows
        if row.bottom - row.top > _HIGHER * height
        or any(lines[number].size > _LARGER * size or (lines[number].bold and not bold) for number in row.members)
    ]


def _numbers(row: _Row, texts: Sequence[str]) -> Iterator[_Number]:
    """Yield the numbers of a row that may be that of its page: by themselves, or where its words begin or end."""
    for place in range(len(texts)) if len(texts) <= 2 * _ROWS else (0, len(texts) - 1):
        match = _LONE.fullmatch(texts[place])
        if match is not None:
            words = " ".join([*texts[:place], *texts[place + 1 :]])
            yield _number(match[1], row.page, words, row.members[place], sure=row.text != match[1])
    for pattern, text, begin in ((_BEFORE, texts[0], 0), (_BEHIND, texts[-1], len(row.text) - len(texts[-1]))):
        match = pattern.search(text)
        if match is not None and _LONE.fullmatch(text) is None:
            before, behind = row.text[: begin + match.start(1)], row.text[begin + match.end(1) :]
            if pattern is _BEFORE or len(before.split()) > 1:  # "Chapter 4" is a heading
                yield _number(match[1], row.page, f"{before}#{behind}", None)


def _number(text: str, page: int, words: str, line: int | None, *, sure: bool = False) -> _Number:
    roman = text[0] in _ROMAN
    return _Number((_roman(text) if roman else int(text)) - page, roman, words, line, sure)


def _roman(text: str) -> int:
    values = [_ROMAN[letter] for letter in text]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def _heads(rows: Sequence[_Row]) -> _Heads:
    """Return those of `rows`, all at one edge, that are running heads, with the number of the page if they have it."""
    heads: _Heads = {}
    for there in _at_one_place(rows):
        same = Counter(row.text for row in there)
        heads.update((row, None) for row in there if same[row.text] >= _MIN_PAGES)
        heads.update(_counted(there))
    return heads


def _at_one_place(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Return `rows` in groups of one place each, every group in the order of the pages."""
    groups: list[list[_Row]] = []
    for row in sorted(rows, key=lambda row: row.bottom):
        if groups and row.bottom - groups[-1][0].bottom <= _SAME_PLACE:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [sorted(group, key=lambda row: row.page) for group in groups]


def _counted(rows: Sequence[_Row]) -> _Heads:
    """Return those of `rows`, all at one place, that have the number of their page, with it.

    It goes with the pages: the difference is the same on three of them. Among words it is the same on all that have the
    same words. Numbers by themselves may also leap, as in an excerpt, if they rise with every page and some steps go
    with it. Where pages are counted so, a row of other words with the right number is one too (the head of a chapter
    of one page). Where that is all, as for a bare number, most of the rows stand apart from the text and are not in
    larger or bolder type.
    """
    alike: dict[str, list[tuple[_Row, _Number]]] = defaultdict(list)
    lone: dict[int, list[tuple[_Row, _Number]]] = {0: [], -1: []}  # the first and the last of each row
    for row in rows:
        for number in row.numbers:
            if number.line is None:
                alike[number.words].append((row, number))
        by_themselves = [number for number in row.numbers if number.line is not None]
        for side, found in lone.items():
            if by_themselves:
                found.append((row, by_themselves[side]))
    counted: _Heads = {}
    ahead = Counter[tuple[int, bool]]()
    series = [_going(numbers) or _leaping(numbers) for numbers in lone.values()]
    series += [numbers for numbers in alike.values() if _all_going(numbers)]
    for numbers in series:
        if 2 * sum(number.sure or row.apart for row, number in numbers) > len(numbers):
            new = {row: number for row, number in numbers if row not in counted}
            counted.update(new)
            ahead.update((number.ahead, number.roman) for number in new.values())
    for row in rows:
        for number in row.numbers:
            if row not in counted and ahead[number.ahead, number.roman] >= _MIN_PAGES:
                counted[row] = number
    return counted


def _going(numbers: Sequence[tuple[_Row, _Number]]) -> list[tuple[_Row, _Number]]:
    """Return those of `numbers` that go with their pages on three of them, or on two if there are no others."""
    ahead = Counter((number.ahead, number.roman) for _, number in numbers)
    kinds = Counter(number.roman for _, number in numbers)
    return [
        (row, number)
        for row, number in numbers
        if (count := ahead[number.ahead, number.roman]) >= _MIN_PAGES or 1 < count == kinds[number.roman]
    ]


def _leaping(numbers: list[tuple[_Row, _Number]]) -> list[tuple[_Row, _Number]]:
    """Return `numbers` if they rise at least as the pages do, and often just as they do."""
    pairs = itertools.pairwise([number for _, number in numbers])
    steps = [after.ahead - before.ahead for before, after in pairs if before.roman == after.roman]
    exact = steps.count(0)
    return numbers if exact > 1 and exact >= _MIN_EXACT * len(steps) and min(steps) >= 0 else []


def _all_going(numbers: Sequence[tuple[_Row, _Number]]) -> bool:
    ahead = {(number.ahead, number.roman) for _, number in numbers}
    return len(numbers) >= _MIN_PAGES and len(ahead) == len({roman for _, roman in ahead})
