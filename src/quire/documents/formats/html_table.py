"""Tables of web pages: those of data are rows, those that lay out a page are their cells one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from quire.documents.formats.blocks import MAX_SPAN, REPEATED, Blocks, spread

LAYOUT_CELL = 1000
"""Characters of a cell from which a table is taken for the layout of a page, as it was before style sheets."""

MAX_CELLS = 1_000_000
"""Cells of a table, those repeated by spans included; more of them would be an attack."""


@dataclass
class Table:
    """A table that is being read: its rows, and what goes on from cells above.

    Args:
        is_layout: it lays out the page: it says so, or a cell is a passage or holds lines of code.
        has_titles: it has a caption, or cells that are titles of others, and so is one of data.
    """

    is_layout: bool = False
    has_titles: bool = False
    _rows: list[list[str]] = field(default_factory=list)
    _cells: list[Blocks] = field(default_factory=list)
    _above: dict[int, tuple[int, list[str]]] = field(default_factory=dict)
    _count: int = 0
    _characters: int = 0
    _in_stacks: int = 0

    def begin_row(self) -> None:
        """Begin a row; the cells that follow are of it."""
        self._rows.append([])

    def begin_cell(self) -> None:
        """Write what reaches down into the place where the next cell will stand."""
        if not self._rows:
            self.begin_row()
        row = self._rows[-1]
        while (column := len(row)) in self._above:
            left, texts = self._above.pop(column)
            row += texts
            self._count += len(texts)
            if left > 1:
                self._above[column] = (left - 1, texts)

    def add(self, blocks: Blocks, columns: int, rows: int, *, single: bool) -> None:
        """Add a cell over so many columns and rows; a `single` one is all of its row."""
        self._cells.append(blocks)
        text = blocks.inline()
        column = len(self._rows[-1])
        texts = [text] if single or self._count >= MAX_CELLS else spread(text, columns)
        self._rows[-1] += texts
        self._count += len(texts)
        if rows > 1 and self._count < MAX_CELLS:
            repeated = spread(text, 2)[1]
            self._above[column] = (min(rows, MAX_SPAN) - 1, [repeated if text else "" for text in texts])
        self._characters += len(text)
        kinds = blocks.kinds()
        if "rows" in kinds or (len(blocks) > 1 and (kinds & {"heading", "item"} or len(text) > REPEATED)):
            self._in_stacks += len(text)
        self.is_layout = self.is_layout or len(text) > LAYOUT_CELL or ("code" in kinds and len(blocks.code_lines()) > 1)

    def write(self, blocks: Blocks) -> None:
        """Add the table to `blocks`.

        Its cells stand one after the other where it is one of layout or has one column, or where it has no titles and
        more than half of its characters are in stacks: cells that hold a table, or several blocks with a heading or an
        item of a list among them or of more than `REPEATED` characters.
        """
        is_stacked = not self.has_titles and 2 * self._in_stacks > self._characters
        if self.is_layout or is_stacked or all(len(row) <= 1 for row in self._rows):
            for cell in self._without_line_numbers():
                blocks.extend(cell)
        else:
            blocks.rows(self._rows)

    def _without_line_numbers(self) -> Iterator[Blocks]:
        before: Blocks | None = None
        for cell in self._cells:
            if before is not None and not _numbers_lines(before, cell):
                yield before
            before = cell
        if before is not None:
            yield before


def _numbers_lines(numbers: Blocks, code: Blocks) -> bool:
    """Whether a cell holds nothing but the numbers of the lines of code in the next one."""
    if numbers.kinds() != {"code"} or code.kinds() != {"code"}:
        return False
    lines = [line.strip() for line in numbers.code_lines()]
    first = int(lines[0]) if lines[0].isdecimal() and len(lines[0]) < 9 else 0
    return len(code.code_lines()) <= len(lines) and lines == [str(first + place) for place in range(len(lines))]
