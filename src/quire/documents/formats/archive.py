"""Archives and packed files: zip, tar, gzip, bzip2, xz; every member is read as a file of its own."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from quire.documents.document import DroppedFile, Part
from quire.documents.formats.members import BROKEN, Members
from quire.documents.formats.reader import SourceFile
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

ZIP = "application/zip"
TAR = "application/x-tar"
PACKED: dict[str, Callable[[BinaryIO], Any]] = {
    "application/gzip": lambda file: gzip.GzipFile(fileobj=file),
    "application/x-bzip2": bz2.BZ2File,
    "application/x-xz": lzma.LZMAFile,
}
"""Media types of one packed file, and what unpacks them."""

EXTENSIONS: dict[str, str] = {
    **dict.fromkeys((".zip", ".jar", ".war", ".whl", ".egg", ".cbz"), ZIP),
    ".tar": TAR,
    **dict.fromkeys((".gz", ".tgz"), "application/gzip"),
    **dict.fromkeys((".bz2", ".tbz2", ".tbz"), "application/x-bzip2"),
    **dict.fromkeys((".xz", ".txz"), "application/x-xz"),
}
"""Extension to media type of what this module reads."""

_SHORT = {".tgz": ".tar", ".tbz2": ".tar", ".tbz": ".tar", ".txz": ".tar"}
_TAR_BLOCK = 512
_MAX_ENDS = 100  # empty reads in a row; at the sound end of a tar archive there are a few

# Of a zip member's flags.
_ENCRYPTED = 0x1
_STRONGLY_ENCRYPTED = 0x40
_PATCHED = 0x20

_AES = 99
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 20: "Zstandard", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
"""Names of ways to pack the members of a zip (APPNOTE 6.3.10, 4.4.5) that the standard library may not read."""

_APPLE = "__MACOSX"
"""The folder in which macOS packs what it keeps beside files."""


def archive_type(head: bytes) -> str | None:
    """Return the media type of the archive that a file begins as, by its first 512 bytes, or None."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZIP
    if head[257:262] == b"ustar" and b"\0" in head[:257]:  # a text may say so too
        return TAR
    if head.startswith(b"\x1f\x8b"):
        return "application/gzip"
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "application/x-bzip2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "application/x-xz"
    return None


def read_archive(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the documents of every member of `file`, and for each member without one why there is none.

    Archives inside of it are opened too, down to `max_depth`. Nothing is ever written: member names are only names.

    Raises:
        DroppedFile: "too-deep", or "empty" where there is no member.
        ReadError: it is broken before its first member.
    """
    with Members(file, settings) as members, file.open() as raw:
        if file.media_type == ZIP:
            parts = _read_zip(raw, file, settings, members)
        elif file.media_type == TAR:
            parts = _read_tar(raw, file, settings, members)
        else:
            parts = _read_packed(raw, file, settings, members)
        gave = False
        for part in parts:
            gave = True
            yield part
        if not gave:
            raise DroppedFile("empty", "an archive without files")


def _read_zip(raw: BinaryIO, file: SourceFile, settings: ReadSettings, members: Members) -> Iterator[Part]:
    try:
        archive = zipfile.ZipFile(raw)
    except (zipfile.BadZipFile, *BROKEN) as error:
        raise ReadError(f"not a zip archive that can be opened: {error}", where=file.where) from error
    with archive:
        for info in archive.infolist():
            if info.filename.endswith("/"):  # is_dir() fails on a name without characters
                continue

            why = _hidden(info.filename, settings)
            if why is not None:
                yield members.hidden(info.filename, info.file_size, why)
                continue
            opened = functools.partial(_open_zipped, archive, info, settings)
            locked = bool(info.flag_bits & _ENCRYPTED)
            yield from members.read(info.filename, info.file_size, info.compress_size, opened, locked=locked)


class _Ending:
    """A stream that ends for good: tarfile would read on from the end for as many blocks as a broken header says."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ends = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises EOFError where the end has been met again and again."""
        data = self._stream.read(size)
        self._ends = 0 if data else self._ends + 1
        if self._ends > _MAX_ENDS:
            raise EOFError("cut short")
        return data


def _open_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, settings: ReadSettings) -> BinaryIO:
    """Open a member of a zip.

    Raises:
        DroppedFile: "unsupported", packed in a way that is not read.
        PasswordError: encrypted in a way that is not read, without a password, or by another.
        ReadError: broken.
    """
    password = None
    if info.flag_bits & _ENCRYPTED:
        by_itself = "Unpack it with its password"
        if info.compress_type == _AES:
            raise PasswordError("encrypted by AES, which is not read", hint=by_itself)
        if info.flag_bits & _STRONGLY_ENCRYPTED:
            raise PasswordError("encrypted in a way that is not read", hint=by_itself)
        if settings.password is None:
            raise PasswordError("protected by a password", hint="Give it by --password (read.password)")
        password = settings.password.get_secret_value().encode()
    try:
        return cast(BinaryIO, archive.open(info, pwd=password))
    except NotImplementedError:
        method = "patches" if info.flag_bits & _PATCHED else f"method {info.compress_type}"
        method = _METHODS.get(info.compress_type, method)
        raise DroppedFile("unsupported", f"packed by {method}, which is not read; unpack it and pack it anew") from None
    except RuntimeError as error:  # what zipfile raises for a wrong password
        raise PasswordError("protected by another password") from error
    except zipfile.BadZipFile as error:
        raise ReadError(f"cannot be unpacked: {error}") from error


