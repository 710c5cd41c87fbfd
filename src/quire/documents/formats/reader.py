"""What every reader is given and gives back."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from quire.documents.document import Part
from quire.documents.settings import ReadSettings
from quire.files import file_sha256

if TYPE_CHECKING:
    from quire.documents.formats.members import Budget


@dataclass(frozen=True)
class SourceFile:
    """The bytes of one file, or of one member of an archive, and what they are.

    Args:
        data: all of its bytes; b"" for a file that is read from its `path`, piece by piece.
        source: the POSIX path under the folder that was given.
        media_type: decided by name and content.
        language: the programming language, for code.
        member: the path inside an archive.
        name: what a member is called in the archive that it lies in.
        path: where the file lies; None for a member, whose bytes are in `data`.
        budget: what the members of the outermost file may still cost; None outside of any.
        known_sha256: of its bytes, where it is known already.
    """

    data: bytes
    source: str
    media_type: str
    language: str | None = None
    member: str | None = None
    name: str | None = None
    path: Path | None = None
    budget: Budget | None = None
    known_sha256: str | None = None

    @functools.cached_property
    def sha256(self) -> str:
        if self.known_sha256 is not None:
            return self.known_sha256
        if self.path is None:
            return hashlib.sha256(self.data).hexdigest()
        return file_sha256(self.path)

    def open(self) -> BinaryIO:
        """Return the bytes as a file that can be read and sought in; close it."""
        return io.BytesIO(self.data) if self.path is None else open(self.path, "rb")

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data) if self.path is None else self.path.stat().st_size

    def named(self, part: str) -> str:
        """Return what the account calls a part of this file that is left out, such as "line 7"."""
        return part if self.member is None else f"{self.member}!{part}"

    @property
    def where(self) -> str:
        """What an error calls this file."""
        return self.source if self.member is None else f"{self.source}!{self.member}"


class Reader(Protocol):
    """Makes documents of one format; what holds members also yields a `LeftOut` for each that gave none.

    Raises:
        DroppedFile: there is nothing to keep, by a rule.
        ReadError: the bytes are not what their type says, or cut short.
        PasswordError: they are encrypted.
    """

    def __call__(self, file: SourceFile, settings: ReadSettings, /) -> Iterable[Part]: ...
