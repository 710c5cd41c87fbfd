"""Mailboxes: every message of an mbox is a member, read from its place on the disk one after another."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from quire.documents.document import DroppedFile, Part
from quire.documents.formats.mail import looks_like_mail
from quire.documents.formats.members import Members
from quire.documents.formats.reader import SourceFile
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

MAILBOX = "application/mbox"
EXTENSIONS: dict[str, str] = {".mbox": MAILBOX, ".mbx": MAILBOX}
"""Extension to media type of what this module reads."""

# As in "From alice@example.com Tue Jul  2 12:03:44 2002", with all that mail programs make of it. One expression for
# both would try every year after every time.
_TIME = re.compile(rb"\b\d{1,2}:\d{2}(?::\d{2})?\b")
_YEAR = re.compile(rb"\b(?:19|20)\d\d\b")
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)
_LINE = 1 << 20


def looks_like_mailbox(head: bytes) -> bool:
    """Return whether a file begins with the line between messages and the header lines of one."""
    line, _, rest = head.partition(b"\n")
    return _is_dated(line) and looks_like_mail(rest)


def read_mailbox(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the documents of every message of `file`, each as the member "1.eml", "2.eml" and so on.

    A message begins with a line of "From ", a sender and a time; where the first line of the file has no time, with any
    line of "From " behind an empty one. No more than one message is in memory.

    Raises:
        DroppedFile: "empty", or "too-deep".
        ReadError: it does not begin with such a line.
    """
    with Members(file, settings) as members, file.open() as stream:
        number = 0
        for message, size in _messages(stream, settings.max_file_bytes, file.where):
            number += 1
            name = f"{number}.eml"
            if message is None:
                detail = f"{size:,} bytes, more than max_file_bytes = {settings.max_file_bytes:,}"
                yield members.left_out(name, size, "too-large", detail)
                continue
            data = _ESCAPED.sub(rb"\1", message)
            yield from members.read(name, len(data), None, lambda data=data: io.BytesIO(data))  # type: ignore[misc]
        if not number:
            raise DroppedFile("empty", "a mailbox without messages")


def _is_dated(line: bytes) -> bool:
    """Whether a line is that between two messages, with a time and a year behind it."""
    time = _TIME.search(line) if line.startswith(b"From ") else None
    return time is not None and _YEAR.search(line, time.end()) is not None


def _messages(stream: BinaryIO, most: int, where: str) -> Iterator[tuple[bytes | None, int]]:
    """Yield every message, or None where it is too large, with its size."""
    first = stream.readline(_LINE)
    while first and not first.strip():
        first = stream.readline(_LINE)
    if not first:
        return
    if not first.startswith(b"From "):
        raise ReadError('the first line does not begin with "From ", so this is not a mailbox', where=where)
    strict = _is_dated(first)
    kept = bytearray()
    size = 0
    whole, blank = True, False  # whether the line before ended, and whether it was empty
    while line := stream.readline(_LINE):
        begins = whole and line.startswith(b"From ") and (_is_dated(line) if strict else blank)
        if begins:
            yield (bytes(kept) if size <= most else None), size
            kept, size = bytearray(), 0
        else:
            size += len(line)
            if size <= most:
                kept += line
            else:
                kept.clear()
        blank = whole and not line.strip()
        whole = line.endswith(b"\n")
    yield (bytes(kept) if size <= most else None), size
