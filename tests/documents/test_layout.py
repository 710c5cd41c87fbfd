from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from quire.documents.layout import Box, in_reading_order

NUMBERS = st.floats(0, 1000, allow_nan=False)
BOXES = st.lists(
    st.builds(lambda x, y, w, h: Box(x, y, x + 1 + w, y + 1 + h / 10), NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=40
)


def column(x: float, count: int, *, width: float = 300.0, top: float = 0.0) -> list[Box]:
    # Every third line is ragged, as the last lines of paragraphs are.
    return [Box(x, top + 24 * i, x + width * (0.7 if i % 3 == 2 else 1.0), top + 24 * i + 20) for i in range(count)]


def order(boxes: list[Box]) -> list[int]:
    """The reading order of `boxes`, when recognition hands them over in any order."""
    shuffled = list(range(len(boxes)))
    random.Random(0).shuffle(shuffled)
    rows = in_reading_order([boxes[i] for i in shuffled])
    return [shuffled[i] for row in rows for i in row]


@given(BOXES)
def test_every_piece_is_read_exactly_once(boxes: list[Box]) -> None:
    assert sorted(i for row in in_reading_order(boxes) for i in row) == list(range(len(boxes)))


@given(st.integers(3, 20), st.integers(2, 4), st.floats(12, 80))
def test_columns_are_read_one_after_the_other(lines: int, columns: int, gutter: float) -> None:
    boxes = [box for i in range(columns) for box in column(i * (300 + gutter), lines)]
    assert order(boxes) == list(range(len(boxes)))


def test_a_title_divides_the_page_into_bands() -> None:
    upper = [*column(0, 5), *column(320, 5)]
    lower = [*column(0, 5, top=200), *column(320, 5, top=200)]
    boxes = [Box(0, -50, 620, -20), *upper, Box(100, 150, 520, 180), *lower]
    assert order(boxes) == list(range(len(boxes)))


def test_a_caption_between_columns_is_read_after_them() -> None:
    wide, narrow = column(0, 8), column(0, 8, width=250, top=192)
    right, right_narrow = column(320, 8), [Box(b.left + 370, b.top, b.right + 370, b.bottom) for b in narrow]
    caption = [Box(270, 240, 350, 256), Box(270, 264, 350, 280)]
    boxes = [*wide, *narrow, *right, *right_narrow, *caption]
    assert order(boxes) == list(range(len(boxes)))


def test_a_table_is_read_row_by_row() -> None:
    boxes = [Box(150.0 * x, 24.0 * y, 150.0 * x + 60, 24.0 * y + 20) for y in range(8) for x in range(4)]
    assert order(boxes) == list(range(len(boxes)))


def test_pieces_of_a_line_share_a_row_and_a_wide_gap_is_a_paragraph() -> None:
    boxes = [Box(0, 0, 100, 20), Box(110, 2, 200, 22), Box(0, 24, 200, 44), Box(0, 48, 200, 68), Box(0, 110, 200, 130)]
    assert in_reading_order(boxes) == [[0, 1], [2], [3], [], [4]]
