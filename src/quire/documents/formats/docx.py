"""Word files: headings, paragraphs, numbered lists, tables, text boxes, notes and comments, in reading order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from quire.documents.document import Part
from quire.documents.formats.blocks import EXPONENT, MAX_SPAN, REPEATED, Blocks, spread
from quire.documents.formats.formulas import formula_text
from quire.documents.formats.numbering import Numbering
from quire.documents.formats.ooxml import (
    Relationship,
    add_chart,
    attribute_text,
    comment,
    main_part,
    relation_id,
    relationships,
    targets,
)
from quire.documents.formats.pictures import embedded_pictures
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.zipped import Package, attribute, number
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

MAX_STYLES_ABOVE = 20
"""Styles that a style may be based on in a row; more of them is a loop."""

_GONE = frozenset(("del", "moveFrom", "rPr", "pPr", "instrText", "delText", "delInstrText", "rt", "sectPr"))
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_TRUE = frozenset(("1", "true", "on"))


def read_docx(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the text of a Word file, and what was left out of it.

    Numbers of lists and headings are counted as Word counts them. Deleted text of tracked changes, running heads and
    feet are left out; text boxes stand behind the paragraph that holds them, notes at the end.

    Raises:
        DroppedFile: "no-text", or a limit.
        PasswordError: encrypted.
        ReadError: not a Word file, or broken.
    """
    with Package(file, settings) as package:
        name, root = main_part(package, "word/document.xml")
        body = root.find("body")
        if root.tag != "document" or body is None:
            raise ReadError("a zipped file that is no Word document", where=file.where)
        story = _Story(package, name, settings)
        story.add(body, story.blocks)
        story.add_notes()
        if story.blocks:
            yield story.blocks.document(file)
        yield from embedded_pictures(package, settings, alone=not story.blocks)


@dataclass(frozen=True)
class _Style:
    """What a paragraph has from its style: the level of a heading (0 for none), and its place in a list."""

    heading: int = 0
    list: str | None = None
    level: int | None = None


