from __future__ import annotations

import io
from pathlib import Path

import docx as python_docx
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.office import W, chart, docx, paragraph, relations, zipped
from fixtures.scores import word_f1
from quire.documents.document import Document
from quire.documents.formats.blocks import clean
from quire.documents.formats.numbering import written
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings

WORDS = st.text("abc déß 12,.", min_size=1, max_size=20).filter(lambda text: bool(text.strip()))


def read(data: bytes, **chosen: bool) -> str:
    document = next(iter(read_bytes(data, "a.docx", ReadSettings(**chosen))))
    assert isinstance(document, Document)
    (span,) = document.pages
    assert (span.start, span.end, span.page) == (0, len(document.text), None)
    return document.text


BLOCK = st.one_of(
    st.tuples(st.just("heading"), st.integers(1, 6), WORDS),
    st.tuples(st.just("paragraph"), st.just(0), WORDS),
    st.tuples(st.just("bullet"), st.just(0), WORDS),
    st.tuples(st.just("table"), st.just(0), st.lists(st.lists(WORDS, min_size=2, max_size=2), min_size=1, max_size=3)),
)


@settings(max_examples=15)
@given(st.lists(BLOCK, min_size=1, max_size=6))
def test_what_another_library_writes_is_read_back(blocks: list) -> None:
    made = python_docx.Document()
    expected = []
    for kind, level, content in blocks:
        if kind == "heading":
            made.add_heading(content, level)
            expected.append(f"{'#' * level} {clean(content)}")
        elif kind == "table":
            table = made.add_table(len(content), 2)
            for row, cells in zip(table.rows, content, strict=True):
                for cell, text in zip(row.cells, cells, strict=True):
                    cell.text = text
            expected.append("\n".join(f"| {clean(a)} | {clean(b)} |" for a, b in content))
        else:
            made.add_paragraph(content, "List Bullet" if kind == "bullet" else None)
            expected.append(f"- {clean(content)}" if kind == "bullet" else clean(content))
    buffer = io.BytesIO()
    made.save(buffer)
    assert read(buffer.getvalue()).replace("\n- ", "\n\n- ").replace("\n\n\n", "\n\n") == "\n\n".join(expected)


def _document(body: str) -> str:
    return f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'


LEVEL = '<w:lvl w:ilvl="{0}"><w:start w:val="{1}"/><w:numFmt w:val="{2}"/><w:lvlText w:val="{3}"/>{4}</w:lvl>'


def numbered(*levels: tuple[str, ...], more: str = "") -> str:
    rows = "".join(LEVEL.format(n, *level, *[""] * (4 - len(level))) for n, level in enumerate(levels))
    return (
        f'<w:abstractNum w:abstractNumId="7">{rows}</w:abstractNum>'
        f'<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>{more}'
    )


def item(text: str, level: int = 0, number: int = 1) -> str:
    return paragraph(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>')


def test_numbers_are_counted_level_by_level() -> None:
    numbering = numbered(("1", "decimal", "%1."), ("1", "lowerLetter", "%1.%2)"), ("1", "bullet", "o"))
    body = item("a") + item("b") + item("c", 1) + item("d", 1) + item("e", 2) + item("f") + item("g", 1) + item("", 1)
    assert read(docx(body, numbering=numbering)) == (
        "1. a\n2. b\n  2.a) c\n  2.b) d\n    - e\n3. f\n  3.a) g"  # an empty item has no number
    )


def test_a_list_that_begins_again_and_one_that_goes_on() -> None:
    again = (
        '<w:num w:numId="2"><w:abstractNumId w:val="7"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/>'
        '</w:lvlOverride></w:num><w:num w:numId="3"><w:abstractNumId w:val="7"/></w:num>'
    )
    numbering = numbered(("1", "decimal", "%1."), more=again)
    body = item("a") + item("b") + item("c", number=2) + item("d", number=3)
    assert read(docx(body, numbering=numbering)) == "1. a\n2. b\n5. c\n3. d"


def test_legal_numbers_and_levels_without_restart() -> None:
    numbering = numbered(
        ("1", "upperRoman", "Art. %1"), ("1", "decimal", "%1.%2", '<w:isLgl/><w:lvlRestart w:val="0"/>')
    )
    body = item("a") + item("b", 1) + item("c") + item("d", 1)
    assert read(docx(body, numbering=numbering)) == "Art. I a\n  1.1 b\nArt. II c\n  2.2 d"


@given(st.integers(1, 4999))
def test_roman_numerals(count: int) -> None:
    values = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}
    digits = [values[letter] for letter in written(count, "lowerRoman")]
    after = [*digits[1:], 0]
    assert sum(-one if one < two else one for one, two in zip(digits, after, strict=True)) == count
    assert written(count, "upperRoman") == written(count, "lowerRoman").upper()


