"""Lines of a page to rows and paragraphs."""

from __future__ import annotations

import random
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.formats.pdf_lines import HYPHENATED, TextLine
from quire.documents.formats.pdf_paragraphs import text_of

LETTER = 5.0
PITCH = 12.0


def line(text: str, top: float, left: float = 50.0, *, size: float = 10.0, fixed_pitch: bool = False) -> TextLine:
    return TextLine(text, left, top, left + LETTER * len(text), top + 8, size, fixed_pitch, True, 0)


def wrapped(text: str, *, width: int = 60, top: float = 0.0, left: float = 50.0, indent: float = 0.0) -> list[TextLine]:
    rows = textwrap.wrap(text, width, initial_indent=" " * round(indent / LETTER))
    return [line(row.strip(), top + PITCH * i, left + (indent if i == 0 else 0)) for i, row in enumerate(rows)]


def words_of(seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefghij", k=rng.randint(2, 9))) for _ in range(rng.randint(50, 120))]


WORDS = st.builds(words_of, st.integers(0, 10**6))


@given(WORDS)
def test_running_text_loses_its_line_ends_and_nothing_else(words: list[str]) -> None:
    assert text_of(wrapped(" ".join(words))).split() == words
    assert "\n" not in text_of(wrapped(" ".join(words)))


@given(WORDS, WORDS)
def test_paragraphs_are_told_by_their_first_line_or_by_the_space_between(first: list[str], second: list[str]) -> None:
    above = wrapped(" ".join(first), indent=15)
    below = wrapped(" ".join(second), top=above[-1].top + PITCH, indent=15)
    assert text_of([*above, *below]) == f"{' '.join(first)}\n{' '.join(second)}"
    spaced = wrapped(" ".join(second), top=above[-1].top + 2 * PITCH)
    assert text_of([*above, *spaced]) == f"{' '.join(first)}\n\n{' '.join(second)}"


VERSE = [
    "Wer reitet so spaet durch Nacht und Wind?",
    "Es ist der Vater",
    "Er hat den Knaben wohl",
    "Er fasst ihn sicher",
]


@pytest.mark.parametrize(
    "rows",
    [
        VERSE,
        ["• " + "a point of some length that is long enough", "• and one more of them", "• the last"],
        ["def join(lines):", "    return lines", "", "print(join([]))"],
        [
            "1 Notices . . . . . . . . . . . . . . . . . . . . . . 7",
            "2 Trademarks . . . . . . . . . . . . . . . . . . . . 88",
        ],
    ],
    ids=["verse", "points", "code", "contents"],
)
def test_lines_that_are_no_running_text_stay_lines(rows: list[str]) -> None:
    rows = [row for row in rows if row]
    assert text_of([line(row, PITCH * i) for i, row in enumerate(rows)]) == "\n".join(rows)


def test_type_of_one_width_is_code_and_stays_lines() -> None:
    rows = textwrap.wrap("for all that it knows this could be running text as well " * 4, 50)
    lines = [line(row, PITCH * i, fixed_pitch=True) for i, row in enumerate(rows)]
    assert text_of(lines) == "\n".join(rows)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(3, 40)), min_size=1, max_size=12), st.sampled_from([4.8, 6.0]))
def test_code_keeps_its_lines_and_its_indentation(rows: list[tuple[int, int]], width: float) -> None:
    rows = [(0, 12), *rows]
    lines = [
        TextLine(
            "x" * long,
            60 + 4 * width * deep,
            12.0 * i,
            60 + width * (4 * deep + long),
            12.0 * i + 8,
            10,
            True,
            True,
            0,
        )
        for i, (deep, long) in enumerate(rows)
    ]
    assert text_of(lines) == "\n".join(" " * 4 * deep + "x" * long for deep, long in rows)


def test_code_below_running_text_is_no_part_of_it() -> None:
    prose = wrapped(" ".join(words_of(5)))
    code = [line("import sys", prose[-1].top + PITCH, fixed_pitch=True)]
    assert text_of([*prose, *code]).splitlines()[1:] == ["import sys"]


def test_code_in_the_next_column_begins_at_its_own_left() -> None:
    left = [line(text, PITCH * i, 50, fixed_pitch=True) for i, text in enumerate(["if one:", "two = 1"])]
    right = [line(text, PITCH * i, 300, fixed_pitch=True) for i, text in enumerate(["if three:", "four = 2"])]
    assert [row for row in text_of([*left, *right]).splitlines() if row] == [
        "if one:",
        "two = 1",
        "if three:",
        "four = 2",
    ]


def test_centred_lines_stay_lines() -> None:
    rows = ["A title that is set in the middle", "of a page and goes on for more than", "two of its lines", "in all"]
    lines = [line(row, PITCH * i, 300 - LETTER * len(row) / 2) for i, row in enumerate(rows)]
    assert text_of(lines) == "\n".join(rows)


def test_a_heading_in_larger_type_is_no_part_of_the_text_below() -> None:
    body = wrapped("word " * 60, top=PITCH)
    assert text_of([line("A heading that is about as wide as its column is all", 0, size=12), *body]).count("\n") == 1


def test_cells_side_by_side_are_a_row_with_tabs() -> None:
    cells = [line(f"{y}.{x}", PITCH * y, 50 + 80.0 * x) for y in range(3) for x in range(3)]
    assert text_of(cells) == "0.0\t0.1\t0.2\n1.0\t1.1\t1.2\n2.0\t2.1\t2.2"


def test_a_cell_that_ends_in_a_hyphen_does_not_go_on_in_the_next_cell() -> None:
    assert text_of([line(f"hexa{HYPHENATED}", 0), line("chloride", 0, 150)]) == "hexa-\tchloride"


def test_pieces_of_a_line_are_one_line() -> None:
    pieces = [line("from 1", 0), line("⁄4 inch", 0, 80.5), line("to one", 0, 120)]
    assert text_of(pieces) == "from 1⁄4 inch to one"


def test_a_sentence_goes_on_in_the_next_column() -> None:
    left = wrapped("word " * 60 + "and", width=40)
    right = wrapped("goes on " + "word " * 40, width=40, left=300)
    assert "and goes on" in text_of([*left, *right])


def test_a_hyphenated_word_goes_on_in_the_next_line_or_column() -> None:
    left = [*wrapped("word " * 40, width=40), line(f"so it is hyphen{HYPHENATED}", 5 * PITCH)]
    right = wrapped("ated " + "word " * 40, width=40, left=300)
    assert f"hyphen{HYPHENATED}ated word" in text_of([*left, *right])
    assert text_of([line(f"so it is hyphen{HYPHENATED}", 0)]) == "so it is hyphen-"


def test_chinese_and_japanese_lines_are_joined_without_a_space() -> None:
    rows = [
        "吾輩は猫である名前はまだ無いどこで生れたかとんと見当がつかぬ",
        "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記",
        "憶している",
    ]
    lines = [
        TextLine(row, 50, PITCH * i, 50 + 10 * len(row), PITCH * i + 9, 10, False, True, 0)
        for i, row in enumerate(rows)
    ]
    assert text_of(lines) == "".join(rows)


def test_rejoining_can_be_switched_off() -> None:
    lines = wrapped("word " * 60)
    assert text_of(lines, rejoin=False).split("\n")[:-1] == [line.text for line in lines]
