"""Encoded words of mail headers: what was encoded comes out, in pieces of any length."""

from __future__ import annotations

from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.formats.encoded_words import header_pieces

WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


def decoded(value):
    return "".join(
        piece if isinstance(piece, str) else piece.decode(charset) for piece, charset in header_pieces(value)
    )


@given(st.lists(WORDS, min_size=1), st.sampled_from(["utf-8", "gb18030", "utf-16-le"]))
def test_what_the_standard_library_encodes_comes_out(words, charset):
    text = " ".join(words)
    assert decoded(Header(text, charset).encode()) == text


@given(st.text().filter(lambda text: "=?" not in text))
def test_what_is_not_encoded_stays(text):
    assert decoded(text) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?utf-8?q?a?= =?utf-8?b?Yg==?=\n =?utf-8?q?c?=", "abc"),
        ("x =?utf-8?q?a?=y =?utf-8?q?c?= z", "x ay c z"),
        ("=?utf-8?q?=C3?= =?UTF-8?Q?=BC?=", "ü"),  # cut between the bytes of one character
        ("=?iso-8859-1?q?=FC?= =?utf-8?q?=C3=BC?=", "üü"),
        ("=?iso-8859-1*de?q?Gr=FC=DFe?=", "Grüße"),
        ("=?utf-8?q?What is this? _this?=", "What is this?  this"),
        ("=?utf-8?b?QW5u\n YQ?=", "Anna"),
        ("=?utf-8?q?never ends", "=?utf-8?q?never ends"),
        ("=?utf-8?x?a?= b", "=?utf-8?x?a?= b"),
        ("=?utf-8?b?Y?= b", "=?utf-8?b?Y?= b"),
        ("Привет =?utf-8?q?=C3=BC?=", "Привет ü"),
    ],
)
def test_as_programs_write_them(value, text):
    assert decoded(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [("=?utf-8?q?a?= ", "a"), ("=?utf-8?q?a ", None), ("=?utf-8?q?=C3=BC?= =?x?q?", None)]
)
def test_a_million_words_take_no_longer_each_than_one(value, text):
    # By an expression that looks for the end of each word these take minutes.
    pieces = list(header_pieces(value * 300_000))
    assert sum(len(piece) for piece, _ in pieces) > 0
    assert text is None or pieces[0].content == text.encode() * 300_000
