"""Archives and packed files: zip, tar, gzip, bzip2, xz; every member is read as a file of its own."""

from __future__ import annotations

import bz2
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
from quire.errors import ReadError

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
_ENCRYPTED = 0x1  # of a zip member's flags
_MAX_ENDS = 100  # empty reads in a row; at the sound end of a tar archive there are a few


def archive_type(head: bytes) -> str | None:
    """Return the media type of the archive that a file begins as, by its first 512 bytes, or None."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZIP
    if head[257:262] == b"ustar":
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
            parts = _read_tar(raw, file, members)
        else:
            parts = _read_packed(raw, file, members)
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

            def opened(info: zipfile.ZipInfo = info) -> BinaryIO:
                password = None
                if info.flag_bits & _ENCRYPTED and settings.password is not None:
                    password = settings.password.get_secret_value().encode()
                try:
                    return cast(BinaryIO, archive.open(info, pwd=password))
                except zipfile.BadZipFile as error:
                    raise ReadError(f"cannot be unpacked: {error}") from error

            yield from members.read(info.filename, info.file_size, info.compress_size, opened)


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


def _read_tar(raw: BinaryIO, file: SourceFile, members: Members, *, packed: bool = False) -> Iterator[Part]:
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
                if packed and members.exhausted:
                    yield members.left_out(info.name, info.size, "too-large", "the limits of its archive are reached")
                    return

                def opened(info: tarfile.TarInfo = info) -> BinaryIO:
                    return cast(BinaryIO, archive.extractfile(info))

                yield from members.read(info.name, info.size, None, opened)
        except OverflowError:
            yield members.rest(EOFError("cut short: a member of more bytes than any file has"))
        except (tarfile.TarError, *BROKEN) as error:
            yield members.rest(error)


def _read_packed(raw: BinaryIO, file: SourceFile, members: Members) -> Iterator[Part]:
    name = (file.member or file.source).rsplit("/", 1)[-1]
    stem, dot, extension = name.rpartition(".")
    inner = f"{stem}{_SHORT.get('.' + extension.lower(), '')}" if dot and stem else f"{name}.unpacked"
    unpack = PACKED[file.media_type]
    try:
        with unpack(raw) as stream:
            head = stream.read(_TAR_BLOCK)
    except BROKEN as error:
        raise ReadError(f"cannot be unpacked: {error or type(error).__name__}", where=file.where) from error
    raw.seek(0)
    if archive_type(head) == TAR:
        with unpack(raw) as stream:
            yield from _read_tar(cast(BinaryIO, _Ending(cast(BinaryIO, stream))), file, members, packed=True)
    else:
        yield from members.read(inner, 0, file.size, lambda: cast(BinaryIO, unpack(raw)))
