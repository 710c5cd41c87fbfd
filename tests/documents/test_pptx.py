from __future__ import annotations

import io
from pathlib import Path

import pptx as python_pptx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pptx.util import Emu

from fixtures.office import chart, pptx, shape
from fixtures.scores import word_f1
from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings

INCH = 914_400


def read(data: bytes, **chosen: bool) -> list[str]:
    """The text of each slide that has any."""
    document = next(iter(read_bytes(data, "a.pptx", ReadSettings(**chosen))))
    assert isinstance(document, Document)
    return [document.text[span.start : span.end] for span in document.pages]


@settings(max_examples=15)
@given(st.permutations(range(6)), st.booleans())
def test_shapes_are_read_row_by_row_whatever_their_order_in_the_file(order: list[int], grouped: bool) -> None:
    made = python_pptx.Presentation()
    slide = made.slides.add_slide(made.slide_layouts[6])
    shapes = slide.shapes.add_group_shape().shapes if grouped else slide.shapes
    for index in order:  # two columns, three rows, each a little crooked
        x, y = (index % 2) * 4 * INCH + INCH, (index // 2) * 2 * INCH + INCH + (index % 2) * 40_000
        shapes.add_textbox(Emu(x), Emu(y), Emu(INCH), Emu(INCH)).text_frame.text = f"part {index}"
    buffer = io.BytesIO()
    made.save(buffer)
    assert read(buffer.getvalue()) == ["\n\n".join(f"part {index}" for index in range(6))]


def test_a_deck_of_another_library() -> None:
    made = python_pptx.Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.shapes.title.text = "The title"
    body = slide.placeholders[1].text_frame
    body.text = "first"
    body.add_paragraph().text = "deeper"
    body.paragraphs[1].level = 1
    slide.notes_slide.notes_text_frame.text = "Say this."
    table = slide.shapes.add_table(2, 2, Emu(INCH), Emu(6 * INCH), Emu(INCH), Emu(INCH)).table
    for row in range(2):
        for column in range(2):
            table.cell(row, column).text = f"{row}{column}"
    blank = made.slides.add_slide(made.slide_layouts[6])
    assert not list(blank.shapes)
    buffer = io.BytesIO()
    made.save(buffer)
    assert read(buffer.getvalue()) == [
        "# The title\n\n- first\n  - deeper\n\n| 00 | 01 |\n| 10 | 11 |\n\nNotes: Say this."
    ]


def test_a_title_comes_first_and_furniture_not_at_all() -> None:
    slide = (
        shape("body text", y=INCH)
        + shape("The title", y=5 * INCH, holder="ctrTitle")
        + shape("12", holder="sldNum")
        + shape("Acme Ltd", holder="ftr")
        + shape("May 2024", holder="dt")
        + "<p:pic/><p:cxnSp/>"
    )
    assert read(pptx([slide])) == ["# The title\n\nbody text"]


def test_shapes_in_groups_stand_where_the_group_puts_them() -> None:
    group = (
        f'<p:grpSp><p:grpSpPr><a:xfrm><a:off x="0" y="{4 * INCH}"/><a:ext cx="{INCH}" cy="{INCH}"/>'
        f'<a:chOff x="0" y="0"/><a:chExt cx="{10 * INCH}" cy="{10 * INCH}"/></a:xfrm></p:grpSpPr>'
        f"{shape('low in the group', y=9 * INCH)}{shape('high in the group', y=0)}</p:grpSp>"
    )
    slide = group + shape("between", y=int(4.5 * INCH)) + shape("top", y=0)
    assert read(pptx([slide])) == ["top\n\nhigh in the group\n\nbetween\n\nlow in the group"]


def test_place_holders_without_a_place_take_that_of_the_layout() -> None:
    bare = (
        '<p:sp><p:nvSpPr><p:nvPr><p:ph type="body" idx="{0}"/></p:nvPr></p:nvSpPr><p:spPr/>'
        "<p:txBody><a:p><a:pPr><a:buNone/></a:pPr><a:r><a:t>{1}</a:t></a:r></a:p></p:txBody></p:sp>"
    )
    places = "".join(
        f'<sp><nvSpPr><nvPr><ph type="body" idx="{index}"/></nvPr></nvSpPr>'
        f'<spPr><xfrm><off x="0" y="{y}"/></xfrm></spPr></sp>'
        for index, y in ((11, 5 * INCH), (12, INCH))
    )
    slide = bare.format(11, "below") + bare.format(12, "above")
    layout = {"ppt/slideLayouts/slideLayout1.xml": f"<sldLayout>{places}</sldLayout>"}
    related = {1: [("rId1", "slideLayout", "../slideLayouts/slideLayout1.xml")]}
    assert read(pptx([slide], related=related, extra=layout)) == ["above\n\nbelow"]


def test_lists_numbers_and_breaks() -> None:
    def line(text: str, properties: str = "") -> str:
        return f"<a:p>{properties}<a:r><a:t>{text}</a:t></a:r></a:p>"

    numbered = '<a:pPr><a:buAutoNum type="arabicPeriod"/></a:pPr>'
    body = (
        line("plain")
        + line("dot", '<a:pPr lvl="1"><a:buChar char="•"/></a:pPr>')
        + line("one", numbered)
        + line("two", numbered)
        + line("a", '<a:pPr lvl="1"><a:buAutoNum type="alphaLcPeriod" startAt="3"/></a:pPr>')
        + line("three", numbered)
        + "<a:p><a:r><a:t>broken</a:t></a:r><a:br/><a:r><a:t>line</a:t></a:r></a:p>"
    )
    slide = shape("x").replace("<a:p><a:r><a:t>x</a:t></a:r></a:p>", body)
    assert read(pptx([slide])) == ["plain\n\n  - dot\n1. one\n2. two\n  c. a\n3. three\n\nbroken\nline"]


def test_tables_charts_and_diagrams() -> None:
    def cell(text: str, attributes: str = "") -> str:
        return f"<a:tc {attributes}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    table = (
        "<a:tbl><a:tr>" + cell("wide", 'gridSpan="2"') + cell("", 'hMerge="1"') + cell("c", 'rowSpan="2"') + "</a:tr>"
        "<a:tr>" + cell("a") + cell("b") + cell("", 'vMerge="1"') + "</a:tr></a:tbl>"
    )
    frame = '<p:graphicFrame><p:xfrm><a:off x="0" y="{0}"/></p:xfrm><a:graphic>{1}</a:graphic></p:graphicFrame>'
    slide = (
        frame.format(0, table)
        + frame.format(INCH, '<c:chart r:id="rId1"/>')
        + frame.format(2 * INCH, '<dgm:relIds r:dm="rId2"/>')
    )
    points = "".join(
        f'<pt type="{kind}"><t><p><r><t>{text}</t></r></p></t></pt>'
        for kind, text in (("doc", "no"), ("node", "Plan"), ("parTrans", "no"), ("node", "Do"))
    )
    extra = {
        "ppt/charts/chart1.xml": chart("Sales", ["Q1"], {"2024": [5]}),
        "ppt/diagrams/data1.xml": f"<dataModel><ptLst>{points}</ptLst></dataModel>",
    }
    related = {1: [("rId1", "chart", "../charts/chart1.xml"), ("rId2", "diagramData", "../diagrams/data1.xml")]}
    assert read(pptx([slide], related=related, extra=extra)) == [
        "| wide | wide | c |\n| a | b | c |\n\nSales\n\nBar chart\n\n|  | 2024 |\n| Q1 | 5 |\n\n- Plan\n- Do"
    ]


