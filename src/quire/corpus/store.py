"""A corpus on the disk, open for reading."""

from __future__ import annotations

import bisect
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.corpus.account import Account
from quire.corpus.manifest import MANIFEST, VERSION, FileRecord
from quire.corpus.publish import is_half_published
from quire.corpus.shards import Shard, read_around, read_shard
from quire.documents.document import Document
from quire.errors import FormatError, QuireError
from quire.files import why_no_folder

__all__ = ["MANIFEST", "VERSION", "Corpus", "CorpusDocument", "FileRecord"]

AGAIN = "Run `quire ingest` again with the same folders"


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A document with its number in the corpus."""

    id: int
    document: Document


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
            what = "no corpus is in this folder" if path.is_dir() else why_no_folder(path)
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
