"""Zipped formats: the parts of office files and electronic books, under limits, and their XML without entities."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from quire.documents.document import DroppedFile
from quire.documents.formats.members import BROKEN, most_by_ratio, past_ratio
from quire.documents.formats.reader import SourceFile
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

MAX_TREE_BYTES = 64 * 2**20
"""XML of more bytes is not made a tree of: one of 60 MB took 0.5 GB of memory; a book of 600 pages has 5 MB."""

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""What files of Microsoft's compound format begin with: those of old Office versions, and encrypted new ones."""

_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
_ENTITY = tuple("<!ENTITY".encode(encoding) for encoding in ("ascii", "utf-16-le", "utf-16-be"))
_ENCRYPTED_FLAG = 0x1
_BLOCK = 1 << 16


def check_zip(file: SourceFile, settings: ReadSettings) -> zipfile.ZipFile:
    """Open `file` as a zip whose members are safe to unpack: not too many, not too large, no bombs.

    No member gives more bytes than the directory, which is what is checked, says of it.

    Raises:
        DroppedFile: "zip-bomb", "too-large" or "too-many", by `max_ratio`, `max_unpacked_bytes` and `max_members`.
        PasswordError: an encrypted office file.
        ReadError: no zip, or one that is cut short.
    """
    raw = file.open()
    head = raw.read(len(OLE))
    if head == OLE:
        raw.seek(0)
        if _ENCRYPTED_STREAM in raw.read(settings.max_file_bytes):
            hint = "Save it without a password"
            raise PasswordError("an office file encrypted with a password", where=file.where, hint=hint)
        what = "a file of an office program of before 2007 under the name of a newer one"
        raise ReadError(what, where=file.where, hint="Save it in the newer format")
    try:
        archive = zipfile.ZipFile(raw)
    except (zipfile.BadZipFile, *BROKEN) as error:
        raise ReadError(f"not the zip file that its name says, or cut short: {error}", where=file.where) from error
    members = archive.infolist()
    if len(members) > settings.max_members:
        raise DroppedFile("too-many", f"{len(members):,} parts, more than max_members = {settings.max_members:,}")
    total = sum(member.file_size for member in members)
    if total > settings.max_unpacked_bytes:
        limit = settings.max_unpacked_bytes
        raise DroppedFile("too-large", f"unpacks to {total:,} bytes, more than max_unpacked_bytes = {limit:,}")
    for name, size, packed in [
        ("it", total, file.size),
        *((m.filename, m.file_size, m.compress_size) for m in members),
    ]:
        if size > most_by_ratio(packed, settings):
            raise DroppedFile("zip-bomb", f"{name} unpacks to {size:,} bytes, {past_ratio(packed, settings)}")
    return archive


class Package:
    """The parts of a zipped file; use it as a context.

    Args:
        file: the office file or electronic book.
        settings: limits.

    Raises:
        DroppedFile, PasswordError, ReadError: as `check_zip`.
    """

    def __init__(self, file: SourceFile, settings: ReadSettings) -> None:
        self.file = file
        self._settings = settings
        self._archive = check_zip(file, settings)
        files = (info for info in self._archive.infolist() if not info.filename.endswith("/"))
        self._infos = {info.filename.lstrip("/"): info for info in files}
        self._folded = {name.casefold(): name for name in self._infos}

    def __enter__(self) -> Package:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()

    @property
    def names(self) -> list[str]:
        """The paths of all parts, in the order of the directory."""
        return list(self._infos)

    def has(self, name: str) -> bool:
        """Return whether there is a part `name`; case makes no difference."""
        return name.casefold() in self._folded

    def info(self, name: str) -> zipfile.ZipInfo:
        """Return what the directory says of a part. Raises ReadError where there is none."""
        try:
            return self._infos[self._folded[name.casefold()]]
        except KeyError:
            raise ReadError(f"the part {name} is missing", where=self.file.where) from None

    def open(self, name: str) -> BinaryIO:
        """Open a part for reading.

        Raises:
            DroppedFile: "too-large", over `max_file_bytes`.
            PasswordError: it is encrypted.
            ReadError: it is missing or cannot be unpacked.
        """
        info = self.info(name)
        if info.file_size > self._settings.max_file_bytes:
            limit = self._settings.max_file_bytes
            what = f"the part {name} has {info.file_size:,} bytes, more than max_file_bytes = {limit:,}"
            raise DroppedFile("too-large", what)
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise PasswordError(f"the part {name} is encrypted", where=self.file.where)
        try:
            return cast(BinaryIO, self._archive.open(info))
        except (zipfile.BadZipFile, RuntimeError, *BROKEN) as error:
            raise ReadError(f"the part {name} cannot be unpacked: {error}", where=self.file.where) from error

    def read(self, name: str) -> bytes:
        """Return the bytes of a part; raises as `open`."""
        try:
            with self.open(name) as stream:
                return stream.read()
        except (zipfile.BadZipFile, *BROKEN) as error:
            raise ReadError(f"the part {name} cannot be unpacked: {error}", where=self.file.where) from error

    def xml(self, name: str) -> Element:
        """Return the root of a part that is XML, its names without namespaces; raises as `read` and `parse_xml`."""
        size = self.info(name).file_size
        if size > MAX_TREE_BYTES:
            raise DroppedFile("too-large", f"the part {name} has {size:,} bytes of XML, more than {MAX_TREE_BYTES:,}")
        return parse_xml(self.read(name), f"{self.file.where}!{name}")

    def optional_xml(self, name: str | None) -> Element | None:
        """Return the root of a part, or None where it is missing or broken: a file is readable without it."""
        if name is None or not self.has(name):
            return None
        try:
            return self.xml(name)
        except (ReadError, DroppedFile):
            return None


