"""One file, read inside a worker: hashed, read, and packed for the way back to the parent."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, cast

from quire.corpus.measure import Measuring
from quire.corpus.packing import Packed, pack
from quire.documents.asked import EVERYTHING, Asked, WatchedSettings
from quire.documents.document import Document, DroppedFile, LeftOut, Part
from quire.documents.sandbox import note
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError
from quire.files import file_sha256

Reader = Callable[[Path, str, ReadSettings], Iterable[Part]]

WHOLE_BYTES = 8_000_000  # a file of no more is read once, both to be hashed and to be understood
SETTLED_NS = 2_000_000_000  # coarser than the clock of any file system in use
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Task:
    """A file to read.

    Args:
        path: where it lies, as bytes: not every file name is text.
        source: what it is called in the corpus.
        size: bytes, as the walk saw it.
        known: contents (see `Reading`) of which the parent has a reading of a file of this name already.
        settings: how to read it.
        reader: reads it; None = `quire.documents.read.read_file`.
        measuring: what is measured of its documents.
    """

    path: bytes
    source: str
    size: int
    known: tuple[str, ...]
    settings: ReadSettings
    reader: Reader | None = None
    measuring: Measuring = field(default_factory=Measuring)


class Stamp(NamedTuple):
    """What the file system says of a file; all of it the same means that its bytes are the same (see `stamp_of`)."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of a file.

    Args:
        outcome: "kept", "dropped" or "failed", or "known" where the parent has the reading already.
        rule: why it was dropped or failed.
        detail: the same, as a sentence.
        content: SHA-256 of the bytes, in hexadecimal; of a file that is dropped unread, its size, a colon, and the
            SHA-256 of its first bytes; None where it could not be opened, and nothing can be remembered.
        stamp: the file as it was before it was hashed.
        settled: the file had rested long enough then for its stamp to be trusted.
        parts: the documents and the members left out, packed; a file of which nothing is kept may have some too.
        documents: how many they are.
        text_bytes: UTF-8 bytes of their text.
        asked: the settings that it depends on.
    """

    outcome: str
    rule: str | None = None
    detail: str | None = None
    content: str | None = None
    stamp: Stamp | None = None
    settled: bool = False
    parts: tuple[Packed, ...] = ()
    documents: int = 0
    text_bytes: int = 0
    asked: Asked = EVERYTHING

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the bytes, where all of them were read."""
        return sha256_of(self.content)


def sha256_of(content: str | None) -> str | None:
    """Return the SHA-256 of all bytes of a file, if that is what its reading is kept under."""
    return None if content is None or ":" in content else content


def stamp_of(path: bytes) -> Stamp:
    """Return what the file system says of the file.

    The time of the last status change (ctime) is set by the kernel at every write and cannot be set back by a user, so
    an equal stamp means equal bytes, except for a write in the same tick of the clock as the one before: only a stamp
    that was `SETTLED_NS` old when the file was hashed is trusted.
    """
    status = os.stat(path)
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


def read_task(task: Task) -> Reading:
    """Read one file. What is wrong with the file becomes part of the reading; faults of a reader are raised."""
    try:
        before = stamp_of(task.path)
        settled = max(before.mtime_ns, before.ctime_ns) < time.time_ns() - SETTLED_NS
        watched = WatchedSettings(task.settings)
        data = _data(task, before, watched)
        content = hashlib.sha256(data).hexdigest() if data is not None else _content(task, before, watched)
        if content in task.known:
            return Reading("known", content=content, stamp=before, settled=settled)
        note(content=content, stamp=before, settled=settled)
        reading = _read(task, data, content, cast(ReadSettings, watched))
        if stamp_of(task.path) != before or before.size != task.size:
            return Reading("failed", "changed", "it changed while it was read; run the same command again")
        return replace(reading, content=content, stamp=before, settled=settled, asked=watched.asked)
    except OSError as error:
        return Reading("failed", "no-access", error.strerror or str(error))


def _data(task: Task, stamp: Stamp, settings: WatchedSettings) -> bytes | None:
    """The bytes of a file that is to be read by `read_content`; None for any other."""
    if task.reader is not None or stamp.size > WHOLE_BYTES or settings.exceeded("max_file_bytes", stamp.size):
        return None
    with open(task.path, "rb", buffering=0) as file:
        return file.read()