class _Story:
    """The text of a Word file on its way into blocks."""

    def __init__(self, package: Package, name: str, settings: ReadSettings) -> None:
        self.blocks = Blocks(settings.max_file_bytes)
        self._package = package
        self._settings = settings
        self._related: dict[str, Relationship] = relationships(package, name)
        self._numbering = Numbering(package.optional_xml(self._part("numbering")))
        self._styles = _styles(package.optional_xml(self._part("styles")))
        self._notes = {kind: self._by_id(f"{kind}s", kind) for kind in ("footnote", "endnote")}
        self._comments = self._by_id("comments", "comment") if settings.comments else {}
        self._noted: dict[tuple[str, str], int] = {}  # in order, with their numbers
        self._beside: list[Blocks] = []

    def add(self, container: Element, blocks: Blocks) -> None:
        """Add the paragraphs and tables that stand in `container` (a body, a cell, a text box, a note)."""
        for child in container:
            tag = child.tag
            if tag == "p":
                self._add_paragraph(child, blocks)
            elif tag == "tbl":
                self._add_table(child, blocks)
            elif tag == "AlternateContent":
                self.add(_choice(child), blocks)
            elif tag in _GONE or not isinstance(tag, str):
                continue
            elif len(child):  # content controls, custom XML, tracked insertions
                self.add(child, blocks)

    def add_notes(self) -> None:
        """Add the notes that were referred to, in order; one may refer to others."""
        written = 0
        while written < len(self._noted):
            for (kind, identifier), position in list(self._noted.items())[written:]:
                written += 1
                self._add_note(kind, identifier, position)

    def _add_note(self, kind: str, identifier: str, position: int) -> None:
        inner = Blocks(self._settings.max_file_bytes)
        self.add(self._notes[kind][identifier], inner)
        self.blocks.paragraph(f"[^{position}]: {inner.inline()}")

    def _add_paragraph(self, paragraph: Element, blocks: Blocks) -> None:
        outer, self._beside = self._beside, []
        pieces: list[str] = []
        self._collect(paragraph, pieces)
        text = "".join(pieces)
        beside, self._beside = self._beside, outer
        heading, mark, level = self._place(paragraph, bool(text.strip()))
        if heading:
            blocks.heading(heading, f"{mark} {text}" if mark and mark != "-" else text)
        elif mark is not None:
            blocks.item(level, mark, text)
        else:
            blocks.paragraph(text)
        for other in beside:
            blocks.extend(other)

    def _place(self, paragraph: Element, counted: bool) -> tuple[int, str | None, int]:
        """Return the level of a heading or 0, the mark of a list or None, and its level."""
        properties = paragraph.find("pPr")
        style = _Style()
        if properties is not None:
            style = self._styles.get(attribute_text(properties.find("pStyle"), "val") or "", style)
            outline = attribute_text(properties.find("outlineLvl"), "val")
            if outline is not None and number(outline, 9) < 6:
                style = replace(style, heading=number(outline, 0) + 1)
            own = properties.find("numPr")
            if own is not None:
                listed = attribute_text(own.find("numId"), "val")
                level = attribute_text(own.find("ilvl"), "val")
                style = replace(
                    style,
                    list=style.list if listed is None else listed,
                    level=style.level if level is None else number(level, 0),
                )
        depth = style.level or 0
        if style.list is None or style.list == "0" or not counted:
            return style.heading, None, depth
        return style.heading, self._numbering.mark(style.list, depth), depth

    def _collect(self, element: Element, pieces: list[str]) -> None:
        """Append the text of a paragraph or run; text boxes, charts and comments are put beside."""
        for child in element:
            tag = child.tag
            if tag == "t":
                pieces.append(child.text or "")
            elif tag in _BREAKS:
                pieces.append(_BREAKS[tag])
            elif tag == "r":
                if self._settings.hidden or not _is_hidden(child):
                    if _is_exponent(child) and pieces and pieces[-1][-1:].strip():
                        pieces.append("^")
                    self._collect(child, pieces)
            elif tag in ("oMath", "oMathPara"):
                pieces.append(formula_text(child))
            elif tag in ("footnoteReference", "endnoteReference"):
                pieces.append(self._noted_as(tag.removesuffix("Reference"), attribute(child, "id")))
            elif tag == "commentReference":
                self._put_comment(attribute(child, "id"))
            elif tag == "hyperlink":
                self._collect_link(child, pieces)
            elif tag == "txbxContent":
                box = Blocks(self._settings.max_file_bytes)
                self.add(child, box)
                self._beside.append(box)
            elif tag == "chart":
                self._put_chart(child)
            elif tag == "AlternateContent":
                self._collect(_choice(child), pieces)
            elif tag == "sym":
                pieces.append(_symbol(attribute(child, "char")))
            elif tag in _GONE or not isinstance(tag, str):
                continue
            elif len(child):
                self._collect(child, pieces)

    def _collect_link(self, link: Element, pieces: list[str]) -> None:
        words: list[str] = []
        self._collect(link, words)
        text = "".join(words)
        relation = self._related.get(relation_id(link) or "")
        shown = self._settings.links and relation is not None and relation.external and text.strip()
        pieces.append(f"[{text}]({relation.target})" if shown and relation is not None else text)

    def _add_table(self, table: Element, blocks: Blocks) -> None:
        rows: list[list[str]] = []
        above: dict[int, str] = {}  # what stands in a column and may go on in the rows below
        for row in table.iter("tr"):
            if _owner(row, "tbl") is not table or row.find("trPr/del") is not None:
                continue
            before = attribute_text(row.find("trPr/gridBefore"), "val")
            cells = [""] * min(number(before, 0), MAX_SPAN)
            for cell in row.iter("tc"):
                if _owner(cell, "tr") is not row:
                    continue
                properties = cell.find("tcPr")
                merged = None if properties is None else properties.find("vMerge")
                if merged is not None and attribute(merged, "val") != "restart":
                    text = above.get(len(cells), "")
                else:
                    inner = Blocks(self._settings.max_file_bytes)
                    self.add(cell, inner)
                    text = inner.inline()
                    above[len(cells)] = text if len(text) <= REPEATED else ""
                span = attribute_text(None if properties is None else properties.find("gridSpan"), "val")
                single = not cells and cell.getnext() is None  # a title over all columns
                cells += [text] if single else spread(text, number(span, 1))
            rows.append(cells)
        blocks.rows(rows)

    def _noted_as(self, kind: str, identifier: str | None) -> str:
        if identifier not in self._notes[kind]:
            return ""
        return f"[^{self._noted.setdefault((kind, identifier), len(self._noted) + 1)}]"

    def _put_comment(self, identifier: str | None) -> None:
        found = self._comments.pop(identifier or "", None)
        if found is not None:
            inner = Blocks(self._settings.max_file_bytes)
            others, self._comments = self._comments, {}  # a comment in a comment would nest without an end
            self.add(found, inner)
            self._comments = others
            block = Blocks(self._settings.max_file_bytes)
            block.paragraph(comment(attribute(found, "author"), attribute(found, "date"), inner.inline()))
            self._beside.append(block)

    def _put_chart(self, chart: Element) -> None:
        relation = self._related.get(relation_id(chart) or "")
        if relation is not None and not relation.external:
            block = Blocks(self._settings.max_file_bytes)
            add_chart(block, self._package, relation.target)
            self._beside.append(block)

    def _part(self, kind: str) -> str | None:
        return next(iter(targets(self._related, kind)), None)

    def _by_id(self, kind: str, tag: str) -> dict[str, Element]:
        root = self._package.optional_xml(self._part(kind))
        found = () if root is None else root.findall(tag)
        real = (entry for entry in found if attribute(entry, "type") in (None, "normal"))
        return {attribute(entry, "id") or "": entry for entry in real}


