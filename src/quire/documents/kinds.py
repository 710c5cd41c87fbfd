"""What a file is: by the end of its name, and by a check of its content."""

from __future__ import annotations

import re
from typing import NamedTuple

from quire.documents import languages
from quire.documents.document import DroppedFile
from quire.documents.formats import archive, mail, mailbox, notebook, office, records, rows, sqlite, table, xml
from quire.documents.formats.text import MEDIA_TYPES as TEXT_TYPES
from quire.errors import ReadError


class Kind(NamedTuple):
    """Which reader takes a file, and what the file is."""

    reader: str
    media_type: str
    language: str | None = None


IMAGE_EXTENSIONS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".gif")
)
HTML_EXTENSIONS = frozenset((".html", ".htm", ".xhtml", ".xht"))

UNSUPPORTED: dict[str, str] = {
    **dict.fromkeys((".mobi", ".azw", ".azw3", ".fb2", ".djvu", ".chm"), "an electronic book of this kind"),
    **dict.fromkeys((".7z", ".rar", ".cab", ".iso", ".zst", ".lz4", ".br", ".lzma"), "an archive of this kind"),
    **dict.fromkeys((".msg", ".pst"), "mail of this kind"),
    **dict.fromkeys((".parquet", ".feather", ".arrow", ".mdb", ".accdb"), "a table or database of this kind"),
    **dict.fromkeys(
        (".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".ico"),
        "save it as PNG, JPEG or TIFF; a picture of this kind",
    ),
    **dict.fromkeys(
        (".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a", ".mp4", ".mkv", ".mov", ".avi", ".webm"), "sound or film"
    ),
}
"""Extensions that no reader takes yet, and what they are."""

PDF_HEADER = b"%PDF-"
PDF_HEADER_WITHIN = 1024
"""A PDF's header may stand behind this many bytes of other things (PDF 1.7, implementation note 13)."""

_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)[\s>]",
    re.IGNORECASE | re.DOTALL,
)


