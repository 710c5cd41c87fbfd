"""PDF: each page's text layer where it is usable, else its picture recognised."""

from __future__ import annotations

import contextlib
import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quire.documents.document import DroppedFile, LeftOut, Part, counted
from quire.documents.formats.furniture import running
from quire.documents.formats.hyphenation import join_words
from quire.documents.formats.members import Budget, Members
from quire.documents.formats.normal_form import LIGATURES
from quire.documents.formats.pages import Page, document_of, pages_left_out, recognised_page
from quire.documents.formats.pdf_lines import TextLine, lines_of
from quire.documents.formats.pdf_notes import Annotations, Note, new_notes
from quire.documents.formats.pdf_order import in_order
from quire.documents.formats.pdf_paragraphs import text_of
from quire.documents.formats.reader import SourceFile
from quire.documents.ocr import MAX_SIDE, is_blank, recognise, shrink
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

# Dots on the long side of a page that is drawn only to see whether anything is on it: a hairline still greys some.
_GLANCE = 400

_SPELT = str.maketrans(LIGATURES)
_LIGATURE = re.compile(f"[{''.join(LIGATURES)}]")

# Soft hyphens within lines; glyphs without a meaning, often bullets, that come out as controls.
_MEANS_NOTHING = re.compile("[\u00ad\x00-\x08\x0b-\x1f\x7f-\x9f]")

# A glyph of a symbol font (private use) with white space behind it at the beginning of a line is a bullet.
_BULLET = re.compile("[\ue000-\uf8ff](?<=^.)(?=[ \t])", re.MULTILINE)

_EMPTY_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+\n")

_LETTER = re.compile(r"[^\W_]")

_ASCII = frozenset(map(chr, range(32, 127)))  # each has a meaning


def read_pdf(file: SourceFile, settings: ReadSettings) -> list[Part]:
    """Return the text of `file`, page by page, and the account of pages that gave less than they show and attachments.

    Raises:
        DroppedFile: "too-large" by its pages; "no-text", "unsure-ocr" or "not-recognised" where no page has text.
        PasswordError: it is encrypted and does not open without a password, or with the one in `settings`.
        ReadError: it is broken beyond what PDFium can mend.
    """
    # For its names alone: a PDF is not one level of nesting.
    members = Members(replace(file, budget=file.budget or Budget(0, 0)), settings)
    with contextlib.closing(_open(file, settings)) as pdf:
        count = len(pdf)
        if settings.exceeded("max_pages", count):
            raise DroppedFile("too-large", f"{count:,} pages, more than max_pages = {settings.max_pages:,}")
        pages: list[Page | list[TextLine]] = []
        notes: list[list[Note]] = []
        attached = _attached(pdf, settings)
        with contextlib.closing(Annotations(pdf, settings)) as annotations:
            for index in range(count):
                page, put_on, files = _read_page(pdf, index, settings, annotations)
                pages.append(page)
                notes.append(put_on)
                attached.extend(files)
                page_done()
    heads = _heads(pages) if settings.running_heads else [[] for _ in pages]
    texts = _texts(pages, heads, settings)
    read = [_noted(page, put_on) for page, put_on in zip(texts, notes, strict=True)]
    missing = {page.missing for page in read if page.missing is not None}
    if all(page.missing == "damaged" for page in read):
        raise ReadError(f"not one of its {count:,} pages can be opened", where=file.where)
    too_many = settings.exceeded("max_members", len(attached))
    names = [f"attachment {name}" for name in (attached[: settings.max_members] if too_many else attached)]
    left_out: list[Part] = [
        *pages_left_out(file, read),
        *_heads_left_out(file, heads),
        *(members.left_out(name, 0, "attachment", "files attached to PDFs are not read") for name in names),
    ]
    if too_many:
        why = f"more than max_members = {settings.max_members:,} are attached"
        left_out.append(members.left_out("(other attachments)", 0, "too-many", why))
    if (attached or len(missing) > 1) and not any(page.text.strip() for page in read):
        return left_out  # in one sentence about the file, some of it would be missing
    return [document_of(file, read), *left_out]


