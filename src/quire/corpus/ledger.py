"""The ledger: which files this run met, and what any run has read; survives a kill at any moment.

It is `readings.sqlite` in the corpus folder. Readings are kept by content - (SHA-256, file name, answers to what its
reader asked of the settings) - not by place, so that a file that is moved, touched or copied is not read again, nor one
whose reader never looks at the setting that changed. The table of files is of one run alone and lives in SQLite's
temporary database.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire import __version__
from quire.corpus.account import Tally
from quire.corpus.packing import Packed
from quire.corpus.reading import Reading, Stamp, sha256_of
from quire.documents.asked import EVERYTHING, Asked, answers
from quire.documents.sandbox import Failure
from quire.documents.settings import ReadSettings
from quire.errors import QuireError, UsageError

VERSION = 3
NAME = "readings.sqlite"

SCHEMA = """
CREATE TABLE IF NOT EXISTS readings (
    content TEXT, name TEXT, settings TEXT, asked TEXT, size INTEGER, outcome TEXT, rule TEXT, detail TEXT, limits TEXT,
    seconds REAL, worker INTEGER, documents INTEGER, text_bytes INTEGER, PRIMARY KEY (content, name, settings));
CREATE TABLE IF NOT EXISTS parts (
    content TEXT, name TEXT, settings TEXT, part INTEGER, measures BLOB, data BLOB,
    PRIMARY KEY (content, name, settings, part));
CREATE TABLE IF NOT EXISTS stamps (
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, device INTEGER,
    content TEXT);
