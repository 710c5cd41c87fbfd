"""Words cut at line ends are made whole by what the document says elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.formats.hyphenation import join_words
from quire.documents.formats.pdf_lines import HYPHENATED

WORD = st.text("abcdefghijklmnop", min_size=4, max_size=12)


def joined(text: str) -> str:
    (page,) = join_words([text.replace("~", HYPHENATED)])
    return page


@given(WORD, st.data())
def test_a_cut_word_is_whole_again(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(2, len(word) - 2))
    assert joined(f"the {word[:place]}~{word[place:]} is") == f"the {word} is"


@given(WORD, WORD)
def test_a_word_with_a_hyphen_elsewhere_in_the_document_keeps_it(left: str, right: str) -> None:
    pages = [f"a {left}{HYPHENATED}{right} here", f"and one {left}-{right} there"]
    assert join_words(pages) == [f"a {left}-{right} here", f"and one {left}-{right} there"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COVID~19 and Anglo~Saxon", "COVID-19 and Anglo-Saxon"),
        ("INTRO~DUCTION", "INTRODUCTION"),
        ("re-cover or recover: re~cover, recover", "re-cover or recover: recover, recover"),
        ("state-of-the~art of the art", "state-of-the-art of the art"),
        ("high-perfor~mance; performance", "high-performance; performance"),
        ("Donau~dampf~schiff", "Donaudampfschiff"),
        ("1914~1918", "1914-1918"),
        ("at http://ponds.org/a~b/c and www.ponds.org/x~y", "at http://ponds.org/a-b/c and www.ponds.org/x-y"),
        ("ada~marsh@ponds.org, ada@fresh~water.org", "ada-marsh@ponds.org, ada@fresh-water.org"),
        (f"http://ponds.org/{'a/' * 100}b~c or wa~ter", f"http://ponds.org/{'a/' * 100}b-c or water"),
        ("http://ponds.org wa~ter ada@ponds.org", "http://ponds.org water ada@ponds.org"),
        ("nothing ~ but a mark~", "nothing - but a mark-"),
        ("no break at all", "no break at all"),
    ],
)
def test_the_rule_word_by_word(text: str, expected: str) -> None:
    assert joined(text) == expected


@given(st.lists(st.text(f"ab-{HYPHENATED} \n", max_size=30), max_size=4))
def test_no_mark_is_left_and_no_letter_lost(pages: list[str]) -> None:
    for before, after in zip(pages, join_words(pages), strict=True):
        assert HYPHENATED not in after
        assert after.replace("-", "") == before.replace("-", "").replace(HYPHENATED, "")
