from __future__ import annotations

import datetime
import io
import time
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.office import chart, xlsx
from fixtures.scores import word_f1
from quire.documents.document import Document, LeftOut
from quire.documents.formats.numberforms import form_of, shown
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings


def read(data: bytes, **chosen: bool) -> list[str]:
    """The text of each sheet that has any."""
    document = next(iter(read_bytes(data, "a.xlsx", ReadSettings(**chosen))))
    assert isinstance(document, Document)
    return [document.text[span.start : span.end] for span in document.pages]


def sheet(*rows: str, after: str = "") -> str:
    written = "".join(f'<x:row r="{number}">{row}</x:row>' for number, row in enumerate(rows, start=1))
    return f"<x:sheetData>{written}</x:sheetData>{after}"


def cell(value: str, reference: str = "", kind: str = "n", style: int = 0) -> str:
    place = f' r="{reference}"' if reference else ""
    return f'<x:c{place} t="{kind}" s="{style}"><x:v>{value}</x:v></x:c>'


VALUES = st.one_of(
    st.integers(-(10**9), 10**9),
    st.text("abc déß€|", min_size=1, max_size=10).map(str.strip).filter(bool),
    st.booleans(),
    st.none(),
    st.dates(datetime.date(1900, 3, 1), datetime.date(9999, 12, 31)),
)


def as_shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    return value.isoformat() if isinstance(value, datetime.date) else " ".join(str(value).split())


