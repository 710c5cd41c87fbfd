"""Token windows for training and for scoring, with a place in the stream that is two small integers.

A split is one long row of tokens, document after document, each followed by end-of-text. Every token of that row is a
target, predicted from those before it in its window; the very first is predicted from an end-of-text put before it.

In an epoch the row is cut into windows of `context_length` targets, beginning at a shift that (seed, epoch) chooses, so
that each epoch cuts at other places. The first and the last window are as short as the cut leaves them and are padded
with targets of `IGNORED`: nothing is dropped. The windows come in an order that (seed, epoch) chooses.

While a batch is computed with, the disk reads the windows of the next one, so that a row larger than memory does not
keep the steps waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np

from quire.errors import QuireError, UsageError
from quire.tokens.order import key_of, permuted

IGNORED = -100
Tokens = np.ndarray[Any, np.dtype[np.int64]]

_SHIFT, _ORDER = 1, 2  # what a key is for
_LOOK_AHEAD = 1024  # windows shuffled at once: a batch of 16 x 256 takes 0.1 ms so, and 0.4 ms shuffled by itself


class TokenRow(Protocol):
    """What batches are cut from: `quire.tokens.dataset.Split` is one."""

    @property
    def num_tokens(self) -> int:
        """The length of the row."""

    @property
    def end_of_text(self) -> int:
        """The id that stands before the first token and fills what is padded."""

    def tokens(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """The token ids from `start` up to `stop`."""


@runtime_checkable
class StoredRow(TokenRow, Protocol):
    """A row that lies on a disk, and is told which of its tokens are asked for next."""

    def expect(self, start: int, stop: int) -> None:
        """Begin to read the tokens from `start` up to `stop`, and wait for nothing."""


@dataclass(frozen=True)
class Batch:
    """Rows of tokens and what follows each of them.

    Attributes:
        inputs: token ids, (B, T).
        targets: the token after each input, (B, T); `IGNORED` (-100) where there is nothing to predict.
        elsewhere: tokens to predict in the rows of this batch that other processes have.
    """

    inputs: Tokens
    targets: Tokens
    elsewhere: int = 0

    @property
    def num_targets(self) -> int:
        """The number of tokens to predict here."""
        return int((self.targets != IGNORED).sum())


@dataclass(frozen=True)
class EpochWindows:
    """How one epoch cuts a row of `num_tokens`: windows of `context_length` targets from `shift` on."""

    num_tokens: int
    context_length: int
    shift: int
    key: int

    @classmethod
    def of(cls, num_tokens: int, context_length: int, seed: int, epoch: int) -> EpochWindows:
        """Return the windows of `epoch`, a function of the arguments alone."""
        # A row that one window holds is never cut.
        shift = key_of(seed, epoch, _SHIFT) % context_length if num_tokens > context_length else 0
        return cls(num_tokens, context_length, shift, key_of(seed, epoch, _ORDER))

    def of_epoch(self, seed: int, epoch: int) -> EpochWindows:
        """Return the windows of another epoch of the same row."""
        return self.of(self.num_tokens, self.context_length, seed, epoch)

    @property
    def count(self) -> int:
        """The number of windows, the short first and last one included."""
        return (self.shift > 0) + -(-(self.num_tokens - self.shift) // self.context_length)

    def bounds(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the first target and the end of the windows at places `start` to `stop` of the shuffled order."""
        places = permuted(np.arange(start, stop, dtype=np.uint64), self.count, self.key)
        begins = places.astype(np.int64) * self.context_length
        if self.shift:
            begins += self.shift - self.context_length
        ends = np.minimum(begins + self.context_length, self.num_tokens)
        return list(zip(np.maximum(begins, 0).tolist(), ends.tolist(), strict=True))


