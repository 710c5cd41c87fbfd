"""Web pages: the text a reader sees, without markup, scripts and styles."""

from __future__ import annotations

import re

from quire.documents.document import Document, DroppedFile, Span
from quire.documents.formats.encodings import decode
from quire.documents.formats.reader import SourceFile
from quire.documents.settings import ReadSettings

# https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding
_CHARSET = re.compile(rb"<meta[^>]*?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)


def read_html(file: SourceFile, settings: ReadSettings) -> list[Document]:
    """Return the visible text of `file`, block by block, lists with bullets.

    The encoding is a byte order mark's, else strict UTF-8, else what the page's meta element names, else detected.

    Raises:
        DroppedFile: "binary", or "no-text" where nothing is visible.
    """
    from resiliparse.extract.html2text import extract_plain_text

    stated = _CHARSET.search(file.data[:1024])
    html = decode(file.data, stated=stated[1].decode("ascii") if stated else None).text
    text = extract_plain_text(html, preserve_formatting=True, alt_texts=False, noscript=True).strip()
    if not text:
        raise DroppedFile("no-text", "no visible text in the page")
    return [
        Document(
            text=text,
            source=file.source,
            member=file.member,
            media_type=file.media_type,
            sha256=file.sha256,
            pages=(Span(0, len(text)),),
        )
    ]
