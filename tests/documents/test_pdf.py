from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from fixtures.pdfs import Painter, blank, claiming, pdf, printed, scanned
from fixtures.pictures import page_picture
from quire.documents.document import Document, LeftOut
from quire.documents.read import DroppedFile, read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

DEFAULT = ReadSettings()
WITHOUT_OCR = ReadSettings(ocr=False)
PROSE = ["A page that was born digital", "carries its own letters."]
PRINT = ["Scanned pages carry none:", "their letters are dots."]


def sheet(colour: str) -> Painter:
    """A page with a rectangle on it and nothing else: one that can be seen, or not."""

    def paint(canvas: Canvas) -> None:
        canvas.setFillColor(colour)
        canvas.rect(50, 50, 200, 300, stroke=0, fill=1)

    return paint


def read(data: bytes, settings: ReadSettings = WITHOUT_OCR) -> Document:
    (document,) = read_bytes(data, "a.pdf", settings)
    return document


def test_pages_keep_their_numbers_and_spans() -> None:
    document = read(pdf([printed(PROSE), blank, printed(["The third page."])]))
    assert document.text == "\n".join(PROSE) + "\n\nThe third page."
    assert [(span.page, document.text[span.start : span.end]) for span in document.pages] == [
        (1, "\n".join(PROSE)),
        (3, "The third page."),
    ]
    assert document.media_type == "application/pdf"
    assert document.ocr_confidence is None


def test_a_page_without_letters_goes_to_recognition_by_itself() -> None:
    picture = page_picture(PRINT, inches=(4.0, 1.2))
    document = read(pdf([printed(PROSE), scanned(picture), scanned(picture, stamp="17")]), DEFAULT)
    pages = [document.text[span.start : span.end] for span in document.pages]
    assert pages[0] == "\n".join(PROSE)
    assert pages[1] == "\n".join(PRINT)
    assert "\n".join(PRINT) in pages[2]  # and the stamp did not pass for the page's text
    assert document.ocr_confidence is not None
    assert document.ocr_confidence > 0.9


def test_with_recognition_off_a_scan_is_dropped_and_a_stamp_is_all_there_is() -> None:
    picture = page_picture(PRINT, inches=(4.0, 1.2))
    with pytest.raises(DroppedFile, match=r"not-recognised: no text on 1 page: .*recognition of text is off"):
        read(pdf([scanned(picture)]))
    document, left = read_bytes(pdf([scanned(picture, stamp="17")]), "a.pdf", WITHOUT_OCR)
    assert document.text == "17"
    assert (left.member, left.rule) == ("page 1", "not-recognised")


def test_blank_pages_cost_no_recognition_and_are_no_text() -> None:
    with pytest.raises(DroppedFile, match="no-text: no text on 2 pages"):
        read(pdf([blank, blank]), DEFAULT)


# Every kind of page, and what the account has of it without and with recognition.
PAGES = {
    "text": (printed(PROSE), None, None),
    "blank": (blank, None, None),
    "white": (sheet("white"), None, None),
    "scan": (scanned(page_picture(PRINT, inches=(4.0, 1.2))), "not-recognised", None),
    "photo": (scanned(Image.linear_gradient("L")), "not-recognised", "no-text"),
    "drawing": (sheet("black"), "not-recognised", "no-text"),
}


def check_account(names: Sequence[str], recognise: bool) -> None:
    expected = {number: PAGES[name][1 + recognise] for number, name in enumerate(names, start=1)}
    parts = list(read_bytes(pdf([PAGES[name][0] for name in names]), "a.pdf", ReadSettings(ocr=recognise)))
    document, *left_out = parts
    assert isinstance(document, Document)
    assert {span.page for span in document.pages} == {
        number for number, name in enumerate(names, start=1) if name == "text" or (recognise and name == "scan")
    }
    told: dict[int, str | None] = dict.fromkeys(expected)
    for left in left_out:
        assert isinstance(left, LeftOut)
        first, _, last = left.member.split()[1].partition("-")
        for number in range(int(first), int(last or first) + 1):
            assert told[number] is None
            told[number] = left.rule
    assert told == expected
    runs = [rule for rule, _ in groupby(expected.values()) if rule]
    assert len(left_out) == len(runs)  # a run of pages is told in one line


@given(st.lists(st.sampled_from(sorted(PAGES)), max_size=8), st.integers(0, 8))
@settings(max_examples=50)
def test_without_recognition_every_page_is_in_the_text_or_blank_or_named(names: list[str], place: int) -> None:
    check_account([*names[:place], "text", *names[place:]], recognise=False)


def test_with_recognition_every_page_is_in_the_text_or_blank_or_named() -> None:
    check_account(["photo", "drawing", "white", "scan", "photo", "blank", "text"], recognise=True)


def test_pages_that_cannot_be_opened_are_told_in_runs() -> None:
    data = pdf([printed(PROSE)] * 6)
    pages = re.findall(rb"(?m)^(\d+) 0 obj\n<<\n/Contents", data)
    for number in pages[1:4]:
        data = data.replace(b"\n%s 0 obj\n<<\n/Contents" % number, b"\n%s 0 obj\n(x\n/Contents" % number)
    document, left = read_bytes(data, "a.pdf", WITHOUT_OCR)
    assert [span.page for span in document.pages] == [1, 5, 6]
    assert (left.member, left.outcome, left.rule) == ("pages 2-4", "failed", "damaged")


