"""Documents survive packing exactly; what is wrong with a file is part of its reading."""

import os

import marked_reader
from hypothesis import given
from hypothesis import strategies as st

from quire.corpus import reading
from quire.corpus.reading import Task, pack, read_task, unpack
from quire.documents.document import Document, Span
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


@given(st.lists(documents, max_size=6))
def test_unpacking_gives_back_what_was_packed_under_the_name_asked_for(several):
    parts = list(pack(several))
    assert [document for part in parts for document in unpack(part, "x")] == several
    assert all(document.source == "y" for part in parts for document in unpack(part, "y"))


def test_large_readings_are_cut_into_parts(monkeypatch):
    monkeypatch.setattr(reading, "PART_CHARACTERS", 300)
    several = [Document(f"{number}" * 60, "x", "text/plain", "") for number in range(7)]
    parts = list(pack(several))
    assert len(parts) == 4
    assert [document for part in parts for document in unpack(part, "x")] == several


def read(path, size=None, known=()):
    size = path.stat().st_size if size is None else size
    return read_task(
        Task(os.fsencode(path), path.name, size, known, ReadSettings(max_file_bytes=1000), marked_reader.read)
    )


def test_lone_surrogates_become_replacement_characters_in_their_places(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("surrogate")
    (document,) = unpack(read(path).parts[0], "x.txt")
    assert document.text == "half \ufffd a character"


def test_a_missing_file_a_known_one_and_one_too_large_to_hash(tmp_path):
    path = tmp_path / "x.txt"
    assert read(path, size=0).rule == "no-access"
    path.write_text("text of it")
    first = read(path)
    assert (first.outcome, first.documents, first.text_bytes) == ("kept", 1, 10)
    assert read(path, known=(first.sha256,)).outcome == "known"
    assert read(path, known=("other",)).outcome == "kept"
    path.write_text("drop" + " " * 2000)
    assert read(path).sha256 is None


def test_errors_do_not_tell_where_the_file_lies_on_this_machine(tmp_path):
    path = tmp_path / "x.pdf"
    path.write_text("damaged")
    assert read(path).detail == "the cross-reference table is broken"
