"""What every reader is given and gives back."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Protocol

from quire.documents.document import Document
from quire.documents.settings import ReadSettings


@dataclass(frozen=True)
class SourceFile:
    """The bytes of one file, or of one member of an archive, and what they are.

    Args:
        data: all of its bytes.
        source: the POSIX path under the folder that was given.
        media_type: decided by name and content.
        language: the programming language, for code.
        member: the path inside an archive.
    """

    data: bytes
    source: str
    media_type: str
    language: str | None = None
    member: str | None = None

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def where(self) -> str:
        """What an error calls this file."""
        return self.source if self.member is None else f"{self.source}!{self.member}"


class Reader(Protocol):
    """Makes documents of one format.

    Raises:
        DroppedFile: there is nothing to keep, by a rule.
        ReadError: the bytes are not what their type says, or cut short.
        PasswordError: they are encrypted.
    """

    def __call__(self, file: SourceFile, settings: ReadSettings, /) -> list[Document]: ...
