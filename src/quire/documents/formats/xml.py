"""XML of any vocabulary: its text in order, an element of running text a paragraph."""

from __future__ import annotations

import html.entities
import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.parsers import expat

from quire.documents.document import Document, DroppedFile, LeftOut, Part, Span
from quire.documents.formats.blocks import row_of
from quire.documents.formats.code import read_code
from quire.documents.formats.encodings import decode
from quire.documents.formats.html import read_html
from quire.documents.formats.normal_form import normal
from quire.documents.formats.reader import SourceFile
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

MEDIA_TYPES: dict[str, str] = {
    ".xml": "application/xml",
    ".tei": "application/tei+xml",
    ".nxml": "application/jats+xml",
    ".jats": "application/jats+xml",
    ".dbk": "application/docbook+xml",
    ".docbook": "application/docbook+xml",
    ".dita": "application/dita+xml",
    ".rss": "application/rss+xml",
    ".atom": "application/atom+xml",
}
"""Extension to media type of what this module reads; in other files of the kind, such as drawings, markup matters."""

MAX_DEPTH = 256
"""Elements inside one another, as libxml2 has it."""

MAX_GROWTH = 10
"""Times its own size that a file's text may grow to by the entities it declares."""

# Elements that make running text of what they stand in, even where there is nothing beside them (HTML, DocBook, JATS,
# TEI). Any other element is part of running text where there is text beside it.
_INLINE = frozenset(
    "a abbr acronym b bold c em emph emphasis foreign hi i italic monospace pc q rs s sc seg "  # noqa: SIM905
    "small span strong sub subscript sup superscript tt u underline w".split()
)
# Elements that are paragraphs of their own even where there is text beside them.
_BLOCK = frozenset(
    "ab body boxed-text caption disp-quote div entry entryfree fig figure head item l label lg li line "  # noqa: SIM905
    "list listitem note p para row sec section table tbody td th title tr verse".split()
)
_BREAKS = frozenset(("br", "break", "lb"))
_VERBATIM = frozenset("code-block codeblock eg literallayout pre preformat programlisting screen".split())  # noqa: SIM905
_NO_TEXT = frozenset(("script", "style"))
_ROWS = frozenset(("row", "tr"))
_FEEDS = frozenset(("rss", "feed", "rdf"))
_OF_FEEDS = frozenset(("description", "encoded", "content", "summary", "title"))  # they may hold HTML, escaped
_TAG = re.compile(r"</[a-zA-Z][a-zA-Z0-9]*\s*>|<(?:br|p|hr|img)\b[^>]*>")
_BREAK = re.compile(r" ?\v ?")
_STATED = re.compile(rb"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']([A-Za-z][\w.:-]*)[\"']")
_DECLARATION = re.compile(r"\s*<\?xml\s[^>]*\?>")
_REFERENCE = re.compile(r"&(?!#|lt;|gt;|amp;|apos;|quot;)")
_PIECE = 1 << 20
_WORDS_OF_PROSE = 5
_NAMED = re.compile(r"&([a-zA-Z][a-zA-Z0-9]*);")
_DECLARED = re.compile(r"<!ENTITY\s+(\S+)\s")


