"""What a batch needs is read from the disk while the one before it is computed with, and nothing around it."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import UsageError
from quire.tokens.batches import BatchStream
from quire.tokens.dataset import FORMAT, TokenDataset
from quire.tokens.tokenizer import Tokenizer
from quire.tokens.writer import SplitWriter, write_index

Places = list[tuple[int, int]]
RECORD = {"document_id": 0, "source": "0", "member": None, "char_start": 0, "page_starts": [], "page_numbers": []}


@dataclass
class Row:
    """A row in memory that keeps what it was told of, and what was read."""

    num_tokens: int
    end_of_text: int = 999_999
    expected: Places = field(default_factory=list)
    read: Places = field(default_factory=list)

    def tokens(self, start: int, stop: int) -> np.ndarray:
        self.read.append((start, stop))
        return np.arange(start, stop, dtype=np.uint32)

    def expect(self, start: int, stop: int) -> None:
        self.expected.append((start, stop))


@given(st.integers(1, 400), st.integers(1, 70), st.integers(1, 9), st.integers(0, 2**64), st.integers(1, 3))
@settings(deadline=None)
def test_what_a_batch_reads_was_expected_a_batch_before(
    length: int, context: int, batch_size: int, seed: int, ranks: int
) -> None:
    for rank in range(ranks):
        row = Row(length)
        stream = BatchStream(row, context, batch_size, seed, rank=rank, ranks=ranks)
        assert not row.expected  # a stream that nobody draws from reads nothing
        for _ in range(2 * stream.windows_in_epoch // batch_size + 2):
            told = len(row.expected) if row.read else None
            stream.next_batch()
            # All that was read was told of in this order, before this call; at the first call in it.
            assert row.expected[: len(row.read)] == row.read
            assert told is None or len(row.read) <= told
        share = batch_size * (rank + 1) // ranks - batch_size * rank // ranks
        assert len(row.expected) == len(row.read) + share


@pytest.fixture
def data(tmp_path: Path) -> TokenDataset:
    """Three shards of 2 MiB, of random bytes as tokens."""
    tokenizer = Tokenizer.byte()
    tokenizer.save(tmp_path)
    ids = np.random.default_rng(0).integers(0, 256, 3 << 20, dtype=np.uint16)
    splits = {}
    for side in ("train", "validation"):
        writer = SplitWriter(tmp_path, side, np.uint16, 1 << 20)
        writer.add(ids, len(ids))
        writer.end_document(RECORD, tokenizer.end_of_text)
        splits[side] = writer.finish()
    write_index(tmp_path, {"format": FORMAT}, [], splits)
    return TokenDataset.open(tmp_path)


def test_any_part_of_a_row_can_be_expected(data: TokenDataset) -> None:
    length = data.train.num_tokens
    for start, stop in ((0, length), (0, 0), (length, length), (5, 6), ((1 << 20) - 3, (1 << 20) + 3)):
        data.train.expect(start, stop)
    for start, stop in ((0, length + 1), (-1, 3), (4, 3)):
        with pytest.raises(UsageError, match="there are no tokens"):
            data.train.expect(start, stop)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux tells what a process read from the disk")
def test_a_window_that_was_expected_is_read_alone(data: TokenDataset) -> None:
    plain = read_a_window(data, shard=0, expected=False)
    if plain <= mmap.PAGESIZE:
        pytest.skip("here nothing has to be read from a disk, or nothing around a window is")
    assert read_a_window(data, shard=1, expected=True) == mmap.PAGESIZE


def read_a_window(data: TokenDataset, *, shard: int, expected: bool) -> int:
    """Return how many bytes the disk reads for a window of 64 tokens in the middle of a shard."""
    first = (shard << 20) + (1 << 19)  # the token there
    file = os.open(data.path / f"train-{shard:05}.npy", os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
    before = bytes_read()
    if expected:
        data.train.expect(first, first + 64)
    assert data.train.tokens(first, first + 64).sum() > 0
    return bytes_read() - before


def bytes_read() -> int:
    """Return the bytes that a disk has read for this process."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(fields["read_bytes"])