class BatchStream:
    """An endless stream of training batches over a row of tokens, epoch after epoch.

    Args:
        split: the row of tokens, at least one.
        context_length: targets in a window, T, at least 1.
        batch_size: rows in a batch, B, at least 1.
        seed: chooses the shifts and the orders.
        epoch: the epoch to begin in, and
        window: the place in its order, as `state` gave them. `window` may be the number of windows of the epoch.
        rank: which share of each batch to give, from 0, of
        ranks: how many. The shares of a batch differ by at most a row; shorter ones are filled up with empty rows.

    Raises:
        QuireError: the split holds no token.
        UsageError: a size is below 1, or there is no such place.
    """

    def __init__(
        self,
        split: TokenRow,
        context_length: int,
        batch_size: int,
        seed: int,
        *,
        epoch: int = 0,
        window: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        _check(split, context_length, batch_size)
        if not 0 <= rank < ranks:
            raise UsageError(f"no share {rank} of {ranks}")
        self._share = slice(batch_size * rank // ranks, batch_size * (rank + 1) // ranks)
        self._rows = -(-batch_size // ranks)
        self._split = split
        self._seed = seed
        self._shape = (batch_size, context_length)
        self._epoch = epoch
        self._windows = EpochWindows.of(split.num_tokens, context_length, seed, epoch)
        self._window = window
        self._bounds = _bounds_from(self._windows, seed, epoch, window)
        self._ahead: deque[tuple[int, int]] = deque()  # those of the batches to come that are being read
        if epoch < 0 or not 0 <= window <= self._windows.count:
            raise UsageError(f"no window {window} in epoch {epoch}, which has {self._windows.count}")

    def next_batch(self) -> Batch:
        """Return the next B windows, or the share of them; where an epoch ends, the next begins in the same batch."""
        batch_size = self._shape[0]
        while len(self._ahead) < 2 * batch_size:  # this batch and the next
            self._read_ahead(list(islice(self._bounds, batch_size)))
        rows = []
        for _ in range(batch_size):
            if self._window == self._windows.count:
                self._epoch, self._window = self._epoch + 1, 0
                self._windows = self._windows.of_epoch(self._seed, self._epoch)
            begin, end = self._ahead.popleft()
            rows.append((begin, begin, end))
            self._window += 1
        mine = rows[self._share]
        elsewhere = sum(end - begin for begin, _, end in rows) - sum(end - begin for begin, _, end in mine)
        return replace(_gather(self._split, mine, (self._rows, self._shape[1])), elsewhere=elsewhere)

    def _read_ahead(self, bounds: list[tuple[int, int]]) -> None:
        if isinstance(self._split, StoredRow):
            for begin, end in bounds[self._share]:
                self._split.expect(max(begin - 1, 0), end)
        self._ahead.extend(bounds)

    def state(self) -> dict[str, int]:
        """Return the place of the next window: with seed, T and B all that a stream needs to go on exactly."""
        return {"epoch": self._epoch, "window": self._window}

    @property
    def epochs_seen(self) -> float:
        """How often the row has been seen so far, as a number with a fraction."""
        return self._epoch + self._window / self._windows.count

    @property
    def windows_in_epoch(self) -> int:
        """The number of windows of the epoch that the stream is in."""
        return self._windows.count


def evaluation_batches(
    split: TokenRow, context_length: int, batch_size: int, stride: int | None = None
) -> Iterator[Batch]:
    """Yield the whole row in order, each token a target exactly once; the last batch is filled up with empty rows.

    Args:
        split: the row of tokens, at least one.
        context_length: tokens in a window, T, at least 1.
        batch_size: rows in a batch, B, at least 1.
        stride: how many tokens a window moves on, 1 to T. The default, T, is the fastest: tokens are predicted from 1
            to T tokens before them. A smaller one gives every token after the first window at least T - stride tokens
            before those it scores, at T / stride times the work.

    Raises:
        QuireError: the split holds no token.
        UsageError: a size is out of its bounds.
    """
    stride = context_length if stride is None else stride
    _check(split, context_length, batch_size)
    if not 1 <= stride <= context_length:
        raise UsageError(f"stride = {stride}: it must be between 1 and the context length, {context_length}")
    rows: list[tuple[int, int, int]] = []
    scored = 0
    while scored < split.num_tokens:
        full = scored + (stride if scored else context_length)
        end = min(full, split.num_tokens)
        rows.append((full - context_length, scored, end))
        scored = end
        if len(rows) == batch_size:
            yield _gather(split, rows, (batch_size, context_length))
            rows = []
    if rows:
        yield _gather(split, rows, (batch_size, context_length))


def _bounds_from(windows: EpochWindows, seed: int, epoch: int, window: int) -> Iterator[tuple[int, int]]:
    # The first target and the end of every window from a place on, epoch after epoch.
    while True:
        while window < windows.count:
            stop = min(window + _LOOK_AHEAD, windows.count)
            yield from windows.bounds(window, stop)
            window = stop
        epoch, window = epoch + 1, 0
        windows = windows.of_epoch(seed, epoch)


def _check(split: TokenRow, context_length: int, batch_size: int) -> None:
    if context_length < 1 or batch_size < 1:
        raise UsageError(f"context length {context_length} and batch size {batch_size} must be at least 1")
    if split.num_tokens < 1:
        raise QuireError("there is no token to make batches of")


def _gather(split: TokenRow, rows: list[tuple[int, int, int]], shape: tuple[int, int]) -> Batch:
    # A row (begin, scored, end): the targets are the tokens from begin to end, of which those before `scored` are
    # context only. Slices of a memory-mapped file are copied faster than single places are gathered.
    inputs = np.full(shape, split.end_of_text, dtype=np.int64)  # (B, T)
    targets = np.full(shape, IGNORED, dtype=np.int64)  # (B, T)
    for row, (begin, scored, end) in enumerate(rows):
        tokens = split.tokens(max(begin - 1, 0), end)
        targets[row, scored - begin : end - begin] = tokens[scored - end :]
        if begin:
            inputs[row, : end - begin] = tokens[:-1]
        else:  # the end-of-text before the first token is there already
            inputs[row, 1 : end - begin] = tokens[:-1]
    return Batch(inputs, targets)