def test_what_is_not_recognised_surely_is_not_passed_over() -> None:
    scan = scanned(page_picture(PRINT, inches=(4.0, 1.2)))
    sure = ReadSettings(ocr_min_confidence=1.0)
    document, left = read_bytes(pdf([printed(PROSE), scan, scan]), "a.pdf", sure)
    assert document.text == "\n".join(PROSE)
    assert (left.member, left.outcome, left.rule) == ("pages 2-3", "dropped", "unsure-ocr")
    with pytest.raises(DroppedFile, match=r"unsure-ocr: no text on 2 pages: on 1 of them .* ocr_min_confidence"):
        read(pdf([blank, scan]), sure)


def test_attachments_of_a_file_without_text_are_named_too() -> None:
    import pypdfium2

    made = pypdfium2.PdfDocument(pdf([scanned(page_picture(PRINT)), blank]))
    for name in ("a.csv", "b.csv", "c.csv"):
        made.new_attachment(name).set_data(b"1,2")
    buffer = io.BytesIO()
    made.save(buffer)
    parts = list(read_bytes(buffer.getvalue(), "a.pdf", ReadSettings(ocr=False, max_members=2)))
    assert [(part.member, part.rule) for part in parts if isinstance(part, LeftOut)] == [
        ("page 1", "not-recognised"),
        ("attachment a.csv", "attachment"),
        ("attachment b.csv", "attachment"),
        ("(other attachments)", "too-many"),
    ]


def test_a_locked_file_says_so() -> None:
    with pytest.raises(PasswordError, match="password"):
        read(pdf([printed(PROSE)], password="open sesame"))


@pytest.mark.parametrize("given", [None, "of another file"])
def test_a_file_that_opens_without_a_password_takes_no_other(given: str | None) -> None:
    no_printing = StandardEncryption("", ownerPassword="boss", canPrint=0)
    document = read(pdf([printed(PROSE)], password=no_printing), ReadSettings(ocr=False, password=given))
    assert document.text == "\n".join(PROSE)


@pytest.mark.parametrize("keep", [20, 200])
def test_a_file_cut_short_is_an_error_that_names_it(keep: int) -> None:
    with pytest.raises(ReadError, match=r"a\.pdf"):
        read(pdf([printed(PROSE)])[:keep])


def test_more_pages_than_allowed_are_dropped() -> None:
    with pytest.raises(DroppedFile, match="too-large: 3 pages, more than max_pages = 2"):
        read(pdf([blank] * 3), ReadSettings(max_pages=2))


def test_a_layer_of_characters_without_a_meaning_is_not_believed() -> None:
    shown = "Plain words on paper"
    private = claiming(shown, {letter: chr(0xE000 + ord(letter)) for letter in set(shown)})
    with pytest.raises(DroppedFile, match="not-recognised"):
        read(private)
    assert read(private, DEFAULT).text == shown  # recognised


def test_the_table_of_meanings_is_believed() -> None:
    document = read(claiming("fabc", {"f": "\ufb01", "a": "\U0001d538", "b": "\u0003", "c": "é"}))
    assert document.text == "fi\U0001d538é"  # a ligature spelt out, a letter beyond 16 bits, no controls


def test_words_hyphenated_at_line_ends_are_joined() -> None:
    assert read(pdf([printed(["A word that is hyphen-", "ated at the end of its line."])])).text == (
        "A word that is hyphenated at the end of its line."
    )


CODE = """\
def f(x):
    if x:
        return 1
    return 2

class Thing:
    def walk(self, n):
        for _ in range(n):
            a, b = b, a + b
        return a"""


@pytest.mark.parametrize("by_place", [False, True])
def test_code_keeps_its_lines_and_indentation(by_place: bool) -> None:
    def listing(canvas: Canvas) -> None:
        canvas.setFont("Courier", 10)
        for number, row in enumerate(CODE.split("\n")):
            indent = len(row) - len(row.lstrip()) if by_place else 0
            canvas.drawString(40 + 6 * indent, 500 - 12 * number, row[indent:])

    assert read(pdf([listing])).text == CODE


@pytest.mark.shared_data
def test_hostile_files_give_what_is_expected_of_each(shared_data: Path) -> None:
    folder = shared_data / "pdf_hostile"
    got = {}
    for name, expected in json.loads((folder / "expected.json").read_text()).items():
        try:
            parts = list(read_file(folder / name, name, DEFAULT))
            said = any(part.text.strip() for part in parts if isinstance(part, Document))
            got[name] = "text" if said else "nothing"
        except PasswordError:
            got[name] = "password"
        except ReadError:
            got[name] = "error"
        except DroppedFile as dropped:
            got[name] = dropped.rule
        if expected == "any":
            got[name] = "any"
    assert got == json.loads((folder / "expected.json").read_text())


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["ocr_test.pdf", "ocr_test_rotated_90.pdf"])
def test_scanned_files_are_read_whichever_way_up(shared_data: Path, name: str) -> None:
    (document,) = read_file(shared_data / "pdf_scanned" / name, name, DEFAULT)
    words = "Docling bundles PDF document conversion to JSON and Markdown in an easy self contained package"
    assert document.text.split() == words.split()