def _hidden(name: str, settings: ReadSettings) -> str | None:
    """Return why a member is left out as a file of that name on the disk would be, or None."""
    for part in name.split("/"):
        if (part.startswith(".") and part not in (".", "..")) or part == _APPLE:
            if settings.hidden:
                return None
            begins = "is what macOS keeps beside files" if part == _APPLE else "begins with a dot"
            return f"{part} {begins}, and hidden is off"
    return None


def _read_tar(
    raw: BinaryIO, file: SourceFile, settings: ReadSettings, members: Members, *, packed: bool = False
) -> Iterator[Part]:
    try:
        archive = tarfile.open(fileobj=raw, mode="r|" if packed else "r:")  # noqa: SIM115 - closed below
    except (tarfile.TarError, *BROKEN) as error:
        raise ReadError(f"not a tar archive that can be opened: {error}", where=file.where) from error
    with archive:
        try:
            for info in archive:
                if info.size < 0:
                    yield members.rest(ValueError("a member of a size below 0"))
                    return
                if info.isdir():
                    continue
                if not info.isreg():
                    kind = "a link" if info.issym() or info.islnk() else "no regular file"
                    yield members.left_out(info.name, 0, "link" if kind == "a link" else "special", kind)
                    continue
                before = members.unpackable
                why = _hidden(info.name, settings)
                if why is not None:
                    yield members.hidden(info.name, info.size, why)
                else:

                    def opened(info: tarfile.TarInfo = info) -> BinaryIO:
                        return cast(BinaryIO, archive.extractfile(info))

                    yield from members.read(info.name, info.size, None, opened)
                # To get past a member of a packed tar is to unpack it, whether it is read or not.
                if packed and members.unpackable == before and not members.pass_over(info.size):
                    yield members.beyond()
                    return
        except OverflowError:
            yield members.rest(EOFError("cut short: a member of more bytes than any file has"))
        except (tarfile.TarError, *BROKEN) as error:
            yield members.rest(error)


def _read_packed(raw: BinaryIO, file: SourceFile, settings: ReadSettings, members: Members) -> Iterator[Part]:
    name = (file.name or file.source).rsplit("/", 1)[-1]
    stem, dot, extension = name.rpartition(".")
    inner = f"{stem}{_SHORT.get('.' + extension.lower(), '')}" if dot and stem else f"{name}.unpacked"
    unpack = PACKED[file.media_type]
    head = b""
    try:
        with unpack(raw) as stream:
            while len(head) < _TAR_BLOCK and (block := stream.read1(_TAR_BLOCK - len(head))):
                head += block
    except BROKEN as error:
        if not head:
            raise ReadError(f"cannot be unpacked: {error or type(error).__name__}", where=file.where) from error
    raw.seek(0)
    if archive_type(head) == TAR:
        with unpack(raw) as stream:
            ended = cast(BinaryIO, _Ending(cast(BinaryIO, stream)))
            yield from _read_tar(ended, file, settings, members, packed=True)
    else:
        yield from members.read(inner, 0, file.size, lambda: cast(BinaryIO, unpack(raw)), partly=True)
