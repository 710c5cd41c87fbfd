"""PowerPoint files: slide by slide, each shape in reading order, with tables, charts, notes and comments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from quire.documents.document import DroppedFile, LeftOut, Part
from quire.documents.formats.blocks import Blocks, spread
from quire.documents.formats.members import Members
from quire.documents.formats.numbering import written
from quire.documents.formats.ooxml import (
    Relationship,
    add_chart,
    attribute_text,
    comment,
    drawn_text,
    main_part,
    paragraph_text,
    relation_id,
    relationships,
    targets,
)
from quire.documents.formats.pages import Page
from quire.documents.formats.pictures import paged
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.zipped import Package, attribute, number
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

SAME_ROW = 150_000
"""Shapes whose tops differ by less stand in one row: 0.16 inches, half a line of body text, in EMU."""

_TITLES = frozenset(("title", "ctrTitle"))
_FURNITURE = frozenset(("sldNum", "dt", "ftr", "hdr"))
_LISTED = frozenset(("body", "obj", ""))
_FORMS = {"alphaLc": "lowerLetter", "alphaUc": "upperLetter", "romanLc": "lowerRoman", "romanUc": "upperRoman"}


class _Frame(NamedTuple):
    """How the coordinates of a group become those of the slide: `place * scale + offset`, for x and for y."""

    scale_x: float = 1
    scale_y: float = 1
    x: float = 0
    y: float = 0


@dataclass(frozen=True)
class _Shape:
    """A shape that has text, where it stands, and its place holder's type (None: a plain shape)."""

    element: Element
    x: float
    y: float
    holder: str | None


