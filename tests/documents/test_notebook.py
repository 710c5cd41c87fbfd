"""Notebooks: every cell once, in order, code character for character."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.documents.document import DroppedFile
from quire.documents.formats.normal_form import CODE_IN, normal
from quire.documents.read import read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()
WITH_OUTPUTS = ReadSettings(notebook_outputs=True)
SOURCE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30).filter(
    lambda text: text.strip() and text == text.strip("\n")
)
PYTHON = {"language_info": {"name": "python"}, "kernelspec": {"name": "python3", "language": "python"}}


def notebook(cells, metadata=PYTHON, **more):
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells, **more}


def cell(kind, source, outputs=()):
    values = {"cell_type": kind, "metadata": {}, "source": source}
    return {**values, "outputs": list(outputs), "execution_count": 1} if kind == "code" else values


def read(content, settings=DEFAULT):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (document,) = read_bytes(data, "a.ipynb", settings)
    return document


@given(st.lists(st.tuples(st.sampled_from(["markdown", "code", "raw"]), SOURCE, st.booleans()), min_size=1))
def test_every_cell_stands_there_in_order(cells):
    made = [cell(kind, text.splitlines(keepends=True) if split else text) for kind, text, split in cells]
    document = read(notebook(made))
    place = 0
    for kind, source, _ in cells:
        text = normal(source, CODE_IN["text/markdown"]) if kind == "markdown" else source
        text = f"`python\n{text}" if kind == "code" else text  # or the cell "h" would be found in the word
        place = document.text.index(text, place) + len(text)
        if kind == "code":
            fence = re.match(r"\n(`{3,})(?:\n\n|$)", document.text[place:])
            assert fence is not None
            assert not re.search(rf"^\s*{fence[1]}", text, re.MULTILINE)
    assert document.media_type == "application/x-ipynb+json"
    assert document.language == ("Python" if any(kind == "code" for kind, _, _ in cells) else None)


def test_the_text_reads_as_markdown():
    document = read(
        notebook([cell("markdown", "# Title\n\nWords."), cell("code", "x = 1\n\tprint(x)"), cell("raw", "end")])
    )
    assert document.text == "# Title\n\nWords.\n\n```python\nx = 1\n\tprint(x)\n```\n\nend"


OUTPUTS = [
    {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]},
    {"output_type": "execute_result", "data": {"text/plain": "42", "image/png": "iVBORw0KGgo="}},
    {"output_type": "display_data", "data": {"text/html": "<b>no</b>"}},
    {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[0;31mE\x1b[0m: v"]},
]


def test_outputs_are_kept_by_choice():
    content = notebook([cell("code", "x", OUTPUTS)])
    assert read(content).text == "```python\nx\n```"
    assert read(content, WITH_OUTPUTS).text == "```python\nx\n```\n\n```\none\ntwo\n42\nE: v\n```"


def test_format_three():
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Title"},
        {
            "cell_type": "code",
            "language": "python",
            "input": ["x = 1"],
            "outputs": [{"output_type": "pyout", "text": ["1"]}, {"output_type": "pyerr", "ename": "E", "evalue": "v"}],
        },
    ]
    content = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}
    document = read(content, WITH_OUTPUTS)
    assert document.text == "## Title\n\n```python\nx = 1\n```\n\n```\n1\nE: v\n```"
    assert document.language == "Python"


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"kernelspec": {"name": "ir", "language": "R"}}, "R"),
        ({"kernelspec": {"name": "ir"}}, "R"),
        ({"kernelspec": {"name": "julia-1.9"}}, "Julia"),
        ({"language_info": {"name": "C++17"}}, "C++"),
        ({"kernelspec": {"name": "python3"}}, "Python"),
        ({"kernelspec": {"name": "unheard of"}}, None),
        ({}, None),
        ([], None),
    ],
)
def test_the_kernel_tells_the_language(metadata, language):
    assert read(notebook([cell("code", "x")], metadata)).language == language


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"[" * 100_000, b'{"cells": 3}', b'{"worksheets": [1, {}]}'])
def test_what_is_no_notebook_is_told(content):
    with pytest.raises(ReadError, match="not a notebook"):
        read(content)


def test_an_empty_notebook_is_dropped():
    with pytest.raises(DroppedFile, match="no-text"):
        read(notebook([cell("code", " \n"), cell("markdown", "")]))


def test_odd_values_are_passed_over():
    cells = [None, {"cell_type": "heading", "level": float("nan"), "source": "t"}, {"cell_type": "code", "source": 7}]
    cells += [{"cell_type": "code", "input": "x", "outputs": [3, {"data": 3}, {"data": {"text/plain": {}}}]}]
    assert read(notebook(cells), WITH_OUTPUTS).text == "# t\n\n```python\nx\n```"
    number = b'{"nbformat": ' + b"9" * 3_000_000 + b', "cells": [{"cell_type": "raw", "source": "words"}]}'
    assert read(number).text == "words"


SEED = json.dumps(notebook([cell("markdown", "# Ü"), cell("code", ["x\n", "y"], OUTPUTS)])).encode()


@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(max_size=3)), max_size=8), st.integers(0, len(SEED)))
def test_broken_notebooks_end_in_text_or_a_reason(changes, cut):
    data = bytearray(SEED)
    for place, new in changes:
        data[place : place + 1] = new
    try:
        assert read(bytes(data[cut:]) or b" ", WITH_OUTPUTS).text
    except (DroppedFile, ReadError):
        return
