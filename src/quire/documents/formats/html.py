"""Web pages: what a page is about, without markup, scripts, styles, menus and feet."""

from __future__ import annotations

import re
from typing import Any, cast

from quire.documents.document import Document, DroppedFile
from quire.documents.formats.blocks import EXPONENT, Blocks
from quire.documents.formats.encodings import decode
from quire.documents.formats.html_table import Table
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.webpage import UNSEEN, Webpage, flatten, is_around, is_hidden, main_element
from quire.documents.formats.zipped import number
from quire.documents.settings import ReadSettings

# https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding
_CHARSET = re.compile(rb"<meta[^>]*?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
_PRE_STYLE = re.compile(r"white-space\s*:\s*(pre|break-spaces)", re.IGNORECASE)
_PRE_CLASS = re.compile(r"(?<!\S)(whitespace-)?pre(-wrap|-line)?(?!\S)", re.IGNORECASE)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "dir", "div", "dl"),
        *("dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend"),
        *("main", "menu", "nav", "noscript", "optgroup", "option", "p", "section", "select", "summary", "textarea"),
        *("caption", "tbody", "tfoot", "thead", "colgroup", "col", "search", "tr", "td", "th"),
    )
)
_SHORT = 10
"""Nodes in an exponent at most."""

MAX_TABLES = 8
"""Tables in one another that are read as tables."""

MAX_PAGE_BYTES = 64 * 2**20
"""Larger pages are dropped: one of 14 MB, in short paragraphs, took 0.5 GB of memory."""

_FALLBACK = 5
"""Where the main content of a page is under 200 characters and all of it over this many times as much, all is kept."""


def read_html(file: SourceFile, settings: ReadSettings) -> list[Document]:
    """Return what the page `file` is about, block by block; code blocks keep their lines, tables are rows.

    The encoding is a byte order mark's, else strict UTF-8, else what the page's meta element names, else detected.

    Raises:
        DroppedFile: "binary", "too-large", or "no-text" where nothing is visible.
    """
    stated = _CHARSET.search(file.data[:1024])
    html = decode(file.data, stated=stated[1].decode("ascii") if stated else None).text
    blocks = page_blocks(html, settings, main_content=settings.main_content)
    if not blocks:
        raise DroppedFile("no-text", "no visible text in the page")
    return [blocks.document(file)]


def page_blocks(html: str, settings: ReadSettings, *, main_content: bool, most: int | None = None) -> Blocks:
    """Return the blocks of a page.

    Args:
        html: the page.
        settings: `links` and `max_file_bytes`.
        main_content: leave out what stands around the content.
        most: characters that the blocks may have; `max_file_bytes` of them where it is None.

    Raises:
        DroppedFile: "too-large".
    """
    from resiliparse.parse.html import HTMLTree

    if len(html) > MAX_PAGE_BYTES:
        raise DroppedFile("too-large", f"a page of {len(html):,} characters, more than {MAX_PAGE_BYTES:,}")
    tree = HTMLTree.parse(html)
    page = flatten(tree.body)
    if not page.tags:  # frames, or nothing at all
        return Blocks(0)
    limit = settings.max_file_bytes if most is None else most
    if not main_content:
        return _Writer(page, settings, limit, content_only=False).write(0)
    blocks = _Writer(page, settings, limit, content_only=True).write(main_element(page))
    found = len(blocks.text())
    if found < 200 and page.sizes[0] > _FALLBACK * found:
        return _Writer(page, settings, limit, content_only=False).write(0)
    return blocks


def _attribute(node: Any, name: str) -> str | None:
    """Return an attribute of an element; None where it has none."""
    return None if node is None else cast("str | None", node.getattr(name))


