"""Electronic books in EPUB: the chapters in the order of the spine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from quire.documents.document import DroppedFile, LeftOut, Part
from quire.documents.formats.encodings import decode
from quire.documents.formats.html import page_blocks
from quire.documents.formats.members import Members
from quire.documents.formats.pages import Page
from quire.documents.formats.pictures import EXTENSIONS, paged
from quire.documents.formats.reader import SourceFile
from quire.documents.formats.zipped import Package, attribute, resolved
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

FONTS = frozenset(("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"))
"""Ways to garble fonts, which are no encryption of the book."""

_PAGES = frozenset(("application/xhtml+xml", "text/html", "text/x-oeb1-document"))
_VOID = "area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr"
_CLOSED = re.compile(rf"<(?!(?:{_VOID})[\s/>])([A-Za-z][\w:.-]*)(\s[^<>]*?)?/>", re.IGNORECASE)
_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([\w.:-]+)["']""")


def read_epub(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the text of a book, a page a chapter file of its spine, and what was left out of it.

    The table of contents is left out, whose words all stand in the chapters.

    Raises:
        DroppedFile: "no-text", or a limit.
        PasswordError: the chapters are encrypted (DRM).
        ReadError: no book, or broken.
    """
    with Package(file, settings) as package:
        name, root = _opf(package)
        _refuse_encryption(package)
        spine, pictures = _order(name, root)
        members = Members(file, settings)
        if len(spine) > settings.max_pages:
            raise DroppedFile("too-large", f"{len(spine):,} chapters, more than max_pages = {settings.max_pages:,}")
        pages: list[Page] = []
        left_out: list[LeftOut] = []
        left = settings.max_file_bytes
        for chapter in spine:
            try:
                text = _chapter(package.read(chapter), settings, left)
                left -= len(text)
            except ReadError as error:
                left_out.append(members.left_out(chapter, 0, "damaged", error.what, outcome="failed"))
                text = ""
            except DroppedFile as dropped:
                left_out.append(members.left_out(chapter, 0, dropped.rule, dropped.detail))
                text = ""
            pages.append(Page(text))
        yield from paged(package, settings, pages, left_out, pictures)


def _opf(package: Package) -> tuple[str, Element]:
    """Return the path and the root of the file that lists the parts of the book."""
    container = package.optional_xml("META-INF/container.xml")
    named = [] if container is None else [entry.get("full-path") or "" for entry in container.iter("rootfile")]
    for name in (*named, *(name for name in package.names if name.lower().endswith(".opf"))):
        if package.has(name):
            root = package.xml(name)
            if root.tag == "package":
                return name, root
    raise ReadError("a zipped file that is no electronic book: it has no list of its parts", where=package.file.where)


def _refuse_encryption(package: Package) -> None:
    root = package.optional_xml("META-INF/encryption.xml")
    for data in () if root is None else root.iter("EncryptedData"):
        method = data.find("EncryptionMethod")
        if method is None or method.get("Algorithm") not in FONTS:
            raise PasswordError("a book locked by digital rights management", where=package.file.where)


def _order(name: str, root: Element) -> tuple[list[str], list[str]]:
    """Return the chapters in reading order, and the pictures."""
    items: dict[str, tuple[str, str, str]] = {}
    pictures: list[str] = []
    for item in root.iter("item"):
        identifier, address = item.get("id"), item.get("href")
        if identifier is None or address is None or "://" in address:
            continue
        path = resolved(name, unquote(address.partition("#")[0]))
        kind = (item.get("media-type") or "").lower()
        items[identifier] = path, kind, item.get("properties") or ""
        if kind.startswith("image/") and ("." + path.rpartition(".")[2].lower()) in EXTENSIONS:
            pictures.append(path)
    chapters: dict[str, None] = {}
    for entry in root.iter("itemref"):
        path, kind, properties = items.get(attribute(entry, "idref") or "", ("", "", ""))
        if kind in _PAGES and "nav" not in properties.split():
            chapters[path] = None
    return list(chapters), pictures


def _chapter(data: bytes, settings: ReadSettings, most: int) -> str:
    declared = _DECLARED.search(data[:200])
    html = decode(data, stated=declared[1].decode("ascii") if declared else None).text
    html = _CLOSED.sub(r"<\1\2></\1>", html)  # <title/> is whole in XHTML, and swallows the page in HTML
    return page_blocks(html, settings, main_content=False, most=most).text()