def _heads(pages: Sequence[Page | list[TextLine]]) -> list[list[TextLine]]:
    """Return the lines of each page that are running heads, feet or page numbers and are left out."""
    layers = [page if isinstance(page, list) else [] for page in pages]
    return [[lines[number] for number in found] for lines, found in zip(layers, running(layers), strict=True)]


def _heads_left_out(file: SourceFile, heads: Sequence[Sequence[TextLine]]) -> list[LeftOut]:
    """Return the account of running heads, feet and page numbers, in one line."""
    texts = [line.text for lines in heads for line in lines]
    if not texts:
        return []
    characters, pages = counted(sum(map(len, texts)), "character"), counted(sum(map(bool, heads)), "page")
    detail = f"{characters} of heads, feet and page numbers on {pages}"
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return [LeftOut(file.named("running heads and feet"), size, "dropped", "running-heads", detail)]


def _texts(
    pages: Sequence[Page | list[TextLine]], heads: Sequence[Sequence[TextLine]], settings: ReadSettings
) -> list[Page]:
    """Return what each page says without its heads, now that all of them are known."""
    texts = []
    for page, left_out in zip(pages, heads, strict=True):
        lines = page if isinstance(page, list) else []
        kept = [line for line in lines if line not in left_out] if left_out else lines
        texts.append(text_of(kept, rejoin=settings.pdf_layout))
    read = zip(pages, join_words(texts), strict=True)
    return [page if isinstance(page, Page) else Page(_normalised(text)) for page, text in read]


def _pypdfium2() -> Any:
    import pypdfium2

    return pypdfium2


def _open(file: SourceFile, settings: ReadSettings) -> PdfDocument:
    pypdfium2 = _pypdfium2()
    # PDFium leaves its last error standing where a document fails without naming one, and a broken file after a locked
    # one would pass for locked. Junk always leaves a plain format error.
    pypdfium2.raw.FPDF_LoadMemDocument(b"junk", 4, None)
    try:
        try:
            # Without the password first: one that needs none may refuse any other.
            return pypdfium2.PdfDocument(file.data)
        except pypdfium2.PdfiumError as error:
            if error.err_code != pypdfium2.raw.FPDF_ERR_PASSWORD or settings.password is None:
                raise
            return pypdfium2.PdfDocument(file.data, password=settings.password.get_secret_value())
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            what = "protected by a password" if settings.password is None else "protected by another password"
            raise PasswordError(what, where=file.where, hint="Give it by --password (read.password)") from None
        if error.err_code == pypdfium2.raw.FPDF_ERR_SECURITY:
            raise PasswordError("encrypted in a way that cannot be opened", where=file.where) from None
        raise ReadError("a PDF too broken to be opened", where=file.where) from error


def _attached(pdf: PdfDocument, settings: ReadSettings) -> list[str]:
    """Return the names of the files embedded in `pdf` itself, or of one more than are told."""
    pypdfium2 = _pypdfium2()
    names = []
    count = pdf.count_attachments()
    if settings.exceeded("max_members", count):
        count = settings.max_members + 1
    for index in range(count):
        try:
            names.append(pdf.get_attachment(index).get_name())
        except pypdfium2.PdfiumError:
            names.append(f"number {index + 1}")
    return names


def _read_page(
    pdf: PdfDocument, index: int, settings: ReadSettings, annotations: Annotations
) -> tuple[Page | list[TextLine], list[Note], list[str]]:
    """Return what a page says, what people put onto it, and the names of the files pinned to it."""
    notes: list[Note] = []
    files: list[str] = []
    try:
        with contextlib.closing(pdf[index]) as page:
            notes, files = annotations.read(page)
            return _read_content(page, settings), notes, files
    except _pypdfium2().PdfiumError:
        return Page("", missing="damaged"), notes, files


