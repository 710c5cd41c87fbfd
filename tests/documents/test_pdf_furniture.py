"""Page numbers go, and running heads and feet but for the first of the same words; titles and text stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.formats.furniture import running
from quire.documents.formats.pdf_lines import TextLine


def line(text: str, top: float, left: float = 50.0, height: float = 8.0, *, bold: bool = False) -> TextLine:
    return TextLine(text, left, top, left + 5.0 * len(text), top + height, 10.0, False, True, 0, bold)


def page(number: int, heads: list[TextLine], lines: int = 20) -> list[TextLine]:
    body = [line(f"{'abcdefghijklmnopqrstuvwxyz'[number % 26]} says {i} things", 80 + 12.0 * i) for i in range(lines)]
    return [*heads, *body]


def removed(pages: list[list[TextLine]]) -> list[list[str]]:
    return [[lines[i].text for i in sorted(found)] for lines, found in zip(pages, running(pages), strict=True)]


@given(st.integers(3, 30), st.integers(1, 500))
def test_heads_that_say_the_same_go_but_for_the_first_and_numbers_that_count_all_go(count: int, first: int) -> None:
    pages = [page(i, [line("The Book of Sheets", 30), line(str(first + i), 760, 300)]) for i in range(count)]
    assert removed(pages) == [["The Book of Sheets"] * (i > 0) + [str(first + i)] for i in range(count)]


@given(
    st.lists(st.sampled_from(["The Book", "Ponds", "Frogs", "a | b", ""]), min_size=1, max_size=8),
    st.sampled_from(["{head}", "{head} {number}", "{number} {head}", "{head} page {number}"]),
    st.integers(1, 30),
)
def test_no_words_are_lost(heads: list[str], form: str, first: int) -> None:
    pages = []
    for i, head in enumerate(heads):
        said = form.format(head=head, number=first + i)
        pages.append(page(i, [line(said, 30)] if said.strip() else []))
    kept = {
        word
        for lines, found in zip(pages, running(pages), strict=True)
        for place, kept in enumerate(lines)
        if place not in found
        for word in kept.text.split()
    }
    assert kept >= {word for head in heads for word in head.split()}


@given(st.integers(2, 12))
def test_left_and_right_heads_and_roman_numbers_before_arabic_ones(count: int) -> None:
    roman = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"]
    numbers = [*roman[:count], *map(str, range(1, count + 3))]
    pages = [
        page(i, [line(f"{number} Author" if i % 2 else f"The Title {number}", 30)]) for i, number in enumerate(numbers)
    ]
    assert removed(pages) == [[], [], *([lines[0].text] for lines in pages[2:])]


def test_the_head_of_a_chapter_of_one_page_is_known_by_its_number() -> None:
    titles = ["One", "One", "One", "One", "Two", "Three", "Three", "Three"]
    heads = [[line(f"Chapter {title}", 30), line(str(i + 11), 30, 300)] for i, title in enumerate(titles)]
    gone = removed([page(i, head) for i, head in enumerate(heads)])
    first = (0, 4, 5)
    assert gone == [
        [str(i + 11)] if i in first else [f"Chapter {title}", str(i + 11)] for i, title in enumerate(titles)
    ]


def test_a_number_among_the_words_of_the_first_head_stays_with_them() -> None:
    pages = [page(i, [line(f"Survey of ponds {i + 11}", 30)]) for i in range(4)]
    assert removed(pages) == [[], ["Survey of ponds 12"], ["Survey of ponds 13"], ["Survey of ponds 14"]]


@pytest.mark.parametrize("form", ["{}", "- {} -", "Page {}", "{} / 9", "Seite {} von 9", "[{}]"])
def test_a_page_number_goes_from_every_page(form: str) -> None:
    numbers = [form.format(i + 1) for i in range(4)]
    assert removed([page(i, [line(number, 760)]) for i, number in enumerate(numbers)]) == [[said] for said in numbers]


def test_the_leaping_page_numbers_of_an_excerpt_go_and_rising_sums_stay() -> None:
    excerpt = [1, 2, 4, 10, 11, 15, 27, 28, 77]
    pages = [page(i, [line(str(number), 760)]) for i, number in enumerate(excerpt)]
    assert removed(pages) == [[str(number)] for number in excerpt]
    sums = [120, 240, 310, 311, 450, 780, 990]
    assert not any(removed([page(i, [line(str(number), 760)]) for i, number in enumerate(sums)]))


@pytest.mark.parametrize(
    "tops",
    [
        [line("Some words that open page one", 30), line("Other ones open the next", 30), line("And a third way", 30)],
        [line("The same at another height", 30), line("The same at another height", 60), line("else", 30)],
        [line("Total 1,204 for the day", 30), line("Total 822 for the day", 30), line("Total 950 for the day", 30)],
        [line("A title in large type", 30, height=24)] * 3,
        [line("Twice the same", 30), line("Twice the same", 30), line("but not a third time", 30)],
        [line(f"Chapter {n}", 30) for n in (1, 2, 3)],
        [line(f"Chapter no. {n}", 30, bold=True) for n in (1, 2, 3)],
        [line(f"Chapter no. {n}", 30, height=12) for n in (1, 2, 3)],
        [line(f"Chapter no. {n}", 66) for n in (1, 2, 3)],
        [line(str(year), 30, bold=True) for year in (1999, 2000, 2001)],
        [line(f"Exercise {n}. Prove it.", 30) for n in (1, 2, 3)],
        [line(f"{n}. Frogs of the pond", 30) for n in (1, 2, 3)],
        [line(f"Article {n}", 30) for n in (1, 4, 7)],
        [line(f"§ {n}", 30) for n in (3, 4, 5)],
        [line(f"Amount: {n}", 30) for n in (1, 2, 3)],
        [line(f"EUR 12.{n}", 30) for n in (51, 52, 53)],
    ],
    ids=[
        *("different", "moved", "not counting", "large", "twice", "one word", "bold", "larger", "not apart", "years"),
        *("words behind", "numbered", "leaping", "section", "field", "decimal"),
    ],
)
def test_what_opens_pages_without_being_a_head_stays(tops: list[TextLine]) -> None:
    pages = [page(i, [top]) for i, top in enumerate(tops)]
    assert removed(pages) == [[], [], []]


def test_a_form_of_a_few_lines_keeps_them_on_every_page() -> None:
    fields = ["ACME Ltd, 1 Pond Lane", "Payslip", "Employee: Ada Marsh"]
    pages = [
        [line(said, 30 + 16.0 * i) for i, said in enumerate([*fields, f"Month: {month}", "Gross pay", f"EUR {pay}"])]
        for month, pay in (("May", 3000), ("June", 3100), ("July", 2900))
    ]
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
