"""PDF: each page's text layer where it is usable, else its picture recognised."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from quire.documents.document import Document, DroppedFile
from quire.documents.formats.pages import Page, document_of
from quire.documents.formats.reader import SourceFile
from quire.documents.ocr import MAX_SIDE, recognise, shrink
from quire.documents.sandbox import page_done
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

if TYPE_CHECKING:
    from quire.documents.ocr import Picture

# pypdfium2 carries no types.
PdfDocument = Any
PdfPage = Any

# A page with fewer visible characters than this whose pictures cover over half of it is a scan with a stamp or a page
# number on it.
_SCARCE_CHARACTERS = 50
_PICTURE_SHARE = 0.5

# Characters that say nothing (private use, U+FFFD, controls, unassigned) are at most this share of a usable layer.
_MAX_MEANINGLESS = 0.3

# A page is drawn at twice the resolution of recognition and averaged down, which smooths black-and-white scans.
_OVERSAMPLING = 2
_POINTS_PER_INCH = 72

_LIGATURES = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "ſt", "\ufb06": "st"}
)

# PDFium writes U+FFFE where a word was hyphenated at the end of a line, and leaves the line end out.
_JOINT = re.compile(r"(?<=\w)\ufffe(?=\w)|\u00ad[ \t]*\n[ \t]*(?=\w)|\u00ad")

# Glyphs without a meaning, often bullets, come out as controls.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def read_pdf(file: SourceFile, settings: ReadSettings) -> list[Document]:
    """Return the text of `file`, page by page, in PDFium's order.

    Raises:
        DroppedFile: "no-text", or "too-large" by its pages.
        PasswordError: it is encrypted and does not open without a password.
        ReadError: it is broken beyond what PDFium can mend.
    """
    with contextlib.closing(_open(file)) as pdf:
        count = len(pdf)
        if count > settings.max_pages:
            raise DroppedFile("too-large", f"{count:,} pages, more than max_pages = {settings.max_pages:,}")
        pages = []
        for index in range(count):
            pages.append(_read_page(pdf, index, settings))
            page_done()
    if all(page is None for page in pages):
        raise ReadError(f"not one of its {count:,} pages can be opened", where=file.where)
    return [document_of(file, [page or Page("") for page in pages])]


def _pypdfium2() -> Any:
    import pypdfium2

    return pypdfium2


def _open(file: SourceFile) -> PdfDocument:
    pypdfium2 = _pypdfium2()
    # PDFium leaves its last error standing where a document fails without naming one, and a broken file after a locked
    # one would pass for locked. Junk always leaves a plain format error.
    pypdfium2.raw.FPDF_LoadMemDocument(b"junk", 4, None)
    try:
        return pypdfium2.PdfDocument(file.data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            hint = "Save a copy without its password"
            raise PasswordError("protected by a password", where=file.where, hint=hint) from None
        if error.err_code == pypdfium2.raw.FPDF_ERR_SECURITY:
            raise PasswordError("encrypted in a way that cannot be opened", where=file.where) from None
        raise ReadError("a PDF too broken to be opened", where=file.where) from error


def _read_page(pdf: PdfDocument, index: int, settings: ReadSettings) -> Page | None:
    """Return a page's text, or None if the page cannot be opened."""
    pypdfium2 = _pypdfium2()
    try:
        with contextlib.closing(pdf[index]) as page:
            with contextlib.closing(page.get_textpage()) as layer:
                text = _normalised(layer.get_text_range(errors="replace"))
            if _is_usable(text, page):
                return Page(text.translate(_CONTROLS))
            if not settings.ocr or not pypdfium2.raw.FPDFPage_CountObjects(page):
                return Page(_meaningful(text))
            recognised = recognise(_draw(page, settings), settings)
    except pypdfium2.PdfiumError:
        return None
    if len(recognised.text) < len(_meaningful(text)):
        return Page(_meaningful(text))
    return Page(recognised.text, recognised.confidences)


def _normalised(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return _JOINT.sub("", text).replace("\ufffe", "-").translate(_LIGATURES)


def _is_usable(text: str, page: PdfPage) -> bool:
    """Whether a page's text layer says what the page shows."""
    visible = [character for character in text if not character.isspace()]
    if not any(map(str.isalnum, visible)):
        return False
    if sum(map(_is_meaningless, visible)) > _MAX_MEANINGLESS * len(visible):
        return False
    return len(visible) >= _SCARCE_CHARACTERS or _picture_share(page) < _PICTURE_SHARE


def _is_meaningless(character: str) -> bool:
    return character == "\ufffd" or unicodedata.category(character) in ("Co", "Cn", "Cc", "Cs")


def _meaningful(text: str) -> str:
    """Return what a layer that is not usable still says: all of it, if it is only scarce, else nothing."""
    visible = [character for character in text if not character.isspace()]
    garbled = sum(map(_is_meaningless, visible)) > _MAX_MEANINGLESS * len(visible)
    return text.translate(_CONTROLS) if any(map(str.isalnum, visible)) and not garbled else ""


def _picture_share(page: PdfPage) -> float:
    """Return the share of the page that its largest picture covers."""
    width, height = page.get_size()
    largest = 0.0
    for picture in page.get_objects(filter=[_pypdfium2().raw.FPDF_PAGEOBJ_IMAGE]):
        left, bottom, right, top = picture.get_bounds()
        largest = max(largest, (right - left) * (top - bottom))
    return largest / (width * height) if width > 0 and height > 0 else 0.0


def _draw(page: PdfPage, settings: ReadSettings) -> Picture:
    dpi = _OVERSAMPLING * settings.ocr_dpi
    longest = max(page.get_size()) / _POINTS_PER_INCH * dpi
    dpi *= min(1.0, _OVERSAMPLING * MAX_SIDE / max(longest, 1.0))
    bitmap = page.render(scale=dpi / _POINTS_PER_INCH, grayscale=True)
    try:
        drawn: Picture = bitmap.to_numpy()
        return shrink(drawn.reshape(drawn.shape[:2]).copy(), dpi, settings)
    finally:
        bitmap.close()
