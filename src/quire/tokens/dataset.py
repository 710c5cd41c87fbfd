"""A folder of token shards, open for reading: `index.json`, `train-00000.npy` and so on, `train.parquet`.

- `index.json` names the shards with their sizes, and says what they were made of. It is written last.
- A shard is a NumPy array of token ids, uint16 or (for more than 65,536 ids) uint32, memory-mapped. Shard after
  shard is one row of tokens: document after document, each followed by end-of-text.
- The Parquet file has a row for each document of the split (or the part of it): where its tokens begin, and its pages.
"""

from __future__ import annotations

import bisect
import functools
import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quire.errors import FormatError, QuireError, UsageError
from quire.files import file_sha256
from quire.tokens.tokenizer import Tokenizer

INDEX_FILE = "index.json"
FORMAT = 1
AGAIN = "Prepare the tokens again: for a run, `quire train --resume` does so from its corpus"

Shard = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TokenLocation:
    """Where a token comes from.

    Attributes:
        document_id: the number of the document in the corpus.
        source: the file's path under the folder that was ingested.
        member: the path inside an archive, or None.
        page: the page, counted from 1, or None where the source has none.
        char_start: the first character of the document's text that the token holds any byte of, counted from 0.
        char_end: the character after the last one; equal to `char_start` for an end-of-text.
    """

    document_id: int
    source: str
    member: str | None
    page: int | None
    char_start: int
    char_end: int


