"""Pictures inside office files and electronic books: left out, or recognised like any other picture."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from io import BytesIO

from quire.documents.document import DroppedFile, LeftOut, Part
from quire.documents.formats.members import BROKEN, Members
from quire.documents.formats.pages import Page, document_of
from quire.documents.formats.zipped import Package
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

EXTENSIONS = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".gif"))
"""Pictures that can be recognised; drawings such as .emf and .svg are none."""

FOLDERS = frozenset(("media", "Pictures", "pictures"))
"""Where office files keep their pictures."""

ICON = 100
"""Pictures of fewer pixels on a side are icons and lines: a row of small print is 100 wide at 150 dots per inch."""

_HEAD = 1 << 16


def office_pictures(package: Package) -> list[str]:
    """Return the paths of the pictures in an office file."""
    folders = (posixpath.basename(posixpath.dirname(name)) for name in package.names)
    return [name for name, folder in zip(package.names, folders, strict=True) if folder in FOLDERS and _extension(name)]


def embedded_pictures(
    package: Package, settings: ReadSettings, names: Sequence[str] | None = None, *, alone: bool = False
) -> Iterator[Part]:
    """Yield what the pictures give, each a member; or where the settings say so, one account of all of them.

    Args:
        package: the office file or book.
        settings: `embedded_pictures` and `ocr` say whether they are read.
        names: their paths; None for those of an office file.
        alone: whether nothing else in the file has any text.

    Raises:
        DroppedFile: "no-text", where they stand alone and are not read.
    """
    pictures = list(dict.fromkeys(office_pictures(package) if names is None else filter(package.has, names)))
    if not pictures:
        if alone:
            raise DroppedFile("no-text", "no text in it")
        return
    members = Members(package.file, settings)
    total = sum(package.info(name).file_size for name in pictures)
    count = "1 picture" if len(pictures) == 1 else f"{len(pictures):,} pictures"
    if not (settings.embedded_pictures and settings.ocr):
        off = "recognition of text" if settings.embedded_pictures else "embedded_pictures"
        if alone:
            raise DroppedFile("no-text", f"no text in it but {count}, and {off} is off")
        yield members.left_out("(pictures)", total, "pictures", f"{count} inside of it, and {off} is off")
        return
    try:
        with members:
            for name in pictures:
                yield from _read(package, members, name)
    except DroppedFile as deep:
        yield members.left_out("(pictures)", total, deep.rule, f"{count} {deep.detail}")


def paged(
    package: Package,
    settings: ReadSettings,
    pages: Sequence[Page],
    left_out: Sequence[LeftOut],
    pictures: Sequence[str] | None = None,
) -> Iterator[Part]:
    """Yield the document that slides, sheets or chapters make, then those of them left out, then the pictures.

    Args:
        package: the office file or book.
        settings: see `embedded_pictures`.
        pages: every slide, sheet or chapter, with "" where it gave no text.
        left_out: the accounts of those that gave none.
        pictures: see `embedded_pictures`.

    Raises:
        DroppedFile: "no-text", where there is nothing else to tell of the file.
    """
    found = any(page.text for page in pages)
    if found:
        yield document_of(package.file, pages)
    yield from left_out
    yield from embedded_pictures(package, settings, pictures, alone=not found and not left_out)


def _read(package: Package, members: Members, name: str) -> Iterator[Part]:
    info = package.info(name)
    if _extension(name) not in EXTENSIONS:
        yield members.left_out(name, info.file_size, "unsupported", "a drawing, not a picture of pixels")
        return
    try:
        with package.open(name) as stream:
            width, height = _size(stream.read(_HEAD))
    except (ReadError, *BROKEN) as error:
        yield members.left_out(name, info.file_size, "damaged", str(error) or type(error).__name__, outcome="failed")
        return
    if 0 < min(width, height) < ICON:
        yield members.left_out(name, info.file_size, "icon", f"{width} x {height} pixels: an icon or a line")
        return
    yield from members.read(name, info.file_size, info.compress_size, lambda: package.open(name))


def _size(head: bytes) -> tuple[int, int]:
    """Return width and height of a picture by its first bytes; 0, 0 where they do not say."""
    from PIL import Image

    try:
        with Image.open(BytesIO(head)) as image:
            width, height = image.size
            return int(width), int(height)
    except Exception:
        return 0, 0


def _extension(name: str) -> str:
    return posixpath.splitext(name)[1].lower()
