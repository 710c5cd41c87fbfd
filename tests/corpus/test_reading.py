"""Documents survive packing exactly; what is wrong with a file is part of its reading."""

import hashlib
import io
import os
import zipfile
from dataclasses import replace

import marked_reader
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.archives import locked_zip
from quire.corpus import packing
from quire.corpus.measure import Measuring, measured, pack_measures, unpack_measures
from quire.corpus.packing import pack, unpack
from quire.corpus.reading import Task, read_task
from quire.documents.document import Document, LeftOut, Span
from quire.documents.read import read_file
from quire.documents.settings import ReadSettings

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
maybe = st.none() | text
number = st.integers(0, 2**40)
spans = st.builds(Span, number, number, st.none() | number, st.none() | number, st.none() | number)
documents = st.builds(
    Document,
    text=text,
    source=st.just("x"),
    media_type=text,
    sha256=text,
    member=maybe,
    pages=st.lists(spans, max_size=3).map(tuple),
    language=maybe,
    license=maybe,
    ocr_confidence=st.none() | st.floats(0, 1),
)


left_out = st.builds(LeftOut, text, number, st.sampled_from(["dropped", "failed"]), text, text, maybe)
measuring = st.builds(
    Measuring, st.sampled_from([0, 16, 128]), st.integers(5, 9), st.sampled_from([0, 20]), st.booleans()
)


@given(st.lists(documents | left_out, max_size=6), measuring)
def test_unpacking_gives_back_what_was_packed_under_the_name_asked_for(several, measuring):
    parts = list(pack(several, measuring))
    told = [measured(part, measuring) if isinstance(part, Document) else (part, None) for part in several]
    assert [document for part in parts for document in unpack(part, "x")] == [part for part, _ in told]
    measures = [measure for part in parts for measure in unpack_measures(part.measures)]
    assert measures == [measure for _, measure in told if measure is not None]
    found = [part for packed in parts for part in unpack(packed, "y")]
    assert all(part.source == "y" for part in found if isinstance(part, Document))


def test_large_readings_are_cut_into_parts(monkeypatch):
    monkeypatch.setattr(packing, "PART_CHARACTERS", 300)
    several = [Document(f"{number}" * 60, "x", "text/plain", "") for number in range(7)]
    parts = list(pack(several, Measuring()))
    assert len(parts) == 4
    assert [document for part in parts for document in unpack(part, "x")] == several


@pytest.mark.parametrize("count", [1, 2, 400])
def test_few_measures_and_many_come_back(count):
    several = [Document("words of it " * number, "x", "text/plain", "") for number in range(1, count + 1)]
    kept = [measured(document, Measuring())[1] for document in several]
    assert list(unpack_measures(pack_measures(kept))) == kept


def test_what_is_measured_does_not_depend_on_who_encodes_the_text():
    document = Document("Grüße, “words” of it 😀 " * 30, "x", "text/plain", "")
    assert measured(document, Measuring(), document.text.encode()) == measured(document, Measuring())


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


SETTINGS = ReadSettings(max_file_bytes=1000)


def read(path, size=None, known=()):
    size = path.stat().st_size if size is None else size
    return read_task(Task(os.fsencode(path), path.name, size, known, SETTINGS, marked_reader.read))


def test_lone_surrogates_become_replacement_characters_in_their_places(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("surrogate")
    reading = read(path)
    (document,) = unpack(reading.parts[0], "x.txt")
    assert document.text == "half \ufffd a character"
    assert reading.text_bytes == len(document.text.encode())


ROWS = b"name,age\n" + b"".join(b"row %d,%d\n" % (number, number) for number in range(20_000))
CONTENTS = {
    "a.txt": b"Some text of it.\n" * 9000,
    "b.py": b"# SPDX-License-Identifier: MIT\nx = 1\n",
    "c.zip": zipped({"a.txt": b"text in it", "b.png": b"no picture"}),
    "d.docx": zipped({"a.txt": b"text in it"}),
    "e.csv": ROWS,
    "f.jsonl": b'{"a": 1}\n{"a": 2}\nno json\n',
    "g.html": b"<html><p>Text of a page</p></html>",
    "h.png": b"no picture",
    "i": b"#!/bin/sh\necho\n",
    "j.txt": b"\0\1\2",
    "k.txt": b"",
    "l.eml": b"From: a@b.org\nSubject: it\n\nText of it\n",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_read_at_once_and_one_read_where_it_lies_give_the_same(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(CONTENTS[name])
    tasks = [
        Task(os.fsencode(path), name, len(CONTENTS[name]), (), ReadSettings(), reader) for reader in (None, read_file)
    ]
    at_once, where_it_lies = (replace(read_task(task), settled=False, asked="") for task in tasks)
    assert at_once == where_it_lies
    assert at_once.sha256 == hashlib.sha256(CONTENTS[name]).hexdigest()


def test_a_missing_file_a_known_one_and_one_too_large_to_hash(tmp_path):
    path = tmp_path / "x.txt"
    assert read(path, size=0).rule == "no-access"
    path.write_text("text of it")
    first = read(path)
    assert (first.outcome, first.documents, first.text_bytes) == ("kept", 1, 10)
    assert read(path, known=(first.sha256,)).outcome == "known"
    assert read(path, known=("other",)).outcome == "kept"
    path.write_text("drop" + " " * 2000)
    size = path.stat().st_size
    assert size > SETTINGS.max_file_bytes
    reading = read_task(Task(os.fsencode(path), "x.txt", size, (), SETTINGS))
    assert (reading.rule, reading.sha256) == ("too-large", None)
    assert read_task(Task(os.fsencode(path), "x.txt", size, (reading.content,), SETTINGS)).outcome == "known"


def test_errors_do_not_tell_where_the_file_lies_on_this_machine(tmp_path):
    path = tmp_path / "x.pdf"
    path.write_text("damaged")
    assert read(path).detail == "the cross-reference table is broken"


def test_a_file_whose_members_all_fail_for_one_reason_has_that_reason(tmp_path):
    path = tmp_path / "a.zip"
    why = "protected by a password. Give it by --password (read.password)"
    path.write_bytes(locked_zip({"a.txt": b"words"}, "sesame"))
    reading = read_task(Task(os.fsencode(path), "a.zip", path.stat().st_size, (), ReadSettings()))
    assert (reading.outcome, reading.rule, reading.detail) == (
        "failed",
        "password",
        f"its one member gave no text: {why}",
    )
    path.write_bytes(locked_zip({"a.txt": b"words", "b.txt": b"more"}, "sesame"))
    reading = read_task(Task(os.fsencode(path), "a.zip", path.stat().st_size, (), ReadSettings()))
    assert (reading.rule, reading.detail) == ("password", f"none of its 2 members gave any text: {why}")