def _read_content(page: PdfPage, settings: ReadSettings) -> Page | list[TextLine]:
    """Return the lines of a page's text layer in reading order, or what is recognised on it."""
    with contextlib.closing(page.get_textpage()) as layer:
        text = layer.get_text_range(errors="replace")
        if _is_usable(text, page):
            lines = lines_of(layer.raw, text)
            return in_order(lines) if settings.pdf_layout else lines
    scarce = "" if _is_garbled(text) else _normalised(text.replace("\r\n", "\n"))
    if not _pypdfium2().raw.FPDFPage_CountObjects(page):
        return Page(scarce)
    if not settings.ocr:
        return Page(scarce, missing="not-recognised" if _shows_something(page) else None)
    picture = _draw(page, settings)
    if is_blank(picture):
        return Page(scarce)
    recognised = recognise(picture, settings)
    return Page(scarce) if len(recognised.text) < len(scarce) else recognised_page(recognised)


def _noted(page: Page, notes: Sequence[Note]) -> Page:
    """Return `page` with what people put onto it below its text."""
    if not notes:
        return page
    new = _normalised("\n".join(new_notes(notes, page.text, bool(page.confidences))))
    return replace(page, text="\n\n".join([part for part in (page.text.strip("\n"), new) if part]))


def _normalised(text: str) -> str:
    """Return `text` with ligatures spelt out, without soft hyphens and glyphs that mean nothing, in NFC."""
    if _LIGATURE.search(text):
        text = text.translate(_SPELT)
    if _MEANS_NOTHING.search(text):
        text = _EMPTY_LINES.sub("\n\n", _MEANS_NOTHING.sub("", text))
    text = _BULLET.sub("•", text)
    return unicodedata.normalize("NFC", text)


def _is_usable(text: str, page: PdfPage) -> bool:
    """Whether a page's text layer says what the page shows."""
    if _is_garbled(text):
        return False
    beginning = text[: 4 * _SCARCE_CHARACTERS]  # where the page has text, it begins with some
    return (
        _visible(beginning) >= _SCARCE_CHARACTERS
        or _visible(text) >= _SCARCE_CHARACTERS
        or _picture_share(page) < _PICTURE_SHARE
    )


def _is_garbled(text: str) -> bool:
    """Whether a text layer has no letters, or too many characters without a meaning to be believed."""
    if not _LETTER.search(text):
        return True
    strange = [character for character in set(text).difference(_ASCII) if _is_meaningless(character)]
    return bool(strange) and sum(map(text.count, strange)) > _MAX_MEANINGLESS * _visible(text)


@functools.lru_cache(65536)
def _is_meaningless(character: str) -> bool:
    if character in "\r\n\t\ufffe":
        return False
    return character == "\ufffd" or unicodedata.category(character) in ("Co", "Cn", "Cc", "Cs")


def _visible(text: str) -> int:
    return sum(map(len, text.split()))


def _picture_share(page: PdfPage) -> float:
    """Return the share of the page that its largest picture covers."""
    width, height = page.get_size()
    largest = 0.0
    for picture in page.get_objects(filter=[_pypdfium2().raw.FPDF_PAGEOBJ_IMAGE]):
        left, bottom, right, top = picture.get_bounds()
        largest = max(largest, (right - left) * (top - bottom))
    return largest / (width * height) if width > 0 and height > 0 else 0.0


def _shows_something(page: PdfPage) -> bool:
    """Return whether there is a picture on a page, or anything else that can be seen."""
    if any(True for _ in page.get_objects(filter=[_pypdfium2().raw.FPDF_PAGEOBJ_IMAGE])):
        return True
    return not is_blank(_drawn(page, _GLANCE / max(*page.get_size(), 1.0)))


def _draw(page: PdfPage, settings: ReadSettings) -> Picture:
    dpi = _OVERSAMPLING * settings.ocr_dpi
    longest = max(page.get_size()) / _POINTS_PER_INCH * dpi
    dpi *= min(1.0, _OVERSAMPLING * MAX_SIDE / max(longest, 1.0))
    return shrink(_drawn(page, dpi / _POINTS_PER_INCH), dpi, settings)


def _drawn(page: PdfPage, scale: float) -> Picture:
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        drawn: Picture = bitmap.to_numpy()
        drawn = drawn.reshape(drawn.shape[:2]).copy()
    finally:
        bitmap.close()
    return drawn
