"""OpenDocument files: texts, spreadsheets and slides of LibreOffice and others, zipped or as one XML file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from quire.documents.document import DroppedFile, Part
from quire.documents.formats.blocks import MAX_SPAN, REPEATED, Blocks, spread
from quire.documents.formats.members import Members
from quire.documents.formats.numberforms import shown
from quire.documents.formats.numbering import written
from quire.documents.formats.ooxml import attribute_text, comment
from quire.documents.formats.pages import Page, document_of
from quire.documents.formats.pictures import embedded_pictures
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.zipped import MAX_TREE_BYTES, Package, attribute, number, parse_xml, resolved
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

MAX_SPACES = 40
"""Spaces in a row that one element may stand for."""

SAME_ROW = 0.4
"""Shapes whose tops differ by less, in centimetres, stand in one row: half a line of body text."""

_CONTENT = "content.xml"
_SILENT = frozenset(
    ("annotation-end", "title", "desc", "tracked-changes", "sequence-decls", "forms", "ruby-text", "hidden-text")
)
_FORMS = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_LENGTH = re.compile(r"(-?[\d.]+)\s*(cm|mm|in|pt|pc|px)?")
_UNITS = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 2.54 / 72, "pc": 2.54 / 6, "px": 2.54 / 96}
_ROUNDED = re.compile(r"-?\d([.,]\d+)?E[+-]?\d+")  # as a cell shows a long number
_WHITE = re.compile(r"[\t\r\n ]+")


def read_odf(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the text of an OpenDocument file, and what was left out of it; sheets and slides are its pages.

    Deleted text of tracked changes, running heads and feet are left out; notes stand at the end of a text.

    Raises:
        DroppedFile: "no-text", or a limit.
        PasswordError: encrypted.
        ReadError: no OpenDocument file, or broken.
    """
    if file.data.lstrip()[:5] in (b"<?xml", b"<offi"):
        if file.size > MAX_TREE_BYTES:
            raise DroppedFile("too-large", f"{file.size:,} bytes of XML, more than {MAX_TREE_BYTES:,}")
        story = _Story(parse_xml(file.data, file.where), None, settings)
        yield from story.parts(file)
        return
    with Package(file, settings) as package:
        manifest = package.optional_xml("META-INF/manifest.xml")
        locked = None if manifest is None else next(manifest.iter("encryption-data"), None)
        if package.has("encrypted-package") or locked is not None:
            hint = "Save it without a password"
            raise PasswordError("an OpenDocument file encrypted with a password", where=file.where, hint=hint)
        story = _Story(package.xml(_CONTENT), package, settings)
        yield from story.parts(file)
        yield from embedded_pictures(package, settings, alone=not story.found)


