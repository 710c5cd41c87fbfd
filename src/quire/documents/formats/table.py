"""Tables as text: comma, semicolon, tab and bar separated values."""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from quire.documents.document import Document, DroppedFile, LeftOut, Part, Span
from quire.documents.formats.blocks import row_of
from quire.documents.formats.columns import (
    SAMPLE_ROWS,
    OtherColumns,
    is_prose,
    joined,
    text_columns,
    with_column,
    without_text,
)
from quire.documents.formats.lines import Line, Lines, in_memory
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.text import read_verbatim
from quire.documents.sandbox import page_done
from quire.documents.settings import ReadSettings

MEDIA_TYPES: dict[str, str] = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".tab": "text/tab-separated-values",
}
"""Extension to media type of what this module reads."""

DELIMITERS = (",", ";", "\t", "|")

_ONE_COLUMN = "\x1f"  # a delimiter that no text holds
_NO_QUOTE = "\x1e"
_SEPARATOR = re.compile(r"sep=(.)\r?\n?$", re.IGNORECASE)  # the first line, as a spreadsheet program writes it
_SNIFFED = 100_000  # characters, below the 131,072 that the csv module takes for one field unless told otherwise
_RECORD_LINES = 2000  # a quoted cell of more lines, or characters, is a quote that was never closed
_RECORD_CHARACTERS = 16_000_000
_UNCLOSED = 16  # quotes that were never closed, after which quotes mean nothing in this file
_SPAN = 4000  # characters of a table that share a span
_ROWS_A_PAGE = 1000  # after so many rows the clock starts again


class _Record(NamedTuple):
    cells: list[str]
    start: int
    end: int


