"""Plain text, Markdown, reStructuredText and TeX: kept as they are written, prose in its normal form."""

from __future__ import annotations

from dataclasses import replace

from quire.documents.document import Document, DroppedFile, Span
from quire.documents.formats.encodings import Decoded, decode
from quire.documents.formats.normal_form import CODE_IN, changed, changes, is_normal, moved, normal
from quire.documents.formats.reader import SourceFile
from quire.documents.languages import extension_of
from quire.documents.settings import ReadSettings

MEDIA_TYPES: dict[str, str] = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".log": "text/plain",
    ".asc": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".mdx": "text/markdown",
    ".qmd": "text/markdown",
    ".rmd": "text/markdown",
    ".rst": "text/x-rst",
    ".adoc": "text/asciidoc",
    ".org": "text/org",
    ".tex": "text/x-tex",
    ".ltx": "text/x-tex",
    ".sty": "text/x-tex",
    ".cls": "text/x-tex",
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt",
}
"""Extension to media type of what is read as text."""


def read_text(file: SourceFile, settings: ReadSettings) -> list[Document]:
    """Return the text of `file`, every line end kept; a byte order mark is no part of it.

    Prose is in its normal form: Unicode NFC, ligatures spelt out, no soft hyphens. Code in it stays as it is, and so do
    TeX, logs, and what has an extension that is not known. Every character leads back to its bytes.

    Raises:
        DroppedFile: "binary", or "empty" where there is only white space.
    """
    decoded = decode(file.data)
    document = _document(file, decoded)
    if is_normal(decoded.text) or not _is_prose(file):
        return [document]
    code = CODE_IN[file.media_type]
    text, encoding, mark = decoded
    if mark + len(text.encode(encoding, "replace")) != len(file.data):  # broken bytes: no part leads back to its own
        text = normal(text, code)
        return [replace(document, text=text, pages=(Span(0, len(text)),))] if text.strip() else [document]
    made = list(changes(text, code))
    spans = moved(text, made, mark, encoding)
    text = changed(text, made)
    return [replace(document, text=text, pages=spans)] if text.strip() else [document]


def read_verbatim(file: SourceFile, settings: ReadSettings) -> list[Document]:
    """Return the text of `file`, every character and line end kept; only a byte order mark is no part of it.

    Raises:
        DroppedFile: "binary", or "empty" where there is only white space.
    """
    return [_document(file, decode(file.data))]


def _document(file: SourceFile, decoded: Decoded) -> Document:
    text, _, mark = decoded
    if not text or text.isspace():
        raise DroppedFile("empty", "nothing but white space")
    span = Span(0, len(text), byte_start=mark, byte_end=len(file.data))
    return Document(
        text=text,
        source=file.source,
        member=file.member,
        media_type=file.media_type,
        sha256=file.sha256,
        pages=(span,),
        language=file.language,
    )


def _is_prose(file: SourceFile) -> bool:
    """Whether the name says that it is prose: what is called a.conf is text, but nobody knows of what."""
    name = (file.source if file.member is None else file.member).rpartition("!")[2].rpartition("/")[2]
    extension = extension_of(name)
    return file.media_type in CODE_IN and extension != ".log" and (not extension or extension in MEDIA_TYPES)
