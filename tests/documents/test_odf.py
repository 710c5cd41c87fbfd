from __future__ import annotations

import pytest

from fixtures.office import flat_odf, odf
from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import ReadError


def read(data: bytes, name: str = "a.odt", **chosen: bool) -> list[str]:
    """The text of the file, or of each of its pages that has any."""
    document = next(iter(read_bytes(data, name, ReadSettings(**chosen))))
    assert isinstance(document, Document)
    return [document.text[span.start : span.end] for span in document.pages]


def text(body: str, styles: str = "", **chosen: bool) -> str:
    (whole,) = read(odf("text", body, styles=styles), **chosen)
    (flat,) = read(flat_odf("text", body, styles=styles).encode(), "a.fodt", **chosen)
    assert flat == whole
    return whole


def test_white_space_is_that_of_the_format() -> None:
    body = "<text:p>  two\n\n   words<text:s text:c='3'/>far<text:tab/>tab<text:line-break/>next</text:p>"
    assert text(body) == "two words far tab\nnext"
    assert len(text("<text:p>a<text:s text:c='999999999'/>b</text:p>")) < 50


def test_headings_lists_and_what_goes_on_in_an_item() -> None:
    styles = (
        '<text:list-style style:name="L"><text:list-level-style-number text:level="1" style:num-format="a" '
        'style:num-suffix=")"/><text:list-level-style-bullet text:level="2"/></text:list-style>'
    )
    body = (
        '<text:h text:outline-level="3">Head</text:h><text:list text:style-name="L"><text:list-item>'
        "<text:p>one</text:p><text:p>more of it</text:p>"
        "<text:list><text:list-item><text:p>deep</text:p></text:list-item></text:list>"
        "</text:list-item><text:list-item><text:p>two</text:p></text:list-item>"
        '<text:list-item text:start-value="9"><text:p>nine</text:p></text:list-item></text:list>'
        "<text:list><text:list-item><text:p>dot</text:p></text:list-item></text:list>"
    )
    assert text(body, styles) == "### Head\n\na) one\n  more of it\n  - deep\nb) two\ni) nine\n- dot"


def test_tables_spans_and_repeats() -> None:
    def cell(words: str, attributes: str = "") -> str:
        return f"<table:table-cell {attributes}><text:p>{words}</text:p></table:table-cell>"

    rows = [
        cell("title", 'table:number-columns-spanned="3"') + "<table:covered-table-cell/>" * 2,
        cell("down", 'table:number-rows-spanned="2"')
        + cell("wide", 'table:number-columns-spanned="2"')
        + "<table:covered-table-cell/>",
        "<table:covered-table-cell/>" + cell("x") + cell("y"),
        cell("z", 'table:number-columns-repeated="3"'),
        "<table:table-cell/>" * 3,
    ]
    written = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    body = f"<table:table><table:table-header-rows>{written}</table:table-header-rows></table:table>"
    assert text(body).split("\n") == [
        "| title |",
        "| down | wide | wide |",
        "| down | x | y |",
        "| z | z | z |",
    ]


def test_notes_comments_links_frames_and_deleted_text() -> None:
    body = (
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>gone</text:p></text:deletion>"
        "</text:changed-region></text:tracked-changes>"
        "<text:p>Words<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>a note</text:p>"
        "</text:note-body></text:note> with <text:a xlink:href='https://example.org/'>a link</text:a>"
        "<office:annotation><dc:creator>Ann</dc:creator><dc:date>2024-05-06T00:00:00</dc:date><text:p>Why?</text:p>"
        "</office:annotation><draw:frame><svg:title>alt</svg:title><draw:text-box><text:p>boxed</text:p>"
        "</draw:text-box></draw:frame><text:span> end</text:span>.</text:p>"
        "<text:section><text:p>in a section</text:p></text:section>"
    )
    assert text(body) == (
        "Words[^1] with [a link](https://example.org/) end.\n\n[Comment by Ann, 2024-05-06: Why?]\n\nboxed\n\n"
        "in a section\n\n[^1]: a note"
    )
    assert text(body, links=False, comments=False).startswith("Words[^1] with a link end.\n\nboxed")


