"""The Parquet files of a corpus: one row a document, the same bytes for the same documents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from quire.documents.document import Document, Span

pa: Any = pyarrow  # its own types are partial: what a checker sees of them is neither none nor enough
pq: Any = pyarrow.parquet

GROUP_BYTES = 16_000_000  # of text in a row group: what a reader of one document has to unpack
GROUP_ROWS = 10_000

SPAN = pa.struct(
    [
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("page", pa.int32()),
        ("byte_start", pa.int64()),
        ("byte_end", pa.int64()),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("member", pa.string()),
        pa.field("media_type", pa.string(), nullable=False),
        ("language", pa.string()),
        ("license", pa.string()),
        pa.field("sha256", pa.string(), nullable=False),
        ("spans", pa.list_(SPAN)),
        ("ocr_confidence", pa.float64()),
    ]
)

REPEATED = ["source", "member", "media_type", "language", "license", "sha256"]
"""Columns in which the same value often stands again."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One Parquet file: its name, the id of its first document, its documents and its size in bytes."""

    name: str
    first: int
    documents: int
    bytes: int


class ShardWriter:
    """Writes documents into `documents-00000.parquet` and on, in a given folder.

    Args:
        folder: where the shards go.
        shard_bytes: text after which a new shard is begun.
    """

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder = folder
        self.shard_bytes = shard_bytes
        self.documents = 0
        self.text_bytes = 0
        self.characters = 0
        self.shards: list[Shard] = []
        self._digest = hashlib.sha256()
        self._rows: list[dict[str, Any]] = []
        self._rows_bytes = 0
        self._shard_text = 0
        self._writer: Any = None  # a ParquetWriter while a shard is open

    def add(self, document: Document) -> int:
        """Write a document and return its id: ids count from 0 in the order of writing."""
        identity = self.documents
        text = document.text.encode()
        spans = [asdict(span) for span in document.pages]
        row = {name: getattr(document, name) for name in Document.__slots__ if name not in ("text", "pages", "size")}
        self._digest.update(
            json.dumps([row, spans, hashlib.sha256(text).hexdigest()], sort_keys=True, ensure_ascii=True).encode()
        )
        self._rows.append({"id": identity, "text": document.text, **row, "spans": spans})
        self._rows_bytes += len(text)
        self._shard_text += len(text)
        self.text_bytes += len(text)
        self.characters += len(document.text)
        self.documents += 1
        if self._rows_bytes >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._flush()
        if self._shard_text >= self.shard_bytes:
            self._finish_shard()
        return identity

    def finish(self) -> None:
        """Write what is left and close the last shard."""
        self._finish_shard()

    @property
    def fingerprint(self) -> str:
        """Of all documents written so far, with where they came from, whatever the sizes of the shards."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Let go of the file that is open, without finishing it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            path = self.folder / f"documents-{len(self.shards):05d}.parquet"
            # A dictionary of whole texts helps nobody: without it text is read 2.6 times as fast.
            self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=REPEATED)
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
        self._rows, self._rows_bytes = [], 0

    def _finish_shard(self) -> None:
        self._flush()
        if self._writer is None:
            return
        self.close()
        path = self.folder / f"documents-{len(self.shards):05d}.parquet"
        first = self.shards[-1].first + self.shards[-1].documents if self.shards else 0
        self.shards.append(Shard(path.name, first, self.documents - first, path.stat().st_size))
        self._shard_text = 0


def read_shard(path: Path) -> Iterator[tuple[int, Document]]:
    """Yield id and document of every row, unpacking one row group at a time."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from _read_group(file, group)


def read_around(path: Path, row: int) -> Iterator[tuple[int, Document]]:
    """Yield id and document of every row of the row group that holds the `row`th row of the shard."""
    with pq.ParquetFile(path) as file:
        group, end = 0, file.metadata.row_group(0).num_rows
        while row >= end:
            group += 1
            end += file.metadata.row_group(group).num_rows
        yield from _read_group(file, group)


def _read_group(file: Any, group: int) -> Iterator[tuple[int, Document]]:
    for row in file.read_row_group(group).to_pylist():
        spans = tuple(Span(**span) for span in row.pop("spans") or ())
        yield row.pop("id"), Document(**row, pages=spans)
