"""Broken files of every format come to one of the stated ends; benchmarks/fuzz.py looks for longer."""

from __future__ import annotations

import random
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

from quire.documents import read
from quire.documents.document import Document, LeftOut, Span
from quire.documents.kinds import kind_of
from quire.documents.read import READERS, read_bytes
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import fuzz
import fuzz_attempts
import fuzz_mutations
import fuzz_seeds

CASES = 200  # of each reader, in 10 s for all of them on one core


@pytest.fixture(scope="module")
def fuzzer():
    with fuzz.Fuzzer(seed=4, workers=2) as fuzzer:
        yield fuzzer


@pytest.fixture
def sighted(monkeypatch):
    """Have what `attempt` changes in this process changed back."""
    for module in (fuzz_attempts.image, fuzz_attempts.pdf):
        monkeypatch.setattr(module, "recognise", module.recognise)
    with warnings.catch_warnings():
        yield
    fuzz_attempts.blind.cache_clear()


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_comes_to_a_stated_end(fuzzer, reader):
    tally = fuzzer.run(reader, range(CASES))
    assert tally.cases == CASES
    assert {kind: (found.case.number, found.data[:300]) for kind, found in tally.findings.items()} == {}
    assert tally.own > CASES / 2
    assert tally.ends["parts"] > CASES / 20


@pytest.mark.parametrize("reader", READERS)
def test_the_seeds_are_sound(sighted, reader):
    fuzz_attempts.blind()
    settings = ReadSettings(password=fuzz_seeds.PASSWORD)
    for name, data in fuzz_seeds.seeds(reader):
        assert kind_of(name, data).reader == reader
        parts = list(read_bytes(data, name, settings))
        assert fuzz_attempts.broken_promise(parts) == ""
        assert any(isinstance(part, Document) for part in parts)


@pytest.mark.parametrize("reader", READERS)
def test_a_case_is_made_again_by_its_number(reader):
    made = [fuzz_attempts.Case(reader, seed, number, "").made() for seed in (1, 2) for number in range(20)]
    assert made == [fuzz_attempts.Case(reader, seed, number, "").made() for seed in (1, 2) for number in range(20)]
    assert len({data for _, data, _, _ in made}) > 30


@pytest.mark.parametrize("reader", READERS)
def test_what_is_packed_is_packed_again(reader):
    # A mutation inside of a file says something of its reader only if the file around it stays sound.
    settings = ReadSettings(ocr=False, password=fuzz_seeds.PASSWORD)
    for name, data in fuzz_seeds.seeds(reader):
        inside = fuzz_mutations.pieces(data)
        if inside is None:
            continue
        again = inside[1](inside[0])
        assert fuzz_mutations.pieces(again)[0] == inside[0]
        assert outcome(again, name, settings) == outcome(data, name, settings)


def outcome(data, name, settings):
    try:
        return [part.text if isinstance(part, Document) else part.rule for part in read_bytes(data, name, settings)]
    except (read.DroppedFile, ReadError) as error:
        return str(error)


def reading_as(monkeypatch, function):
    """Have `function` read texts, and return what a case comes to."""
    monkeypatch.setitem(READERS, "text", function)
    return fuzz_attempts.attempt(fuzz_attempts.Case("text", 1, fuzz_attempts.TWICE, "", b"words"))


def test_another_exception_is_a_finding(monkeypatch, sighted):
    def read_text(file, settings):
        yield Document("words", file.source, file.media_type, file.sha256)
        raise ZeroDivisionError

    result = reading_as(monkeypatch, read_text)
    assert (result.end, result.kind) == ("finding", "ZeroDivisionError in test_fuzz.py:read_text")


def test_a_stated_error_is_none(monkeypatch, sighted):
    def read_text(file, settings):
        raise ReadError("broken")

    assert reading_as(monkeypatch, read_text).end == "failed"