def test_charts_and_formulas_are_read_from_their_own_parts() -> None:
    drawn = (
        '<x:document-content xmlns:x="urn:x" xmlns:t="urn:t"><x:chart><x:title><t:p>Rain</t:p></x:title><x:table>'
        "<x:table-rows><x:table-row><x:table-cell><t:p>May</t:p></x:table-cell><x:table-cell><t:p>3</t:p>"
        "</x:table-cell></x:table-row></x:table-rows></x:table></x:chart></x:document-content>"
    )
    formula = (
        "<math><semantics><mi>x</mi><annotation encoding='StarMath 5.0'>x^2 over y</annotation></semantics></math>"
    )
    body = "".join(
        f"<text:p><draw:frame><draw:object xlink:href='./Object {n}'/></draw:frame></text:p>" for n in (1, 2, 3)
    )
    data = odf("text", body, extra={"Object 1/content.xml": drawn, "Object 2/content.xml": formula})
    assert read(data) == ["Rain\n\n| May | 3 |\n\nx^2 over y"]


def test_sheets_as_they_are_shown() -> None:
    def row(*cells: str, more: str = "") -> str:
        return f"<table:table-row {more}>{''.join(cells)}</table:table-row>"

    shown = '<table:table-cell office:date-value="2024-05-06"><text:p>06.05.24</text:p></table:table-cell>'
    empty = '<table:table-cell table:number-columns-repeated="16384"/>'
    sheets = (
        '<table:table table:name="Data">'
        + row(shown, empty)
        + row(empty, more='table:number-rows-repeated="1048000"')
        + row(shown)
        + '</table:table><table:table table:name="Secret" table:style-name="gone">'
        + row(shown)
        + "</table:table>"
    )
    styles = '<style:style style:name="gone"><style:table-properties table:display="false"/></style:style>'
    data = odf("spreadsheet", sheets, styles=styles)
    left_out, document = read_bytes(data, "a.ods", ReadSettings())
    assert isinstance(document, Document)
    assert isinstance(left_out, LeftOut)
    assert document.text == "# Data\n\n| 06.05.24 |\n| 06.05.24 |"
    assert (left_out.member, left_out.rule) == ("sheet Secret", "hidden")
    assert len(read(data, "a.ods", hidden=True)) == 2


def test_long_numbers_of_a_sheet_keep_their_digits() -> None:
    def cell(value: str, shown: str) -> str:
        kind = f'office:value-type="float" office:value="{value}"' if value else 'office:value-type="string"'
        return f"<table:table-cell {kind}><text:p>{shown}</text:p></table:table-cell>"

    cells = cell("1234567890123456", "1.23456789012346E+15") + cell("1234567890123457", "1,23E+15") + cell("", "1E4")
    table = f'<table:table table:name="S"><table:table-row>{cells}</table:table-row></table:table>'
    assert read(odf("spreadsheet", table), "a.ods") == ["# S\n\n| 1234567890123456 | 1234567890123457 | 1E4 |"]


def test_slides_in_reading_order_with_notes() -> None:
    def frame(words: str, y: str, x: str = "0cm", kind: str = "outline") -> str:
        return (
            f'<draw:frame presentation:class="{kind}" svg:x="{x}" svg:y="{y}"><draw:text-box><text:p>{words}</text:p>'
            "</draw:text-box></draw:frame>"
        )

    slide = (
        frame("low", "8in")
        + frame("right", "50.1mm", "10cm")
        + frame("left", "5cm", "1cm")
        + frame("Title", "19cm", kind="title")
        + frame("7", "1cm", kind="page-number")
        + f"<draw:g>{frame('grouped', '1cm')}</draw:g>"
        + "<presentation:notes><draw:page-thumbnail/>"
        + frame("Say this.", "1cm", kind="notes")
        + "</presentation:notes>"
    )
    hidden = f'<draw:page draw:style-name="h">{frame("no", "1cm")}</draw:page>'
    properties = '<style:drawing-page-properties presentation:visibility="hidden"/>'
    styles = f'<style:style style:name="h">{properties}</style:style>'
    data = odf("presentation", f"<draw:page>{slide}</draw:page>{hidden}", styles=styles)
    left_out, document = read_bytes(data, "a.odp", ReadSettings())
    assert isinstance(document, Document)
    assert isinstance(left_out, LeftOut)
    assert document.text == "# Title\n\ngrouped\n\nleft\n\nright\n\nlow\n\nNotes: Say this."
    assert left_out.rule == "hidden"


def test_what_is_no_text() -> None:
    for data, name in ((odf("text", ""), "a.odt"), (flat_odf("text", "<text:p/>").encode(), "a.fodt")):
        with pytest.raises(DroppedFile, match="no text"):
            list(read_bytes(data, name, ReadSettings()))
    with pytest.raises(ReadError, match="no OpenDocument file"):
        list(read_bytes(b"<?xml version='1.0'?><other><body/></other>", "a.fodt", ReadSettings()))
    with pytest.raises(ReadError, match="broken XML"):
        list(read_bytes(b"<?xml version='1.0'?><office:document", "a.fodt", ReadSettings()))