def read_table(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield a document for each row of `file` where columns hold the text, else one of the whole table, row by row.

    The delimiter is the one of `DELIMITERS` that gives most of the first records the same number of cells, two or
    more, the first record too; quotes are double. Which columns: see `text_columns`. They have names where the first
    row is none of prose. A row leads back to its bytes. What other columns hold is counted and told. A quote that is
    never closed is a character like any other.

    Raises:
        DroppedFile: "binary", "empty"; "no-text" where no row follows the titles; "too-large" for a table that is to be
            one document.
    """
    lines = Lines(file, settings)
    table = _Table(lines)
    sample = list(itertools.islice(table, SAMPLE_ROWS + 1))
    if not sample:
        raise DroppedFile("empty", "nothing but white space")
    first, rest = sample[0].cells, [record.cells for record in sample[1:]]
    columns, titled = _columns(first, rest, settings.text_column)
    if not columns:
        whole = in_memory(file, settings)
        yield from read_verbatim(whole, settings) if table.is_list else _whole(file, table)
        return
    names = [name if titled and name.strip() else str(number) for number, name in enumerate(first, start=1)]
    name = ", ".join(names[column] for column in columns)
    media_type = with_column(file.media_type, name)
    others = OtherColumns()
    blank = 0
    for number, record in enumerate(table):
        if titled and number == 0:
            continue
        if number % _ROWS_A_PAGE == 0:
            page_done()
        cells = record.cells
        for place, cell in enumerate(cells):
            if place not in columns:
                others.add(names[place] if place < len(names) else str(place + 1), cell)
        text = _text(cells, columns)
        if not text.strip():
            blank += 1
            continue
        span = Span(0, len(text), byte_start=record.start, byte_end=record.end) if lines.exact else Span(0, len(text))
        yield Document(text, file.source, media_type, file.sha256, file.member, (span,))
    left_out = [*table.left_out(file), *others.left_out(file.named("other columns"))]
    if titled and not rest and not left_out:
        raise DroppedFile("no-text", f"no row below the title {name!r}")
    yield from left_out
    if blank:
        yield LeftOut(file.named("rows without text"), 0, "dropped", "empty", without_text(blank, where=" there"))


def _text(cells: list[str], columns: list[int]) -> str:
    if len(columns) == 1:
        return cells[columns[0]] if columns[0] < len(cells) else ""
    return joined(cells[column] for column in columns if column < len(cells))


def _columns(first: list[str], rest: list[list[str]], told: str | None) -> tuple[list[int], bool]:
    """Return the columns of the text, and whether the first row is one of titles."""
    if told is not None and told.isdecimal() and told not in first and 0 < int(told) <= len(first):
        columns = [int(told) - 1]
    elif not rest and told is None:
        columns = []  # titles over nothing, or a list of one line
    else:
        columns = text_columns(rest or [first], first, told)
    return columns, not any(is_prose(first[column]) for column in columns)


def _whole(file: SourceFile, table: _Table) -> Iterator[Part]:
    pieces: list[str] = []
    spans: list[Span] = []
    start = end = begun = 0
    byte_start = byte_end = None
    for number, record in enumerate(table):
        if number % _ROWS_A_PAGE == 0:
            page_done()
        row = row_of(record.cells)
        if not row:
            continue
        pieces.append(row)
        end = begun + len(row) + 1
        if byte_start is None:
            byte_start = record.start
        begun, byte_end = end, record.end
        if end - start >= _SPAN:
            spans.append(_span(start, end, byte_start, byte_end, table.exact))
            start, byte_start = end, None
    if not pieces:
        raise DroppedFile("empty", "a table of empty cells")
    text = "\n".join(pieces)
    if start < len(text):
        spans.append(_span(start, len(text), byte_start, byte_end, table.exact))
    elif spans:
        spans[-1] = _span(spans[-1].start, len(text), spans[-1].byte_start, spans[-1].byte_end, table.exact)
    yield Document(text, file.source, file.media_type, file.sha256, file.member, tuple(spans))
    yield from table.left_out(file)


def _span(start: int, end: int, byte_start: int | None, byte_end: int | None, exact: bool) -> Span:
    return Span(start, end, None, byte_start, byte_end) if exact else Span(start, end)


class _Table:
    """The records of a table; they can be read again and again."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.exact = lines.exact
        self._too_long: dict[int, int] = {}
        sample, characters = [], 0
        for line in lines:
            sample.append((line.text or "")[:_SNIFFED])
            characters += len(sample[-1])
            if characters >= _SNIFFED:
                break
        told = _SEPARATOR.match(sample[0]) if sample else None
        self._skip = 1 if told else 0
        self._delimiter = told[1] if told else _delimiter(sample, characters >= _SNIFFED)
        self.is_list = self._delimiter == _ONE_COLUMN

    def __iter__(self) -> Iterator[_Record]:
        csv.field_size_limit(max(csv.field_size_limit(), _RECORD_CHARACTERS + 1))
        source = itertools.islice(self._lines, self._skip, None)
        again: deque[Line] = deque()
        taken: list[Line] = []
        unclosed = 0
        while True:
            quotes = '"' if unclosed < _UNCLOSED else _NO_QUOTE
            fed = self._feed(source, again, taken)
            try:
                for cells in csv.reader(fed, delimiter=self._delimiter, strict=True, quotechar=quotes):
                    if any(cells):
                        yield _Record(cells, taken[0].start, taken[-1].end)
                    taken.clear()
                return
            except csv.Error:  # the reader is of no use any more
                unclosed += len(taken) > 1
                again.extendleft(reversed(taken[1:]))
                cells = self._loose(taken[0].text or "")
                if any(cells):
                    yield _Record(cells, taken[0].start, taken[0].end)
                taken.clear()

    def _feed(self, source: Iterator[Line], again: deque[Line], taken: list[Line]) -> Iterator[str]:
        characters = 0
        while True:
            line = again.popleft() if again else next(source, None)
            if line is None:
                return
            if not taken and line.text in ("\n", "\r\n"):
                continue
            if line.text is None or (not taken and len(line.text) > _RECORD_CHARACTERS):
                self._too_long[line.start] = line.end - line.start
                continue
            taken.append(line)
            characters += len(line.text)
            if len(taken) > _RECORD_LINES or characters > _RECORD_CHARACTERS:
                raise csv.Error("a quote that is never closed")
            yield _without_nul(line.text)

    def _loose(self, line: str) -> list[str]:
        """Return the cells of a line in which quotes are not where they should be."""
        text = _without_nul(line).rstrip("\r\n").replace("\r", " ")
        try:
            cells = next(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error:
            cells = text.split(self._delimiter)
        except StopIteration:
            cells = []
        return cells

    def left_out(self, file: SourceFile) -> Iterator[LeftOut]:
        """Yield what was too long to be a line of a table."""
        for start, size in self._too_long.items():
            name = file.named(f"line at byte {start:,}")
            yield LeftOut(name, size, "dropped", "too-large", "a line that is too long for a table")


def _delimiter(sample: list[str], cut: bool) -> str:
    best = (0.0, 0, _ONE_COLUMN)
    for delimiter in DELIMITERS:
        counts = _widths(sample, delimiter)
        if cut and len(counts) > 1:
            counts.pop()
        if not counts or counts[0] < 2:
            continue
        width, rows = Counter(counts).most_common(1)[0]
        if width > 1 and (rows / len(counts), width) > best[:2]:
            best = (rows / len(counts), width, delimiter)
    return best[2] if best[0] >= 0.5 else _ONE_COLUMN


def _widths(sample: Iterable[str], delimiter: str) -> list[int]:
    widths: list[int] = []
    with contextlib.suppress(csv.Error):  # a lone carriage return: what came before has to do
        reader = csv.reader(map(_without_nul, sample), delimiter=delimiter)
        widths.extend(len(cells) for cells in itertools.islice(reader, SAMPLE_ROWS) if cells)
    return widths


def _without_nul(text: str) -> str:
    return text.replace("\0", "\ufffd") if "\0" in text else text