def test_too_much_time_or_memory_is_a_finding(monkeypatch, sighted):
    def read_text(file, settings):
        held = b"x" * 80_000_000
        return [Document(f"{len(held)}", file.source, file.media_type, file.sha256)]

    result = reading_as(monkeypatch, read_text)
    assert result.end == "parts"
    assert 70_000_000 < result.memory < 90_000_000  # what was free before counts for nothing
    assert result.seconds > 0
    monkeypatch.setattr(fuzz_attempts, "MEMORY_MB", 60)
    assert reading_as(monkeypatch, read_text).kind == "more than 60 MB"
    monkeypatch.setattr(fuzz_attempts, "SECONDS", 0)
    assert reading_as(monkeypatch, read_text).kind == "more than 0 s"


def test_another_result_at_the_second_reading_is_a_finding(monkeypatch, sighted):
    readings = Counter()

    def read_text(file, settings):
        readings["text"] += 1
        return [Document(f"reading {readings['text']}", file.source, file.media_type, file.sha256)]

    assert reading_as(monkeypatch, read_text).kind == "another result at the second reading"


def test_a_crash_is_a_finding(fuzzer):
    # A process that a signal ends is told of by the sandbox; here the case itself cannot be read by the worker.
    (made,) = fuzzer.results([fuzz_attempts.Case("no such reader", 1, 1, "")])
    assert made[1].end == "finding"
    assert "KeyError" in made[1].kind


HASH = "0" * 64
SOUND = Document("words", "a", "text/plain", HASH, pages=(Span(0, 2), Span(2, 5, byte_start=3, byte_end=3)))


def document(**values):
    return Document(**{"text": "words", "source": "a", "media_type": "text/plain", "sha256": HASH, **values})


def left_out(member="m", size=0, outcome="dropped", rule="empty", detail="nothing"):
    return LeftOut(member, size, outcome, rule, detail)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [document(text=" ")],
        [document(sha256="")],
        [document(size=-1)],
        [document(ocr_confidence=1.5)],
        [document(pages=(Span(0, 6),))],
        [document(pages=(Span(0, 3), Span(2, 5)))],
        [document(pages=(Span(3, 2),))],
        [document(pages=(Span(0, 5, byte_start=3, byte_end=2),))],
        [left_out(), left_out()],
        [left_out(detail="")],
        [left_out(outcome="kept")],
        [left_out(), document(member="m")],
    ],
)
def test_a_broken_promise_is_a_finding(parts):
    assert fuzz_attempts.broken_promise([SOUND]) == fuzz_attempts.broken_promise([SOUND, left_out()]) == ""
    assert fuzz_attempts.broken_promise(parts) != ""


def test_a_finding_is_made_as_short_as_it_gets():
    assert fuzz.shortest(b"some words and x and more, and y.", lambda data: b"x" in data and b"y" in data) == b"xy"
    packed = dict(fuzz_seeds.seeds("docx"))["a.docx"]

    def same(data):
        inside = fuzz_mutations.pieces(data)
        return inside is not None and any(b"Heading" in part for part in inside[0])

    short, _ = fuzz_mutations.pieces(fuzz.shortest(packed, same))
    assert b"".join(short) == b"Heading"


def test_a_saved_finding_says_how_it_is_made_again(tmp_path):
    finding = fuzz.Finding("kind", "detail", fuzz_attempts.Case("json", 7, 12, ""), "a.json", b"{}")
    path = fuzz.save(finding, tmp_path)
    assert path.read_bytes() == b"{}"
    assert path.suffix == ".json"
    about = path.with_name(path.name + ".json").read_text()
    assert '"seed": 7' in about
    assert '"number": 12' in about


def test_broken_files_stay_small():
    chance = random.Random(1)
    data = b"word " * 40_000
    assert all(len(fuzz_mutations.broken(data, data, [b"x"], chance)) <= fuzz_mutations.MAX_BYTES for _ in range(50))