def _content(task: Task, stamp: Stamp, settings: WatchedSettings) -> str:
    """What the reading of a file is kept under (see `Reading`): one that its reader drops unread is not worth hashing,
    and only its size and its head matter.
    """
    from quire.documents.read import HEAD, is_piecewise

    if task.reader is None and settings.exceeded("max_file_bytes", stamp.size):
        path = Path(os.fsdecode(task.path))
        if not is_piecewise(path, task.source):
            with open(path, "rb") as file:
                return f"{stamp.size}:{hashlib.sha256(file.read(HEAD)).hexdigest()}"
    return file_sha256(task.path)


def _read(task: Task, data: bytes | None, content: str, settings: ReadSettings) -> Reading:
    from quire.documents.read import read_content, read_file

    count = _Count()
    try:
        if data is not None:
            read = read_content(data, content, task.path, task.source, settings)
        else:
            read = (task.reader or read_file)(Path(os.fsdecode(task.path)), task.source, settings)
        parts = tuple(pack(count.of(read), task.measuring))
    except DroppedFile as dropped:
        return Reading("dropped", dropped.rule, dropped.detail)
    except PasswordError as error:
        return Reading("failed", "password", _sentence(error, task))
    except ReadError as error:
        return Reading("failed", "damaged", _sentence(error, task))
    if count.documents:
        return Reading("kept", parts=parts, documents=count.documents, text_bytes=count.text_bytes)
    if not count.members:
        return Reading("dropped", "no-text", "nothing but white space was found in it")
    members = "its one member gave no" if count.members == 1 else f"none of its {count.members:,} members gave any"
    why = f"{members} text: {next(iter(count.details))}" if len(count.details) == 1 else f"{members} text"
    if count.failed < count.members:
        return Reading("dropped", "no-text", why, parts=parts)
    rule = next(iter(count.rules)) if len(count.rules) == 1 else "damaged"
    return Reading("failed", rule, why, parts=parts)


class _Count:
    """Counts what a reader yields, on the way to where it is packed."""

    def __init__(self) -> None:
        self.documents = self.text_bytes = self.members = self.failed = 0
        self.rules: set[str] = set()  # by which members were left out
        self.details: set[str] = set()  # why they were, of which two are enough: then there is no one reason

    def of(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Yield the parts; a document of white space becomes a member left out, or nothing if it is none."""
        for part in parts:
            if isinstance(part, Document) and part.text and not part.text.isspace():
                document, text_bytes = _clean(part)
                self.documents += 1
                self.text_bytes += text_bytes
                yield document
            elif isinstance(part, LeftOut):
                yield self._left_out(part)
            elif part.member is not None:
                why = ("dropped", "no-text", "nothing but white space")
                yield self._left_out(LeftOut(part.member, part.size or 0, *why, part.sha256))

    def _left_out(self, part: LeftOut) -> LeftOut:
        self.members += 1
        self.failed += part.outcome == "failed"
        self.rules.add(part.rule)
        if len(self.details) < 2:
            self.details.add(part.detail)
        return part


def _sentence(error: ReadError, task: Task) -> str:
    """The error without the place of the file on this machine, which the account names already."""
    where = error.where
    of_file = where is None or where in (task.source, os.fsdecode(task.path))
    text = error.what if of_file else f"{where}: {error.what}".replace(os.fsdecode(task.path), task.source)
    return text if error.hint is None else f"{text}. {error.hint}"


def _clean(document: Document) -> tuple[Document, int]:
    """Return a document that UTF-8 can hold, and how many bytes its text has there.

    Broken fonts give lone surrogates, which no UTF-8 file can hold: each becomes U+FFFD, so that spans still fit.
    """
    text, member = document.text, document.member
    try:
        if member is not None:
            member.encode()
        return document, len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        text = LONE_SURROGATE.sub("\ufffd", text)
        member = member and LONE_SURROGATE.sub("\ufffd", member)
        return replace(document, text=text, member=member), len(text.encode())