def _styles(root: Element | None) -> dict[str, _Style]:
    """Return what each paragraph style says, with what it has from the styles that it is based on."""
    if root is None:
        return {}
    raw: dict[str, tuple[_Style, str | None]] = {}
    for style in root.findall("style"):
        name = (attribute_text(style.find("name"), "val") or "").lower()
        heading = 1 if name == "title" else 0
        if name.startswith("heading ") and name[8:].isdecimal():
            heading = number(name[8:], 0)
        outline = attribute_text(style.find("pPr/outlineLvl"), "val")
        if not heading and outline is not None and number(outline, 9) < 6:
            heading = number(outline, 0) + 1
        level = attribute_text(style.find("pPr/numPr/ilvl"), "val")
        own = _Style(
            heading,
            attribute_text(style.find("pPr/numPr/numId"), "val"),
            None if level is None else number(level, 0),
        )
        raw[attribute(style, "styleId") or ""] = own, attribute_text(style.find("basedOn"), "val")
    return {identifier: _inherited(identifier, raw) for identifier in raw}


def _inherited(identifier: str, raw: dict[str, tuple[_Style, str | None]]) -> _Style:
    style, base = raw[identifier]
    for _ in range(MAX_STYLES_ABOVE):
        if base is None or base not in raw:
            break
        above, base = raw[base]
        style = _Style(
            style.heading or above.heading,
            above.list if style.list is None else style.list,
            above.level if style.level is None else style.level,
        )
    return style


def _choice(alternate: Element) -> Element:
    """Return the one version of what is there twice, for newer and for older programs."""
    choice = alternate.find("Choice")
    fallback = alternate.find("Fallback")
    if choice is not None and (fallback is None or len(choice)):
        return choice
    return alternate if fallback is None else fallback


def _is_hidden(run: Element) -> bool:
    vanish = run.find("rPr/vanish")
    return vanish is not None and (attribute(vanish, "val") or "1") in _TRUE


def _is_exponent(run: Element) -> bool:
    """Return whether a run is a raised number: without a sign of it, ten to the sixth would be one hundred and six."""
    if attribute_text(run.find("rPr/vertAlign"), "val") != "superscript":
        return False
    return EXPONENT.fullmatch("".join(text.text or "" for text in run.iter("t"))) is not None


def _owner(element: Element, tag: str) -> Element | None:
    """Return the nearest element above that is called `tag`."""
    return next(element.iterancestors(tag), None)


def _symbol(code: str | None) -> str:
    try:
        value = int(code or "", 16)
    except ValueError:
        return ""
    if 0xE000 <= value < 0xF900 or not 0x20 <= value < 0xD800:  # private use: the meaning is in the font alone
        return ""
    return chr(value)
