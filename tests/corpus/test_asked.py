"""A reading depends on the settings that its reader asked for; what it did not ask for costs nothing."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import contents, settings_with
from PIL import Image
from trees import put

from fixtures.archives import locked_zip
from fixtures.databases import notes
from fixtures.mails import message_bytes
from fixtures.office import samples, zipped
from fixtures.pdfs import pdf, printed, scanned
from fixtures.pictures import page_picture, picture_bytes
from quire.corpus.account import NothingKeptError
from quire.corpus.build import ingest
from quire.corpus.reading import Task, read_task
from quire.corpus.store import Corpus
from quire.documents.asked import EVERYTHING, WatchedSettings, answers
from quire.documents.settings import ReadSettings
from quire.errors import PasswordError

PROSE = ["The quick brown fox jumps over", "the lazy dog, and runs away", "into the wood behind the hill."]
WHITE = Image.new("L", (200, 200), 255)
CODE = {"cell_type": "code", "source": ["1 + 1"], "outputs": [{"output_type": "stream", "text": ["some words"]}]}
NOTEBOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [CODE]}
TABLE = b"title,body,note\nOne,the first of two texts here,a note on it\nTwo,another text of some words,no note\n"
RECORDS = b'{"title": "One", "body": "some words", "more": "others"}\n' * 3
FILES = {
    "a.txt": b"plain words",
    "a.py": b"def f():\n    return 1\n",
    "a.html": b"<nav>menu</nav><main><p>Some <a href='https://quire.dev'>words</a> here.</p></main>",
    "a.csv": TABLE,
    "a.jsonl": RECORDS,
    "a.json": b'[{"title": "One", "body": "some words"}, {"title": "Two", "body": "other words"}]',
    "a.ipynb": json.dumps(NOTEBOOK).encode(),
    "a.eml": message_bytes(),
    "a.pdf": pdf([printed(PROSE), printed([line.upper() for line in PROSE])]),
    "locked.pdf": pdf([printed(PROSE[::-1])], password="sesame"),
    "scan.pdf": pdf([scanned(WHITE)]),
    "a.png": picture_bytes(WHITE, "PNG"),
    "a.zip": zipped({"in.txt": b"words of a member", "in.csv": TABLE, "in.pdf": pdf([printed(PROSE[:1])])}),
    "locked.zip": locked_zip({"in.txt": b"words behind a lock"}, "sesame"),
    "junk.bin": bytes(range(256)),
    **samples(),
}
CHOICES = {
    "max_file_bytes": [8, 60, 1000, 2**20],
    "password": [None, "sesame", "other"],
    "max_depth": [1, 2],
    "max_members": [1, 2, 100],
    "max_unpacked_bytes": [20, 1000, 2**20],
    "max_ratio": [1, 200],
    "max_pages": [1, 2, 100],
    "max_pixels": [10, 40_000, 100_000],
    "main_content": [False, True],
    "links": [True, False],
    "comments": [True, False],
    "hidden": [False, True],
    "embedded_pictures": [False, True],
    "text_column": [None, "note"],
    "text_field": [None, "title"],
    "text_table": [None, "notes"],
    "notebook_outputs": [False, True],
    "pdf_layout": [True, False],
    "running_heads": [True, False],
    "ocr": [True, False],
    "ocr_dpi": [150, 200],
    "ocr_min_confidence": [0.5, 0.7],
    "ocr_threads": [1, 2],
}
some_settings = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in CHOICES.items()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = put(tmp_path_factory.mktemp("asked") / "in", FILES)
    notes(folder / "a.db")
    return folder


def read(path, settings):
    return read_task(Task(os.fsencode(path), path.name, path.stat().st_size, (), settings))


def told(reading):
    return reading.outcome, reading.rule, reading.detail, [part.data for part in reading.parts], reading.asked


def test_every_setting_is_tried():
    assert CHOICES.keys() == ReadSettings.model_fields.keys()


@given(st.data(), some_settings, some_settings)
@settings(max_examples=100, deadline=None)
def test_where_all_that_was_asked_is_answered_the_same_the_reading_is_the_same(folder, data, first, second):
    path = folder / data.draw(st.sampled_from(sorted(os.listdir(folder))))
    before, after = ReadSettings(**first), ReadSettings(**second)
    reading, other = read(path, before), read(path, after)
    assert answers(reading.asked, before) is not None
    if answers(reading.asked, before) == answers(reading.asked, after):
        assert told(reading) == told(other)
        assert reading.content == other.content


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("a.txt", set()),
        ("a.py", set()),
        ("junk.bin", set()),
        ("a.csv", {"text_column"}),
        ("a.jsonl", {"text_field"}),
        ("a.json", {"text_field"}),
        ("a.db", {"text_column", "text_table", "max_members"}),
        ("a.ipynb", {"notebook_outputs"}),
        ("a.pdf", {"pdf_layout", "running_heads"}),
        ("locked.pdf", {"password"}),
        ("scan.pdf", {"ocr", "ocr_dpi", "pdf_layout", "running_heads"}),
        ("a.png", {"ocr"}),
        ("locked.zip", {"password", "max_depth", "max_members", "max_unpacked_bytes", "max_ratio"}),
    ],
)
def test_readers_ask_for_what_concerns_them(folder, name, asked):
    got = json.loads(read(folder / name, ReadSettings()).asked)
    limits = {"max_file_bytes", "max_pages", "max_pixels"}
    assert got.keys() - limits == {*asked} | (got.keys() & {"max_members"})
    assert asked <= got.keys()
    if name in ("a.png", "a.pdf", "scan.pdf"):
        assert all(got[name] is not None for name in got.keys() & limits)


def test_a_limit_that_was_asked_may_move_on_its_side():
    watched = WatchedSettings(ReadSettings(max_pages=10))
    assert not watched.exceeded("max_pages", 3)
    assert not watched.exceeded("max_pages", 7)
    assert watched.exceeded("max_pages", 12)
    now = answers(watched.asked, ReadSettings(max_pages=10))
    assert now is not None
    assert {limit: answers(watched.asked, ReadSettings(max_pages=limit)) == now for limit in (6, 7, 11, 12)} == {
        6: False,
        7: True,
        11: True,
        12: False,
    }
    assert watched.max_pages == 10
    assert answers(watched.asked, ReadSettings(max_pages=7)) != answers(watched.asked, ReadSettings(max_pages=10))


def test_a_method_may_have_asked_anything():
    watched = WatchedSettings(ReadSettings())
    watched.fingerprint()
    assert watched.asked == EVERYTHING


def test_a_password_is_nowhere_in_what_was_asked(folder):
    reading = read(folder / "locked.pdf", ReadSettings(password="sesame"))
    assert reading.outcome == "kept"
    assert "sesame" not in reading.asked


def test_a_pdf_that_only_its_owner_may_change_opens_whatever_password_is_given(tmp_path):
    from reportlab.lib.pdfencrypt import StandardEncryption

    from quire.documents.read import read_file

    path = tmp_path / "a.pdf"
    path.write_bytes(pdf([printed(PROSE)], password=StandardEncryption("", "owner", canPrint=1)))
    (document,) = read_file(path, "a.pdf", ReadSettings(password="another"))
    assert "lazy dog" in document.text
    path.write_bytes(FILES["locked.pdf"])
    with pytest.raises(PasswordError, match="another password"):
        list(read_file(path, "a.pdf", ReadSettings(password="another")))


# ---- whole ingestions -----------------------------------------------------------------------------------------------


def is_kept(folder, out, change):
    try:
        ingest(folder, out, settings_with(workers=2, read=change))
    except NothingKeptError:
        return False
    return True


changes = st.lists(some_settings, min_size=2, max_size=3)


@given(changes)
@settings(max_examples=4, deadline=None)
def test_after_any_changes_of_settings_the_corpus_is_that_of_one_run(folder, changes):
    with tempfile.TemporaryDirectory() as temporary:
        out, fresh = Path(temporary) / "out", Path(temporary) / "fresh"
        kept = [is_kept(folder, out, change) for change in changes]
        assert is_kept(folder, fresh, changes[-1]) == kept[-1]
        if kept[-1]:
            assert contents(out) == contents(fresh)


@pytest.mark.parametrize(
    ("change", "files_read"),
    [
        ({"text_column": "note"}, 1),
        ({"password": "sesame"}, 2),
        ({"ocr_min_confidence": 0.6}, 1),
        ({"max_pages": 200, "max_pixels": 10**6, "max_depth": 3, "links": False, "ocr_threads": 2}, 1),
        ({"max_file_bytes": 10**6}, 2),  # the table and the archive, whose lines and members it limits too
        ({"max_file_bytes": 10**4}, 3),  # and the text that is longer
        ({"ocr": False}, 1),
    ],
)
def test_a_setting_costs_only_the_files_whose_reader_asked_for_it(tmp_path, change, files_read):
    names = ["a.txt", "a.py", "a.csv", "a.pdf", "locked.pdf", "locked.zip"]
    folder = put(tmp_path / "in", {name: FILES[name] for name in names})
    (folder / "long.txt").write_text("word " * 3000)
    picture = page_picture(PROSE) if "ocr_min_confidence" in change else WHITE  # which asks less, and is quick
    (folder / "scan.png").write_bytes(picture_bytes(picture, "PNG"))
    assert [path.name for path in folder.iterdir() if path.stat().st_size > 10**4] == ["long.txt"]
    first = {"corpus": {"trust_timestamps": False}}
    ingest(folder, tmp_path / "out", settings_with(**first))
    account = ingest(folder, tmp_path / "out", settings_with(read=change, **first))
    assert account.files_read == files_read
    ingest(folder, tmp_path / "fresh", settings_with(read=change))
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("trusted", [True, False])
def test_a_file_dropped_for_its_size_is_remembered(tmp_path, trusted):
    folder = put(tmp_path / "in", {"a.txt": b"words", "big.txt": b"word " * 1000, "big.bin": bytes(5000)})
    for path in folder.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    small = {"read": {"max_file_bytes": 100}, "corpus": {"trust_timestamps": trusted}}
    first = ingest(folder, tmp_path / "out", settings_with(**small))
    assert first.files_read == 3
    assert ingest(folder, tmp_path / "out", settings_with(**small)).files_read == 0
    (row,) = [row for row in Corpus.open(tmp_path / "out").files() if row.path == "big.txt"]
    assert (row.outcome, row.rule, row.sha256) == ("dropped", "too-large", None)
    (folder / "big.txt").write_bytes(b"Word " * 1000)
    assert ingest(folder, tmp_path / "out", settings_with(**small)).files_read == 1
    more = {"read": {"max_file_bytes": 10_000}, "corpus": {"trust_timestamps": trusted}}
    account = ingest(folder, tmp_path / "out", settings_with(**more))
    assert (account.files_read, account.kept.files) == (2, 2)
