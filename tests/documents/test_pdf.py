from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.pdfs import blank, claiming, pdf, printed, scanned
from fixtures.pictures import page_picture
from quire.documents.document import Document
from quire.documents.read import DroppedFile, read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

DEFAULT = ReadSettings()
WITHOUT_OCR = ReadSettings(ocr=False)
PROSE = ["A page that was born digital", "carries its own letters."]
PRINT = ["Scanned pages carry none:", "their letters are dots."]


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
    with pytest.raises(DroppedFile, match="no-text: no text on 1 page"):
        read(pdf([scanned(picture)]))
    assert read(pdf([scanned(picture, stamp="17")])).text == "17"


def test_blank_pages_cost_no_recognition_and_are_no_text() -> None:
    with pytest.raises(DroppedFile, match="no-text: no text on 2 pages"):
        read(pdf([blank, blank]), DEFAULT)


def test_a_locked_file_says_so() -> None:
    with pytest.raises(PasswordError, match="password"):
        read(pdf([printed(PROSE)], password="open sesame"))


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
    with pytest.raises(DroppedFile, match="no-text"):
        read(private)
    assert read(private, DEFAULT).text == shown  # recognised


def test_the_table_of_meanings_is_believed() -> None:
    document = read(claiming("fabc", {"f": "\ufb01", "a": "\U0001d538", "b": "\u0003", "c": "é"}))
    assert document.text == "fi\U0001d538é"  # a ligature spelt out, a letter beyond 16 bits, no controls


def test_words_hyphenated_at_line_ends_are_joined() -> None:
    assert read(pdf([printed(["A word that is hyphen-", "ated at the end of its line."])])).text == (
        "A word that is hyphenated at the end of its line."
    )


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