def test_letters_of_lists() -> None:
    assert [written(count, "lowerLetter") for count in (1, 26, 27, 52, 53)] == ["a", "z", "aa", "zz", "aaa"]
    assert written(3, "decimalZero") == "03"
    assert written(0, "upperRoman") == "0"


def test_headings_by_style_inherited_style_and_outline() -> None:
    styles = (
        '<w:style w:styleId="berschrift2"><w:name w:val="heading 2"/><w:pPr><w:numPr><w:ilvl w:val="1"/>'
        '<w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
        '<w:style w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="berschrift2"/></w:style>'
        '<w:style w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>'
    )
    numbering = numbered(("1", "decimal", "%1"), ("1", "decimal", "%1.%2"))
    body = (
        paragraph("A", '<w:pStyle w:val="berschrift2"/>')
        + paragraph("B", '<w:pStyle w:val="Mine"/>')
        + paragraph("C", '<w:outlineLvl w:val="3"/>')
        + paragraph("D", '<w:pStyle w:val="Loop"/>')
        + paragraph("E", '<w:pStyle w:val="Mine"/><w:numPr><w:numId w:val="0"/></w:numPr>')
    )
    assert read(docx(body, styles=styles, numbering=numbering)).split("\n\n") == [
        "## 1.1 A",
        "## 1.2 B",
        "#### C",
        "D",
        "## E",
    ]


def test_tracked_changes_fields_and_hidden_text() -> None:
    body = (
        "<w:p><w:r><w:t>kept </w:t></w:r><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom><w:ins><w:r><w:t>added</w:t></w:r></w:ins>"
        '<w:r><w:instrText>PAGEREF _Toc</w:instrText></w:r><w:fldSimple w:instr="PAGE"><w:r><w:t> 7</w:t></w:r>'
        "</w:fldSimple><w:r><w:rPr><w:vanish/></w:rPr><w:t> hidden</w:t></w:r>"
        '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t> shown</w:t></w:r></w:p>'
        f"<w:tbl><w:tr><w:trPr><w:del/></w:trPr><w:tc>{paragraph('gone')}</w:tc></w:tr></w:tbl>"
        f"<w:ins>{paragraph('new')}</w:ins><w:sdt><w:sdtContent>{paragraph('control')}</w:sdtContent></w:sdt>"
    )
    assert read(docx(body)) == "kept added 7 shown\n\nnew\n\ncontrol"
    assert read(docx(body), hidden=True).startswith("kept added 7 hidden shown")


def test_signs_breaks_and_exponents() -> None:
    raised = '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>{}</w:t></w:r>'
    body = (
        "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>well</w:t><w:noBreakHyphen/><w:t>known so</w:t>"
        '<w:softHyphen/><w:t>ft</w:t><w:sym w:font="Symbol" w:char="F0B7"/><w:sym w:char="20AC"/></w:r></w:p>'
        f"<w:p><w:r><w:t>10</w:t></w:r>{raised.format('-6')}<w:r><w:t> m, 1</w:t></w:r>{raised.format('st')}</w:p>"
        "<w:p><w:r><w:t>cafe\u0301 o\u00adver</w:t></w:r></w:p>"
    )
    assert read(docx(body)) == "a b\nwell-known soft€\n\n10^-6 m, 1st\n\ncafé over"


