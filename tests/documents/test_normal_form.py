"""Prose has one form, code keeps its own, and every character leads back to the bytes that it stands for."""

from __future__ import annotations

import itertools
import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quire.corpus.edits import ByteCounter
from quire.documents.formats import normal_form
from quire.documents.formats.normal_form import LIGATURES, changes, is_normal, moved, normal
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings

LOOSE = unicodedata.normalize("NFD", "Größe é, Ấ, 한글 й") + " ﬁve oﬃces, a soft\u00adhyphen, \u212b"
FORMED = "Größe é, Ấ, 한글 й five offices, a softhyphen, Å"
SIGNS = st.sampled_from("aeo u\n`\u0308\u0301\u0323\u00ad\ufb01\ufb03\u212b\u0958\u1112\u1161\u11abé€한\U0001f30a")
TEXTS = st.text(SIGNS | st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), min_size=1)


def expected(text):
    for ligature, letters in {**LIGATURES, "\u00ad": ""}.items():
        text = text.replace(ligature, letters)
    return unicodedata.normalize("NFC", text)


def read(data, name):
    (document,) = read_bytes(data if isinstance(data, bytes) else data.encode(), name, ReadSettings())
    return document


@given(TEXTS)
@example(LOOSE)
@example("a\u00ad\u0308")
def test_the_form_is_nfc_of_the_letters_without_soft_hyphens(text):
    assert normal(text) == expected(text)
    assert is_normal(normal(text))
    made = list(changes(text))
    assert all(one.end <= other.start for one, other in itertools.pairwise(made))
    assert all(text[change.start : change.end] != change.new for change in made)


def test_no_character_that_is_not_a_mark_or_of_hangul_is_composed_with_what_is_before_it():
    for base in ("a", "\u03b1", "\u0938", "\u09c7", "\u3046", "\u1100\u1161"):
        for code in (*range(0x1100), *range(0x1200, 0xD800), *range(0xF900, 0x30000)):
            sign = chr(code)
            if unicodedata.category(sign)[0] != "M":
                both = unicodedata.normalize("NFC", base) + unicodedata.normalize("NFC", sign)
                assert unicodedata.normalize("NFC", base + sign) == both


@pytest.mark.parametrize("most", [0, 20_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"])
@given(text=TEXTS)
@example(text="“aé ﬁ”a \u212b €é")
@example(text="\U0002f8000011\x80\x80")
def test_every_part_leads_back_to_bytes_that_make_it(text, encoding, most, monkeypatch_module):
    monkeypatch_module.setattr(normal_form, "MOST_SPANS", most)
    data = text.encode(encoding)
    mark = {"utf-8-sig": 3, "utf-16": 2, "utf-32": 4}.get(encoding, 0)
    plain = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding)
    new = normal(text)
    spans = moved(text, list(changes(text)), mark, plain)
    assert [0, *(span.end for span in spans)] == [*(span.start for span in spans), len(new)]
    for span in spans:
        there = data[span.byte_start : span.byte_end].decode(plain)
        assert new[span.start : span.end] in expected(there) or span.end == span.start + 1
        counter = ByteCounter(new, span, spans)
        if counter.exact:
            for place in range(span.start, span.end):
                first, last = counter.of(place, place + 1)
                assert new[place] in expected(data[first:last].decode(plain))


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("name", ["a.txt", "README", "a.md", "a.rst", "a.srt", "a.html", "a.eml"])
def test_prose_has_one_form(name):
    if name == "a.html":
        data = f"<p>{LOOSE}</p>".encode()
    elif name == "a.eml":
        data = f"From: a@b.org\nSubject: it\nContent-Type: text/plain; charset=utf-8\n\n{LOOSE}\n".encode()
    else:
        data = f"{LOOSE}\n".encode()
    document = read(data, name)
    assert FORMED in document.text
    if name not in ("a.html", "a.eml"):
        place = document.text.index("offices")
        (span,) = [span for span in document.pages if span.start <= place < span.end]
        first, _ = ByteCounter(document.text, span, document.pages).of(place, place + 1)
        assert data[first:].decode().startswith("oﬃces")


@pytest.mark.parametrize("name", ["a.py", "a.csv", "a.jsonl", "a.tex", "a.log", "a.conf", "Makefile"])
def test_code_data_and_what_is_not_known_keep_theirs(name):
    text = f"{LOOSE}\n".replace(",", ";" if name == "a.csv" else ",")
    document = read(text, name)
    if name != "a.csv":
        assert document.text == text


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a.md", "```python\n{}\n```"),
        ("a.md", "~~~\n{}\n"),
        ("a.md", "    x = '{}'"),
        ("a.md", "``{}``"),
        ("a.rst", "::\n\n   x = '{}'"),
        ("a.org", "#+BEGIN_SRC c\n{}\n#+END_SRC"),
        ("a.adoc", "----\n{}\n----"),
    ],
)
def test_code_in_prose_stays(name, code):
    held = code.format(LOOSE)
    document = read(f"{LOOSE}\n\n{held}\n\n{LOOSE}\n" if "~~~" not in code else f"{LOOSE}\n\n{held}", name)
    assert document.text.startswith(FORMED)
    assert held in document.text


def test_only_the_text_cells_of_a_notebook_are_formed():
    cells = [{"cell_type": "markdown", "source": LOOSE}, {"cell_type": "code", "source": f"x = '{LOOSE}'"}]
    document = read(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}), "a.ipynb")
    assert document.text == f"{FORMED}\n\n```\nx = '{LOOSE}'\n```"


def test_a_text_of_soft_hyphens_and_one_with_broken_bytes():
    assert read("\u00ad\u00ad", "a.txt").text == "\u00ad\u00ad"
    document = read(f"{LOOSE} ".encode() * 20 + b"\xff", "a.txt")
    assert document.text == f"{FORMED} " * 20 + "\ufffd"
    (span,) = document.pages
    assert (span.start, span.end, span.byte_start) == (0, len(document.text), None)


def test_a_long_row_of_marks_is_gone_over_once(monkeypatch):
    # Slices of what is left after each mark were copied, and their length is the square of the row's.
    copied = 0

    class Counted(str):
        def __getitem__(self, place):
            nonlocal copied
            found = Counted(super().__getitem__(place))
            copied += len(found)
            return found

    run = Counted("e" + "\u0301" * 1000)
    change = normal_form._shortest(run, 0, len(run), Counted("\u00e9" + "\u0301" * 999))
    assert change == (0, 2, "\u00e9")
    assert copied < 10 * len(run)
