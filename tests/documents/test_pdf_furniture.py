"""Running heads and feet go, titles and text stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.formats.furniture import running
from quire.documents.formats.pdf_lines import TextLine


def line(text: str, top: float, left: float = 50.0, height: float = 8.0) -> TextLine:
    return TextLine(text, left, top, left + 5.0 * len(text), top + height, 10.0, False, True, 0)


def page(number: int, heads: list[TextLine], lines: int = 20) -> list[TextLine]:
    body = [line(f"{'abcdefghijklmnopqrstuvwxyz'[number % 26]} says {i} things", 80 + 12.0 * i) for i in range(lines)]
    return [*heads, *body]


def removed(pages: list[list[TextLine]]) -> list[list[str]]:
    return [[lines[i].text for i in sorted(found)] for lines, found in zip(pages, running(pages), strict=True)]


@given(st.integers(3, 30), st.integers(1, 500))
def test_heads_that_say_the_same_and_numbers_that_count_go(count: int, first: int) -> None:
    pages = [page(i, [line("The Book of Sheets", 30), line(str(first + i), 760, 300)]) for i in range(count)]
    assert removed(pages) == [["The Book of Sheets", str(first + i)] for i in range(count)]


@given(st.integers(2, 12))
def test_left_and_right_heads_and_roman_numbers_before_arabic_ones(count: int) -> None:
    roman = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"]
    numbers = [*roman[:count], *map(str, range(1, count + 3))]
    pages = [
        page(i, [line(f"{number} Author" if i % 2 else f"Title {number}", 30)]) for i, number in enumerate(numbers)
    ]
    got = removed(pages)
    assert [len(found) for found in got][count:] == [1] * (count + 2)
    assert all(found in ([], [pages[i][0].text]) for i, found in enumerate(got))


def test_the_head_of_a_chapter_of_one_page_is_known_by_its_number() -> None:
    titles = ["One", "One", "One", "One", "Two", "Three", "Three", "Three"]
    pages = [page(i, [line(f"Chapter {title} {i + 11}", 30)]) for i, title in enumerate(titles)]
    assert removed(pages) == [[f"Chapter {title} {i + 11}"] for i, title in enumerate(titles)]


@pytest.mark.parametrize(
    "tops",
    [
        [line("Some words that open page one", 30), line("Other ones open the next", 30), line("And a third way", 30)],
        [line("The same at another height", 30), line("The same at another height", 60), line("else", 30)],
        [line("Total 1,204 for the day", 30), line("Total 822 for the day", 30), line("Total 950 for the day", 30)],
        [line("A title in large type", 30, height=24)] * 3,
        [line("Twice the same", 30), line("Twice the same", 30), line("but not a third time", 30)],
    ],
    ids=["different", "moved", "not counting", "large", "twice"],
)
def test_what_opens_pages_without_being_a_head_stays(tops: list[TextLine]) -> None:
    pages = [page(i, [top]) for i, top in enumerate(tops)]
    assert removed(pages) == [[], [], []]


def test_repeated_words_below_the_first_line_of_the_text_stay() -> None:
    pages = [
        page(i, [line(f"Page {name} begins so", 30), line("again and again", 42)]) for i, name in enumerate("abcd")
    ]
    assert removed(pages) == [[], [], [], []]


def test_two_pages_are_enough_only_for_numbers_that_count_them() -> None:
    assert removed([page(i, [line("The Book", 30), line(f"- {i + 4} -", 760)]) for i in range(2)]) == [
        ["- 4 -"],
        ["- 5 -"],
    ]
    assert removed([page(i, [line(f"- {4 + 3 * i} -", 760)]) for i in range(2)]) == [[], []]


def test_a_single_page_has_no_heads() -> None:
    assert removed([page(0, [line("Alone", 30)])]) == [[]]