def test_tables_with_spans_and_tables_inside() -> None:
    def cell(content: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"

    inner = f"<w:tbl><w:tr>{cell(paragraph('x'))}{cell(paragraph('y'))}</w:tr></w:tbl>"
    rows = [
        cell(paragraph("title"), '<w:gridSpan w:val="3"/>'),
        cell(paragraph("down"), '<w:vMerge w:val="restart"/>') + cell(paragraph("wide"), '<w:gridSpan w:val="2"/>'),
        cell(paragraph(""), "<w:vMerge/>") + cell(paragraph("two") + paragraph("lines")) + cell(inner),
        f'<w:trPr><w:gridBefore w:val="1"/></w:trPr>{cell(paragraph("late"))}{cell(paragraph(""))}',
        cell(paragraph("")) + cell(paragraph("")),
    ]
    assert read(docx(f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>")).split("\n") == [
        "| title |",
        "| down | wide | wide |",
        "| down | two lines | | x | y | |",
        "|  | late |",
    ]


def test_a_passage_is_not_repeated_over_its_span() -> None:
    long = "word " * 100
    cells = f'<w:tc>{paragraph("a")}</w:tc><w:tc><w:tcPr><w:gridSpan w:val="3"/></w:tcPr>{paragraph(long)}</w:tc>'
    assert read(docx(f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>")).count("word") == 100


def test_notes_stand_at_the_end_in_order_of_reference() -> None:
    body = (
        '<w:p><w:r><w:t>One</w:t><w:footnoteReference w:id="3"/><w:t> two</w:t><w:footnoteReference w:id="2"/>'
        '<w:t> again</w:t><w:footnoteReference w:id="3"/><w:footnoteReference w:id="99"/></w:r></w:p>'
    )
    notes = (
        f'<w:footnote w:type="separator" w:id="1">{paragraph("-----")}</w:footnote>'
        f'<w:footnote w:id="2"><w:p><w:r><w:t>second</w:t><w:footnoteReference w:id="2"/></w:r></w:p></w:footnote>'
        f'<w:footnote w:id="3">{paragraph("first")}{paragraph("more")}</w:footnote>'
        f'<w:footnote w:id="4">{paragraph("never referred to")}</w:footnote>'
    )
    assert read(docx(body, notes=notes)) == "One[^1] two[^2] again[^1]\n\n[^1]: first more\n\n[^2]: second[^2]"


def test_comments_by_choice() -> None:
    body = '<w:p><w:r><w:t>Words</w:t><w:commentReference w:id="0"/></w:r></w:p>' + paragraph("after")
    loop = '<w:p><w:r><w:t>Why?</w:t><w:commentReference w:id="0"/></w:r></w:p>'
    comments = f'<w:comment w:id="0" w:author="Ann Lee" w:date="2024-05-06T07:08:09Z">{loop}</w:comment>'
    data = docx(body, comments=comments)
    assert read(data) == "Words\n\n[Comment by Ann Lee, 2024-05-06: Why?]\n\nafter"
    assert read(data, comments=False) == "Words\n\nafter"


def test_text_boxes_once_and_behind_their_paragraph() -> None:
    box = f"<w:txbxContent>{paragraph('in the box')}</w:txbxContent>"
    body = (
        "<w:p><w:r><w:t>before </w:t></w:r><w:r><mc:AlternateContent><mc:Choice><w:drawing><wps:txbx>"
        f"{box}</wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict>{box}</w:pict></mc:Fallback>"
        "</mc:AlternateContent></w:r><w:r><w:t>after</w:t></w:r></w:p>"
    )
    assert read(docx(body)) == "before after\n\nin the box"


def test_links_by_choice_and_headers_left_out() -> None:
    body = (
        '<w:p><w:hyperlink r:id="rId5"><w:r><w:t>here</w:t></w:r></w:hyperlink><w:r><w:t> and </w:t></w:r>'
        '<w:hyperlink w:anchor="top"><w:r><w:t>there</w:t></w:r></w:hyperlink></w:p>'
    )
    links = [("rId5", "hyperlink", "https://example.org/a"), ("rId6", "header", "header1.xml")]
    data = docx(body, links=links, extra={"word/header1.xml": "<hdr><p><r><t>running head</t></r></p></hdr>"})
    assert read(data) == "[here](https://example.org/a) and there"
    assert read(data, links=False) == "here and there"


def test_formulas_in_one_line() -> None:
    def run(text: str) -> str:
        return f"<m:r><m:t>{text}</m:t></m:r>"

    power = f"<m:sSup><m:e>{run('x')}</m:e><m:sup>{run('2')}</m:sup></m:sSup>"
    fraction = f"<m:f><m:num>{run('a+b')}</m:num><m:den>{run('2')}</m:den></m:f>"
    root = f"<m:rad><m:deg/><m:e>{run('y')}</m:e></m:rad>"
    total = (
        f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{run("i=1")}</m:sub><m:sup>{run("n")}</m:sup>'
        f"<m:e>{run('i')}</m:e></m:nary>"
    )
    body = f"<w:p><w:r><w:t>So </w:t></w:r><m:oMath>{power}{run('=')}{fraction}{run('+')}{root}{total}</m:oMath></w:p>"
    assert read(docx(body)) == "So x^2=(a+b)/2+sqrt(y)∑_(i=1)^(n) i"


def test_charts_are_tables() -> None:
    body = '<w:p><w:r><w:drawing><c:chart r:id="rId9"/></w:drawing></w:r></w:p>'
    drawn = chart("Ducks", ["2019", "2020"], {"wild": [1, 2.5], "tame": [3, 4]})
    data = docx(body, links=[("rId9", "chart", "charts/chart1.xml")], extra={"word/charts/chart1.xml": drawn})
    assert read(data) == "Ducks\n\nBar chart\n\n|  | wild | tame |\n| 2019 | 1 | 3 |\n| 2020 | 2.5 | 4 |"


def test_strict_namespaces_and_a_main_part_elsewhere() -> None:
    strict = _document(paragraph("Words")).replace(W, "http://purl.oclc.org/ooxml/wordprocessingml/main")
    data = zipped(
        {
            "_rels/.rels": relations([("rId1", "officeDocument", "/other/place.xml")]),
            "other/place.xml": strict,
        }
    )
    assert read(data) == "Words"


def test_real_files(shared_data: Path) -> None:
    scores = {
        path.name: word_f1(path.with_name(f"{path.name}.truth.md").read_text("utf-8"), read(path.read_bytes()))
        for path in sorted((shared_data / "office").glob("*.docx"))
    }
    assert len(scores) >= 5
    assert all(score >= 0.97 for score in scores.values()), scores