def parse_xml(data: bytes, where: str) -> Element:
    """Return the root of an XML document, with element names that have no namespace.

    Nothing outside of it is ever loaded, and a document that declares entities is refused: office files have none.

    Raises:
        ReadError: not well-formed, nested too deeply, or with entities.
    """
    from lxml import etree

    _refuse_entities(data, where)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.parse(io.BytesIO(data), parser).getroot()
    except (etree.XMLSyntaxError, ValueError, AssertionError) as error:
        raise ReadError(f"broken XML: {getattr(error, 'msg', None) or error}", where=where) from error
    for element in root.iter():
        tag = element.tag
        if isinstance(tag, str):
            # A prefix that is declared nowhere stays in the name, where there are too many of them for an error.
            element.tag = tag.rpartition("}")[2].rpartition(":")[2]
    return root


def stream_xml(stream: BinaryIO, tags: frozenset[str], where: str) -> Iterator[Element]:
    """Yield the elements named `tags` (without namespaces) of an XML document as they end, and forget them after.

    Raises:
        ReadError: as `parse_xml`, or the stream breaks off.
    """
    from lxml import etree

    pull = etree.XMLPullParser(
        events=("end",),
        tag=[f"{{*}}{tag}" for tag in tags],
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    broken: Exception | None = None
    first = True
    while broken is None:
        try:
            block = stream.read(_BLOCK)
            if first:
                _refuse_entities(block, where)
                first = False
            if block:
                pull.feed(block)
            else:
                pull.close()
        except (etree.XMLSyntaxError, zipfile.BadZipFile, AssertionError, *BROKEN) as error:
            broken, block = error, b""
        for _, element in pull.read_events():  # also what came before the place where it is broken
            yield element
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
        if not block:
            break
    if broken is not None:
        raise ReadError(f"broken XML: {getattr(broken, 'msg', None) or broken}", where=where) from broken


def local(element: Element) -> str:
    """Return an element's name without its namespace; "" for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Element, name: str) -> str | None:
    """Return an attribute by its name in whatever namespace, or None.

    An attribute without a namespace goes before one with it.
    """
    plain = element.get(name)
    if plain is not None:
        return cast(str, plain)
    ending = "}" + name
    for key, value in element.items():
        if key.endswith(ending):
            return cast(str, value)
    return None


def number(text: str | None, default: int) -> int:
    """Return the whole number that an attribute says, or `default` where it says none."""
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def resolved(base: str, target: str) -> str:
    """Return the path in the package that `target`, written in the part `base`, means."""
    path = target if target.startswith("/") else posixpath.join(posixpath.dirname(base), target)
    return posixpath.normpath(path).lstrip("/")


def _refuse_entities(data: bytes, where: str) -> None:
    if any(mark in data for mark in _ENTITY):
        raise ReadError("XML that declares entities, which is not read for safety", where=where)
