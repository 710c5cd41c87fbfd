"""Lines of a file that may be larger than memory, with the bytes where each stands."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, NamedTuple

from quire.documents.document import DroppedFile
from quire.documents.formats.encodings import decode, is_wide
from quire.documents.formats.reader import SourceFile
from quire.documents.settings import ReadSettings

SAMPLE = 4 << 20
"""Bytes from the start of a file that say what its encoding is, and what its columns are."""


class Line(NamedTuple):
    """One line with its line end; `text` is None where it is longer than the limit."""

    text: str | None
    start: int
    end: int


class Lines:
    """The lines of a text file, decoded one by one.

    Args:
        file: a file on the disk or a member.
        settings: `max_file_bytes` is the limit of a line.

    Raises:
        DroppedFile: "binary"; or "too-large" where the file is in an encoding that cannot be read line by line.
    """

    def __init__(self, file: SourceFile, settings: ReadSettings) -> None:
        self._file = file
        self._most = settings.max_file_bytes
        self._data: bytes | None = None
        self.exact = True
        """Whether bytes are those of the file: in UTF-16 and UTF-32 they are not known."""
        with file.open() as stream:
            head = stream.read(SAMPLE)
        if is_wide(head):
            text = decode(in_memory(file, settings).data).text
            self._data, self.encoding, self.start, self.exact = text.encode("utf-8", "replace"), "utf-8", 0, False
            return
        if len(head) == SAMPLE and b"\n" in head:
            head = head[: head.rindex(b"\n") + 1]
        _, self.encoding, self.start = decode(head)
        if b"\r" in head and b"\n" not in head:  # as old Macintosh programs wrote
            self._data = in_memory(file, settings).data.replace(b"\r", b"\n")

    def __iter__(self) -> Iterator[Line]:
        """Yield every line from the first on; it can be done again."""
        with self._open() as stream:
            stream.seek(self.start)
            start = self.start
            while data := stream.readline(self._most + 1):
                end = start + len(data)
                if len(data) > self._most:
                    while data and not data.endswith(b"\n"):
                        data = stream.readline(1 << 20)
                        end += len(data)
                    yield Line(None, start, end)
                else:
                    yield Line(self._decoded(data), start, end)
                start = end

    def _open(self) -> BinaryIO:
        return self._file.open() if self._data is None else io.BytesIO(self._data)

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode(self.encoding)
        except UnicodeDecodeError:
            try:
                return decode(data.replace(b"\0", b" ")).text
            except DroppedFile:  # controls among bytes that are no UTF-8
                return data.decode("latin-1")


def in_memory(file: SourceFile, settings: ReadSettings) -> SourceFile:
    """Return `file` with its bytes. Raises `DroppedFile` "too-large"."""
    if file.path is None:
        return file
    most = settings.max_file_bytes
    if file.size > most:
        raise DroppedFile("too-large", f"{file.size:,} bytes, to be read at once, are over max_file_bytes = {most:,}")
    with file.open() as stream:
        data = stream.read(most)
    return replace(file, data=data, path=None)
