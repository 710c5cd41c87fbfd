"""The shares of a batch: over all ranks each token once an epoch, in the same batches as one process has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.errors import UsageError
from quire.tokens.batches import IGNORED, BatchStream


class Row:
    """A row of distinct tokens, so that a target says where it is from."""

    end_of_text = 10**6

    def __init__(self, num_tokens):
        self.num_tokens = num_tokens

    def tokens(self, start, stop):
        return np.arange(start, stop)


def windows(batch):
    """The rows of a batch that hold something, each as its inputs and targets."""
    kept = (batch.targets != IGNORED).any(1)
    return [tuple(zip(x, y, strict=True)) for x, y in zip(batch.inputs[kept], batch.targets[kept], strict=True)]


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 90), st.integers(1, 11), st.integers(0, 2**32))
def test_the_shares_of_all_ranks_are_the_one_stream(ranks, batch_size, num_tokens, context, seed):
    alone = BatchStream(Row(num_tokens), context, batch_size, seed)
    shares = [BatchStream(Row(num_tokens), context, batch_size, seed, rank=r, ranks=ranks) for r in range(ranks)]
    count = alone.windows_in_epoch
    seen = []
    while len(seen) < count:
        whole = alone.next_batch()
        parts = [share.next_batch() for share in shares]
        assert [window for part in parts for window in windows(part)] == windows(whole)
        # all ranks go through as many passes, of as many rows, and know how many targets there are in all
        assert {part.inputs.shape for part in parts} == {(-(-batch_size // ranks), context)}
        assert {part.num_targets + part.elsewhere for part in parts} == {whole.num_targets}
        assert {tuple(share.state().items()) for share in shares} == {tuple(alone.state().items())}
        rows = [len(windows(part)) for part in parts]
        assert max(rows) - min(rows) <= 1
        seen += [window for part in parts for window in windows(part)]
    targets = [target for window in seen[:count] for _, target in window if target != IGNORED]
    assert sorted(targets) == list(range(num_tokens))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.integers(0, 8))
def test_another_number_of_ranks_goes_on_with_the_next_windows(before, after, batch_size, steps):
    alone = BatchStream(Row(70), 8, batch_size, 3)
    old = BatchStream(Row(70), 8, batch_size, 3, rank=before - 1, ranks=before)
    for _ in range(steps):
        alone.next_batch()
        old.next_batch()
    new = [BatchStream(Row(70), 8, batch_size, 3, **old.state(), rank=r, ranks=after) for r in range(after)]
    for _ in range(3):
        assert [w for stream in new for w in windows(stream.next_batch())] == windows(alone.next_batch())


@pytest.mark.parametrize(("rank", "ranks"), [(-1, 2), (2, 2), (0, 0)])
def test_a_share_that_is_none(rank, ranks):
    with pytest.raises(UsageError, match="no share"):
        BatchStream(Row(5), 2, 2, 0, rank=rank, ranks=ranks)
