"""The account of every file on the disk: `manifest.sqlite`, one row for each file and member that was met.

Beside the files stand the documents that were left out one by one, what was cut or masked in those that were kept, and
how many secrets of which kind each holds. The values of secrets are nowhere in it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quire.corpus.account import Account
from quire.corpus.edits import Edit
from quire.corpus.shards import Shard

MANIFEST = "manifest.sqlite"
VERSION = 3

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE files (
    path TEXT NOT NULL, member TEXT, size INTEGER NOT NULL, sha256 TEXT, settings TEXT, outcome TEXT NOT NULL,
    rule TEXT, detail TEXT, duplicate_of TEXT, seconds REAL, worker INTEGER, documents INTEGER NOT NULL,
    text_bytes INTEGER NOT NULL, characters_read INTEGER NOT NULL, characters INTEGER NOT NULL, first_document INTEGER,
    PRIMARY KEY (path, member));
CREATE TABLE left_out (
    path TEXT NOT NULL, member TEXT, number INTEGER NOT NULL, rule TEXT NOT NULL, detail TEXT NOT NULL,
    duplicate_of TEXT, characters INTEGER NOT NULL, text_bytes INTEGER NOT NULL);
CREATE TABLE edits (
    document INTEGER NOT NULL, rule TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    added INTEGER NOT NULL, duplicate_of TEXT);
CREATE TABLE secrets (document INTEGER NOT NULL, path TEXT NOT NULL, member TEXT, kind TEXT NOT NULL, count INTEGER);
CREATE INDEX files_by_document ON files (first_document) WHERE member IS NULL AND first_document IS NOT NULL;
"""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One row of the manifest: a file, or a member of one with its bytes unpacked.

    Args:
        duplicate_of: the file, or file!member, that is kept in its place.
        characters_read: of the documents that it gave.
        characters: of those that are kept, as they stand in the corpus.
        first_document: id of the first of its `documents` in the corpus, or None where it has none.
    """

    path: str
    member: str | None
    size: int
    sha256: str | None
    settings: str | None
    outcome: str
    rule: str | None
    detail: str | None
    duplicate_of: str | None = None
    seconds: float | None = None
    worker: int | None = None
    documents: int = 0
    text_bytes: int = 0
    characters_read: int = 0
    characters: int = 0
    first_document: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a document is left out: the rule, a sentence, and what is kept in its place if it is a copy.

    Args:
        duplicate_of: the file, or file!member, that is kept in its place.
        kept_file: the file alone; None where copies are of several.
    """

    rule: str
    detail: str
    duplicate_of: str | None = None
    kept_file: str | None = None


class ManifestWriter:
    """Writes `manifest.sqlite` into a folder in which nobody else looks yet."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / MANIFEST, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("PRAGMA synchronous=OFF")  # the whole file is synced before it is published
        self._base.executescript(SCHEMA)
        self._base.execute("BEGIN")

    def add(self, record: FileRecord) -> None:
        """Enter a file or a member; a second member of one name is called otherwise, so that none is lost."""
        name, number = record.member, 1
        while True:
            values = [getattr(record, field) for field in FileRecord.__slots__]
            try:
                self._base.execute(f"INSERT INTO files VALUES ({', '.join('?' * len(values))})", values)
            except sqlite3.IntegrityError:
                if name is None:
                    raise
                number += 1
                record = replace(record, member=f"{name} ({number})")
            else:
                return

    def leave_out(
        self, path: str, member: str | None, number: int, reason: Reason, characters: int, text_bytes: int
    ) -> None:
        """Enter a document that is left out: the `number`th of its file, counted from 0."""
        values = (path, member, number, reason.rule, reason.detail, reason.duplicate_of, characters, text_bytes)
        self._base.execute("INSERT INTO left_out VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def edit(self, document: int, edit: Edit) -> None:
        """Enter what was cut or masked; places are those of the text as it was read."""
        values = (document, edit.rule, edit.start, edit.end, len(edit.replacement), edit.copy_of)
        self._base.execute("INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?)", values)

    def secrets(self, document: int, path: str, member: str | None, counts: Mapping[str, int]) -> None:
        """Enter how many secrets of each kind a document holds."""
        rows = [(document, path, member, kind, count) for kind, count in sorted(counts.items())]
        self._base.executemany("INSERT INTO secrets VALUES (?, ?, ?, ?, ?)", rows)

    def execute(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the rows that are entered."""
        return self._base.execute(query).fetchall()

    def finish(self, meta: dict[str, Any], shards: list[Shard], account: Account) -> None:
        """Write what `Corpus.open` needs and close the file."""
        values = {
            "version": VERSION,
            "shards": [asdict(shard) for shard in shards],
            "account": account.as_dict(),
            "documents": account.documents,
            "text_bytes": account.text_bytes,
            "fingerprint": account.fingerprint,
            **meta,
        }
        self._base.executemany("INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in values.items()])
        self._base.execute("COMMIT")
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()
