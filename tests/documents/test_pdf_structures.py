"""PDFs whose objects are well written and contradict each other: each is read or ends with a stated reason."""

from __future__ import annotations

import re

import pytest

from quire.documents.document import Document, LeftOut
from quire.documents.read import DroppedFile, read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

SAID = "Words that stay"
SHOWN = f"BT /F 12 Tf 40 300 Td ({SAID}) Tj ET"
FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
FORM = "/Subtype /Form /BBox [0 0 420 420]"


def stream(content: str, entries: str = "") -> str:
    return f"<< /Length {len(content)} {entries} >>\nstream\n{content}\nendstream"


def made(
    *more: str,
    shown: str = SHOWN,
    kids: str = "[3 0 R]",
    count: int = 1,
    box: str = "[0 0 420 420]",
    resources: str = "",
    page: str = "",
    font: str = FONT,
    catalog: str = "",
) -> bytes:
    """Return a PDF of one page: catalog, pages, page, what it shows, its font, and `more` from 6 0 R on."""
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        f"<< /Type /Pages /Kids {kids} /Count {count} >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Contents 4 0 R "
        f"/Resources << /Font << /F 5 0 R >> {resources} >> {page} >>",
        stream(shown),
        font,
        *more,
    ]
    body, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    rows = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{rows}trailer\n<< /Size {size} /Root 1 0 R >>\n"
    return body + f"{end}startxref\n{len(body)}\n%%EOF\n".encode("ascii")


def result_of(data: bytes) -> str:
    """Return "read" if it was read, "other" if something else was, or "ended: " and the reason."""
    try:
        parts = list(read_bytes(data, "a.pdf", ReadSettings(ocr=False)))
    except (DroppedFile, ReadError) as error:
        return f"ended: {error}"
    assert all(part.detail for part in parts if isinstance(part, LeftOut))
    text = " ".join(part.text for part in parts if isinstance(part, Document))
    return "read" if SAID in text else "other"


FORM_LOOP = stream(f"/X Do {SHOWN}", f"{FORM} /Resources << /Font << /F 5 0 R >> /XObject << /X 6 0 R >> >>")
READABLE = {
    "a form that draws itself": made(FORM_LOOP, shown=f"/X Do {SHOWN}", resources="/XObject << /X 6 0 R >>"),
    "annotations that are the page": made("[6 0 R 3 0 R 3 0 R]", page="/Annots 6 0 R"),
    "a thousand annotations": made(page=f"/Annots [{'<< /Subtype /Text /Rect [0 0 9 9] >> ' * 1000}]"),
    "a page of no size": made(box="[0 0 0 0]"),
    "a page without end": made(box="[0 0 1e30 1e30]"),
    "a box of two numbers": made(box="[1 2]"),
    "a turn by no right angle": made(page="/Rotate 45"),
    "a table of meanings that is the font": made(font=FONT.replace(">>", "/ToUnicode 5 0 R >>")),
    "attachments that hold themselves": made("<< /Kids [6 0 R] >>", catalog="/Names << /EmbeddedFiles 6 0 R >>"),
    "outlines that follow themselves": made("<< /First 6 0 R /Next 6 0 R >>", catalog="/Outlines 6 0 R"),
    "brackets without end": made(shown="[" * 100_000 + "]" * 100_000 + SHOWN),
    "a state that is never restored": made(shown="q " * 100_000 + SHOWN),
    "junk before it": b"x" * 900 + made(),
    "two files in one": made() + made(),
    "a table of places that lies": re.sub(rb"\d{10} 00000 n", b"0000000007 00000 n", made()),
}


@pytest.mark.parametrize("name", READABLE)
def test_what_is_odd_beside_the_text_does_not_hide_it(name: str) -> None:
    assert result_of(READABLE[name]) == "read"


@pytest.mark.parametrize(
    "data",
    [
        made(kids="[2 0 R]"),
        made(kids="[2 0 R 3 0 R]", count=2),
        made(count=2**31 - 1),
        made(count=-1),
        made(font="5 0 R"),
        made(font=FONT.replace(">>", "/FirstChar -9 /LastChar 2147483647 /Widths [1] >>")),
        made(shown="1e38 0 0 1e38 0 0 cm " + SHOWN),
        made(shown=SHOWN.replace("12 Tf", "1e30 Tf")),
        made(shown="(r-) Tj (r) Tj " + 24 * "304 1 4 0 1 0 cm " + SHOWN + " " + SHOWN),
        made(shown=SHOWN + " 0 Tr " + 30 * "30 4 0 1 0 0 cm 304 1 0 0 1 0 cm " + "(r-) Tj (r) Tj " + SHOWN),
        made().replace(b"/Root 1 0 R", b"/Root 3 0 R"),
        made().replace(b"/Root 1 0 R", b"/Root 1 0 R /Encrypt 3 0 R"),
        b"%PDF-1.7\n" * 1000,
        *(made()[:end] for end in range(0, len(made()), 61)),
    ],
)
def test_what_has_no_pages_or_no_end_is_read_or_ends_with_a_reason(data: bytes) -> None:
    result = result_of(data)
    assert result in ("read", "other") or len(result) > len("ended: a.pdf: ")