def read_pptx(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the text of a slide deck, a page a slide, and what was left out of it.

    A slide's title comes first, its other shapes from top to bottom and from left to right; then its notes and the
    comments on it. Running feet, dates and slide numbers are left out.

    Raises:
        DroppedFile: "no-text", or a limit.
        PasswordError: encrypted.
        ReadError: not a PowerPoint file, or broken.
    """
    with Package(file, settings) as package:
        name, root = main_part(package, "ppt/presentation.xml")
        if root.tag != "presentation":
            raise ReadError("a zipped file that is no presentation", where=file.where)
        deck = _Deck(package, name, settings)
        members = Members(file, settings)
        pages: list[Page] = []
        left_out: list[LeftOut] = []
        entries = root.findall("sldIdLst/sldId")
        if len(entries) > settings.max_pages:
            raise DroppedFile("too-large", f"{len(entries):,} slides, more than max_pages = {settings.max_pages:,}")
        for position, entry in enumerate(entries, start=1):
            called = f"slide {position}"
            relation = deck.related.get(relation_id(entry) or "")
            text = ""
            try:
                if relation is None:
                    raise ReadError("it is missing", where=file.where)
                slide = package.xml(relation.target)
                if settings.hidden or attribute(slide, "show") not in ("0", "false"):
                    text = deck.text_of(relation.target, slide)
                else:
                    left_out.append(members.left_out(called, 0, "hidden", "a hidden slide, and hidden is off"))
            except ReadError as error:
                left_out.append(members.left_out(called, 0, "damaged", error.what, outcome="failed"))
            except DroppedFile as dropped:
                left_out.append(members.left_out(called, 0, dropped.rule, dropped.detail))
            pages.append(Page(text))
        yield from paged(package, settings, pages, left_out)


class _Deck:
    """What the slides of a deck share."""

    def __init__(self, package: Package, name: str, settings: ReadSettings) -> None:
        self.related: dict[str, Relationship] = relationships(package, name)
        self._package = package
        self._settings = settings
        self._left = settings.max_file_bytes
        self._layouts: dict[str, dict[str, tuple[float, float]]] = {}
        self._authors: dict[str, str] = {}
        for kind, tag in (("commentAuthors", "cmAuthor"), ("authors", "author")):
            for part in targets(self.related, kind):
                root = package.optional_xml(part)
                for author in () if root is None else root.iter(tag):
                    self._authors[attribute(author, "id") or ""] = attribute(author, "name") or ""

    def text_of(self, part: str, slide: Element) -> str:
        """Return the text of one slide."""
        blocks = Blocks(self._left)
        related = relationships(self._package, part)
        tree = slide.find("cSld/spTree")
        places = self._places(related)
        shapes = [] if tree is None else list(_shapes(tree, places, _Frame()))
        for shape in _in_reading_order(shapes):
            self._add(blocks, shape, related)
        for note in targets(related, "notesSlide"):
            self._add_notes(blocks, note)
        if self._settings.comments:
            for remarks in targets(related, "comments"):
                self._add_comments(blocks, remarks)
        text = blocks.text()
        self._left -= len(text)
        return text

    def _places(self, related: dict[str, Relationship]) -> dict[str, tuple[float, float]]:
        """Return where the layout of a slide, or its master, puts each place holder: by index, and by type."""
        found: dict[str, tuple[float, float]] = {}
        for layout in targets(related, "slideLayout")[:1]:
            if layout not in self._layouts:
                places: dict[str, tuple[float, float]] = {}
                for master in targets(relationships(self._package, layout), "slideMaster")[:1]:
                    places.update(self._holders(master))
                places.update(self._holders(layout))
                self._layouts[layout] = places
            found = self._layouts[layout]
        return found

    def _holders(self, part: str) -> Iterator[tuple[str, tuple[float, float]]]:
        root = self._package.optional_xml(part)
        for shape in () if root is None else root.iter("sp"):
            holder, offset = shape.find("nvSpPr/nvPr/ph"), shape.find("spPr/xfrm/off")
            if holder is not None and offset is not None:
                place = float(number(offset.get("x"), 0)), float(number(offset.get("y"), 0))
                yield f"type {holder.get('type', 'obj')}", place
                if holder.get("idx"):
                    yield f"index {holder.get('idx')}", place

    def _add(self, blocks: Blocks, shape: _Shape, related: dict[str, Relationship]) -> None:
        element = shape.element
        if element.tag == "sp":
            body = element.find("txBody")
            if body is None:
                return
            if shape.holder in _TITLES:
                blocks.heading(1, drawn_text(body))
            else:
                _add_body(blocks, body, listed=shape.holder in _LISTED)
            return
        for table in element.iter("tbl"):
            _add_table(blocks, table)
        for chart in element.iter("chart"):
            relation = related.get(relation_id(chart) or "")
            if relation is not None and not relation.external:
                add_chart(blocks, self._package, relation.target)
        for diagram in element.iter("relIds"):
            relation = related.get(attribute(diagram, "dm") or "")
            root = None if relation is None else self._package.optional_xml(relation.target)
            for point in () if root is None else root.iter("pt"):
                body = point.find("t")
                if body is not None and point.get("type", "node") in ("node", "asst"):
                    blocks.item(0, "-", drawn_text(body))

    def _add_notes(self, blocks: Blocks, part: str) -> None:
        root = self._package.optional_xml(part)
        for shape in () if root is None else root.iter("sp"):
            holder, body = shape.find("nvSpPr/nvPr/ph"), shape.find("txBody")
            if holder is not None and holder.get("type") == "body" and body is not None:
                text = drawn_text(body)
                blocks.paragraph(f"Notes: {text}" if text.strip() else "")

    def _add_comments(self, blocks: Blocks, part: str) -> None:
        root = self._package.optional_xml(part)
        for remark in () if root is None else root.iter("cm", "reply"):
            body = remark.find("text")
            text = (body.text or "") if body is not None else ""
            drawn = remark.find("txBody")
            if drawn is not None:
                text = drawn_text(drawn)
            if text.strip():
                author = self._authors.get(attribute(remark, "authorId") or "")
                date = attribute(remark, "dt") or attribute(remark, "created")
                blocks.paragraph(comment(author, date, text))


def _shapes(tree: Element, places: dict[str, tuple[float, float]], frame: _Frame) -> Iterator[_Shape]:
    for element in tree:
        tag = element.tag
        if tag == "AlternateContent":
            choice = element.find("Choice")
            fallback = element.find("Fallback")
            chosen = choice if choice is not None else fallback
            if chosen is not None:
                yield from _shapes(chosen, places, frame)
        elif tag == "grpSp":
            yield from _shapes(element, places, _inside(element.find("grpSpPr/xfrm"), frame))
        elif tag in ("sp", "graphicFrame"):
            holder = element.find("nvSpPr/nvPr/ph")
            kind = None if holder is None else holder.get("type", "")
            if kind in _FURNITURE:
                continue
            offset = element.find("spPr/xfrm/off") if tag == "sp" else element.find("xfrm/off")
            x, y = 0.0, 0.0
            if offset is not None:
                x, y = float(number(offset.get("x"), 0)), float(number(offset.get("y"), 0))
                x, y = x * frame.scale_x + frame.x, y * frame.scale_y + frame.y
            elif holder is not None:
                by_type = places.get(f"type {kind or 'obj'}", places.get("type body", (0.0, 0.0)))
                x, y = places.get(f"index {holder.get('idx')}", by_type)
            yield _Shape(element, x, y, kind)


def _inside(transform: Element | None, frame: _Frame) -> _Frame:
    """Return the frame of the shapes inside of a group."""

    def pair(tag: str, first: str, second: str) -> tuple[int, int]:
        found = None if transform is None else transform.find(tag)
        return number(attribute_text(found, first), 0), number(attribute_text(found, second), 0)

    (x, y), (width, height) = pair("off", "x", "y"), pair("ext", "cx", "cy")
    (inner_x, inner_y), (inner_width, inner_height) = pair("chOff", "x", "y"), pair("chExt", "cx", "cy")
    scale_x = width / inner_width if inner_width > 0 else 1.0
    scale_y = height / inner_height if inner_height > 0 else 1.0
    return _Frame(
        scale_x * frame.scale_x,
        scale_y * frame.scale_y,
        (x - inner_x * scale_x) * frame.scale_x + frame.x,
        (y - inner_y * scale_y) * frame.scale_y + frame.y,
    )


def _in_reading_order(shapes: list[_Shape]) -> list[_Shape]:
    """Return titles, then the others row by row."""
    titles = [shape for shape in shapes if shape.holder in _TITLES]
    others = sorted((shape for shape in shapes if shape.holder not in _TITLES), key=lambda shape: shape.y)
    ordered: list[_Shape] = []
    row: list[_Shape] = []
    for shape in others:
        if row and shape.y - row[0].y >= SAME_ROW:
            ordered += sorted(row, key=lambda shape: shape.x)
            row = []
        row.append(shape)
    return titles + ordered + sorted(row, key=lambda shape: shape.x)


def _add_body(blocks: Blocks, body: Element, *, listed: bool) -> None:
    """Add the paragraphs of a shape; a place holder's are `listed` unless they say otherwise, as its layout does."""
    counts: dict[int, int] = {}
    for paragraph in body.findall("p"):
        text = paragraph_text(paragraph)
        if not text.strip():
            continue
        properties = paragraph.find("pPr")
        level = number(attribute_text(properties, "lvl"), 0)
        numbered = None if properties is None else properties.find("buAutoNum")
        bullet = properties is not None and any(properties.find(tag) is not None for tag in ("buChar", "buBlip"))
        plain = properties is not None and properties.find("buNone") is not None
        for below in [deeper for deeper in counts if deeper > level or (deeper == level and numbered is None)]:
            del counts[below]
        if numbered is not None:
            counts[level] = counts[level] + 1 if level in counts else number(numbered.get("startAt"), 1)
            form = _FORMS.get((numbered.get("type") or "")[:7], "decimal")
            blocks.item(level, f"{written(counts[level], form)}.", text)
        elif bullet or (listed and not plain):
            blocks.item(level, "-", text)
        else:
            blocks.paragraph(text)


def _add_table(blocks: Blocks, table: Element) -> None:
    rows: list[list[str]] = []
    above: dict[int, str] = {}
    for row in table.findall("tr"):
        cells: list[str] = []
        for cell in row.findall("tc"):
            if attribute(cell, "hMerge") in ("1", "true"):
                continue
            if attribute(cell, "vMerge") in ("1", "true"):
                text = above.get(len(cells), "")
            else:
                body = cell.find("txBody")
                text = "" if body is None else drawn_text(body)
                above[len(cells)] = spread(text, 2)[1]
            span = number(attribute(cell, "gridSpan"), 1)
            cells += [text] if span >= len(row.findall("tc")) else spread(text, span)
        rows.append(cells)
    blocks.rows(rows)
