"""TeX's mathematical symbols, which PDFium takes for the letters that have their codes."""

from __future__ import annotations

import pytest
from pypdfium2 import PdfDocument

from quire.documents.document import Document
from quire.documents.formats.pdf_symbols import with_symbols
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings

SIZE = 12


def typeset(*pieces: tuple[str, str], symbols: str = "CMSY10", large: str = "CMEX10") -> bytes:
    """Return a PDF of one line whose pieces are set in the font named before each: "text", "symbols" or "large"."""
    # Names of glyphs that PDFium does not know, as those of the fonts are.
    encodings = {
        "symbols": (symbols, "13 /circlecopyrt 48 /prime 54 /negationslash 107 /bardbl"),
        "large": (
            large,
            "10 /angbracketleftbig 12 /vextendsingle /vextenddouble 18 /parenleftbigg /parenrightbigg "
            "88 /summationdisplay 98 /hatwide",
        ),
    }
    fonts = "/text << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    for name, (font, codes) in encodings.items():
        fonts += f" /{name} << /Type /Font /Subtype /Type1 /BaseFont /{font} /Encoding << /Differences [{codes}] >>"
        fonts += f" /FirstChar 0 /LastChar 127 /Widths [{'600 ' * 128}] >>"
    show = "BT 40 300 Td " + " ".join(f"/{name} {SIZE} Tf ({said}) Tj" for name, said in pieces) + " ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 420] /Contents 4 0 R /Resources << /Font << {fonts} >> >> >>",
        f"<< /Length {len(show)} >>\nstream\n{show}\nendstream",
    ]
    return ("%PDF-1.4\n" + "".join(f"{n} 0 obj\n{o}\nendobj\n" for n, o in enumerate(objects, start=1))).encode() + (
        b"trailer\n<< /Root 1 0 R >>\n%%EOF\n"  # without a table of places: PDFium makes one
    )


def read(data: bytes) -> str:
    (document,) = read_bytes(data, "a.pdf", ReadSettings(ocr=False))
    assert isinstance(document, Document)
    return document.text


def test_sums_norms_brackets_and_struck_signs_are_what_a_reader_sees() -> None:
    # Two glyphs to a piece: PDFium leaves out what has no width, and single glyphs that no font here draws have none.
    sums = [("text", "the value "), ("large", "X\\022"), ("text", "x + y"), ("large", "\\023b"), ("text", " is large")]
    assert read(typeset(*sums)) == "the value \u2211(x + y) is large"
    norms = [("text", "its norm "), ("symbols", "k0"), ("text", "v"), ("symbols", "0k")]
    assert read(typeset(*norms)) == "its norm \u2016\u2032v\u2032\u2016"
    struck = [("text", "where i"), ("symbols", "06"), ("text", "= j")]
    assert read(typeset(*struck)) == "where i\u2032\u2260 j"


@pytest.mark.parametrize("font", ["Helvetica", "CMR10", "Symbolic"])
def test_letters_of_other_fonts_are_letters(font: str) -> None:
    data = typeset(("text", "kick "), ("symbols", "k0"), ("text", " and "), ("large", "XX"), symbols=font, large=font)
    assert read(data) == "kick k0 and XX"


def test_bars_and_brackets_whose_codes_are_line_ends_end_no_line() -> None:
    pieces = [("text", "the norm "), ("large", "\\015\\014"), ("text", "x"), ("large", "\\012\\015"), ("text", " here")]
    assert read(typeset(*pieces)) == "the norm \u2016|x\u27e8\u2016 here"


def test_a_letter_in_a_circle_is_one_sign() -> None:
    signs = [
        ("text", "all rights "),
        ("symbols", "k\\015"),
        ("text", "c 1994 and "),
        ("symbols", "k\\015"),
        ("text", "R"),
    ]
    assert read(typeset(*signs)) == "all rights \u2016\u00a9 1994 and \u2016\u00ae"


def test_no_character_moves() -> None:
    data = typeset(("text", "Say "), ("large", "X\\022"), ("symbols", "6"), ("text", "= k hi X 60"), ("symbols", "k0"))
    page = PdfDocument(data)[0]
    layer = page.get_textpage()
    text = layer.get_text_range()
    symbols = with_symbols(layer.raw, text)
    assert len(symbols) == len(text)
    same = [a for a, b in zip(text, symbols, strict=True) if a == b]
    assert "".join(same).startswith("Say ")
    assert "k hi X 60" in symbols
