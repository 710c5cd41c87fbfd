"""What people put onto the pages of a PDF: values filled into its forms, words typed over it, notes, files."""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from quire.documents.formats.ooxml import comment
from quire.documents.formats.pdf_glyphs import raw_pdfium
from quire.documents.settings import ReadSettings

# Lists of more choices are told by what the file keeps for the chosen one, which need not be what the page shows: to
# look at all choices of all lists of a page takes too long.
_MAX_CHOICES = 500

_MAX_CHARACTERS = 1_000_000

# D:YYYYMMDD and on (PDF 1.7, 7.9.4).
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)(\d\d)")

# A note of so many words, which stand on the page in that order, was copied: many programs that mark text do so.
_MIN_COPIED = 4

Handle = Any  # PDFium's, which carry no types


class Note(NamedTuple):
    """What somebody put onto a page.

    Args:
        text: as it is told: with the label of its field, or who wrote it.
        words: those of it that the page itself may say or show too; none of a field, whose value PDFium does not draw.
    """

    text: str
    words: str = ""


_NONE = Note("")


def new_notes(notes: Sequence[Note], text: str, recognised: bool) -> list[str]:
    """Return the texts of `notes` that the page's own `text` does not have.

    Args:
        notes: of the page.
        text: what the page says.
        recognised: whether that comes from its picture, on which most annotations are drawn.
    """
    in_order = f" {' '.join(text.split())} "
    single = set(text.split())
    new = []
    for note in notes:
        words = note.words.split()
        copied = len(words) >= _MIN_COPIED and f" {' '.join(words)} " in in_order
        if not words or not (copied or (recognised and single.issuperset(words))):
            new.append(note.text)
    return new


class Annotations:
    """Reads the annotations of the pages of one document; close it before the document.

    Args:
        pdf: of pypdfium2.
        settings: whether notes are kept.
    """

    def __init__(self, pdf: Any, settings: ReadSettings) -> None:
        self._pdf = pdf
        self._settings = settings
        self._form: Handle = None
        self._form_info: Any = None  # PDFium goes on using it

    def close(self) -> None:
        """Give back what was needed to read forms."""
        if self._form:
            raw_pdfium().FPDFDOC_ExitFormFillEnvironment(self._form)
            self._form = None

    def read(self, page: Any) -> tuple[list[Note], list[str]]:
        """Return what people put onto a page, in the order of the file, and the names of files pinned to it.

        Hidden annotations, passwords, and notes that only repeat that something was accepted are left out.
        """
        pdfium = raw_pdfium()
        notes: list[Note] = []
        files: list[str] = []
        for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
            annotation = pdfium.FPDFPage_GetAnnot(page, index)
            if not annotation:
                continue
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if kind == pdfium.FPDF_ANNOT_FILEATTACHMENT:
                files.extend(self._file(annotation))
            elif kind != pdfium.FPDF_ANNOT_LINK and not pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
                notes.append(
                    self._field(annotation) if kind == pdfium.FPDF_ANNOT_WIDGET else self._note(annotation, kind)
                )
            pdfium.FPDFPage_CloseAnnot(annotation)
        return [note for note in dict.fromkeys(notes) if note.text], files

    def _file(self, annotation: Handle) -> Iterator[str]:
        pypdfium2: Any = importlib.import_module("pypdfium2")  # which carries no types
        attachment = raw_pdfium().FPDFAnnot_GetFileAttachment(annotation)
        if attachment:
            yield pypdfium2.PdfAttachment(attachment, self._pdf).get_name()

    def _note(self, annotation: Handle, kind: int) -> Note:
        pdfium = raw_pdfium()
        if kind not in _NOTES or pdfium.FPDFAnnot_HasKey(annotation, b"StateModel"):
            return _NONE
        words = _string(annotation, b"Contents")
        if kind == pdfium.FPDF_ANNOT_FREETEXT or not words:
            return Note(words, words)
        if not self._settings.comments:
            return _NONE
        date = _DATE.match(_string(annotation, b"M"))
        author = _string(annotation, b"T")
        return Note(comment(author, "-".join(date.groups()) if date else None, words), words)

    def _field(self, annotation: Handle) -> Note:
        pdfium = raw_pdfium()
        form = self._form_of_document()
        kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation) if form else -1
        if kind < 0:  # a field that the document's form does not know
            value = _string(annotation, b"V") if _string(annotation, b"FT") in ("Tx", "Ch") else ""
            return Note(value)
        label = _read(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation).rstrip(": ")
        value = self._value(form, annotation, kind, label)
        return Note(f"{label}: {value}" if label and value else value)

    def _value(self, form: Handle, annotation: Handle, kind: int, label: str) -> str:
        pdfium = raw_pdfium()
        if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
            ticked = _string(annotation, b"AS")
            return ticked if label and ticked != "Off" else ""  # without a label it says nothing: "1", or "On"
        if kind in (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX):
            count = min(pdfium.FPDFAnnot_GetOptionCount(form, annotation), _MAX_CHOICES)
            chosen = [n for n in range(count) if pdfium.FPDFAnnot_IsOptionSelected(form, annotation, n)]
            labels = [_read(pdfium.FPDFAnnot_GetOptionLabel, form, annotation, number) for number in chosen]
            return ", ".join(filter(None, labels)) or _read(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
        secret = pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & pdfium.FPDF_FORMFLAG_TEXT_PASSWORD
        if kind != pdfium.FPDF_FORMFIELD_TEXTFIELD or secret:
            return ""
        return _read(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)

    def _form_of_document(self) -> Handle:
        """Return PDFium's environment of the document's form, made where it is first needed, or None without a form."""
        pdfium = raw_pdfium()
        if self._form is None:
            self._form = False
            if pdfium.FPDF_GetFormType(self._pdf) != pdfium.FORMTYPE_NONE:
                self._form_info = pdfium.FPDF_FORMFILLINFO(version=2)
                self._form = pdfium.FPDFDOC_InitFormFillEnvironment(self._pdf, self._form_info) or False
        return self._form


_HIDDEN = 1 << 1  # the flag of an annotation that is never shown

# Text, FreeText, Line, Square, Circle, Polygon, PolyLine, Highlight, Underline, Squiggly, StrikeOut, Stamp, Caret, Ink:
# the subtypes of PDF 1.7, 12.5.6, by which people mark pages, as PDFium numbers them.
_NOTES = frozenset((1, *range(3, 16)))


def _string(annotation: Handle, key: bytes) -> str:
    return _read(raw_pdfium().FPDFAnnot_GetStringValue, annotation, key)


def _read(function: Callable[..., int], *args: Any) -> str:
    """Return the string that one of PDFium's functions writes as UTF-16 with a final NUL, with plain line ends."""
    size = min(function(*args, None, 0), 2 * _MAX_CHARACTERS)  # in bytes
    if size <= 2:
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    function(*args, buffer, size)
    text = bytes(buffer).decode("utf-16-le", "replace").rstrip("\0")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
