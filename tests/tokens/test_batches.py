"""The laws of batches: every token a target once an epoch, and a stream that goes on exactly where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import QuireError, UsageError
from quire.tokens.batches import IGNORED, Batch, BatchStream, EpochWindows, evaluation_batches


@dataclass
class Row:
    """A row of tokens in memory, each token its own place, so that a target names the place it came from."""

    num_tokens: int
    end_of_text: int = 999_999

    def tokens(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start <= stop <= self.num_tokens
        return np.arange(start, stop, dtype=np.uint32)


def targets_of(batch: Batch) -> list[list[int]]:
    return [[int(target) for target in row if target != IGNORED] for row in batch.targets]


def assert_inputs_come_before_targets(row: Row, batch: Batch) -> None:
    scored = batch.targets != IGNORED
    before = np.where(batch.targets == 0, row.end_of_text, batch.targets - 1)
    assert (batch.inputs[scored] == before[scored]).all()
    # Causal context: what stands left of an input in its row is what stands before it in the split.
    for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        last = max((place for place, target in enumerate(targets) if target != IGNORED), default=0)
        for left, right in pairwise(inputs[: last + 1]):
            assert right == (0 if left == row.end_of_text else left + 1)


sizes = st.tuples(st.integers(1, 400), st.integers(1, 70), st.integers(1, 9), st.integers(0, 2**64))


@given(sizes, st.integers(0, 5))
@settings(deadline=None)
def test_every_token_is_a_target_once_an_epoch(size: tuple[int, int, int, int], epoch: int) -> None:
    length, context, batch_size, seed = size
    row = Row(length)
    stream = BatchStream(row, context, batch_size, seed, epoch=epoch)
    windows = stream.windows_in_epoch
    rows: list[list[int]] = []
    while len(rows) < windows:
        batch = stream.next_batch()
        assert batch.inputs.shape == batch.targets.shape == (batch_size, context)
        assert batch.inputs.dtype == batch.targets.dtype == np.int64
        assert_inputs_come_before_targets(row, batch)
        rows += targets_of(batch)
    seen = [target for window in rows[:windows] for target in window]
    assert sorted(seen) == list(range(length))
    assert all(rows)  # no window is empty
    assert windows <= length // context + 2


@given(sizes, st.lists(st.integers(1, 12), min_size=1, max_size=3))
@settings(deadline=None)
def test_a_stream_goes_on_exactly_from_its_state(size: tuple[int, int, int, int], stops: list[int]) -> None:
    length, context, batch_size, seed = size
    row = Row(length)
    unbroken = BatchStream(row, context, batch_size, seed)
    broken = BatchStream(row, context, batch_size, seed)
    for stop in stops:
        for _ in range(stop):
            one, other = unbroken.next_batch(), broken.next_batch()
            assert (one.inputs == other.inputs).all()
            assert (one.targets == other.targets).all()
        state = broken.state()
        assert set(state) == {"epoch", "window"}
        assert all(type(number) is int for number in state.values())
        broken = BatchStream(row, context, batch_size, seed, **state)
        assert broken.state() == state
        assert broken.epochs_seen == unbroken.epochs_seen


@given(sizes)
@settings(deadline=None)
def test_the_batch_size_does_not_change_the_order(size: tuple[int, int, int, int]) -> None:
    length, context, batch_size, seed = size
    row = Row(length)
    ones = BatchStream(row, context, 1, seed)
    many = BatchStream(row, context, batch_size, seed)
    for _ in range(3):
        batch = many.next_batch()
        assert targets_of(batch) == [targets_of(ones.next_batch())[0] for _ in range(batch_size)]
    assert many.epochs_seen == ones.epochs_seen


def test_epochs_are_cut_and_ordered_differently_and_by_the_seed() -> None:
    row = Row(1000)

    def epoch_of(seed: int, epoch: int) -> list[list[int]]:
        stream = BatchStream(row, 16, 1, seed, epoch=epoch)
        return [targets_of(stream.next_batch())[0] for _ in range(stream.windows_in_epoch)]

    orders = [epoch_of(seed, epoch) for seed in range(3) for epoch in range(8)]
    assert len({str(order) for order in orders}) == len(orders)
    assert len({min(len(window) for window in order) for order in orders}) > 4  # other cuts
    assert all(order != sorted(order) for order in orders)
    assert epoch_of(1, 2) == epoch_of(1, 2)


def test_the_order_is_this_one_on_every_machine_and_version() -> None:
    # A change here is a change of what every saved run would continue with.
    windows = EpochWindows.of(num_tokens=100, context_length=10, seed=7, epoch=3)
    assert windows.shift == 6
    assert [begin for begin, _ in windows.bounds(0, windows.count)] == [26, 76, 0, 16, 46, 36, 96, 6, 66, 56, 86]


def test_a_short_row_is_one_window() -> None:
    stream = BatchStream(Row(3), 8, 2, 0)
    batch = stream.next_batch()
    assert batch.targets.tolist() == [[0, 1, 2, *[IGNORED] * 5]] * 2
    assert batch.inputs.tolist() == [[999_999, 0, 1, *[999_999] * 5]] * 2
    assert batch.num_targets == 6
    assert stream.epochs_seen == 2.0


@given(sizes, st.data())
@settings(deadline=None)
def test_evaluation_scores_every_token_once_in_order(size: tuple[int, int, int, int], data: st.DataObject) -> None:
    length, context, batch_size, _ = size
    stride = data.draw(st.integers(1, context))
    row = Row(length)
    batches = list(evaluation_batches(row, context, batch_size, stride))
    for batch in batches:
        assert batch.inputs.shape == batch.targets.shape == (batch_size, context)
        assert_inputs_come_before_targets(row, batch)
        for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
            scored = np.flatnonzero(targets != IGNORED)
            if len(scored) and targets[scored[0]] > 0:
                # The promise of the stride, counted in the tokens a first scored token can see.
                assert scored[0] + 1 >= min(context - stride + 1, targets[scored[0]])
            assert len(scored) or (inputs == row.end_of_text).all()
    assert [target for batch in batches for window in targets_of(batch) for target in window] == list(range(length))


@pytest.mark.parametrize("stride", [0, 9])
def test_a_stride_out_of_bounds_is_refused(stride: int) -> None:
    with pytest.raises(UsageError, match="between 1 and the context length, 8"):
        next(evaluation_batches(Row(20), 8, 2, stride))


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(QuireError, match="no token"):
        BatchStream(Row(0), 8, 2, 0)
    with pytest.raises(UsageError, match="at least 1"):
        BatchStream(Row(5), 0, 2, 0)
    with pytest.raises(UsageError, match="no window 99"):
        BatchStream(Row(5), 8, 2, 0, window=99)