@settings(max_examples=40)
@given(st.lists(st.lists(VALUES, min_size=3, max_size=3), min_size=1, max_size=5))
def test_what_another_library_writes_is_read_back(rows: list[list[object]]) -> None:
    book = openpyxl.Workbook()
    for row in [["head", "er", "s"], *rows]:
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    lines = []
    for row in rows:
        cells = [as_shown(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            lines.append(f"| {' | '.join(cells)} |")
    assert read(buffer.getvalue()) == ["\n".join(["# Sheet\n", "| head | er | s |", *lines])]


@settings(max_examples=200)
@given(st.datetimes(datetime.datetime(1900, 3, 1), datetime.datetime(9999, 12, 31)))
def test_serial_numbers_are_dates(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0)
    serial = (moment - datetime.datetime(1899, 12, 30)) / datetime.timedelta(days=1)
    written = shown(repr(serial), "yyyy-mm-dd hh:mm:ss")
    assert datetime.datetime.fromisoformat(written) == moment
    since_1904 = int(serial) - 1462
    if since_1904 >= 0:
        assert shown(str(since_1904), "d.m.yy", since_1904=True) == moment.date().isoformat()


@pytest.mark.parametrize(
    ("code", "form"),
    [
        ("", "number"),
        ("General", "number"),
        ("0.00E+00", "number"),
        ("#,##0.00 [$€-407]", "number"),
        ('0 "days"', "number"),
        ("[Red]0;[Blue]-0", "number"),
        ("0.0%", "percent"),
        ("dd/mm/yyyy", "date"),
        ("[$-409]d-mmm-yy;@", "date"),
        ("mmmm", "date"),
        ("h:mm AM/PM", "time"),
        ("mm:ss", "time"),
        ("yyyy-mm-dd hh:mm", "moment"),
        ("[h]:mm:ss", "duration"),
    ],
)
def test_what_a_format_shows(code: str, form: str) -> None:
    assert form_of(code) == form


@pytest.mark.parametrize(
    ("value", "code", "expected"),
    [
        ("0.30000000000000004", "", "0.3"),
        ("0.99999999999999989", "", "1"),
        ("1234.5600000000004", "", "1234.56"),
        ("12345678.123456789", "", "12345678.12345679"),
        ("12345678.123456789", "0.00", "12345678.12"),
        ("1234567890123456.5", "", "1234567890123456.5"),
        ("1.234567890123456E+15", "0", "1234567890123456"),
        ("-12345678901234567890", "0", "-12345678901234567890"),
        ("1.2345678901234568E+20", "0", "123456789012345680000"),
        ("1E-3", "", "0.001"),
        ("1234567", "#,##0", "1234567"),
        ("2.5", "0.00", "2.50"),
        ("2.505", "General", "2.505"),
        ("0.125", "0.0%", "12.5%"),
        ("1", "yyyy-mm-dd", "1900-01-01"),
        ("59", "yyyy-mm-dd", "1900-02-28"),
        ("61", "yyyy-mm-dd", "1900-03-01"),
        ("0.5", "h:mm", "12:00"),
        ("1.5", "[h]:mm", "36:00:00"),
        ("45000.999999999", "yyyy-mm-dd", "2023-03-16"),
        ("-1", "yyyy-mm-dd", "-1"),
        ("1e300", "yyyy-mm-dd", "1e+300"),
        ("1e300", "0.00", "1e+300"),
        ("nan", "", "nan"),
        ("words", "0.00", "words"),
    ],
)
def test_numbers_as_a_sheet_shows_them(value: str, code: str, expected: str) -> None:
    assert shown(value, code) == expected


@given(st.integers(-(10**24), 10**24), st.floats(allow_nan=False, allow_infinity=False))
def test_no_two_numbers_become_one(integer: int, fraction: float) -> None:
    assert shown(str(integer), "0") == shown(str(integer), "") == str(integer)
    assert float(shown(repr(fraction), "")) == pytest.approx(fraction, rel=1e-14, abs=0)
    if float(f"{fraction:.12g}") != float(f"{fraction:.15g}"):
        assert float(shown(repr(fraction), "")) == fraction


def test_long_order_numbers_of_a_sheet_stay_apart() -> None:
    book = openpyxl.Workbook()
    for row in (["order", "name"], [1234567890123456, "Ada"], [1234567890123457, "Bo"]):
        book.active.append(row)
    book.active["A2"].number_format = book.active["A3"].number_format = "0"
    buffer = io.BytesIO()
    book.save(buffer)
    assert read(buffer.getvalue()) == [
        "# Sheet\n\n| order | name |\n| 1234567890123456 | Ada |\n| 1234567890123457 | Bo |"
    ]


def test_kinds_of_cells() -> None:
    row = (
        cell("0", kind="s")
        + '<x:c t="inlineStr"><x:is><x:r><x:t>in</x:t></x:r><x:r><x:t>line</x:t></x:r></x:is></x:c>'
        + '<x:c t="str"><x:f>A1&amp;"!"</x:f><x:v>saved result</x:v></x:c>'
        + cell("1", kind="b")
        + cell("#DIV/0!", kind="e")
        + cell("2024-05-06T00:00:00", kind="d")
        + cell("99", kind="s")  # no such string
        + cell("0.5", style=1)
        + "<x:c><x:f>1+1</x:f></x:c>"  # a formula that was never computed
    )
    strings = "<x:si><x:t>shared_x000A_two</x:t><x:rPh><x:t>reading</x:t></x:rPh></x:si>"
    data = xlsx({"S": sheet(row)}, strings=strings, styles='<x:cellXfs><x:xf/><x:xf numFmtId="10"/></x:cellXfs>')
    assert read(data) == ["# S\n\n| shared two | inline | saved result | TRUE | #DIV/0! | 2024-05-06 |  | 50.00% |"]


def test_places_gaps_and_merged_cells() -> None:
    merged = "".join(f'<x:mergeCell ref="{ref}"/>' for ref in ("A1:D1", "A3:A4", "B3:C3"))
    data = xlsx(
        {
            "S": sheet(
                cell("7", "A1"),
                "",
                cell("1", "A3") + cell("2", "B3") + cell("3", "D3"),
                cell("4", "B4"),
                cell("5", "B5") + cell("6", "XFD5"),
                after=f"<x:mergeCells>{merged}</x:mergeCells>",
            )
        }
    )
    assert read(data)[0].split("\n")[2:] == [
        "| 7 |",  # a title over all columns, once
        "| 1 | 2 | 2 | 3 |",
        "| 1 | 4 |",
        "|  | 5 |  |  |  |  |  |  |  |  | 6 |",  # sixteen thousand empty cells say no more than eight
    ]


def test_hidden_sheets_are_named() -> None:
    data = xlsx({"A": sheet(cell("1")), "B": sheet(cell("2")), "C": sheet(cell("3"))}, states={"B": "veryHidden"})
    document, left_out = read_bytes(data, "a.xlsx", ReadSettings())
    assert isinstance(document, Document)
    assert isinstance(left_out, LeftOut)
    assert [span.page for span in document.pages] == [1, 3]
    assert (left_out.member, left_out.rule) == ("sheet B", "hidden")
    assert len(read(data, hidden=True)) == 3


def test_charts_boxes_and_comments() -> None:
    drawing = (
        '<wsDr xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sp><txBody><p><r>'
        '<t>in a box</t></r></p></txBody></sp><chart r:id="rId1"/></wsDr>'
    )
    related = "http://schemas.openxmlformats.org/package/2006/relationships"
    extra = {
        "xl/drawings/drawing1.xml": drawing,
        "xl/drawings/_rels/drawing1.xml.rels": (
            f'<Relationships xmlns="{related}"><Relationship Id="rId1" Type="x/chart" Target="../charts/chart1.xml"/>'
            "</Relationships>"
        ),
        "xl/charts/chart1.xml": chart("Growth", ["a"], {"s": [1]}),
        "xl/comments1.xml": (
            "<comments><authors><author>Ann</author></authors><commentList>"
            '<comment ref="A1" authorId="0"><text><r><t>Check </t></r><r><t>this</t></r></text></comment>'
            "</commentList></comments>"
        ),
    }
    links = {1: [("rId1", "drawing", "../drawings/drawing1.xml"), ("rId2", "comments", "../comments1.xml")]}
    data = xlsx({"S": sheet(cell("1"))}, related=links, extra=extra)
    beside = "in a box\n\nGrowth\n\nBar chart\n\n|  | s |\n| a | 1 |"
    assert read(data) == [f"# S\n\n| 1 |\n\n{beside}\n\n[Comment by Ann: Check this]"]
    assert read(data, comments=False) == [f"# S\n\n| 1 |\n\n{beside}"]


def test_a_million_empty_cells_cost_little() -> None:
    empty = "".join(f'<x:c r="{chr(65 + n % 26)}1" s="1"/>' for n in range(26))
    rows = "".join(f'<x:row r="{n}">{empty}</x:row>' for n in range(2, 40_000))
    content = (
        f'<x:dimension ref="A1:XFD1048576"/><x:sheetData><x:row r="1">{cell("1", "A1")}</x:row>{rows}</x:sheetData>'
    )
    data = xlsx({"S": content})
    began = time.perf_counter()
    assert read(data) == ["# S\n\n| 1 |"]
    assert time.perf_counter() - began < 10  # about 1 second on one core


def test_real_files(shared_data: Path) -> None:
    scores = {
        path.name: word_f1(
            path.with_name(f"{path.name}.truth.md").read_text("utf-8"), "\n".join(read(path.read_bytes()))
        )
        for path in sorted((shared_data / "office").glob("*.xlsx"))
    }
    assert len(scores) >= 3
    assert all(score >= 0.96 for score in scores.values()), scores
