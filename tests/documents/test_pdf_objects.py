"""PDFs as files: locked ones, what hangs on them beside their pages, and pages and fonts that are hardly there."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from fixtures.pdfs import PLAIN, blank, parts_of, pdf, printed, text_of
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError, ReadError

SHOWN = "BT /F 24 Tf 40 300 Td (Words that were saved) Tj ET"
PAGE = "/Type /Page /Parent 2 0 R /MediaBox [0 0 420 420] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >>"


def test_a_password_opens_a_locked_file() -> None:
    data = pdf([printed(["Nobody else reads this."])], password="open sesame")
    assert text_of(data, ReadSettings(ocr=False, password=SecretStr("open sesame"))) == "Nobody else reads this."
    with pytest.raises(PasswordError, match="another password"):
        list(read_bytes(data, "a.pdf", ReadSettings(password=SecretStr("open barley"))))


def by_hand(kids: str, count: int, catalog: str = "", page: str = "", *more: str) -> bytes:
    """A PDF of objects: the catalog, the pages, page 3 0 R, what it shows, its font, and `more` from 6 0 R on."""
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        f"<< {PAGE} {page} >>",
        f"<< /Length {len(SHOWN)} >>\nstream\n{SHOWN}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *more,
    ]
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode("ascii")
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}{trailer}".encode("ascii")


def test_attachments_are_named_and_left_out() -> None:
    names = "/Names << /EmbeddedFiles << /Names [(a) 7 0 R (b) 8 0 R (c) 7 0 R] >> >>"
    data = by_hand(
        "3 0 R",
        1,
        names,
        "/Annots [9 0 R]",
        "<< /Type /EmbeddedFile /Length 5 >>\nstream\n1,2,3\nendstream",
        "<< /Type /Filespec /F (numbers.csv) /UF (numbers.csv) /EF << /F 6 0 R >> >>",
        "<< /Type /Filespec /F (x) /UF <FEFF007300700061007400E4> /EF << /F 6 0 R >> >>",
        "<< /Type /Annot /Subtype /FileAttachment /Rect [0 0 9 9] /FS 10 0 R >>",
        "<< /Type /Filespec /F (pinned.bin) /UF (pinned.bin) /EF << /F 6 0 R >> >>",
    )
    document, left_out = parts_of(data)
    assert document.text == "Words that were saved"
    assert [(part.member, part.outcome, part.rule) for part in left_out] == [
        (f"attachment {name}", "dropped", "attachment")
        for name in ("numbers.csv", "spat\u00e4", "numbers.csv (2)", "pinned.bin")
    ]


def test_a_page_that_cannot_be_opened_is_named_and_the_others_are_read() -> None:
    document, left_out = parts_of(by_hand("3 0 R 9 0 R", 2))
    assert document.text == "Words that were saved"
    assert [(part.member, part.outcome, part.rule) for part in left_out] == [("page 2", "failed", "damaged")]
    with pytest.raises(ReadError, match="not one of its 2 pages"):
        list(read_bytes(by_hand("8 0 R 9 0 R", 2), "a.pdf", PLAIN))


def test_an_empty_page_is_not_broken() -> None:
    assert parts_of(pdf([printed(["One"]), blank]))[1] == []


def test_lines_without_ink_are_read_too() -> None:
    # Text layers under scans may be set in a font that draws nothing at all.
    letters = sorted(set("Wordsthaveavd "))
    names = {" ": "space"}
    differences = " ".join(f"{ord(letter)} /{names.get(letter, letter)}" for letter in letters)
    procs = " ".join(f"/{names.get(letter, letter)} 7 0 R" for letter in letters)
    font = (
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 0 0] /FontMatrix [0.001 0 0 0.001 0 0] "
        f"/CharProcs << {procs} >> /Encoding << /Type /Encoding /Differences [{differences}] >> "
        f"/FirstChar 32 /LastChar 122 /Widths [{' '.join(['500'] * 91)}] /Resources << >> >>"
    )
    show = "BT /F 12 Tf 40 300 Td (Words that save) Tj 0 -14 Td (Words that save) Tj ET"
    stream = f"<< /Length {len(show)} >>\nstream\n{show}\nendstream"
    nothing = "<< /Length 6 >>\nstream\n500 0 d0\nendstream"
    data = by_hand("3 0 R", 1, "", "", font, nothing, stream)
    data = data.replace(
        b"/Contents 4 0 R /Resources << /Font << /F 5 0 R", b"/Contents 8 0 R /Resources << /Font << /F 6 0 R"
    )
    assert text_of(data).split() == ["Words", "that", "save"] * 2