class _Story:
    """The text of an OpenDocument file on its way into blocks."""

    def __init__(self, root: Element, package: Package | None, settings: ReadSettings) -> None:
        self.found = False
        self._root = root
        self._package = package
        self._settings = settings
        self._left = settings.max_file_bytes
        self._lists = {attribute(style, "name"): style for style in root.iter("list-style")}
        self._hidden = _hidden_styles(root)
        self._notes: list[Element] = []
        self._beside: list[Blocks] = []

    def parts(self, file: SourceFile) -> Iterator[Part]:
        """Yield the document, and the sheets or slides that were left out."""
        body = self._root.find("body")
        if self._root.tag not in ("document-content", "document") or body is None:
            raise ReadError("no OpenDocument file: it has no body", where=file.where)
        members = Members(file, self._settings)
        for kind, tag, called in (("spreadsheet", "table", "sheet"), ("presentation", "page", "slide")):
            book = body.find(kind)
            if book is None:
                continue
            pages: list[Page] = []
            entries = book.findall(tag)
            if len(entries) > self._settings.max_pages:
                most = self._settings.max_pages
                raise DroppedFile("too-large", f"{len(entries):,} {called}s, more than max_pages = {most:,}")
            for position, entry in enumerate(entries, start=1):
                text = ""
                if attribute(entry, "style-name") in self._hidden and not self._settings.hidden:
                    name = attribute(entry, "name") or str(position)
                    yield members.left_out(f"{called} {name}", 0, "hidden", f"a hidden {called}, and hidden is off")
                else:
                    text = self._sheet(entry) if tag == "table" else self._slide(entry)
                    self._left -= len(text)
                pages.append(Page(text))
            if any(page.text for page in pages):
                self.found = True
                yield document_of(file, pages)
            elif self._package is None:
                raise DroppedFile("no-text", "no text in it")
            return
        blocks = Blocks(self._left)
        for text in body:
            self.add(text, blocks)
        self._add_notes(blocks)
        if blocks:
            self.found = True
            yield blocks.document(file)
        elif self._package is None:
            raise DroppedFile("no-text", "no text in it")

    def add(self, container: Iterable[Element], blocks: Blocks, level: int = -1, mark: str | None = None) -> None:
        """Add the paragraphs, lists and tables in `container`; its first paragraph has the `mark` of a list."""
        for child in container:
            tag = child.tag
            if tag == "h":
                blocks.heading(number(attribute(child, "outline-level"), 1), self._line(child))
                self._add_beside(blocks)
            elif tag == "p":
                text = self._line(child)
                if level < 0:
                    blocks.paragraph(text)
                elif text.strip():
                    blocks.item(level if mark else level + 1, mark or "", text)
                    mark = None
                self._add_beside(blocks)
            elif tag == "list":
                self._add_list(child, blocks, level + 1)
            elif tag == "table":
                self._add_table(child, blocks)
            elif tag in _SILENT or not isinstance(tag, str):
                continue
            elif tag in ("frame", "custom-shape", "rect", "ellipse", "g", "a", "polygon", "path", "circle"):
                self._add_frame(child, blocks)
            elif len(child):
                self.add(child, blocks, level, mark)

    def _line(self, paragraph: Element) -> str:
        pieces: list[str] = []
        self._collect(paragraph, pieces)
        return "".join(pieces)

    def _collect(self, element: Element, pieces: list[str]) -> None:
        pieces.append(_WHITE.sub(" ", element.text or ""))
        for child in element:
            tag = child.tag
            if tag == "s":
                pieces.append(" " * min(number(attribute(child, "c"), 1), MAX_SPACES))
            elif tag == "tab":
                pieces.append("\t")
            elif tag == "line-break":
                pieces.append("\n")
            elif tag == "note":
                self._notes.append(child)
                pieces.append(f"[^{len(self._notes)}]")
            elif tag == "annotation":
                self._put_comment(child)
            elif tag in ("frame", "custom-shape", "rect", "ellipse", "g"):
                box = Blocks(self._left)
                outer, self._beside = self._beside, []
                self._add_frame(child, box)
                self._beside = [*outer, box]
            elif tag == "a" and self._settings.links:
                words: list[str] = []
                self._collect(child, words)
                text, address = "".join(words), attribute(child, "href")
                pieces.append(f"[{text}]({address})" if text.strip() and address else text)
            elif tag not in _SILENT and isinstance(tag, str):
                self._collect(child, pieces)
            pieces.append(_WHITE.sub(" ", child.tail or ""))

    def _add_beside(self, blocks: Blocks) -> None:
        beside, self._beside = self._beside, []
        for other in beside:
            blocks.extend(other)

    def _put_comment(self, annotation: Element) -> None:
        if self._settings.comments:
            lines = [self._line(paragraph) for paragraph in annotation.iter("p")]
            block = Blocks(self._left)
            author, date = (annotation.findtext(tag) for tag in ("creator", "date"))
            text = " ".join(lines)
            block.paragraph(comment(author, date, text) if text.strip() else "")
            self._beside.append(block)

    def _add_notes(self, blocks: Blocks) -> None:
        position = 0
        while position < len(self._notes):  # a note may have notes
            body = self._notes[position].find("note-body")
            position += 1
            inner = Blocks(self._left)
            if body is not None:
                self.add(body, inner)
            blocks.paragraph(f"[^{position}]: {inner.inline()}")

    def _add_list(self, found: Element, blocks: Blocks, level: int, style: Element | None = None) -> None:
        named = attribute(found, "style-name")
        style = self._lists.get(named, style) if named else style
        form, suffix, count = _list_form(style, level + 1)
        for item in found:
            if item.tag not in ("list-item", "list-header"):
                continue
            if item.tag == "list-item":
                count = number(attribute(item, "start-value"), count + 1)
            mark = None if item.tag == "list-header" else "-" if form is None else f"{written(count, form)}{suffix}"
            for child in item:
                if child.tag == "list":
                    self._add_list(child, blocks, level + 1, style)
                else:
                    before = len(blocks)
                    self.add([child], blocks, level, mark)
                    mark = mark if len(blocks) == before else None

    def _add_table(self, table: Element, blocks: Blocks) -> None:
        rows: list[list[str]] = []
        above: dict[int, tuple[int, str]] = {}
        for row in _rows(table):
            cells: list[str] = []
            for cell in row:
                if cell.tag not in ("table-cell", "covered-table-cell"):
                    continue
                count = number(attribute(cell, "number-columns-repeated"), 1)
                if cell.tag == "covered-table-cell":
                    for _ in range(min(count, MAX_SPAN)):
                        left, text = above.get(len(cells), (0, ""))
                        above[len(cells)] = left - 1, text
                        cells.append(text if left > 0 else "")
                    continue
                text = self._cell(cell)
                columns = number(attribute(cell, "number-columns-spanned"), 1)
                repeated = spread(text, 2)[1]
                down = min(number(attribute(cell, "number-rows-spanned"), 1), MAX_SPAN) - 1
                if columns > 1 and len(row) > min(columns, MAX_SPAN):  # not a title over all columns
                    for column in range(len(cells) + 1, len(cells) + min(columns, MAX_SPAN)):
                        above[column] = down + 1, repeated
                if down > 0:
                    above[len(cells)] = down, repeated
                cells += [text] * min(count, MAX_SPAN if text and len(text) <= REPEATED else 1 if text else 8)
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                again = number(attribute(row, "number-rows-repeated"), 1)
                rows += [cells] * min(max(again, 1), MAX_SPAN)
        blocks.rows(rows)

    def _cell(self, cell: Element) -> str:
        inner = Blocks(self._left)
        self.add(cell, inner)
        value = attribute(cell, "value")
        if value is not None and _ROUNDED.fullmatch(inner.inline()):
            inner = Blocks(self._left)
            inner.paragraph(shown(value, ""))
        for annotation in cell.findall("annotation"):
            self._put_comment(annotation)
        self._add_beside(inner)
        return inner.inline()

    def _add_frame(self, frame: Element, blocks: Blocks) -> None:
        """Add what a drawn frame holds: text, a table, a chart, a formula."""
        for child in frame:
            tag = child.tag
            if tag == "object":
                self._add_object(attribute(child, "href"), blocks)
            elif tag in ("image", "glue-point", "enhanced-geometry") or tag in _SILENT:
                continue
            elif tag in ("p", "h", "list", "table"):
                self.add([child], blocks)
            elif isinstance(tag, str):
                self._add_frame(child, blocks)

    def _add_object(self, address: str | None, blocks: Blocks) -> None:
        if self._package is None or not address:
            return
        root = self._package.optional_xml(resolved("", f"{address}/{_CONTENT}"))
        if root is None:
            return
        if root.tag == "math":
            written_as = next(root.iter("annotation"), None)
            blocks.paragraph((written_as.text or "") if written_as is not None else "".join(root.itertext()))
            return
        for chart in root.iter("chart"):
            for title in chart.findall("title"):
                blocks.paragraph(" ".join("".join(line.itertext()) for line in title.iter("p")))
            for table in chart.findall("table"):
                self._add_table(table, blocks)
            break

    def _sheet(self, sheet: Element) -> str:
        blocks = Blocks(self._left)
        inner = Blocks(self._left)
        self._add_table(sheet, inner)
        for shapes in sheet.findall("shapes"):
            self._add_frame(shapes, inner)
        if inner:
            blocks.heading(1, attribute(sheet, "name") or "")
            blocks.extend(inner)
        return blocks.text()

    def _slide(self, slide: Element) -> str:
        blocks = Blocks(self._left)
        shapes = [child for child in slide if child.tag not in ("notes", "annotation")]
        for shape in _in_reading_order(shapes):
            kind = attribute(shape, "class")
            if kind in ("header", "footer", "date-time", "page-number"):
                continue
            inner = Blocks(self._left)
            self._add_frame(shape, inner)
            if kind == "title":
                blocks.heading(1, inner.inline().lstrip("- "))
            else:
                blocks.extend(inner)
        for notes in slide.findall("notes"):
            inner = Blocks(self._left)
            self._add_frame(notes, inner)
            blocks.paragraph(f"Notes: {inner.text()}" if inner else "")
        for annotation in slide.findall("annotation"):
            self._put_comment(annotation)
        self._add_beside(blocks)
        return blocks.text()


