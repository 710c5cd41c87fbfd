"""One file to its documents."""

from __future__ import annotations

import os
from pathlib import Path

from quire.documents.document import Document, DroppedFile
from quire.documents.formats.code import read_code
from quire.documents.formats.html import read_html
from quire.documents.formats.image import read_image
from quire.documents.formats.pdf import read_pdf
from quire.documents.formats.reader import Reader, SourceFile
from quire.documents.formats.text import read_text
from quire.documents.kinds import kind_of
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

__all__ = ["READERS", "DroppedFile", "read_bytes", "read_file"]

READERS: dict[str, Reader] = {
    "text": read_text,
    "code": read_code,
    "pdf": read_pdf,
    "image": read_image,
    "html": read_html,
}
"""The reader of each kind that `kind_of` knows."""


def read_file(path: Path, source: str, settings: ReadSettings) -> list[Document]:
    """Read one file as what its name and content say it is.

    Args:
        path: where it lies.
        source: what its documents are to say they come from.
        settings: limits, and how pictures are read.

    Returns:
        at least one document.

    Raises:
        DroppedFile: a rule leaves it out: "empty", "binary", "unsupported", "too-large" or "no-text".
        PasswordError: it is encrypted.
        ReadError: it cannot be opened, or is not what it says it is.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > settings.max_file_bytes:
                limit = settings.max_file_bytes
                raise DroppedFile("too-large", f"{size:,} bytes, more than max_file_bytes = {limit:,}")
            data = file.read(settings.max_file_bytes + 1)
    except OSError as error:
        raise ReadError(f"cannot be opened: {error.strerror or error}", where=source) from error
    return read_bytes(data, source, settings)


def read_bytes(data: bytes, source: str, settings: ReadSettings, *, member: str | None = None) -> list[Document]:
    """Read the bytes of a file, or of one `member` of the archive `source`; raises as `read_file` does."""
    if not data:
        raise DroppedFile("empty", "0 bytes")
    name = (source if member is None else member).rsplit("/", 1)[-1]
    try:
        kind = kind_of(name, data)
    except ReadError as error:
        raise ReadError(error.what, where=source if member is None else f"{source}!{member}") from None
    file = SourceFile(data, source, kind.media_type, kind.language, member)
    return READERS[kind.reader](file, settings)
