"""PDFs made in code, read as a person would read their pages."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.utils import simpleSplit
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Table

from fixtures.pdfs import claiming, parts_of, pdf, printed, text_of
from quire.documents.formats.pdf_lines import _cells
from quire.documents.read import DroppedFile
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

WIDTH, HEIGHT = A4
TREES = """
amber birch cedar delta ember fjord grove hazel ivory jasper kelp linden maple nectar olive pearl quartz river
slate topaz umber violet willow yarrow zephyr acorn bramble clover dahlia elder fennel ginger heather iris
"""
WORDS = TREES.split()

Painter = Callable[[Canvas], None]


def painted(pages: Sequence[Painter], rotation: int = 0) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=True)
    for paint in pages:
        canvas.setPageRotation(rotation)
        paint(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def prose(seed: int, count: int) -> str:
    rng = random.Random(seed)
    return " ".join(f"{rng.choice(WORDS)}{'' if rng.random() < 0.5 else 's'}" for _ in range(count))


def set_in(canvas: Canvas, text: str, left: float, top: float, width: float = 220, size: float = 10) -> float:
    canvas.setFont("Helvetica", size)
    for row in simpleSplit(text, "Helvetica", size, width):
        canvas.drawString(left, top, row)
        top -= 1.2 * size
    return top


def test_two_columns_are_read_one_after_the_other_and_each_is_one_paragraph() -> None:
    left, right = prose(1, 80), prose(2, 80)

    def page(canvas: Canvas) -> None:
        set_in(canvas, left, 50, 700)
        set_in(canvas, right, 310, 700)

    assert text_of(painted([page])).split() == [*left.split(), *right.split()]


def test_columns_written_row_by_row_are_read_one_after_the_other() -> None:
    left, right = (simpleSplit(prose(seed, 120), "Helvetica", 10, 220)[:14] for seed in (1, 2))

    def page(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 10)
        for i, (one, other) in enumerate(zip(left, right, strict=True)):
            canvas.drawString(50, 700 - 12 * i, one)
            canvas.drawString(310, 700 - 12 * i, other)

    assert text_of(painted([page])).split() == " ".join([*left, *right]).split()


def test_columns_written_row_by_row_need_not_stand_at_one_height() -> None:
    left, right = (simpleSplit(prose(seed, 160), "Helvetica", 10, 220) for seed in (1, 2))
    rows = [(700 - 12 * i, 50, text) for i, text in enumerate(left)]
    rows += [(697 - 12.6 * i, 310, text) for i, text in enumerate(right)]

    def page(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 10)
        for y, x, text in sorted(rows, key=lambda row: -row[0]):
            canvas.drawString(x, y, text)

    assert text_of(painted([page])).split() == " ".join([*left, *right]).split()


def test_title_written_last_and_foot_written_first_are_read_where_they_stand() -> None:
    def page(canvas: Canvas) -> None:
        canvas.drawString(50, 40, "At the foot")
        set_in(canvas, prose(1, 60), 50, 700)
        set_in(canvas, prose(2, 60), 310, 700)
        canvas.setFont("Helvetica-Bold", 18)
        canvas.drawString(150, 780, "A title across both columns")

    text = text_of(painted([page]))
    assert text.startswith("A title across both columns\n\n")
    assert text.endswith("\n\nAt the foot")


def test_a_table_is_rows_with_tabs_where_it_stands() -> None:
    table = [["name", "size", "colour"], ["amber", "12", "gold"], ["slate", "7", "grey"], ["ivory", "31", "white"]]

    def page(canvas: Canvas) -> None:
        below = set_in(canvas, prose(1, 60), 50, 700, width=480) - 100
        set_in(canvas, prose(2, 60), 50, below, width=480)
        for y, row in enumerate(table):
            for x, cell in enumerate(row):
                canvas.drawString(80 + 120 * x, below + 80 - 14 * y, cell)

    rows = "\n".join("\t".join(row) for row in table)
    assert text_of(painted([page])) == f"{prose(1, 60)}\n\n{rows}\n\n{prose(2, 60)}"


@pytest.mark.parametrize("hyphen", [False, True])
def test_a_note_at_the_foot_of_a_column_stands_behind_the_sentence_that_it_cuts(hyphen: bool) -> None:
    sentence, rest = f"{prose(1, 100)}.", prose(3, 40)
    note = "1 The notes of the first year are lost."
    rows = simpleSplit(sentence, "Helvetica", 10, 220)
    left, right = rows[:-3], rows[-3:]
    if hyphen:
        start, _, word = left[-1].rpartition(" ")
        left[-1], right[0] = f"{start} {word[:3]}-", f"{word[3:]} {right[0]}"

    def page(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 10)
        for i, row in enumerate(left):
            canvas.drawString(50, 700 - 12 * i, row)
        set_in(canvas, note, 50, 685 - 12 * len(left), size=7)
        canvas.setFont("Helvetica", 10)
        for i, row in enumerate(right):
            canvas.drawString(310, 700 - 12 * i, row)
        canvas.drawString(320, 664, rest[: rest.index(" ", 30)])
        set_in(canvas, rest[rest.index(" ", 30) + 1 :], 310, 652)

    assert text_of(painted([page])).split() == f"{sentence} {note} {rest}".split()


def test_a_note_below_a_whole_sentence_stays_at_the_foot_of_its_column() -> None:
    def page(canvas: Canvas) -> None:
        below = set_in(canvas, prose(1, 60) + ".", 50, 700)
        set_in(canvas, "1 The notes are lost.", 50, below - 15, size=7)
        set_in(canvas, prose(2, 60), 310, 700)

    text = text_of(painted([page]))
    assert text == f"{prose(1, 60)}.\n\n1 The notes are lost.\n\n{prose(2, 60)}"


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_pages_are_read_whichever_way_up_page_and_text_are(rotation: int, angle: int) -> None:
    text = prose(3, 70)

    def page(canvas: Canvas) -> None:
        canvas.translate(WIDTH / 2, HEIGHT / 2)
        canvas.rotate(angle)
        set_in(canvas, text, -150, 100)

    assert text_of(painted([page], rotation)) == text


def test_a_stamp_up_the_margin_is_kept_and_breaks_no_paragraph() -> None:
    text = prose(4, 120)

    def page(canvas: Canvas) -> None:
        canvas.saveState()
        canvas.rotate(90)
        canvas.drawString(200, -30, "stamped 5 May 2023")
        canvas.restoreState()
        set_in(canvas, text, 60, 700, width=480)

    got = text_of(painted([page]))
    assert "stamped 5 May 2023" in got
    assert text in got


def running_pages(count: int) -> list[Painter]:
    def page(number: int) -> Painter:
        def paint(canvas: Canvas) -> None:
            canvas.setFont("Helvetica", 9)
            canvas.drawString(50, 800, "The Book of Sheets")
            canvas.drawRightString(545, 800, str(number + 5))
            set_in(canvas, f"This is what page {number} says. " + prose(number, 60), 50, 740, width=480)

        return paint

    return [page(number) for number in range(count)]


def test_running_heads_go_but_for_the_first_unless_all_are_asked_for() -> None:
    data = painted(running_pages(4))
    pages = "\n\n".join(f"This is what page {n} says. {prose(n, 60)}" for n in range(4))
    assert text_of(data) == f"The Book of Sheets\n\n{pages}"
    kept = text_of(data, ReadSettings(ocr=False, running_heads=False))
    assert kept.count("The Book of Sheets") == 4


def test_what_goes_as_running_heads_is_in_the_account() -> None:
    (heads,) = parts_of(painted(running_pages(4)))[1]
    assert (heads.member, heads.outcome, heads.rule) == ("running heads and feet", "dropped", "running-heads")
    assert heads.size == 3 * len("The Book of Sheets") + len("5678")
    assert heads.detail == f"{heads.size} characters of heads, feet and page numbers on 4 pages"
    assert not parts_of(painted(running_pages(4)), ReadSettings(ocr=False, running_heads=False))[1]


def of_story(story: list[Flowable]) -> str:
    buffer = io.BytesIO()
    SimpleDocTemplate(buffer).build(story)
    return text_of(buffer.getvalue())


@pytest.mark.parametrize(
    "titles", [["Chapter 1", "Chapter 2", "Chapter 3"], ["§ 3", "§ 6", "§ 8"], ["1999", "2000", "2001"]]
)
def test_a_heading_at_the_top_of_each_page_stays(titles: list[str]) -> None:
    styles = getSampleStyleSheet()
    story: list[Flowable] = []
    for number, title in enumerate(titles):
        story += [Paragraph(title, styles["Heading2"]), Paragraph(prose(number, 90), styles["Normal"]), PageBreak()]
    text = of_story(story)
    assert [title for title in text.split("\n\n") if title in titles] == titles


def test_the_names_of_columns_that_a_table_repeats_are_told_once() -> None:
    rows = [[str(number), WORDS[number % len(WORDS)], f"{number * 7 % 17}.50"] for number in range(120)]
    text = of_story([Table([["Pos", "Item", "Price"], *rows], repeatRows=1)])
    assert text.startswith("Pos\tItem\tPrice\n0\tamber\t0.50\n")
    assert text.count("Pos") == 1


def test_a_space_that_begins_what_comes_after_a_raised_or_lowered_letter_stays() -> None:
    said = "The area of 5 m<super>2</super> was x<sub>i</sub> and so on. A<super>a</super> word of H<sub>2</sub>O."
    text = of_story([Paragraph(said, getSampleStyleSheet()["Normal"])])
    assert text == "The area of 5 m2 was xi and so on. Aa word of H2O."


def test_a_title_and_the_dots_to_its_page_are_one_line() -> None:
    def page(canvas: Canvas) -> None:
        for number in range(15):
            canvas.drawString(60, 780 - 16 * number, f"{number + 1} Chapter about frogs ")
            canvas.drawRightString(500, 780 - 16 * number, f"{'.' * 30} {7 * number + 3}")

    assert text_of(painted([page])).splitlines() == [
        f"{number + 1} Chapter about frogs {'.' * 30} {7 * number + 3}" for number in range(15)
    ]


def test_layout_can_be_switched_off() -> None:
    text = text_of(painted(running_pages(4)), ReadSettings(ocr=False, pdf_layout=False))
    assert text.split() == text_of(painted(running_pages(4))).split()
    assert len(text.splitlines()) > len(text_of(painted(running_pages(4))).splitlines())


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.booleans())
def test_the_characters_of_each_span_come_from_its_page(counts: list[int], layout: bool) -> None:
    def page(number: int, count: int) -> Painter:
        words = " ".join(f"p{number}w{i}" for i in range(count))

        def paint(canvas: Canvas) -> None:
            set_in(canvas, words, 50, 700)

        return paint

    pages = [page(number, count) for number, count in enumerate([*counts, 3], start=1)]
    document = parts_of(painted(pages), ReadSettings(ocr=False, pdf_layout=layout))[0]
    assert [span.page for span in document.pages] == [n for n, count in enumerate([*counts, 3], start=1) if count]
    for span, count in zip(document.pages, [count for count in [*counts, 3] if count], strict=True):
        assert document.text[span.start : span.end].split() == [f"p{span.page}w{i}" for i in range(count)]
    ends = [0, *(span.end for span in document.pages)]
    between = {document.text[end : span.start] for end, span in zip(ends, document.pages, strict=False)}
    assert between <= {"", "\n\n"}


def test_words_cut_at_line_ends_are_joined_by_what_the_document_says() -> None:
    rows = [
        "It is well known that words are cut at the ends of lines to-",
        "gether with a hyphen, and a reader who is well-read in such mat-",
        "ters joins them again. A well-",
        "read reader keeps the hyphen.",
    ]
    text = text_of(pdf([printed(rows)]))
    assert "lines together with" in text
    assert "such matters joins" in text
    assert "A well-read reader" in text


def test_the_mark_of_a_footnote_stands_apart_from_its_word() -> None:
    def page(canvas: Canvas) -> None:
        set_in(canvas, prose(1, 40), 50, 700)
        text = canvas.beginText(50, 500)
        text.setFont("Helvetica", 10)
        text.textOut("reported by the institute")
        text.setRise(4)
        text.setFont("Helvetica", 6)
        text.textOut("12")
        text.setRise(0)
        text.setFont("Helvetica", 10)
        text.textOut(" on an MP3")
        canvas.drawText(text)

    assert "by the institute 12 on an MP3" in text_of(painted([page]))


def test_accents_over_letters_and_beside_them() -> None:
    def page(canvas: Canvas) -> None:
        canvas.setFont("Times-Roman", 12)
        for letter, left in (("C", 50), ("e", 58), ("sar", 63.3)):
            canvas.drawString(left, 700, letter)
            if letter == "C":
                canvas.drawString(58.6, 700, "\u00b4")
        canvas.drawString(50, 650, "it\u00b4s apart, and `as is`")
        for letters, left in (("voil", 50), ("`", 69.3), ("a", 68.7)):
            canvas.drawString(left, 600, letters)

    text = text_of(painted([page]))
    assert text.startswith("C\u00e9sar")
    assert "it\u00b4s apart, and `as is`" in text
    assert text.endswith("voil\u00e0")


def test_text_is_composed() -> None:
    document = text_of(pdf([printed(["caf\u00e9 \u00c5ngstr\u00f6m"])]))
    assert document == "caf\u00e9 \u00c5ngstr\u00f6m"


def test_a_blank_that_is_drawn_is_no_cell() -> None:
    # Some fonts have ink in their blank, and it stands before the first cell of a row.
    rects = [(left, 10.0, left + 5, 0.0) for left in (0.0, 100.0, 200.0)]
    cells = list(_cells(" a b", 0, [1, 3], rects, [1, 2], (0, 10.0, False), []))
    assert [cell[:3] for cell in cells] == [("a", 1, rects[1:2]), ("b", 3, rects[2:])]


def test_bullets_of_symbol_fonts() -> None:
    data = claiming("a letters", {letter: "\uf0b7" if letter == "a" else letter for letter in "a letrs"})
    assert text_of(data) == "• letters"


WHOLE = painted([*running_pages(3), lambda canvas: canvas.drawString(50, 700, "")])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=12)), max_size=12))
def test_a_damaged_file_gives_text_or_a_stated_reason(damage: list[tuple[float, int, bytes]]) -> None:
    data = bytearray(WHOLE)
    for where, length, new in damage:
        place = int(where * len(data))
        data[place : place + length] = new
    try:
        document, left_out = parts_of(bytes(data))
    except (DroppedFile, ReadError):
        return
    assert document.text.strip()
    assert all(document.text[span.start : span.end].strip() for span in document.pages)
    assert all(part.outcome in ("dropped", "failed") and part.detail for part in left_out)