def test_comments_old_and_new() -> None:
    extra = {
        "ppt/commentAuthors.xml": '<cmAuthorLst><cmAuthor id="3" name="Ann"/></cmAuthorLst>',
        "ppt/authors.xml": '<authorLst><author id="{X}" name="Bo"/></authorLst>',
        "ppt/comments/comment1.xml": (
            '<cmLst><cm authorId="3" dt="2024-01-02T00:00:00"><text>old</text></cm>'
            '<cm authorId="{X}" created="2025-03-04T05:06:07"><txBody><p><r><t>new</t></r></p></txBody></cm></cmLst>'
        ),
    }
    deck = [("rIdA", "commentAuthors", "commentAuthors.xml"), ("rIdB", "authors", "authors.xml")]
    related = {1: [("rId1", "comments", "../comments/comment1.xml")]}
    data = pptx([shape("Words")], related=related, extra=extra, deck=deck)
    assert read(data) == ["Words\n\n[Comment by Ann, 2024-01-02: old]\n\n[Comment by Bo, 2025-03-04: new]"]
    assert read(data, comments=False) == ["Words"]


def test_hidden_slides_are_named() -> None:
    data = pptx([shape("One"), shape("Two"), shape("Three")], hidden=[2])
    document, left_out = read_bytes(data, "a.pptx", ReadSettings())
    assert isinstance(document, Document)
    assert [span.page for span in document.pages] == [1, 3]
    assert isinstance(left_out, LeftOut)
    assert (left_out.member, left_out.rule) == ("slide 2", "hidden")
    assert read(data, hidden=True) == ["One", "Two", "Three"]


def test_a_deck_without_text_or_with_too_many_slides() -> None:
    with pytest.raises(DroppedFile, match="no text"):
        list(read_bytes(pptx(["<p:pic/>"]), "a.pptx", ReadSettings()))
    with pytest.raises(DroppedFile, match="max_pages = 1"):
        list(read_bytes(pptx([shape("1"), shape("2")]), "a.pptx", ReadSettings(max_pages=1)))


def test_real_files(shared_data: Path) -> None:
    scores = {
        path.name: word_f1(
            path.with_name(f"{path.name}.truth.md").read_text("utf-8"), "\n".join(read(path.read_bytes()))
        )
        for path in sorted((shared_data / "office").glob("*.pptx"))
    }
    assert len(scores) >= 3
    # One of them has comments, whose truth also has the initials of the authors and the seconds.
    assert min(scores.values()) >= 0.85, scores
    assert sorted(scores.values())[1] >= 0.99, scores