def _rows(table: Element) -> Iterator[Element]:
    """Yield the rows of a table, those of groups too, but not those of tables inside of it."""
    for child in table:
        if child.tag == "table-row":
            yield child
        elif child.tag in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _rows(child)


def _list_form(style: Element | None, level: int) -> tuple[str | None, str, int]:
    """Return how a level of a list is numbered (None: by bullets), what follows a number, and where counting begins."""
    for form in () if style is None else style:
        if attribute(form, "level") == str(level) and form.tag == "list-level-style-number":
            shown = attribute(form, "num-format")
            if shown:
                start = number(attribute(form, "start-value"), 1)
                return _FORMS.get(shown, "decimal"), attribute(form, "num-suffix") or ".", start - 1
    return None, "", 0


def _hidden_styles(root: Element) -> frozenset[str | None]:
    """Return the names of the styles that hide a sheet or a slide."""
    hidden: list[str | None] = []
    for style in root.iter("style"):
        table, page = style.find("table-properties"), style.find("drawing-page-properties")
        if attribute_text(table, "display") == "false" or attribute_text(page, "visibility") == "hidden":
            hidden.append(attribute(style, "name"))
    return frozenset(hidden)


def _in_reading_order(shapes: list[Element]) -> list[Element]:
    """Return titles, then the others from top to bottom, those in a row from left to right."""
    placed = [(_centimetres(attribute(shape, "y")), _centimetres(attribute(shape, "x")), shape) for shape in shapes]
    titles = [entry for entry in placed if attribute(entry[2], "class") == "title"]
    others = sorted((entry for entry in placed if attribute(entry[2], "class") != "title"), key=lambda entry: entry[0])
    ordered: list[tuple[float, float, Element]] = []
    row: list[tuple[float, float, Element]] = []
    for entry in others:
        if row and entry[0] - row[0][0] >= SAME_ROW:
            ordered += sorted(row, key=lambda entry: entry[1])
            row = []
        row.append(entry)
    return [entry[2] for entry in titles + ordered + sorted(row, key=lambda entry: entry[1])]


def _centimetres(length: str | None) -> float:
    match = _LENGTH.fullmatch((length or "").strip())
    try:
        return float(match[1]) * _UNITS[match[2] or "cm"] if match else 0.0
    except ValueError:
        return 0.0
