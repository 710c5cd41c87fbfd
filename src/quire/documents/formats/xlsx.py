"""Excel files: sheet by sheet, a line a row, dates and numbers as the sheet shows them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from quire.documents.document import DroppedFile, LeftOut, Part, counted
from quire.documents.formats.blocks import MAX_SPAN, REPEATED, Blocks, row_of
from quire.documents.formats.members import BROKEN, Members
from quire.documents.formats.numberforms import BUILT_IN, shown
from quire.documents.formats.ooxml import (
    Relationship,
    add_chart,
    attribute_text,
    comment,
    drawn_text,
    main_part,
    relation_id,
    relationships,
    targets,
)
from quire.documents.formats.pages import Page
from quire.documents.formats.pictures import paged
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.zipped import Package, attribute, local, number, stream_xml
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

COLUMNS = 16_384
"""Columns of a sheet: Excel has no more."""

GAP = 8
"""Empty cells in a row that are written; where there are more between two values, they say nothing more."""

MAX_MERGES = 20_000
"""Merged ranges of a sheet whose value is written in each of their cells."""

_MERGE = re.compile(rb"""mergeCell\s[^>]{0,200}?ref\s*=\s*["']([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})["']""")
_BLOCK = 1 << 20
_OVERLAP = 300
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_LETTERS = re.compile(r"[A-Za-z]{1,3}")


def read_xlsx(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the text of a workbook, a page a sheet, and what was left out of it.

    Rows keep their cells between bars; empty rows and the empty cells at the ends of rows are left out, however many a
    sheet claims to have. Formulas give the value that was saved with them. Sheets are streamed, so that memory is
    bounded by the text.

    Raises:
        DroppedFile: "no-text", or a limit.
        PasswordError: encrypted.
        ReadError: not a workbook, or broken.
    """
    with Package(file, settings) as package:
        name, root = main_part(package, "xl/workbook.xml")
        if root.tag != "workbook":
            raise ReadError("a zipped file that is no workbook of the newer format", where=file.where)
        book = _Book(package, name, root, settings)
        members = Members(file, settings)
        pages: list[Page] = []
        left_out: list[LeftOut] = []
        for entry in root.iterfind("sheets/sheet"):
            title = attribute(entry, "name") or ""
            relation = book.related.get(relation_id(entry) or "")
            text = ""
            if attribute(entry, "state") in ("hidden", "veryHidden") and not settings.hidden:
                left_out.append(members.left_out(f"sheet {title}", 0, "hidden", "a hidden sheet, and hidden is off"))
            elif relation is None or relation.external:
                left_out.append(members.left_out(f"sheet {title}", 0, "damaged", "it is missing", outcome="failed"))
            else:
                text, broken = book.text_of(title, relation.target)
                if broken is not None:
                    left_out.append(members.left_out(f"sheet {title}", 0, *broken))
            pages.append(Page(text))
        yield from paged(package, settings, pages, left_out)


class _Book:
    """What the sheets of a workbook share."""

    def __init__(self, package: Package, name: str, root: Element, settings: ReadSettings) -> None:
        self.related: dict[str, Relationship] = relationships(package, name)
        self._package = package
        self._settings = settings
        self._left = settings.max_file_bytes
        self._since_1904 = (attribute_text(root.find("workbookPr"), "date1904") or "0") in ("1", "true")
        self._strings = self._shared_strings()
        self._forms = self._formats()
        self._authors: dict[str, str] = {}
        for part in targets(self.related, "person"):
            people = package.optional_xml(part)
            for person in () if people is None else people.iter("person"):
                self._authors[attribute(person, "id") or ""] = attribute(person, "displayName") or ""

    def text_of(self, title: str, part: str) -> tuple[str, tuple[str, str, str] | None]:
        """Return the text of a sheet, and what is wrong with it: rule, detail, outcome; None where nothing is."""
        blocks = Blocks(self._left)
        rows: list[str] = []
        length = 0
        broken = None
        try:
            for row in self._rows(part):
                length += len(row)
                if length > self._left:
                    limit = self._settings.max_file_bytes
                    raise DroppedFile("too-large", f"more than max_file_bytes = {limit:,} characters of text")
                rows.append(row)
        except ReadError as error:
            broken = ("damaged", f"broken after {counted(len(rows), 'row')}: {error.what}", "failed")
        except DroppedFile as dropped:
            broken = (dropped.rule, f"left out after {counted(len(rows), 'row')}: {dropped.detail}", "dropped")
        body = "\n".join(rows)
        self._left = max(0, self._left - len(body))
        beside = Blocks(self._left)
        self._add_beside(beside, part)
        self._left = max(0, self._left - len(beside.text()))
        if body or beside:
            blocks = Blocks(len(title) + 10)
            blocks.heading(1, title)
        return "\n\n".join(text for text in (blocks.text(), body, beside.text()) if text), broken

    def _rows(self, part: str) -> Iterator[str]:
        merges = self._merges(part)
        active: list[tuple[int, int, int, str]] = []  # first and last column, last row, value
        number_before = 0
        with self._package.open(part) as stream:
            for row in stream_xml(stream, frozenset(("row",)), f"{self._package.file.where}!{part}"):
                cells: dict[int, str] = {}
                column = -1
                for cell in row:
                    if local(cell) != "c":
                        continue
                    column = _column(cell.get("r"), column + 1)
                    text = self._value(cell) if len(cell) and column < COLUMNS else ""
                    if text:
                        cells[column] = text
                position = number_before = number(row.get("r"), number_before + 1)
                active = [merge for merge in active if merge[2] >= position]
                alone = len(cells) == 1 and not active  # a title over all columns
                for first, last, last_row in merges.pop(position, ()):
                    value = cells.get(first, "")
                    if value and len(value) <= REPEATED and not alone:
                        active.append((first, min(last, first + MAX_SPAN - 1), last_row, value))
                for first, last, _, value in active:
                    for covered in range(first, last + 1):
                        cells.setdefault(covered, value)
                written = row_of(_dense(cells))
                if written:
                    yield written

    def _merges(self, part: str) -> dict[int, list[tuple[int, int, int]]]:
        """Return the merged ranges of a sheet by their first row: first column, last column, last row.

        They stand behind the cells, so they are looked for in a pass of their own.
        """
        found: dict[int, list[tuple[int, int, int]]] = {}
        count = 0
        with self._package.open(part) as stream:
            rest = b""
            try:
                while (block := stream.read(_BLOCK)) and count < MAX_MERGES:
                    data = rest + block
                    end = 0
                    for match in _MERGE.finditer(data):
                        first, last = _column(match[1].decode(), 0), _column(match[3].decode(), 0)
                        top, bottom = int(match[2]), int(match[4])
                        found.setdefault(top, []).append((first, last, min(bottom, top + MAX_SPAN - 1)))
                        count += 1
                        end = match.end()
                    rest = data[max(end, len(data) - _OVERLAP) :]
            except (zipfile.BadZipFile, *BROKEN):
                return found  # the pass over the cells says what is wrong
        return found

    def _value(self, cell: Element) -> str:
        kind = cell.get("t", "n")
        value = ""
        for child in cell:
            tag = local(child)
            if tag == "v":
                value = child.text or ""
            elif tag == "is":
                value = _rich_text(child)
        if kind == "s":
            index = number(value, -1)
            return self._strings[index] if 0 <= index < len(self._strings) else ""
        if kind in ("str", "inlineStr"):
            return _unescaped(value)
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(value, value)
        if kind == "d":
            return value.removesuffix("T00:00:00")
        if kind == "e" or not value:
            return value
        return shown(value, self._forms.get(number(cell.get("s"), 0), ""), since_1904=self._since_1904)

    def _shared_strings(self) -> list[str]:
        strings: list[str] = []
        for part in targets(self.related, "sharedStrings")[:1]:
            if self._package.has(part):
                with self._package.open(part) as stream:
                    where = f"{self._package.file.where}!{part}"
                    strings += [_rich_text(entry) for entry in stream_xml(stream, frozenset(("si",)), where)]
        return strings

    def _formats(self) -> dict[int, str]:
        """Return the format code of each style that a cell may name."""
        for part in targets(self.related, "styles")[:1]:
            root = self._package.optional_xml(part)
            if root is None:
                continue
            codes = dict(BUILT_IN)
            for form in root.iterfind("numFmts/numFmt"):
                codes[number(form.get("numFmtId"), -1)] = form.get("formatCode") or ""
            styles = root.findall("cellXfs/xf")
            return {index: codes.get(number(style.get("numFmtId"), 0), "") for index, style in enumerate(styles)}
        return {}

    def _add_beside(self, blocks: Blocks, part: str) -> None:
        """Add what lies over the cells: charts, text boxes, comments."""
        related = relationships(self._package, part)
        for drawing in targets(related, "drawing"):
            root = self._package.optional_xml(drawing)
            charts = relationships(self._package, drawing)
            for element in () if root is None else root.iter("chart", "txBody"):
                if element.tag == "txBody":
                    blocks.paragraph(drawn_text(element))
                    continue
                relation = charts.get(relation_id(element) or "")
                if relation is not None and not relation.external:
                    add_chart(blocks, self._package, relation.target)
        if not self._settings.comments:
            return
        threads = targets(related, "threadedComment")
        for remarks in threads:
            root = self._package.optional_xml(remarks)
            for remark in () if root is None else root.iter("threadedComment"):
                text = remark.find("text")
                author = self._authors.get(attribute(remark, "personId") or "")
                if text is not None and (text.text or "").strip():
                    blocks.paragraph(comment(author, attribute(remark, "dT"), text.text or ""))
        for remarks in [] if threads else targets(related, "comments"):
            root = self._package.optional_xml(remarks)
            if root is None:
                continue
            authors = [author.text or "" for author in root.iterfind("authors/author")]
            for remark in root.iter("comment"):
                body = remark.find("text")
                index = number(attribute(remark, "authorId"), -1)
                author = authors[index] if 0 <= index < len(authors) else None
                text = "" if body is None else _rich_text(body)
                if text.strip():
                    blocks.paragraph(comment(author, None, text))


def _dense(cells: dict[int, str]) -> list[str]:
    """Return the cells of a row in order, the empty ones between them too, up to `GAP` in a row."""
    row: list[str] = []
    before = -1
    for column in sorted(cells):
        row += [""] * min(column - before - 1, GAP)
        row.append(cells[column])
        before = column
    return row


def _rich_text(element: Element) -> str:
    """Return the text of a string item: its runs, without the pronunciation written over it."""
    pieces: list[str] = []
    for child in element:
        tag = local(child)
        if tag == "t":
            pieces.append(child.text or "")
        elif tag == "r":
            pieces += [part.text or "" for part in child if local(part) == "t"]
    return _unescaped("".join(pieces))


def _unescaped(text: str) -> str:
    """Return a string with its escapes (`_x000D_`) resolved, ECMA-376, part 1, 22.9.2.19."""
    if "_x" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        value = int(match[1], 16)
        return "" if value < 9 or 0xD800 <= value < 0xE000 else chr(value)

    return _ESCAPED.sub(character, text)


def _column(reference: str | None, default: int) -> int:
    """Return the column of a cell such as "AB12", counted from 0."""
    match = _LETTERS.match(reference or "")
    if match is None:
        return default
    column = 0
    for letter in match[0].upper():
        column = column * 26 + ord(letter) - ord("A") + 1
    return column - 1
