"""What people put onto the pages of a PDF: forms that are filled in, words typed over it, notes."""

from __future__ import annotations

import io

import pypdfium2
import pytest
from reportlab.pdfgen.canvas import Canvas

from fixtures.pdfs import blank, pdf, printed, scanned
from fixtures.pictures import page_picture
from quire.documents.document import Document
from quire.documents.formats.pdf_notes import Note, new_notes
from quire.documents.read import DroppedFile, read_bytes
from quire.documents.settings import ReadSettings

WITHOUT_OCR = ReadSettings(ocr=False)
PAGE = "The form has a line of its own, and room for answers."


def read(data: bytes, settings: ReadSettings = WITHOUT_OCR) -> str:
    (document,) = read_bytes(data, "a.pdf", settings)
    assert isinstance(document, Document)
    return document.text


def fields(canvas: Canvas) -> None:
    printed([PAGE])(canvas)
    form = canvas.acroForm
    form.textfield(value="Ada Löwe", name="a", tooltip="First name:", x=40, y=400)
    form.textfield(value="", name="b", tooltip="Last name", x=40, y=360)
    form.textfield(value="in two\nlines", name="c", fieldFlags="multiline", tooltip="", x=40, y=320)
    form.textfield(value="open sesame", name="d", fieldFlags="password", x=40, y=280)
    form.choice(value="G", name="e", tooltip="Colour", options=[("Red", "R"), ("Green", "G")], x=40, y=240)
    form.checkbox(checked=True, name="f", tooltip="Married", x=40, y=200)
    form.checkbox(checked=False, name="g", tooltip="Retired", x=40, y=160)


def test_what_is_filled_into_a_form_stands_below_its_page() -> None:
    text = read(pdf([fields, printed(["The next page."])]))
    assert text == f"{PAGE}\n\nFirst name: Ada Löwe\nin two\nlines\nColour: Green\nMarried: Yes\n\nThe next page."


def test_a_page_of_answers_alone_has_text() -> None:
    def answers(canvas: Canvas) -> None:
        canvas.acroForm.textfield(value="Only this", name="a", x=40, y=400)

    assert read(pdf([answers])) == "Only this"
    assert read(pdf([answers]), ReadSettings()) == "Only this"


def annotated(kind: int, text: str, flags: int = 0, **strings: str) -> bytes:
    """Return a PDF of one line with one annotation."""
    made = pypdfium2.PdfDocument(pdf([printed([PAGE])]))
    raw = pypdfium2.raw
    page = made[0]
    note = raw.FPDFPage_CreateAnnot(page, kind)
    for key, value in {"Contents": text, **strings}.items():
        encoded = (value + "\0").encode("utf-16-le")
        raw.FPDFAnnot_SetStringValue(
            note, key.encode(), (raw.FPDF_WCHAR * (len(encoded) // 2)).from_buffer_copy(encoded)
        )
    raw.FPDFAnnot_SetFlags(note, flags)
    raw.FPDFPage_CloseAnnot(note)
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


TEXT, LINK, FREETEXT, HIGHLIGHT, POPUP = 1, 2, 3, 9, 16


@pytest.mark.parametrize("kind", [TEXT, HIGHLIGHT])
def test_notes_are_comments_below_their_page(kind: int) -> None:
    data = annotated(kind, "Is this so?", T="Ada", M="D:20210304050607+01'00'")
    assert read(data) == f"{PAGE}\n\n[Comment by Ada, 2021-03-04: Is this so?]"
    assert read(data, ReadSettings(ocr=False, comments=False)) == PAGE
    assert read(
        annotated(kind, "\ud83d\ude00 half \ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    )


def test_an_answer_that_the_page_also_prints_is_an_answer() -> None:
    def answered(canvas: Canvas) -> None:
        printed([PAGE])(canvas)
        canvas.acroForm.textfield(value="line", name="a", x=40, y=400)

    assert read(pdf([answered])) == f"{PAGE}\n\nline"


def test_answers_on_a_scanned_form_stand_below_what_is_recognised() -> None:
    def answered(canvas: Canvas) -> None:
        scanned(page_picture(["Name of the applicant"], inches=(4.0, 1.2)))(canvas)
        canvas.acroForm.textfield(value="Ada", name="a", x=40, y=20)

    assert read(pdf([answered]), ReadSettings()) == "Name of the applicant\n\nAda"


def test_words_typed_onto_a_scan_are_not_told_twice() -> None:
    notes = [Note("page. seen", "page. seen"), Note("seen unseen", "seen unseen"), Note("Name: seen")]
    assert new_notes(notes, "Seen and seen on the page.", recognised=True) == ["seen unseen", "Name: seen"]
    assert new_notes(notes, "Seen and seen on the page.", recognised=False) == [note.text for note in notes]


def test_words_typed_onto_a_page_are_its_text() -> None:
    data = annotated(FREETEXT, "Typed by\rhand", T="Ada")
    assert read(data, ReadSettings(ocr=False, comments=False)) == f"{PAGE}\n\nTyped by\nhand"


@pytest.mark.parametrize(
    "data",
    [
        annotated(POPUP, "Is this so?"),
        annotated(LINK, "A link to the form"),
        annotated(TEXT, "Is this so?", flags=2),
        annotated(TEXT, "Accepted set by Ada", StateModel="Review"),
        annotated(FREETEXT, "The form has a line"),
        annotated(HIGHLIGHT, "has a line\rof its"),
        annotated(FREETEXT, " \r\n"),
    ],
    ids=["popup", "link", "hidden", "state", "copied", "marked", "empty"],
)
def test_what_nobody_wrote_or_all_can_read_is_not_told_again(data: bytes) -> None:
    assert read(data) == PAGE


def test_an_empty_form_has_no_text() -> None:
    with pytest.raises(DroppedFile, match="no-text"):
        read(pdf([blank]))
