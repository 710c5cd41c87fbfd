"""Blocks of text: headings, paragraphs, lists, rows and code, written the way Markdown writes them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from quire.documents.document import Document, DroppedFile, Span
from quire.documents.formats.normal_form import LIGATURES
from quire.documents.formats.reader import SourceFile

REPEATED = 200
"""Characters of a cell up to which it is written again in each column or row that it spans: a value, not a passage."""

MAX_SPAN = 20
"""Columns or rows over which a cell is written again at most, so that no small table unpacks to a large text."""

EXPONENT = re.compile(r"[-−–+]?\d+|n|[-+−]")
"""What a raised piece of text is if it is no mark of a note and no ending such as in 1st: it gets a "^"."""

_SPACES = re.compile(r"[^\S\n]+")
_AROUND_BREAKS = re.compile(r" ?\n ?")
_CLEANED = str.maketrans({**dict.fromkeys("\u00ad\u200b\u2060\ufeff\0", ""), **LIGATURES})
_DEEPEST = 9


class Blocks:
    """Collects blocks of text in the order in which a reader meets them.

    Args:
        most: characters of all blocks together; more of them are no document but an attack or a mistake.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._length = 0
        self._blocks: list[tuple[str, str]] = []

    def heading(self, level: int, text: str) -> None:
        """Add a heading of `level` 1 to 6, on one line."""
        text = clean(text).replace("\n", " ")
        if text:
            self._add("heading", f"{'#' * min(max(level, 1), 6)} {text}")

    def paragraph(self, text: str) -> None:
        """Add a paragraph, its line breaks kept."""
        self._add("paragraph", clean(text))

    def item(self, level: int, mark: str, text: str) -> None:
        """Add an item of a list, `level` 0 the outermost, with its `mark`: "-", "1." and the like."""
        text = clean(text)
        if text:
            indent = "  " * min(max(level, 0), _DEEPEST)
            first = f"{indent}{mark} " if mark else indent
            self._add("item", first + text.replace("\n", "\n" + " " * len(first)))

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table, a line a row, its cells between bars."""
        written: list[str] = []
        length = self._length
        for row in rows:
            line = row_of(row)
            if line:
                length += len(line) + 1
                if length > self._most:
                    raise self._too_long()
                written.append(line)
        self._add("rows", "\n".join(written))

    def code(self, text: str) -> None:
        """Add code: every character and line break is kept."""
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip("\n").rstrip()
        if text:
            fence = "```"
            while fence in text:
                fence += "`"
            self._add("code", f"{fence}\n{text}\n{fence}")

    def extend(self, other: Blocks) -> None:
        """Add the blocks of `other`."""
        for kind, block in other._blocks:
            self._add(kind, block)

    def inline(self) -> str:
        """Return the blocks on one line, as they fit into the cell of a table."""
        return " ".join(
            " ".join(block.split("\n")[1:-1] if kind == "code" else block.split("\n")) for kind, block in self._blocks
        )

    def kinds(self) -> set[str]:
        """Return what kinds of blocks there are: "heading", "paragraph", "item", "rows" and "code"."""
        return {kind for kind, _ in self._blocks}

    def code_lines(self) -> list[str]:
        """Return the lines of all code."""
        return [line for kind, block in self._blocks if kind == "code" for line in block.split("\n")[1:-1]]

    def text(self) -> str:
        """Return all blocks: the items of a list on lines of their own, other blocks with a blank line between them."""
        parts: list[str] = []
        before = ""
        for kind, block in self._blocks:
            if parts:
                parts.append("\n" if kind == before == "item" else "\n\n")
            parts.append(block)
            before = kind
        return "".join(parts)

    def document(self, file: SourceFile) -> Document:
        """Return the document that the blocks make of a file without pages.

        Raises:
            DroppedFile: "no-text".
        """
        text = self.text()
        if not text:
            raise DroppedFile("no-text", "no text in it")
        return Document(
            text=text,
            source=file.source,
            member=file.member,
            media_type=file.media_type,
            sha256=file.sha256,
            pages=(Span(0, len(text)),),
        )

    def __len__(self) -> int:
        return len(self._blocks)

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def _add(self, kind: str, block: str) -> None:
        if not block:
            return
        self._length += len(block)
        if self._length > self._most:
            raise self._too_long()
        self._blocks.append((kind, block))

    def _too_long(self) -> DroppedFile:
        return DroppedFile("too-large", f"more than {self._most:,} characters of text, by max_file_bytes")


def clean(text: str) -> str:
    """Return `text` in Unicode NFC, ligatures spelt out, runs of spaces as one, without invisible marks."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # nothing to do, as for most cells of most tables
    text = text.translate(_CLEANED).replace("\r\n", "\n").replace("\r", "\n").replace("\v", "\n")
    text = _AROUND_BREAKS.sub("\n", _SPACES.sub(" ", text)).strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def row_of(cells: Sequence[str]) -> str:
    """Return the cells of a row between bars, without the empty ones at its end; "" where all of them are empty."""
    shown = [clean(cell).replace("\n", " ") for cell in cells]
    while shown and not shown[-1]:
        shown.pop()
    return f"| {' | '.join(shown)} |" if shown else ""


def spread(text: str, span: int) -> list[str]:
    """Return the cells that a cell over `span` columns or rows takes: `text` in each of them if it is a value."""
    span = min(max(span, 1), MAX_SPAN)
    return [text] * span if len(text) <= REPEATED else [text, *[""] * (span - 1)]
