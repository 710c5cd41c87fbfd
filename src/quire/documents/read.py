"""One file to its documents."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from quire.documents.document import DroppedFile, Part
from quire.documents.formats.archive import read_archive
from quire.documents.formats.code import read_code
from quire.documents.formats.docx import read_docx
from quire.documents.formats.epub import read_epub
from quire.documents.formats.html import read_html
from quire.documents.formats.image import read_image
from quire.documents.formats.mail import read_mail
from quire.documents.formats.mailbox import read_mailbox
from quire.documents.formats.members import Budget
from quire.documents.formats.notebook import read_notebook
from quire.documents.formats.odf import read_odf
from quire.documents.formats.pdf import read_pdf
from quire.documents.formats.pptx import read_pptx
from quire.documents.formats.reader import Reader, SourceFile
from quire.documents.formats.records import read_json, read_json_lines
from quire.documents.formats.rows import read_rows
from quire.documents.formats.sqlite import read_sqlite
from quire.documents.formats.table import read_table
from quire.documents.formats.text import read_text
from quire.documents.formats.xlsx import read_xlsx
from quire.documents.formats.xml import read_xml
from quire.documents.kinds import Kind, kind_of
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

__all__ = ["READERS", "DroppedFile", "is_piecewise", "read_bytes", "read_content", "read_file"]

READERS: dict[str, Reader] = {
    "text": read_text,
    "code": read_code,
    "pdf": read_pdf,
    "image": read_image,
    "html": read_html,
    "docx": read_docx,
    "pptx": read_pptx,
    "xlsx": read_xlsx,
    "odf": read_odf,
    "epub": read_epub,
    "archive": read_archive,
    "mail": read_mail,
    "mailbox": read_mailbox,
    "notebook": read_notebook,
    "xml": read_xml,
    "rows": read_rows,
    "sqlite": read_sqlite,
    "table": read_table,
    "json": read_json,
    "json-lines": read_json_lines,
}
"""The reader of each kind that `kind_of` knows."""

PIECEWISE = frozenset(("archive", "mailbox", "rows", "sqlite", "table", "json-lines"))
"""Readers that take a file from its place, a piece at a time: for them `max_file_bytes` is of members."""

CONTAINERS = frozenset(("archive", "mail", "mailbox"))
"""Readers of files that the account counts by what they hold, each member with its bytes."""

HEAD = 65536
"""Bytes from the start of a file that say what it is, and whether it is dropped for its size."""


def read_file(path: Path, source: str, settings: ReadSettings) -> Iterable[Part]:
    """Read one file as what its name and content say it is.

    Args:
        path: where it lies.
        source: what its documents are to say they come from.
        settings: limits, and how pictures are read.

    Returns:
        its documents, at least one, and whatever in it was left out; of an archive they are read as they are taken.

    Raises:
        DroppedFile: a rule leaves it out: "empty", "binary", "unsupported", "too-large" or "no-text".
        PasswordError: it is encrypted.
        ReadError: it cannot be opened, or is not what it says it is.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(HEAD)
            if not head:
                raise DroppedFile("empty", "0 bytes")
            kind = _kind(source.rsplit("/", 1)[-1], head, source)
            if kind.reader in PIECEWISE:
                whole = SourceFile(b"", source, kind.media_type, kind.language, path=path)
                return READERS[kind.reader](whole, settings)
            if settings.exceeded("max_file_bytes", size):
                limit = settings.max_file_bytes
                raise DroppedFile("too-large", f"{size:,} bytes, more than max_file_bytes = {limit:,}")
            # Most files are shorter than their head may be: nothing needs to be made ready for a rest of any size.
            data = head if len(head) < HEAD else head + file.read()
    except OSError as error:
        raise ReadError(f"cannot be opened: {error.strerror or error}", where=source) from error
    return read_bytes(data, source, settings)


def read_content(content: bytes, sha256: str, path: bytes, source: str, settings: ReadSettings) -> Iterable[Part]:
    """Read a file of which the caller has all bytes, and their sum, as `read_file` does, without going to it again.

    Args:
        content: its bytes, no more than `max_file_bytes`.
        sha256: of them, in hexadecimal.
        path: where it lies, as bytes: not every file name is text.
        source: what its documents are to say they come from.
        settings: limits, and how pictures are read.
    """
    if not content:
        raise DroppedFile("empty", "0 bytes")
    name = source.rsplit("/", 1)[-1]
    kind = _kind(name, content[:HEAD], source)
    if kind.reader in PIECEWISE:
        where = Path(os.fsdecode(path))
        file = SourceFile(b"", source, kind.media_type, kind.language, path=where, known_sha256=sha256)
    else:
        if len(content) > HEAD:
            kind = _kind(name, content, source)
        file = SourceFile(content, source, kind.media_type, kind.language, known_sha256=sha256)
    return READERS[kind.reader](file, settings)


def is_piecewise(path: Path, source: str) -> bool:
    """Return whether the file is read a piece at a time, however large it is. Raises OSError."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
    try:
        return kind_of(source.rsplit("/", 1)[-1], head).reader in PIECEWISE
    except (DroppedFile, ReadError):
        return False


def is_container(name: str, data: bytes) -> bool:
    """Return whether a file or member is counted by its members. Raises as `read_file` does."""
    return kind_of(name.rsplit("/", 1)[-1], data).reader in CONTAINERS


def read_bytes(
    data: bytes,
    source: str,
    settings: ReadSettings,
    *,
    member: str | None = None,
    name: str | None = None,
    budget: Budget | None = None,
) -> Iterable[Part]:
    """Read the bytes of a file, or of one `member` of the archive `source`; raises as `read_file` does.

    Args:
        data: all of them.
        source: what its documents are to say they come from.
        settings: limits, and how pictures are read.
        member: the path inside the archive.
        name: what the member is called in the archive that it lies in, where that is not the end of `member`.
        budget: what members of the archive may still cost, for archives inside of it.
    """
    if not data:
        raise DroppedFile("empty", "0 bytes")
    called = name or (source if member is None else member)
    kind = _kind(called.rsplit("/", 1)[-1], data, source if member is None else f"{source}!{member}")
    file = SourceFile(data, source, kind.media_type, kind.language, member, called, budget=budget)
    return READERS[kind.reader](file, settings)


def _kind(name: str, data: bytes, where: str) -> Kind:
    try:
        return kind_of(name, data)
    except ReadError as error:
        raise ReadError(error.what, where=where) from None