CREATE INDEX IF NOT EXISTS readings_by_name ON readings (name, size);
"""
FILES = """
CREATE TEMP TABLE files (
    source TEXT PRIMARY KEY, path BLOB, name TEXT, size INTEGER, content TEXT, settings TEXT, outcome TEXT, rule TEXT,
    detail TEXT, seconds REAL, worker INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE queue (number INTEGER PRIMARY KEY, source TEXT);
CREATE TEMP TABLE places (document INTEGER PRIMARY KEY, source TEXT, member TEXT);
"""

TABLES = ("readings", "parts", "stamps")

# Failures that may end otherwise with other limits; "killed" is never remembered.
RULES = {
    "crashed": "crashed",
    "killed": "killed",
    "time": "time-limit",
    "memory": "memory-limit",
    "error": "reader-error",
}


@dataclass(frozen=True, slots=True)
class MetFile:
    """A file of this run. `outcome` is None while it is not known; "read" where its reading tells.

    `content` and `settings` are what its reading is kept under, besides its name.
    """

    source: str
    path: bytes
    name: str
    size: int
    content: str | None
    settings: str | None
    outcome: str | None
    rule: str | None
    detail: str | None
    seconds: float | None
    worker: int | None
    documents: int
    text_bytes: int

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the bytes, in hexadecimal, where all of them were read."""
        return sha256_of(self.content)


class Ledger:
    """The open ledger of a corpus folder.

    Args:
        path: the SQLite file, made where it is missing.
        settings: of the readers.
        others: names everything else that a reading depends on besides the file.
        limits: names the limits of time and memory; a file that failed by a limit is read again under others.
        retry_failed: treat readings that failed as unknown.

    Raises:
        QuireError: the file is not a ledger, or not of this version.
    """

    def __init__(
        self, path: Path, *, settings: ReadSettings, others: str, limits: str, retry_failed: bool = False
    ) -> None:
        self.path = path
        self.settings = f"{settings.fingerprint()}-{others}"
        self._read_settings = settings
        self._others = others
        self._answers: dict[Asked, str | None] = {}
        self.limits = limits
        self._under = (limits, f"quire {__version__}")  # failures that would end the same way if tried again
        self.retry_failed = retry_failed
        self._base = sqlite3.connect(path, isolation_level=None)
        try:
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise QuireError(f"was written by another version of quire (format {version})", where=path, hint=AGAIN)
            # A kill loses nothing that was committed; a power cut may lose the last readings, which are then redone.
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute("PRAGMA secure_delete=ON")  # the text of a file that left shall be gone
            if version < VERSION:  # written by an older quire: every file is read anew
                self._base.executescript("".join(f"DROP TABLE IF EXISTS {table};" for table in TABLES))
            self._base.executescript(SCHEMA + FILES)
            self._base.execute(f"PRAGMA user_version={VERSION}")
            self._base.create_function("mix", 1, _mix, deterministic=True)
        except sqlite3.DatabaseError as error:
            self._base.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise QuireError(f"is damaged ({error})", where=path, hint=AGAIN) from error
        except QuireError:
            self._base.close()
            raise

    def close(self) -> None:
        """Close the file; everything recorded is in it."""
        self._base.close()

    # ---- what the walk meets ----

    def meet(
        self,
        source: str,
        path: bytes,
        size: int,
        rule: str | None = None,
        detail: str | None = None,
        *,
        outcome: str = "dropped",
    ) -> None:
        """Enter a file of this run; a `rule` says that it ended with the `outcome` before it was opened.

        Raises:
            UsageError: another file has that name already.
        """
        row = (source, path, os.path.basename(source), size, rule and outcome, rule, detail)
        try:
            self._base.execute(
                "INSERT INTO files (source, path, name, size, outcome, rule, detail) VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )
        except sqlite3.IntegrityError:
            hint = "Rename one of them, or make of one a corpus of its own with --out"
            raise UsageError("two sources have this name in the corpus", where=source, hint=hint) from None

    def begin(self) -> None:
        """Gather changes until `commit`."""
        self._base.execute("BEGIN")

    def commit(self) -> None:
        """Make the changes since `begin` last."""
        self._base.execute("COMMIT")

    # ---- what has to be read ----

    def undecided(self) -> Iterator[MetFile]:
        """Yield every file of which nothing is known yet; rows may be changed meanwhile."""
        last = ""
        while files := list(self._files("WHERE outcome IS NULL AND source > ? ORDER BY source LIMIT 1000", (last,))):
            yield from files
            last = files[-1].source

    def recall(self, file: MetFile, stamp: Stamp) -> bool:
        """Use an earlier reading for `file` if its stamp is that of an earlier run; return whether there is one."""
        row = self._base.execute(
            "SELECT content FROM stamps WHERE path=? AND size=? AND mtime_ns=? AND ctime_ns=? AND inode=? AND device=?",
            (file.path, *stamp),
        ).fetchone()
        if row is None or stamp.size != file.size:
            return False
        settings = self._usable(row[0], file.name)
        if settings is not None:
            self._end(file, "read", row[0], settings)
        return settings is not None

    def queue(self) -> Tally:
        """Line up the files that are still unknown, and return how many and how large they are.

        The largest come first, so that none is left for the end; the others are mixed (the same way each time), so
        that the time left can be foretold from what is done.
        """
        self._base.execute(
            "INSERT INTO queue (source) SELECT source FROM files WHERE outcome IS NULL "
            "ORDER BY CASE WHEN size > 1000000 THEN -size ELSE 0 END, mix(source), source"
        )
        query = "SELECT count(*), coalesce(sum(size), 0) FROM queue JOIN files USING (source)"
        return Tally(*self._base.execute(query).fetchone())

    def queued(self) -> Iterator[MetFile]:
        """Yield the files in line; rows may be changed meanwhile."""
        numbers = array("q", (row[0] for row in self._base.execute("SELECT number FROM queue ORDER BY number")))
        for number in numbers:
            yield from self._files("WHERE source = (SELECT source FROM queue WHERE number = ?)", (number,))

    def known(self, name: str, size: int) -> tuple[str, ...]:
        """Return the contents (see `Reading`) of the usable readings of files with this name and size."""
        rows = self._base.execute(
            f"SELECT content, settings, asked FROM readings WHERE name=? AND size=? AND {self._condition()}",
            (name, size, *self._under),
        )
        return tuple(content for content, settings, asked in rows if self._answered(asked) == settings)

    def _condition(self) -> str:
        return "outcome <> 'failed' AND ? <> ?" if self.retry_failed else "(limits IS NULL OR limits IN (?, ?))"

    def _usable(self, content: str, name: str) -> str | None:
        """Return what a usable reading of this content is kept under; None where there is none."""
        rows = self._base.execute(
            f"SELECT settings, asked FROM readings WHERE content=? AND name=? AND {self._condition()}",
            (content, name, *self._under),
        )
        return next((settings for settings, asked in rows if self._answered(asked) == settings), None)

    def _answered(self, asked: Asked) -> str | None:
        """Return what a reading is kept under that asked this of the settings of this run."""
        if asked not in self._answers:
            told = answers(asked, self._read_settings)
            self._answers[asked] = told and f"{told}-{self._others}"
        return self._answers[asked]

    # ---- what was read ----

    def record(self, file: MetFile, reading: Reading, seconds: float, worker: int) -> None:
        """Keep a reading, for good: it survives a kill from here on."""
        self._base.execute("BEGIN")
        if reading.content is None or reading.stamp is None:
            why = (reading.rule, reading.detail)
            self._end(file, reading.outcome, reading.content, None, *why, by=(seconds, worker))
        else:
            settings = self._keep(file, reading, None, seconds, worker)
            self._remember(file.path, reading.content, reading.stamp, reading.settled)
            self._end(file, "read", reading.content, settings)
        self._base.execute("COMMIT")

    def record_failure(
        self, file: MetFile, failure: Failure, notes: Mapping[str, Any], seconds: float, worker: int
    ) -> None:
        """Keep what became of a file whose reader crashed, hung, used too much memory or is wrong.

        Args:
            notes: "content" and "stamp" of the file, if the worker came so far as to tell them.
        """
        content, stamp = notes.get("content"), notes.get("stamp")
        rule = RULES[failure.kind]
        detail = failure.reason if failure.detail is None else f"{failure.reason}: {failure.detail}"
        self._base.execute("BEGIN")
        if content is None or stamp is None or failure.kind == "killed":
            self._end(file, "failed", content, None, rule, detail, by=(seconds, worker))
        else:
            limits = self._under[failure.kind == "error"]
            reading = Reading("failed", rule, detail, content, stamp, asked=EVERYTHING)
            settings = self._keep(file, reading, limits, seconds, worker)
            self._remember(file.path, content, stamp, notes["settled"])
            self._end(file, "read", content, settings)
        self._base.execute("COMMIT")

    def _keep(self, file: MetFile, reading: Reading, limits: str | None, seconds: float, worker: int) -> str | None:
        """Keep a reading, unless there is one already; return what settings it is kept under."""
        assert reading.content is not None
        kept = self._usable(reading.content, file.name)
        if kept is not None:
            return kept  # known, or a copy of the file was read at the same time: the first reading stays
        for settings, asked in self._base.execute(
            "SELECT settings, asked FROM readings WHERE content=? AND name=?", (reading.content, file.name)
        ).fetchall():
            if self._answered(asked) == settings:
                for table in ("readings", "parts"):
                    self._base.execute(
                        f"DELETE FROM {table} WHERE content=? AND name=? AND settings=?",
                        (reading.content, file.name, settings),
                    )
        key = (reading.content, file.name, self._answered(reading.asked))
        why = (reading.outcome, reading.rule, reading.detail)
        self._base.execute(
            "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, reading.asked, file.size, *why, limits, seconds, worker, reading.documents, reading.text_bytes),
        )
        self._base.executemany(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?)",
            [(*key, number, part.measures, part.data) for number, part in enumerate(reading.parts)],
        )
        return key[-1]

    def _remember(self, path: bytes, content: str, stamp: Stamp, settled: bool) -> None:
        self._base.execute("DELETE FROM stamps WHERE path=?", (path,))
        if settled:
            self._base.execute("INSERT INTO stamps VALUES (?, ?, ?, ?, ?, ?, ?)", (path, *stamp, content))

    def _end(
        self,
        file: MetFile,
        outcome: str,
        content: str | None,
        settings: str | None,
        *why: str | None,
        by: tuple[float, int] | None = None,
    ) -> None:
        rule, detail = why or (None, None)
        seconds, worker = by or (None, None)
        self._base.execute(
            "UPDATE files SET content=?, settings=?, outcome=?, rule=?, detail=?, seconds=?, worker=? WHERE source=?",
            (content, settings, outcome, rule, detail, seconds, worker, file.source),
        )

    # ---- what it comes to ----

    def files(self) -> Iterator[MetFile]:
        """Yield every file of this run by name, with what became of it."""
        yield from self._files("ORDER BY source")

    def _files(self, which: str, values: tuple[object, ...] = ()) -> Iterator[MetFile]:
        rows = self._base.execute(
            f"""SELECT source, path, name, size, content, settings,
                       CASE outcome WHEN 'read' THEN r_outcome ELSE outcome END, coalesce(rule, r_rule),
                       coalesce(detail, r_detail), coalesce(seconds, r_seconds), coalesce(worker, r_worker),
                       coalesce(documents, 0), coalesce(text_bytes, 0)
                FROM (SELECT files.*, r.outcome AS r_outcome, r.rule AS r_rule, r.detail AS r_detail,
                             r.seconds AS r_seconds, r.worker AS r_worker, r.documents, r.text_bytes
                      FROM files LEFT JOIN readings AS r ON files.outcome = 'read' AND r.content = files.content
                           AND r.name = files.name AND r.settings = files.settings)
                {which}""",
            values,
        )
        for row in rows:
            yield MetFile(*row)

    def inputs(self) -> Iterator[tuple[object, ...]]:
        """Yield, in the order of `files`, all that the corpus depends on of each file."""
        yield from self._base.execute(
            """SELECT files.source, files.size, files.content,
                      CASE files.outcome WHEN 'read' THEN r.outcome ELSE files.outcome END,
                      coalesce(files.rule, r.rule), coalesce(files.detail, r.detail), coalesce(r.text_bytes, 0)
               FROM files LEFT JOIN readings AS r ON files.outcome = 'read' AND r.content = files.content
                    AND r.name = files.name AND r.settings = files.settings
               ORDER BY files.source"""
        )

    def parts(self, file: MetFile) -> Iterator[Packed]:
        """Yield what the reading of a file gave."""
        for measures, data in self._parts(file, "measures, data"):
            yield Packed(data, measures)

    def measures(self, file: MetFile) -> Iterator[bytes]:
        """Yield what was measured of a file's documents, without touching their text."""
        for (measures,) in self._parts(file, "measures"):
            yield measures

    def _parts(self, file: MetFile, columns: str) -> sqlite3.Cursor:
        return self._base.execute(
            f"SELECT {columns} FROM parts WHERE content=? AND name=? AND settings=? ORDER BY part",
            (file.content, file.name, file.settings),
        )

    def place(self, document: int, source: str, member: str | None) -> None:
        """Remember that the documents from `document` on, up to the next that is told, come from this place."""
        self._base.execute("INSERT INTO places VALUES (?, ?, ?)", (document, source, member))

    def place_of(self, document: int) -> tuple[str, str | None]:
        """Return the file and member of which `place` was told."""
        query = "SELECT source, member FROM places WHERE document <= ? ORDER BY document DESC LIMIT 1"
        source, member = self._base.execute(query, (document,)).fetchone()
        return source, member

    def forget_others(self) -> None:
        """Remove the readings that this run did not use."""
        # Without these, every reading would be looked for in the whole list of files: 40 s for 20,000.
        self._base.execute("CREATE INDEX IF NOT EXISTS temp.files_by_content ON files (content, name)")
        self._base.execute("CREATE INDEX IF NOT EXISTS temp.files_by_path ON files (path)")
        self._base.execute("BEGIN")
        for table in ("readings", "parts"):
            self._base.execute(
                f"""DELETE FROM {table} WHERE NOT EXISTS
                    (SELECT 1 FROM files WHERE files.content = {table}.content AND files.name = {table}.name
                     AND files.settings = {table}.settings)"""
            )
        self._base.execute("DELETE FROM stamps WHERE NOT EXISTS (SELECT 1 FROM files WHERE files.path = stamps.path)")
        self._base.execute("COMMIT")


AGAIN = "Delete that file: the next run then reads every file again"


def _mix(text: str) -> int:
    return zlib.crc32(text.encode())
