"""Files inside files: each member is read as a file of its own, under limits that hold for all of them together."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, cast

from quire.documents.document import Document, DroppedFile, LeftOut, Part
from quire.documents.formats.reader import SourceFile
from quire.documents.sandbox import page_done
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

RATIO_FROM = 10_000_000
"""Members of fewer bytes are never taken for bombs: a file of zeros is small and packs well."""

REST = "(the rest)"
"""The name under which the account has what could not even be listed."""

# What the standard library raises on packed data that are broken or cut short.
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,
)

_BLOCK = 1 << 20


def most_by_ratio(packed: int, settings: ReadSettings) -> int:
    """Return to how many bytes so many packed ones may unpack before they are taken for a bomb."""
    return max(RATIO_FROM, packed * settings.max_ratio)


def past_ratio(packed: int, settings: ReadSettings) -> str:
    """Return what the account says of more than that."""
    return f"more than max_ratio = {settings.max_ratio} times the {packed:,} bytes it is packed in"


@dataclass
class Budget:
    """What the members of one file may still cost, those of archives inside of it included.

    Args:
        bytes: that may still be unpacked.
        members: that may still be met.
        rule: the rule that drops what would cost more: "too-large", or "zip-bomb".
        limit: the limit, in words.
        depth: how many archives the members lie in: 1 for those of the file itself.
        names: members met so far and how often, so that no two are called the same.
    """

    bytes: int
    members: int
    rule: str = "too-large"
    limit: str = ""
    depth: int = 0
    names: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, size: int, settings: ReadSettings) -> Budget:
        """Return what the members of a file of `size` bytes may cost together."""
        most, by_ratio = settings.max_unpacked_bytes, most_by_ratio(size, settings)
        if most <= by_ratio:
            return cls(most, settings.max_members, "too-large", f"max_unpacked_bytes = {most:,}")
        ratio = f"max_ratio = {settings.max_ratio} times its {size:,} bytes"
        return cls(by_ratio, settings.max_members, "zip-bomb", ratio)


class Members:
    """Reads the members of one file as they come and accounts for each of them.

    Use it as a context: it is one level of nesting.

    Args:
        file: the archive, mail or the like.
        settings: limits, and how members are read.
    """

    def __init__(self, file: SourceFile, settings: ReadSettings) -> None:
        self._file = file
        self._settings = settings
        self._budget = file.budget or Budget.of(file.size, settings)

    def __enter__(self) -> Members:
        """Go one level down.

        Raises:
            DroppedFile: "too-deep", where there are more archives in one another than `max_depth`.
        """
        deepest = self._settings.max_depth
        if self._budget.depth >= deepest:
            raise DroppedFile("too-deep", f"inside {self._budget.depth} others, and max_depth = {deepest}")
        self._budget.depth += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._budget.depth -= 1

    def left_out(self, name: str, size: int, rule: str, detail: str, outcome: str = "dropped") -> LeftOut:
        """Return the account of a member that is not read at all."""
        self._budget.members -= 1
        return LeftOut(self._called(name), size, outcome, rule, detail)

    def rest(self, error: Exception) -> LeftOut:
        """Return the account of what comes after the place where the file is broken."""
        what = error.what if isinstance(error, ReadError) else str(error) or type(error).__name__
        return LeftOut(self._called(REST), 0, "failed", "damaged", f"broken from here on: {what}")

    def hidden(self, name: str, size: int, detail: str) -> LeftOut:
        """Return the account of a hidden member; however many there are, they take no other's place."""
        return LeftOut(self._called(name), size, "dropped", "hidden", detail)

    def beyond(self) -> LeftOut:
        """Return the account of all that comes behind a member too large to be passed over."""
        budget = self._budget
        return LeftOut(self._called(REST), 0, "dropped", budget.rule, f"to get there unpacks more than {budget.limit}")

    @property
    def unpackable(self) -> int:
        """How many bytes may still be unpacked."""
        return self._budget.bytes

    def pass_over(self, size: int) -> bool:
        """Count bytes that are unpacked only to get past them; return False, and count none, if they are too many."""
        if size > self._budget.bytes:
            return False
        self._budget.bytes -= size
        return True

    def read(
        self,
        name: str,
        size: int,
        packed: int | None,
        opened: Callable[[], BinaryIO],
        *,
        locked: bool = False,
        partly: bool = False,
    ) -> Iterator[Part]:
        """Yield the documents of one member, or why there are none.

        Args:
            name: its path inside the file; it is only ever a name, nothing is written there.
            size: its bytes unpacked, as the archive says; 0 where it does not.
            packed: its bytes packed; None where that is not known.
            opened: opens the member for reading.
            locked: it is encrypted, and may be broken only because the password is another's.
            partly: what comes before a break is read as the member, and the rest has failed.
        """
        member = self._called(name)
        self._budget.members -= 1
        if self._budget.members < 0:
            most = self._settings.max_members
            yield LeftOut(member, size, "dropped", "too-many", f"more than max_members = {most:,} in one file")
            return
        broken: list[Exception] | None = [] if partly else None
        try:
            data = self._unpacked(size, packed, opened, locked, broken)
        except DroppedFile as dropped:
            yield LeftOut(member, size, "dropped", dropped.rule, dropped.detail)
        except PasswordError as error:
            yield LeftOut(member, size, "failed", "password", _sentence(error))
        except ReadError as error:
            yield LeftOut(member, size, "failed", "damaged", _sentence(error))
        else:
            yield from self._read(member, _printable(name), data)
            if broken:
                yield self.rest(broken[0])
            page_done()

    def _read(self, member: str, name: str, data: bytes) -> Iterator[Part]:
        from quire.documents.read import is_container, read_bytes

        source = self._file.source
        documents = parts = failed = 0
        why = None
        try:
            for part in read_bytes(data, source, self._settings, member=member, name=name, budget=self._budget):
                parts += 1
                documents += isinstance(part, Document)
                failed += isinstance(part, LeftOut) and part.outcome == "failed"
                own = isinstance(part, Document) and part.size is None
                yield replace(part, size=len(data)) if own else part
        except DroppedFile as dropped:
            why = ("dropped", dropped.rule, dropped.detail)
        except PasswordError as error:
            why = ("failed", "password", _sentence(error))
        except ReadError as error:
            why = ("failed", "damaged", _sentence(error))
        if documents or (parts and is_container(name, data)):
            if why is not None:
                yield LeftOut(f"{member}!{REST}", 0, *why)
            return
        if why is None:
            why = ("dropped", "no-text", "there is no text in it")
            if parts and failed == parts:
                why = ("failed", "damaged", "no part of it can be read")
        yield LeftOut(member, len(data), *why, SourceFile(data, source, "").sha256)

    def _unpacked(
        self,
        size: int,
        packed: int | None,
        opened: Callable[[], BinaryIO],
        locked: bool,
        broken: list[Exception] | None,
    ) -> bytes:
        settings = self._settings
        most = min(settings.max_file_bytes, self._budget.bytes)
        if packed is not None:  # an archive that lies about sizes is caught while unpacking, one that does not before
            most = min(most, most_by_ratio(packed, settings))
        if size > most:
            raise self._too_large(size, packed)
        blocks: list[bytes] = []
        length = 0
        try:
            with opened() as stream:
                # What is unpacked before a break must be given out before it is met.
                read = stream.read if broken is None else cast(io.BufferedReader, stream).read1
                while length <= most and (block := read(_BLOCK)):
                    blocks.append(block)
                    length += len(block)
        except (DroppedFile, ReadError):
            raise
        except BROKEN as error:
            if locked:
                raise PasswordError(f"protected by another password, or broken: {error}") from error
            if broken is None or not length:
                raise ReadError(f"cannot be unpacked: {error or type(error).__name__}") from error
            broken.append(error)
        if length > most:
            raise self._too_large(length, packed)
        self._budget.bytes -= length
        return b"".join(blocks)

    def _too_large(self, size: int, packed: int | None) -> DroppedFile:
        settings = self._settings
        if size > settings.max_file_bytes:
            return DroppedFile("too-large", f"{size:,} bytes, more than max_file_bytes = {settings.max_file_bytes:,}")
        if packed is not None and size > most_by_ratio(packed, settings):
            return DroppedFile("zip-bomb", f"{size:,} bytes or more, {past_ratio(packed, settings)}")
        return DroppedFile(self._budget.rule, f"the members of one file may unpack to {self._budget.limit}")

    def _called(self, name: str) -> str:
        """Return what the account calls a member: its way through the archives, and no other member's name."""
        printable = _printable(name)
        full = printable if self._file.member is None else f"{self._file.member}!{printable}"
        names = self._budget.names
        number = names.get(full, 0) + 1
        unique = full if number == 1 else f"{full} ({number})"
        while number > 1 and unique in names:
            number += 1
            unique = f"{full} ({number})"
        names[full] = number
        names.setdefault(unique, 1)
        return unique


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00") or "(no name)"


def _sentence(error: ReadError) -> str:
    return error.what if error.hint is None else f"{error.what}. {error.hint}"
