"""Code in prose is found in one pass, also where nothing closes what was opened."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.formats.code_in_prose import code_in_asciidoc, code_in_markdown, code_in_org, code_in_rst

FINDERS = {"md": code_in_markdown, "rst": code_in_rst, "adoc": code_in_asciidoc, "org": code_in_org}
PIECES = [
    "```",
    "````",
    "~~~",
    "`",
    "``",
    "----",
    "....",
    "#+begin_src",
    "#+END_SRC",
    "    ",
    "  ",
    "\t",
    "x",
    "\n",
    "\r\n",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text("a `~\n", max_size=3), max_size=30).map("".join)


def code(text, kind="md"):
    return [text[start:end] for start, end in FINDERS[kind](text)]


@given(TEXTS, st.sampled_from(sorted(FINDERS)))
def test_places_are_in_order_and_none_is_empty(text, kind):
    ends = [place for pair in FINDERS[kind](text) for place in pair]
    assert ends == sorted(ends)
    assert all(start < end for start, end in FINDERS[kind](text))
    assert not ends or (ends[0] >= 0 and ends[-1] <= len(text))


@given(st.lists(st.sampled_from(["`", "``", "```", "a", " "]), max_size=12).map("".join))
def test_code_spans_are_those_of_the_rule(line):
    """From the first run of backticks that has another one as long behind it, to that one; and so on behind it."""
    expected, runs, at = [], list(re.finditer("`+", line)), 0
    while at < len(runs):
        length = len(runs[at][0])
        after = [later for later in range(at + 1, len(runs)) if len(runs[later][0]) == length]
        if after:
            expected.append(line[runs[at].start() : runs[after[0]].end()])
            at = after[0]
        at += 1
    assert code("a" + line) == expected


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("md", "a\n```py\nx\n```\nb", ["```py\nx\n```\n"]),
        ("md", "a\r\n```\r\nx\r\n```\r\nb `c` d", ["```\r\nx\r\n```\r\n", "`c`"]),
        (
            "md",
            "a\n```py\nx\n```py\ny",
            ["```py\nx\n```py\ny"],
        ),  # nothing closes it: to the end, with no line end there
        ("md", "````\n```\n````\nb", ["````\n```\n````\n"]),
        ("md", "~~~\nx\n```\n~~~~\nb", ["~~~\nx\n```\n~~~~\n"]),
        ("md", "```a``` b\nc", ["```a```"]),
        ("md", "a\n    x\n\tb\nc", ["    x\n\tb\n"]),
        ("md", "a `b\nc` d", []),
        ("rst", "a::\n\n   x\n\nb ``c``", ["   x\n", "``c``"]),
        ("adoc", "----\nx\n-----\n----\nb\n....\ny", ["----\nx\n-----\n----\n", "....\ny"]),
        ("org", "#+BEGIN_SRC c\nx\n#+end_src\nb", ["#+BEGIN_SRC c\nx\n#+end_src\n"]),
    ],
)
def test_what_is_code(kind, text, found):
    assert code(text, kind) == found


@pytest.mark.parametrize("piece", ["```pythaves.\n\n", "``` `` ` ", "----\n", "#+begin_a\n", "`" * 3 + "x\n~~~\n"])
@pytest.mark.parametrize("kind", sorted(FINDERS))
def test_what_is_opened_very_often_is_read_once(piece, kind):
    """With a look to the end of the text at each opening this would take hours."""
    text = piece * (600_000 // len(piece)) + "x"
    assert sum(end - start for start, end in FINDERS[kind](text)) <= len(text)