class Split:
    """One side of a dataset: a row of tokens, document after document, each followed by end-of-text.

    Attributes:
        name: "train" or "validation".
        num_tokens: length of the row, end-of-texts included.
        num_bytes: UTF-8 bytes of the text; an end-of-text has none.
        num_documents: documents, or parts of documents, in it.
        end_of_text: the id that follows each document.
    """

    def __init__(self, folder: Path, name: str, index: dict[str, Any], tokenizer: Tokenizer) -> None:
        self.name = name
        self.num_tokens: int = index["num_tokens"]
        self.num_bytes: int = index["num_bytes"]
        self.num_documents: int = index["num_documents"]
        self.end_of_text = tokenizer.end_of_text
        self._folder = folder
        self._tokenizer = tokenizer
        self._shards = [_open_shard(folder / shard["file"], shard) for shard in index["shards"]]
        self._digests = {folder / shard["file"]: shard.get("sha256") for shard in index["shards"]}
        self._starts = [0]
        for shard in self._shards:
            self._starts.append(self._starts[-1] + len(shard))
        if self._starts[-1] != self.num_tokens:
            raise FormatError(
                f"the shards of {name} hold {self._starts[-1]} tokens, the index says {self.num_tokens}",
                where=folder / INDEX_FILE,
                hint=AGAIN,
            )

    def verify(self) -> None:
        """Read every shard and compare it with what was written. Raises `FormatError` where it is another."""
        for file, digest in self._digests.items():
            if digest and file_sha256(file) != digest:
                raise FormatError("this token shard is not what was written (SHA-256 differs)", where=file, hint=AGAIN)

    @property
    def bytes_per_token(self) -> float:
        """How many bytes of text a token stands for on average, end-of-texts counted among the tokens."""
        return self.num_bytes / self.num_tokens

    def tokens(self, start: int, stop: int) -> Shard:
        """Return the token ids from `start` up to `stop`, as they are stored (uint16 or uint32).

        Raises:
            UsageError: they are not all in the row.
        """
        pieces = [shard[begin:end] for shard, begin, end in self._pieces(start, stop)]
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.uint16)

    def _pieces(self, start: int, stop: int) -> list[tuple[Shard, int, int]]:
        if not 0 <= start <= stop <= self.num_tokens:
            raise UsageError(f"there are no tokens {start} to {stop}: the {self.name} split has {self.num_tokens}")
        first = max(0, bisect.bisect_right(self._starts, start) - 1)
        pieces = []
        while start < stop:
            begin, end = self._starts[first], min(stop, self._starts[first + 1])
            pieces.append((self._shards[first], start - begin, end - begin))
            start, first = end, first + 1
        return pieces

    def expect(self, start: int, stop: int) -> None:
        """Let the disk read the tokens from `start` up to `stop` meanwhile, and nothing around them.

        Whoever meets pages that are not in memory waits for them, and for as much around them as the system reads
        ahead: 128 KiB as a rule, 8 MiB on some machines, for a window of half a KiB. Does nothing where there is no
        advice on mapped files (Windows).

        Raises:
            UsageError: they are not all in the row.
        """
        for shard, begin, end in self._pieces(start, stop):
            _advise(shard, begin, end)

    def locate(self, position: int) -> TokenLocation:
        """Return where the token at `position` comes from: file, page and characters.

        Raises:
            UsageError: there is no such position.
            FormatError: the table of documents is missing or damaged.
        """
        if not 0 <= position < self.num_tokens:
            raise UsageError(f"there is no token {position}: the {self.name} split has {self.num_tokens}")
        table = self._documents
        starts = table["token_start"]
        row = int(np.searchsorted(starts, position, side="right")) - 1
        before = self.tokens(int(starts[row]), position)
        begun = int(self._characters_begun[before].sum())
        token = int(self.tokens(position, position + 1)[0])
        # A token that begins inside a character shares the character that was begun before it.
        inside = self._tokenizer.token_bytes(token)[:1]
        char_start = int(table["char_start"][row]) + begun - (1 if inside and 0x80 <= inside[0] < 0xC0 else 0)
        char_end = int(table["char_start"][row]) + begun + int(self._characters_begun[token])
        return TokenLocation(
            document_id=int(table["document_id"][row]),
            source=table["source"][row],
            member=table["member"][row],
            page=_page_at(table["page_starts"][row], table["page_numbers"][row], char_start),
            char_start=char_start,
            char_end=char_end,
        )

    @functools.cached_property
    def _characters_begun(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        # (V,): how many characters begin in a token; bytes 10xxxxxx continue one.
        tokens = (self._tokenizer.token_bytes(id) for id in range(self._tokenizer.vocab_size))
        return np.array([sum(not 0x80 <= byte < 0xC0 for byte in token) for token in tokens], dtype=np.int64)

    @functools.cached_property
    def _documents(self) -> dict[str, Any]:
        import pyarrow.parquet

        pa: Any = pyarrow  # its own types are partial
        path = self._folder / f"{self.name}.parquet"
        try:
            table = pa.parquet.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise FormatError(f"the table of documents cannot be read: {error}", where=path, hint=AGAIN) from None
        numbers = {name: table[name].to_numpy() for name in ("document_id", "char_start", "token_start")}
        lists = {name: table[name].to_pylist() for name in ("source", "member", "page_starts", "page_numbers")}
        return numbers | lists


class TokenDataset:
    """Token shards on the disk with their tokenizer; made by `quire.tokens.shards.prepare`.

    Attributes:
        path: the folder.
        train: what is trained on.
        validation: what is only ever scored.
        tokenizer: what the tokens were made with; also stored in the folder.
        made_of: format, corpus fingerprint, settings and tokenizer that the shards depend on.
        notes: sentences about what was decided: the split, and a vocabulary smaller than was asked for.
    """

    def __init__(self, path: Path, index: dict[str, Any]) -> None:
        self.path = path
        self.made_of: dict[str, Any] = index["made_of"]
        self.notes: list[str] = index["notes"]
        self.tokenizer = Tokenizer.load(path)
        self.train = Split(path, "train", index["splits"]["train"], self.tokenizer)
        self.validation = Split(path, "validation", index["splits"]["validation"], self.tokenizer)

    def verify(self) -> None:
        """Read every shard and compare it with what was written; shards of an older quire have no hash and pass.

        Raises:
            FormatError: the content of one is another.
        """
        for split in (self.train, self.validation):
            split.verify()

    @classmethod
    def open(cls, path: Path) -> TokenDataset:
        """Open the folder `path`.

        Raises:
            FormatError: it holds no finished shards, they are of another format, or one is missing or cut short.
        """
        path = Path(path)
        try:
            index = json.loads((path / INDEX_FILE).read_text("utf-8"))
            version = index["made_of"]["format"]
        except FileNotFoundError:
            raise FormatError("no tokens are here, or they were never finished", where=path, hint=AGAIN) from None
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(f"not an index of tokens: {error}", where=path / INDEX_FILE, hint=AGAIN) from None
        if version != FORMAT:
            raise FormatError(
                f"the tokens have format {version!r}, this quire reads {FORMAT}", where=path / INDEX_FILE, hint=AGAIN
            )
        return cls(path, index)


def _open_shard(path: Path, shard: dict[str, Any]) -> Shard:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise FormatError("this token shard is missing", where=path, hint=AGAIN) from None
    if size != shard["bytes"]:
        raise FormatError(
            f"this token shard is cut short or changed: {size} bytes, not {shard['bytes']}", where=path, hint=AGAIN
        )
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise FormatError(f"this token shard is damaged: {error}", where=path, hint=AGAIN) from None
    except OSError as error:
        raise QuireError(f"this token shard cannot be read: {error}", where=path) from None
    # The same memory as a plain array: slices of a memmap cost several times as much to make.
    return np.asarray(array)


def _advise(shard: Shard, begin: int, end: int) -> None:
    mapped: Any = shard.base  # the memory map that the plain array was made of
    if hasattr(mmap, "MADV_WILLNEED"):
        first = mapped.offset % mmap.ALLOCATIONGRANULARITY  # the map begins before the array, where a page does
        start = (first + begin * shard.itemsize) // mmap.PAGESIZE * mmap.PAGESIZE
        mapped.base.madvise(mmap.MADV_WILLNEED, start, first + end * shard.itemsize - start)


def _page_at(starts: list[int], numbers: list[int], character: int) -> int | None:
    at = bisect.bisect_right(starts, character) - 1
    return numbers[at] if at >= 0 else None
