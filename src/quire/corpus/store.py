"""A corpus on the disk, open for reading."""

from __future__ import annotations

import bisect
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quire.corpus.account import Account
from quire.corpus.publish import is_half_published
from quire.corpus.shards import Shard, read_around, read_shard
from quire.documents.document import Document
from quire.errors import FormatError, QuireError

MANIFEST = "manifest.sqlite"
VERSION = 2
AGAIN = "Run `quire ingest` again with the same folders"

MANIFEST_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE files (
    path TEXT NOT NULL, member TEXT, size INTEGER, sha256 TEXT, settings TEXT, outcome TEXT NOT NULL, rule TEXT,
    detail TEXT, seconds REAL, worker INTEGER, documents INTEGER NOT NULL, text_bytes INTEGER NOT NULL,
    first_document INTEGER, PRIMARY KEY (path, member));
CREATE INDEX files_by_document ON files (first_document) WHERE member IS NULL AND first_document IS NOT NULL;
"""


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A document with its number in the corpus."""

    id: int
    document: Document


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One row of the manifest: a file, or a member of one with its bytes unpacked.

    Args:
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
    seconds: float | None
    worker: int | None
    documents: int
    text_bytes: int
    first_document: int | None


class Corpus:
    """The kept documents of an ingestion, in a fixed order, and the account of all files."""

    def __init__(self, path: Path, meta: dict[str, Any]) -> None:
        self.path = path
        self.num_documents: int = meta["documents"]
        self.num_bytes: int = meta["text_bytes"]
        self.fingerprint: str = meta["fingerprint"]
        self.shards = tuple(Shard(**shard) for shard in meta["shards"])
        self.inputs: str = meta["inputs"]
        self._account = meta["account"]
        self._group: dict[int, Document] = {}

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Open the corpus in the folder `path`.

        Raises:
            FormatError: there is none, it is of another version, or a file of it is missing or cut short.
        """
        path = Path(path)
        if is_half_published(path):
            raise FormatError("the run that wrote this corpus was killed at its very end", where=path, hint=AGAIN)
        if not (path / MANIFEST).is_file():
            what = "no corpus is in this folder" if path.is_dir() else "no such folder"
            raise FormatError(what, where=path, hint="`quire ingest FOLDER --out CORPUS` makes one")
        try:
            with contextlib.closing(_connect(path)) as base:
                meta = {key: json.loads(value) for key, value in base.execute("SELECT key, value FROM meta")}
        except (sqlite3.DatabaseError, ValueError) as error:
            raise FormatError(f"{MANIFEST} cannot be read: {error}", where=path, hint=AGAIN) from error
        if meta.get("version") != VERSION:
            raise FormatError(f"a corpus of format {meta.get('version')}, not {VERSION}", where=path, hint=AGAIN)
        corpus = cls(path, meta)
        for shard in corpus.shards:
            file = path / shard.name
            if not file.is_file() or file.stat().st_size != shard.bytes:
                raise FormatError("missing or cut short", where=file, hint=AGAIN)
        return corpus

    def documents(self) -> Iterator[CorpusDocument]:
        """Yield every document in the order of its id; one row group at a time is in memory."""
        for shard in self.shards:
            for identity, document in read_shard(self.path / shard.name):
                yield CorpusDocument(identity, document)

    def document(self, id: int) -> Document:
        """Return the document with the number `id`.

        Raises:
            QuireError: there is no such document.
        """
        if not 0 <= id < self.num_documents:
            raise QuireError(f"no document {id}: they are numbered 0 to {self.num_documents - 1}", where=self.path)
        if id not in self._group:
            shard = self.shards[bisect.bisect_right([shard.first for shard in self.shards], id) - 1]
            self._group = dict(read_around(self.path / shard.name, id - shard.first))
        return self._group[id]

    def account(self) -> Account:
        """Return what became of every file when the corpus was written."""
        return Account.from_dict(self._account)

    def files(self) -> Iterator[FileRecord]:
        """Yield the manifest's rows by path: every file that was met, each followed by its members."""
        with contextlib.closing(_connect(self.path)) as base:
            for row in base.execute("SELECT * FROM files ORDER BY path, member"):
                yield FileRecord(*row)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(path / MANIFEST).resolve().as_uri()}?mode=ro", uri=True)


class ManifestWriter:
    """Writes `manifest.sqlite` into a folder in which nobody else looks yet."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / MANIFEST, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("PRAGMA synchronous=OFF")  # the whole file is synced before it is published
        self._base.executescript(MANIFEST_SCHEMA)
        self._base.execute("BEGIN")

    def add(self, record: FileRecord) -> None:
        """Enter a file or a member."""
        values = [getattr(record, name) for name in FileRecord.__slots__]
        self._base.execute(f"INSERT INTO files VALUES ({', '.join('?' * len(values))})", values)

    def source_of(self, document: int) -> str | None:
        """Return the path of the file that gave the document with this id, if that file is entered."""
        row = self._base.execute(
            "SELECT path, first_document + documents FROM files WHERE member IS NULL AND first_document <= ? "
            "ORDER BY first_document DESC LIMIT 1",
            (document,),
        ).fetchone()
        return str(row[0]) if row and document < row[1] else None

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