def read_xml(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the text of `file`: elements with text beside other elements are paragraphs, all others stand apart.

    White space is folded, except in elements for code. HTML inside of feeds is read as HTML. Where less than half of
    the words stand in paragraphs of five words or more, the file is data or settings, and is kept as it stands. What
    comes before the place where it breaks off is kept. Nothing outside of the file is ever opened; declared entities
    may not hold others.

    Raises:
        DroppedFile: "binary", or "empty".
        ReadError: it is broken from the start, nested deeper than `MAX_DEPTH`, or a bomb of entities.
    """
    stated = _STATED.match(file.data[:1024])
    text = decode(file.data, stated[1].decode("ascii") if stated else None).text
    reading = _Reading(settings, MAX_GROWTH * len(text) + 1000, file.where)
    wrong = reading.parse(_with_known_entities(_DECLARATION.sub("", text, count=1).lstrip()))
    if reading.root == "html":
        yield from read_html(file, settings)
        return
    blocks = reading.blocks()
    counts = [len(block.split()) for block in blocks]
    prose = sum(count for count in counts if count >= _WORDS_OF_PROSE)
    if wrong is not None and not blocks:
        raise ReadError(f"not XML: {wrong}", where=file.where)
    if 2 * prose < sum(counts) or not prose:
        yield from read_code(file, settings)
        return
    text = "\n\n".join(blocks)
    span = Span(0, len(text), byte_start=0, byte_end=len(file.data))
    yield Document(text, file.source, file.media_type, file.sha256, file.member, (span,))
    if wrong is not None:
        yield LeftOut(file.named("(the rest)"), 0, "failed", "damaged", f"broken from here on: {wrong}")


class _Ended(NamedTuple):
    """The paragraphs of an element that has ended.

    Args:
        blocks: the paragraphs; breaks in them are vertical tabs, and one may have white space around it.
        apart: they may not be joined with the text around the element.
        inline: they are joined with elements of the same kind even where there is no text around.
    """

    blocks: list[str]
    apart: bool
    inline: bool = False


class _Element:
    """An element that is open: the text in it so far, and the elements in it that have ended."""

    __slots__ = ("items", "name", "verbatim", "written")

    def __init__(self, name: str, verbatim: bool) -> None:
        self.name = name
        self.verbatim = verbatim
        self.written = False  # whether there is text in it, beside elements or alone
        self.items: list[str | _Ended] = []

    def ended(self) -> _Ended:
        """Return its paragraphs."""
        inner = [item for item in self.items if isinstance(item, _Ended)]
        if not self.written and not any(item.inline for item in inner):
            if len(inner) == 1:
                return inner[0]
            blocks = [block for item in inner for block in item.blocks]
            if self.name in _ROWS and blocks:
                blocks = [row_of([_folded(block) for block in blocks])]
            return _Ended(blocks, any(item.apart for item in inner))
        blocks, running = [], ""
        pieces: list[str] = []
        apart = False
        for item in self.items:
            if isinstance(item, str):
                pieces.append(item)
            elif item.apart or len(item.blocks) > 1 or not (self.written or item.inline):
                running = self._joined(pieces)
                blocks += ([running] if running.strip() else []) + item.blocks
                pieces, apart = [], True
            else:
                pieces += item.blocks
        running = self._joined(pieces)
        return _Ended(blocks + ([running] if running.strip() else []), apart)

    def _joined(self, pieces: list[str]) -> str:
        text = "".join(pieces)
        return text if self.verbatim else normal("\v".join(map(_folded, text.split("\v"))))


class _Reading:
    """Takes what the parser meets, and holds the elements that are open."""

    def __init__(self, settings: ReadSettings, limit: int, where: str) -> None:
        self.root: str | None = None
        self._settings = settings
        self._left = limit
        self._where = where
        self._open = [_Element("", False)]

    def parse(self, text: str) -> str | None:
        """Read the whole of `text`; return why it breaks off, if it does. Raises `ReadError` for attacks."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.SkippedEntityHandler = self._skipped
        parser.EntityDeclHandler = self._declared
        data = text.encode("utf-8", "replace")
        try:
            for place in range(0, len(data), _PIECE):
                parser.Parse(data[place : place + _PIECE], False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            parser.buffer_text = False  # hands over what it holds
            return f"line {error.lineno}: {expat.ErrorString(error.code)}"
        return None

    def blocks(self) -> list[str]:
        """Return the paragraphs, those of elements that were never closed too."""
        while len(self._open) > 1:
            self._end("")
        blocks = self._open[0].ended().blocks
        blocks = [(_BREAK.sub("\n", block) if "\v" in block else block).strip("\n").rstrip() for block in blocks]
        return [block if "\n" in block else block.strip() for block in blocks if block.strip()]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2].lower()
        self.root = self.root or name
        if len(self._open) > MAX_DEPTH:
            raise ReadError(f"elements nested deeper than {MAX_DEPTH}", where=self._where)
        around = self._open[-1]
        if name in _BREAKS and attributes.get("break") != "no":
            around.items.append("\n" if around.verbatim else "\v")
        verbatim = around.verbatim or name in _VERBATIM or attributes.get("xml:space") == "preserve"
        self._open.append(_Element(name, verbatim))

    def _text(self, text: str) -> None:
        self._left -= len(text)
        if self._left < 0:
            raise ReadError(f"its entities grow to over {MAX_GROWTH} times its size", where=self._where)
        element = self._open[-1]
        if text.isspace():
            element.items.append(text)
        else:
            element.written = True
            element.items.append(text)

    def _skipped(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            self._text(f"&{name};")

    def _declared(self, name: str, is_parameter: bool, value: str | None, *place: str | None) -> None:
        if value is not None and _REFERENCE.search(value):
            raise ReadError(f"the entity {name!r} holds other entities, as bombs do", where=self._where)

    def _end(self, name: str) -> None:
        element = self._open.pop()
        around = self._open[-1]
        if element.name in _NO_TEXT:
            return
        ended = element.ended()
        if (
            self.root in _FEEDS
            and element.name in _OF_FEEDS
            and len(ended.blocks) == 1
            and _TAG.search(ended.blocks[0])
        ):
            ended = self._html(ended.blocks[0])
        if not ended.blocks:
            if element.items and element.name in _INLINE:
                around.items.append(" ")
            return
        apart = ended.apart or element.name in _BLOCK or element.name in _VERBATIM
        around.items.append(_Ended(ended.blocks, apart, element.name in _INLINE and not apart))

    def _html(self, text: str) -> _Ended:
        page = SourceFile(text.encode("utf-8", "replace"), "", "text/html")
        try:
            return _Ended([part.text for part in read_html(page, self._settings) if isinstance(part, Document)], True)
        except DroppedFile:
            return _Ended([], False)


def _folded(text: str) -> str:
    """Return `text` with runs of white space as one space, at its ends too."""
    words = " ".join(text.split())
    if not words:
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{words}{' ' if text[-1].isspace() else ''}"


def _with_known_entities(text: str) -> str:
    """Return `text` with HTML's names of characters replaced, but for those that XML needs or the file declares."""

    def character(match: re.Match[str]) -> str:
        name = match[1]
        if name in ("lt", "gt", "amp", "apos", "quot", "LT", "GT", "AMP", "QUOT") or name in declared:
            return match[0]
        return html.entities.html5.get(f"{name};", match[0])

    declared = set(_DECLARED.findall(text))
    return _NAMED.sub(character, text)
