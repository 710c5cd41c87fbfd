"""Plain text, Markdown, reStructuredText and TeX: kept as they are."""

from __future__ import annotations

from quire.documents.document import Document, DroppedFile, Span
from quire.documents.formats.encodings import decode
from quire.documents.formats.reader import SourceFile
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
    """Return the text of `file`, every character and line end kept; only a byte order mark is no part of it.

    Raises:
        DroppedFile: "binary", or "empty" where there is only white space.
    """
    text, _, mark = decode(file.data)
    if not text or text.isspace():
        raise DroppedFile("empty", "nothing but white space")
    span = Span(0, len(text), byte_start=mark, byte_end=len(file.data))
    return [
        Document(
            text=text,
            source=file.source,
            member=file.member,
            media_type=file.media_type,
            sha256=file.sha256,
            pages=(span,),
            language=file.language,
        )
    ]