def kind_of(name: str, data: bytes) -> Kind:
    """Return what the file `name` with the bytes `data` is.

    Magic numbers go before the extension, so that a PNG called .jpg and a PDF called .doc are read as what they are;
    clean text under an unknown extension is plain text (whether it is clean, the text reader decides).

    Raises:
        DroppedFile: "unsupported", naming the extension.
        ReadError: the extension says PDF or picture and the content does not.
    """
    if data.startswith(rows.HEADER):
        return Kind("rows", rows.MEDIA_TYPE)
    extension = languages.extension_of(name)
    image = image_type(data)
    if image is not None:
        return Kind("image", image)
    if data.startswith(PDF_HEADER) or (extension == ".pdf" and PDF_HEADER in data[:PDF_HEADER_WITHIN]):
        return Kind("pdf", "application/pdf")
    if data[4:8] == b"ftyp" and data[8:12] in _PHONE_PICTURES:
        raise DroppedFile("unsupported", "save it as PNG, JPEG or TIFF; by its first bytes this is HEIC or AVIF")
    if data.startswith(_APPLE_DOUBLE):
        raise DroppedFile("unsupported", "what macOS keeps beside a file, by its first bytes")
    if data.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a")):
        raise DroppedFile("unsupported", "an archive of a kind not read, by its first bytes")
    packed = _packed_kind(data, extension)
    if packed is not None:
        return packed
    if data.startswith(sqlite.HEADER):
        return Kind("sqlite", sqlite.MEDIA_TYPE)
    if extension in office.SAVE_AS and not _is_text(data):
        raise DroppedFile("unsupported", f"{office.SAVE_AS[extension]} ({extension})")
    if extension in UNSUPPORTED:
        raise DroppedFile("unsupported", f"{UNSUPPORTED[extension]} ({extension}) is not read yet")
    if extension == ".pdf":
        raise ReadError(f"no PDF header in the first {PDF_HEADER_WITHIN} bytes, so this is not a PDF", where=name)
    if extension in IMAGE_EXTENSIONS:
        raise ReadError(f"not a picture: the content of this {extension} file is of another kind", where=name)
    if extension in office.EXTENSIONS:
        return Kind(*office.EXTENSIONS[extension])
    if extension in archive.EXTENSIONS:
        if archive.EXTENSIONS[extension] not in (archive.TAR, archive.ZIP):
            raise ReadError(f"the content of this {extension} file is of another kind", where=name)
        return Kind("archive", archive.EXTENSIONS[extension])  # a tar of old, or a zip behind a program that unpacks it
    if extension in HTML_EXTENSIONS:
        return Kind("html", "text/html")
    if extension in records.MEDIA_TYPES:
        media_type = records.MEDIA_TYPES[extension]
        return Kind("json-lines" if media_type == records.LINES else "json", media_type, "JSON")
    if extension == notebook.EXTENSION:
        return Kind("notebook", notebook.MEDIA_TYPE)
    if extension in mail.EXTENSIONS:
        return Kind("mail", mail.EXTENSIONS[extension])
    if extension in mailbox.EXTENSIONS:
        return Kind("mailbox", mailbox.MAILBOX)
    if extension in xml.MEDIA_TYPES:
        return Kind("xml", xml.MEDIA_TYPES[extension], "XML")
    if extension in sqlite.EXTENSIONS:
        raise DroppedFile("unsupported", f"a database ({extension}), but not one of SQLite")
    if extension in table.MEDIA_TYPES:
        return Kind("table", table.MEDIA_TYPES[extension])
    if extension in TEXT_TYPES and name not in languages.BY_NAME:  # CMakeLists.txt
        return Kind("text", TEXT_TYPES[extension])
    head = data[:65536].decode("latin-1")  # enough to see the first line, and which of two rival languages it is
    language = languages.language_of(name, head)
    if language is not None:
        return Kind("code", languages.MEDIA_TYPES[language], language)
    if sqlite.is_log(data):
        unwritten = "changes that SQLite has yet to write into a database: close the program that has it open"
        raise DroppedFile("unsupported", unwritten)
    if _HTML_START.match(data[:4096]):
        return Kind("html", "text/html")
    if mailbox.looks_like_mailbox(data):
        return Kind("mailbox", mailbox.MAILBOX)
    if mail.looks_like_mail(data):
        return Kind("mail", mail.MESSAGE)
    if extension in office.SAVE_AS:
        start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
        if start.startswith(b"<?xml"):  # as Word and Excel of 2003 could write
            return Kind("xml", xml.MEDIA_TYPES[".xml"], "XML")
        if start.startswith(b"<"):  # a table of a web page, which Excel opens
            return Kind("html", "text/html")
    return Kind("text", "text/plain")


def _packed_kind(data: bytes, extension: str) -> Kind | None:
    """Return what an office file, a book or an archive is by its first bytes, or None."""
    stated = office.office_type(data)
    if stated is not None:
        return Kind(*stated)
    if extension in office.EXTENSIONS or extension in office.SAVE_AS:
        return None  # a zip of parts that say nothing by themselves
    packed = archive.archive_type(data)
    return None if packed is None else Kind("archive", packed)


def _is_text(data: bytes) -> bool:
    """Whether what is called a file of an office program is a page, a mail or a table that was only named so."""
    return not data.startswith((b"{\\rtf", *_OFFICE_HEADERS)) and b"\0" not in data[:65536]


def image_type(data: bytes) -> str | None:
    """Return the media type of the picture that `data` begins as, or None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "image/tiff"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    # "BM" alone begins many a text; the four reserved bytes and the size of the next header make it a bitmap.
    if data.startswith(b"BM") and data[6:10] == bytes(4) and data[14:18] in _BITMAP_HEADERS:
        return "image/bmp"
    return None


_BITMAP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))

_OFFICE_HEADERS = (b"\xd0\xcf\x11\xe0", b"\xffWPC", b"PK\x03\x04", b"\xdb\xa5", b"\x31\xbe")
"""What files of Office before 2007, of WordPerfect, of Apple, and of Word before 6 begin with."""

_APPLE_DOUBLE = b"\0\x05\x16\x07"

_PHONE_PICTURES = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis"))
"""Brands of the ISO container (ISO/IEC 23008-12) that hold pictures; phones send them under the name of a JPEG."""