class _Writer:
    """Goes through the nodes of a page once and writes blocks."""

    def __init__(self, page: Webpage, settings: ReadSettings, most: int, *, content_only: bool) -> None:
        self._page = page
        self._settings = settings
        self._most = most
        self._content_only = content_only
        self._blocks = Blocks(most)
        self._pieces: list[str] = []
        self._heading = 0
        self._lists: list[int | None] = []  # the next number; None for bullets
        self._mark: str | None = None  # of the item whose first words are still to come
        self._in_item = 0
        self._tables: list[Table] = []
        self._one_line_until = 0
        self._deeper = 0  # tables inside those that are read as tables

    def write(self, start: int) -> Blocks:
        """Return the blocks of the element number `start`."""
        page = self._page
        leaving: list[tuple[int, Any]] = []
        index = start
        while index < page.ends[start]:
            while leaving and leaving[-1][0] <= index:
                leaving.pop()[1]()
            tag = page.tags[index]
            if not tag:
                self._pieces.append(_SPACES.sub(" ", page.texts[index]))
                index += 1
                continue
            if self._skips(index, start):
                index = page.ends[index]
                continue
            after = self._enter(index)
            if after is False:
                index = page.ends[index]
                continue
            if after is not None:
                leaving.append((page.ends[index], after))
            index += 1
        while leaving:
            leaving.pop()[1]()
        self._flush()
        return self._blocks

    def _skips(self, index: int, start: int) -> bool:
        tag, node = self._page.tags[index], self._page.nodes[index]
        if tag == "script":
            kind = _attribute(node, "type") or ""
            if kind.startswith("math/tex"):
                self._pieces.append(f"${self._raw(index)}$")
            return True
        if tag in UNSEEN or (index != start and is_hidden(self._page, index)):
            return True
        return self._content_only and index != start and is_around(self._page, index)

    def _enter(self, index: int) -> Any:
        """Begin an element; return what ends it, None where there is nothing to do, False if it is done already."""
        tag, node = self._page.tags[index], self._page.nodes[index]
        if tag == "br":
            self._pieces.append("\n")
        elif tag in _HEADINGS:
            self._flush()
            self._heading = _HEADINGS[tag]
            return self._end_heading
        elif tag in ("pre", "listing", "xmp"):
            self._flush()
            self._add_code(self._raw(index))
            return False
        elif tag in ("ul", "ol"):
            self._flush()
            self._lists.append(number(_attribute(node, "start"), 1) if tag == "ol" else None)
            return self._end_list
        elif tag == "li":
            self._flush()
            self._begin_item(node)
            return self._end_item
        elif tag == "table":
            return self._begin_table(node)
        elif tag == "tr" and self._tables and not self._deeper:
            self._tables[-1].begin_row()
        elif tag in ("td", "th") and self._tables and not self._deeper:
            self._tables[-1].has_titles = self._tables[-1].has_titles or tag == "th"
            return self._begin_cell(node)
        elif tag == "code" and node is not None and self._keeps_lines(index):
            self._flush()
            self._add_code(self._raw(index))
            return False
        elif tag in _BLOCKS:
            if tag in ("caption", "thead") and self._tables and not self._deeper:
                self._tables[-1].has_titles = True
            self._flush()
            return self._flush
        elif tag == "math":
            self._pieces.append(self._formula(index))
            return False
        elif tag == "sup" and self._page.ends[index] - index < _SHORT:
            text = _SPACES.sub("", self._raw(index))
            if EXPONENT.fullmatch(text) and self._pieces and self._pieces[-1][-1:].strip():
                self._pieces.append("^")  # or ten to the sixth would be one hundred and six
        elif tag == "q":
            self._pieces.append("“")
            return lambda: self._pieces.append("”")
        elif tag == "a" and self._settings.links:
            return self._begin_link(node)
        return None

    def _raw(self, index: int) -> str:
        """Return the characters in an element as they are, a line break for each `br`."""
        page = self._page
        pieces = []
        position = index + 1
        while position < page.ends[index]:
            if page.tags[position] == "br":
                pieces.append("\n")
            pieces.append(page.texts[position])
            position += 1
        return "".join(pieces)

    def _keeps_lines(self, index: int) -> bool:
        """Whether an element of code has lines, and is shown with them by its own style or class."""
        page = self._page
        if index < self._one_line_until:
            return False
        node = page.nodes[index]
        style, classes = _attribute(node, "style") or "", _attribute(node, "class") or ""
        if not (_PRE_STYLE.search(style) or _PRE_CLASS.search(classes)):
            return False
        inside = range(index + 1, page.ends[index])
        if any(page.tags[inner] == "br" or "\n" in page.texts[inner] for inner in inside):
            return True
        self._one_line_until = page.ends[index]  # or code in code would be looked through again and again
        return False

    def _formula(self, index: int) -> str:
        """Return a formula: the TeX that was written beside it, else its letters."""
        page = self._page
        for inner in range(index, page.ends[index]):
            if page.tags[inner] == "annotation" and "tex" in (_attribute(page.nodes[inner], "encoding") or ""):
                return f"${self._raw(inner).strip()}$"
        alternative = _attribute(page.nodes[index], "alttext")
        return f"${alternative.strip()}$" if alternative else _SPACES.sub("", self._raw(index))

    def _flush(self) -> None:
        """End the block that is being written."""
        text = "".join(self._pieces)
        self._pieces.clear()
        if not text or text.isspace():
            return
        if self._heading:
            self._blocks.heading(self._heading, text)
        elif self._in_item:
            level = len(self._lists) - 1
            if self._mark is None:
                self._blocks.item(level + 1, "", text)
            else:
                self._blocks.item(level, self._mark, text)
            self._mark = None
        else:
            self._blocks.paragraph(text)

    def _end_heading(self) -> None:
        self._flush()
        self._heading = 0

    def _begin_item(self, node: Any) -> None:
        if not self._lists:
            self._lists.append(None)
            self._in_item += 1
            self._mark = "-"
            return
        count = self._lists[-1]
        if count is None:
            self._mark = "-"
        else:
            count = number(_attribute(node, "value"), count)
            self._mark = f"{count}."
            self._lists[-1] = count + 1
        self._in_item += 1

    def _end_item(self) -> None:
        self._flush()
        self._mark = None
        self._in_item -= 1

    def _end_list(self) -> None:
        self._flush()
        if self._lists:
            self._lists.pop()

    def _add_code(self, text: str) -> None:
        self._blocks.code(text)

    def _begin_link(self, node: Any) -> Any:
        address = (_attribute(node, "href") or "").strip()
        begin = len(self._pieces)
        nowhere = ("javascript:", "data:", "#") if self._content_only else ("javascript:", "data:")

        def end() -> None:
            words = "".join(self._pieces[begin:])
            if words.strip() and address and not address.lower().startswith(nowhere):
                del self._pieces[begin:]
                left, right = words[: len(words) - len(words.lstrip())], words[len(words.rstrip()) :]
                self._pieces.append(f"{left}[{words.strip()}]({address}){right}")

        return end

    def _begin_table(self, node: Any) -> Any:
        self._flush()
        if len(self._tables) >= MAX_TABLES:
            self._deeper += 1
            return self._end_deeper
        table = Table(is_layout=(_attribute(node, "role") or "") in ("presentation", "none"))
        self._tables.append(table)

        def end() -> None:
            self._flush()
            self._tables.pop()
            table.write(self._blocks)

        return end

    def _end_deeper(self) -> None:
        self._flush()
        self._deeper -= 1

    def _begin_cell(self, node: Any) -> Any:
        self._flush()
        table = self._tables[-1]
        table.begin_cell()
        outer = (self._blocks, self._heading, self._lists, self._mark, self._in_item)
        self._blocks, self._heading, self._lists, self._mark, self._in_item = Blocks(self._most), 0, [], None, 0

        def end() -> None:
            self._flush()
            cell = self._blocks
            self._blocks, self._heading, self._lists, self._mark, self._in_item = outer
            # A title over all columns is written once; a cell without attributes has no span to ask for.
            single = node is None or (node.prev_element is None and node.next_element is None)
            columns, rows = number(_attribute(node, "colspan"), 1), number(_attribute(node, "rowspan"), 1)
            table.add(cell, columns, rows, single=single)

        return end
