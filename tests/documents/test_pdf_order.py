"""Lines of a page in reading order, whatever the order in which a program wrote them."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from quire.documents.formats.pdf_lines import TextLine
from quire.documents.formats.pdf_order import in_order

HEIGHT = 8.0
PITCH = 12.0


def line(text: str, left: float, top: float, width: float = 200.0, *, upright: bool = True) -> TextLine:
    return TextLine(text, left, top, left + width, top + HEIGHT, 10.0, False, upright, 0)


def column(name: str, left: float, count: int, *, top: float = 0.0, width: float = 200.0) -> list[TextLine]:
    return [line(f"{name}{i}", left, top + PITCH * i, width) for i in range(count)]


def read(lines: list[TextLine]) -> list[str]:
    return [line.text for line in in_order(lines)]


NUMBERS = st.integers(0, 400)
LINES = st.lists(
    st.builds(
        lambda x, y, w, h: TextLine("x", x, y, x + 1 + w, y + 1 + h / 20, 10.0, False, True, 0),
        NUMBERS,
        NUMBERS,
        NUMBERS,
        NUMBERS,
    ),
    max_size=40,
)


@given(LINES)
def test_every_line_is_read_exactly_once(lines: list[TextLine]) -> None:
    assert sorted(map(id, in_order(lines))) == sorted(map(id, lines))


@given(LINES)
def test_nothing_is_read_after_what_stands_well_below_it(lines: list[TextLine]) -> None:
    ordered = in_order(lines)
    tallest = max((line.bottom - line.top for line in lines), default=0)
    for number, before in enumerate(ordered):
        for after in ordered[number + 1 :]:
            shared = min(before.right, after.right) - max(before.left, after.left)
            over = shared > 0.2 * min(before.right - before.left, after.right - after.left)
            assert not (over and after.bottom <= before.top and after.top + tallest <= before.top)


@given(st.permutations(range(12)))
def test_a_column_is_read_downwards_in_whatever_order_it_was_written(order: list[int]) -> None:
    lines = column("a", 50, 12)
    assert read([lines[i] for i in order]) == [line.text for line in lines]


@given(st.integers(2, 4), st.integers(2, 12), st.data())
def test_title_and_foot_go_where_they_stand_wherever_they_were_written(
    columns: int, count: int, data: st.DataObject
) -> None:
    body = [each for i in range(columns) for each in column("abcd"[i], 220.0 * i, count, top=50)]
    width = 220.0 * columns - 20
    title, foot = line("title", 0, 0, width), line("foot", 0, 100 + PITCH * count, width)
    expected = [each.text for each in [title, *body, foot]]
    written = list(body)
    for extra in (title, foot):
        written.insert(data.draw(st.sampled_from([0, len(written)])), extra)
    assert read(written) == expected


@given(st.integers(2, 4), st.integers(6, 12), st.data())
def test_heads_and_feet_written_anywhere_leave_the_columns_in_order(
    columns: int, count: int, data: st.DataObject
) -> None:
    # The left head stands over the first column, the number at the foot only under the last one.
    body = [column("abcd"[i], 220.0 * i, count, top=40) for i in range(columns)]
    width = 220.0 * columns - 20
    head, foot = line("head", 0, 0, width), line("foot", width - 40, 80 + PITCH * count, 20)
    expected = ["head", *(each.text for lines in body for each in lines), "foot"]
    extras = data.draw(st.permutations([head, foot]))
    where = data.draw(st.integers(0, columns))
    written = [each for lines in body[:where] for each in lines]
    written += [*extras, *(each for lines in body[where:] for each in lines)]
    assert read(written) == expected


@given(st.permutations(range(8)))
def test_blocks_drawn_in_any_order_are_read_column_by_column(order: list[int]) -> None:
    blocks = [column(f"{x}{y}-", 220.0 * x, 6, top=100.0 * y) for x in range(2) for y in range(4)]
    upwards = sum(x // 4 == y // 4 and x == y + 1 for x, y in itertools.pairwise(order))
    written = [each for number in order for each in blocks[number]]
    if upwards >= 3:  # often enough to say that the order is one of drawing
        assert read(written) == [each.text for block in blocks for each in block]
    else:
        assert sorted(read(written)) == sorted(each.text for each in written)


def test_authors_side_by_side_who_are_written_last_stay_together() -> None:
    title = line("title", 0, 0, 420)
    authors = [each for x in range(3) for each in column("abc"[x], 150.0 * x, 3, top=30, width=100)]
    left, right = column("l", 0, 10, top=100), column("r", 220, 10, top=100)
    left[0].left, left[0].right = 80.0, 130.0  # a heading, over which only one author stands
    expected = [each.text for each in [title, *authors, *left, *right]]
    assert read([*left, *right, title, *authors]) == expected


def test_a_table_written_last_goes_between_the_paragraphs() -> None:
    above, below = column("a", 0, 5, width=400), column("b", 0, 5, top=200, width=400)
    table = [line(f"c{y}{x}", 120.0 * x, 80 + PITCH * y, 80) for y in range(6) for x in range(3)]
    expected = [each.text for each in [*above, *table, *below]]
    assert read([*above, *below, *table]) == expected
    assert read([*table, *above, *below]) == expected


def test_the_order_of_the_file_stands_where_places_do_not_contradict_it() -> None:
    # Cells of several lines each, written cell by cell: by height alone their lines would mix.
    cells = [
        each for y in range(3) for x in range(3) for each in column(f"{y}{x}-", 150.0 * x, 3, top=40 * y, width=120)
    ]
    assert in_order(cells) == cells


def test_columns_that_were_written_row_by_row_are_read_one_after_the_other() -> None:
    left, right = column("l", 0, 15), column("r", 230, 15)
    written = [each for pair in zip(left, right, strict=True) for each in pair]
    assert read(written) == [each.text for each in [*left, *right]]


def test_an_overfull_line_that_reaches_into_the_next_column_moves_nothing() -> None:
    left, right = column("l", 0, 12), column("r", 220, 12)
    left[6].right = 250.0
    right[2].right = 240.0  # the short last line of a paragraph, above the end of the overfull one
    assert in_order([*left, *right]) == [*left, *right]


def test_a_table_written_row_by_row_stays_so() -> None:
    cells = [line(f"{y}{x}", 100.0 * x, PITCH * y, 40) for y in range(15) for x in range(2)]
    assert in_order(cells) == cells


RAGGED = (60.0, 80.0, 90.0, 110.0, 140.0)  # as long as lines, but of no common end


@given(st.integers(2, 4), st.permutations(RAGGED * 3))
def test_a_table_of_long_cells_stays_row_by_row(columns: int, widths: list[float]) -> None:
    cells = [line(f"{y}-{x}", 150.0 * x, PITCH * y, widths[(x + y) % 15]) for y in range(15) for x in range(columns)]
    assert in_order(cells) == cells


@given(st.permutations(range(30)), st.permutations(RAGGED * 3))
def test_the_fields_of_a_form_drawn_in_any_order_are_read_row_by_row(order: list[int], widths: list[float]) -> None:
    fields = [line(f"{y}-{x}", 200.0 * x, 20.0 * y, widths[(x + y) % 15]) for y in range(15) for x in range(2)]
    upwards = sum(before % 2 == after % 2 and after < before for before, after in itertools.pairwise(order))
    written = [fields[number] for number in order]
    if upwards >= 3:  # often enough to say that the order is one of drawing
        assert in_order(written) == fields
    else:
        assert sorted(read(written)) == sorted(field.text for field in fields)


def test_a_line_that_runs_another_way_keeps_its_place() -> None:
    lines = column("a", 50, 6)
    stamp = line("stamp", 0, 30, 8, upright=False)
    assert read([*lines[:3], stamp, *lines[3:]]) == ["a0", "a1", "a2", "stamp", "a3", "a4", "a5"]


def test_a_page_of_thousands_of_labels_is_left_as_it_is() -> None:
    rng = random.Random(0)
    labels = [line(str(i), rng.uniform(0, 800), rng.uniform(0, 800), 10) for i in range(3000)]
    assert in_order(labels) == labels
