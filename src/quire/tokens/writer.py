"""Writes a folder of token shards, in the form that `quire.tokens.dataset` opens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quire.files import atomic_write, file_sha256, write_text
from quire.tokens.dataset import INDEX_FILE


def write_index(
    folder: Path, made_of: Mapping[str, Any], notes: Sequence[str], splits: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the index, which makes a folder of shards whole: the last thing to be written.

    Args:
        folder: where the shards and the tokenizer are.
        made_of: what they depend on; "format" is `quire.tokens.dataset.FORMAT`.
        notes: sentences about what was decided.
        splits: what `SplitWriter.finish` returned, for "train" and "validation".

    Raises:
        QuireError: it cannot be written.
    """
    content = {"made_of": made_of, "notes": notes, "splits": splits}
    write_text(folder / INDEX_FILE, json.dumps(content, indent=1))


class SplitWriter:
    """Collects the tokens of one side and writes a shard whenever there are enough for one.

    Args:
        folder: where the shards go; it is there.
        side: "train" or "validation".
        dtype: of the token ids, `numpy.uint16` or `numpy.uint32`.
        shard_tokens: tokens in a shard, at least 1; the last has what is left.
    """

    def __init__(self, folder: Path, side: str, dtype: Any, shard_tokens: int) -> None:
        self._folder = folder
        self._side = side
        self._dtype = dtype
        self._shard_tokens = shard_tokens
        self._arrays: list[np.ndarray[Any, Any]] = []
        self._held = 0
        self._shards: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []
        self._num_tokens = self._num_bytes = self._document_start = 0

    def add(self, ids: Sequence[int] | np.ndarray[Any, Any], num_bytes: int) -> None:
        """Append tokens.

        Args:
            ids: the tokens (T,), each below what the dtype holds.
            num_bytes: UTF-8 bytes of the text that they stand for.

        Raises:
            QuireError: a shard cannot be written.
        """
        array = np.array(ids, dtype=self._dtype)
        self._num_tokens += len(array)
        self._num_bytes += num_bytes
        self._arrays.append(array)
        self._held += len(array)
        if self._held >= self._shard_tokens:
            whole = np.concatenate(self._arrays)
            while len(whole) >= self._shard_tokens:
                self._write(whole[: self._shard_tokens])
                whole = whole[self._shard_tokens :]
            self._arrays, self._held = [whole], len(whole)

    def end_document(self, record: dict[str, Any], end_of_text: int) -> None:
        """Close a document.

        Args:
            record: its `document_id`, `source`, `member`, `char_start` (the first character of the document's text that
                is here), `page_starts` and `page_numbers`.
            end_of_text: the id to put behind it.

        Raises:
            QuireError: a shard cannot be written.
        """
        self.add([end_of_text], 0)
        self._rows.append(record | {"token_start": self._document_start})
        self._document_start = self._num_tokens

    def finish(self) -> dict[str, Any]:
        """Write what is left and the table of documents, and return what the index says of this side.

        Raises:
            QuireError: a file cannot be written.
        """
        if self._held:
            self._write(np.concatenate(self._arrays))
        self._write_documents()
        return {
            "num_tokens": self._num_tokens,
            "num_bytes": self._num_bytes,
            "num_documents": len(self._rows),
            "shards": self._shards,
        }

    def _write(self, tokens: np.ndarray[Any, Any]) -> None:
        path = self._folder / f"{self._side}-{len(self._shards):05}.npy"
        with atomic_write(path, "wb") as file:
            np.save(file, tokens, allow_pickle=False)
        self._shards.append({"file": path.name, "tokens": len(tokens), "bytes": path.stat().st_size})
        self._shards[-1]["sha256"] = file_sha256(path)

    def _write_documents(self) -> None:
        import pyarrow.parquet

        pa: Any = pyarrow  # its own types are partial
        schema = pa.schema(
            {
                "document_id": pa.int64(),
                "source": pa.string(),
                "member": pa.string(),
                "char_start": pa.int64(),
                "token_start": pa.int64(),
                "page_starts": pa.list_(pa.int64()),
                "page_numbers": pa.list_(pa.int64()),
            }
        )
        with atomic_write(self._folder / f"{self._side}.parquet", "wb") as file:
            pa.parquet.write_table(pa.Table.from_pylist(self._rows, schema), file, compression="zstd")
