"""The ledger trusts a stamp only where it must be right, and a reading only under the settings it was made with."""

import os
import sqlite3

import marked_reader
import pytest

from quire.corpus import reading
from quire.corpus.ledger import Ledger
from quire.corpus.reading import Task, read_task, stamp_of
from quire.documents.sandbox import Failure
from quire.documents.settings import ReadSettings
from quire.errors import QuireError, UsageError


@pytest.fixture
def open_ledger(tmp_path):
    ledgers = []

    def open_(settings=ReadSettings(), others="o", limits="l", **options):
        while ledgers:
            ledgers.pop().close()
        ledgers.append(Ledger(tmp_path / "readings.sqlite", settings=settings, others=others, limits=limits, **options))
        return ledgers[-1]

    yield open_
    ledgers.pop().close()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("some text")
    return path


def meet(ledger, path):
    ledger.meet(path.name, os.fsencode(path), path.stat().st_size)
    (met,) = ledger.undecided()
    return met


def task_of(path):
    return Task(os.fsencode(path), path.name, path.stat().st_size, (), ReadSettings(), marked_reader.read)


def read_into(ledger, path):
    met = meet(ledger, path)
    result = read_task(task_of(path))
    ledger.record(met, result, 0.1, 1)
    return result


def test_a_stamp_that_has_settled_is_trusted_until_anything_of_it_changes(open_ledger, file, monkeypatch):
    monkeypatch.setattr(reading, "SETTLED_NS", -(10**12))  # so that a file made now counts as settled
    read_into(open_ledger(), file)
    ledger = open_ledger()
    met = meet(ledger, file)
    assert ledger.recall(met, stamp_of(met.path))
    before = file.stat()
    file.write_text("same size")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    ledger = open_ledger()
    met = meet(ledger, file)
    assert not ledger.recall(met, stamp_of(met.path))


def test_a_stamp_that_is_too_new_is_not_trusted(open_ledger, file):
    assert not read_into(open_ledger(), file).settled
    ledger = open_ledger()
    met = meet(ledger, file)
    assert not ledger.recall(met, stamp_of(met.path))
    assert len(ledger.known(met.name, met.size)) == 1  # its content is known all the same


def test_readings_are_known_only_under_their_settings(open_ledger, file):
    read_into(open_ledger(), file)
    assert open_ledger().known("file.txt", 9)
    assert not open_ledger(others="other").known("file.txt", 9)
    assert not open_ledger().known("other.txt", 9)
    assert open_ledger(limits="other").known("file.txt", 9)


@pytest.mark.parametrize(
    ("kind", "remembered"),
    [
        ("time", (1, 0, 0)),
        ("memory", (1, 0, 0)),
        ("crashed", (1, 0, 0)),
        ("error", (1, 1, 0)),
        ("killed", (0, 0, 0)),
    ],
)
def test_which_failures_are_remembered(open_ledger, file, kind, remembered):
    ledger = open_ledger()
    notes = {"content": "00", "stamp": stamp_of(os.fsencode(file)), "settled": False}
    ledger.record_failure(meet(ledger, file), Failure(kind, "why"), notes, 1.0, 1)
    (ended,) = ledger.files()
    assert (ended.outcome, ended.detail) == ("failed", "why")
    ways = ({}, {"limits": "other"}, {"retry_failed": True})
    assert tuple(len(open_ledger(**way).known("file.txt", 9)) for way in ways) == remembered


def test_two_files_of_one_name_are_refused(open_ledger, file):
    ledger = open_ledger()
    meet(ledger, file)
    with pytest.raises(UsageError, match="two sources have this name"):
        ledger.meet(file.name, b"/elsewhere", 1)


def test_what_is_no_ledger_is_refused_with_a_way_out(tmp_path):
    path = tmp_path / "readings.sqlite"
    path.write_bytes(b"no database at all, but long enough to be looked at as one" * 100)
    with pytest.raises(QuireError, match="Delete that file"):
        Ledger(path, settings=ReadSettings(), others="o", limits="l")
    path.unlink()
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version=99")
    base.close()
    with pytest.raises(QuireError, match="another version"):
        Ledger(path, settings=ReadSettings(), others="o", limits="l")
