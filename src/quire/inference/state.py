"""What one text being written knows for its next token, and what was chosen for it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from quire.inference.settings import SamplingSettings

if TYPE_CHECKING:
    from quire.inference.constraint import Constraint

Row = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Choice:
    """A token, and what the model thought of it before any setting."""

    token: int
    logprob: float | None  # None where no log-probabilities were asked for
    top: tuple[tuple[int, float], ...]  # the likeliest tokens and their log-probabilities, likeliest first


class SamplingState:
    """What one text being written knows for its next token.

    The counts of its tokens are kept as vectors over the vocabulary, so a token costs the same after ten tokens as
    after ten thousand. A text is chosen for on one device only.

    Args:
        settings: how its tokens are chosen.
        prompt_tokens: for the repetition penalty.
        seed: with `sample`, decides its random numbers.
        sample: its number among the samples of its prompt.
        end_of_text: the token that ends it.
        constraint: what it must follow; a clone of its own, if there are several texts.

    Raises:
        UsageError: `max_tokens` is too small for any text that follows the constraint.
    """

    def __init__(
        self,
        settings: SamplingSettings,
        prompt_tokens: Sequence[int],
        *,
        seed: int,
        sample: int,
        end_of_text: int,
        constraint: Constraint | None = None,
    ) -> None:
        self.settings = settings
        self.end_of_text = end_of_text
        self.constraint = constraint
        self.uniforms = random.Random(f"{seed}/{sample}")
        self.num_written = 0
        self._repeats = settings.repetition_penalty != 1
        self._counts = settings.frequency_penalty != 0 or settings.presence_penalty != 0
        self._biased = len(settings.logit_bias) > 0
        others = self._repeats or self._counts or self._biased or constraint is not None
        self.edits = others or settings.ignore_eos
        self.only_ignores_end = settings.ignore_eos and not others
        self._held = set(prompt_tokens) if self._repeats else set()  # until the size of the vocabulary is known
        self._written: dict[int, int] = {}
        self._row: _RowEdits | None = None
        self._tensors: _TensorEdits | None = None
        if constraint is not None:
            constraint.require(settings.max_tokens)

    @property
    def num_left(self) -> int:
        """How many tokens may still be written."""
        return self.settings.max_tokens - self.num_written

    def push(self, token: int) -> None:
        """Take note of a chosen token; not called for the end of the text."""
        self.num_written += 1
        if self._counts:
            count = self._written[token] = self._written.get(token, 0) + 1
        if self._repeats and token not in self._held:
            self._held.add(token)
        for edits in (self._row, self._tensors):
            if edits is not None:
                if self._counts:
                    edits.offsets[token] = self._offset(count)
                if self._repeats:
                    edits.held[token] = True
        if self.constraint is not None:
            self.constraint.accept(token)

    def fits(self, token: int) -> bool:
        """Say whether the constraint can still be met within `max_tokens` after `token`; if not, forbid it here."""
        if self.constraint is None or token == self.end_of_text:
            return True
        return self.constraint.fits(token, self.num_left - 1)

    def edited(self, row: Row) -> Row:
        """Return a row of logits (V,) after bias, penalties and constraint, -inf = out; the given one stays."""
        edits = self._row
        if edits is None:
            edits = self._row = _RowEdits(self, len(row))
        settings = self.settings
        result: Row = row.copy()
        if self._biased:
            result[edits.bias_ids] += edits.bias
        if self._repeats:
            held = edits.held.nonzero()[0]
            scores, penalty = result[held], np.float32(settings.repetition_penalty)
            result[held] = np.where(scores > 0, scores / penalty, scores * penalty)
        if self._counts:
            result -= edits.offsets
        if settings.ignore_eos:
            result[self.end_of_text] = -np.inf
        if self.constraint is not None:
            result[~self.allowed(len(row))] = -np.inf
        return result

    def edited_tensor(self, row: torch.Tensor) -> torch.Tensor:
        """Return the same as `edited`, on the device of `row` (V,), which stays."""
        edits = self._tensors
        if edits is None:
            edits = self._tensors = _TensorEdits(_RowEdits(self, len(row)), row.device)
        result = row.clone()
        if self._biased:
            result[edits.bias_ids] += edits.bias
        if self._repeats:
            penalty = self.settings.repetition_penalty
            result = torch.where(edits.held, torch.where(result > 0, result / penalty, result * penalty), result)
        if self._counts:
            result -= edits.offsets
        if self.settings.ignore_eos:
            result[self.end_of_text] = -torch.inf
        if self.constraint is not None:
            out = torch.from_numpy(~self.allowed(len(row))).to(row.device, non_blocking=True)
            result.masked_fill_(out, -torch.inf)
        return result

    def allowed(self, vocab_size: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which tokens (V,) the constraint allows next; ids beyond its tokenizer stand for nothing."""
        allowed = np.zeros(vocab_size, dtype=np.bool_)
        if self.constraint is not None:
            mask = self.constraint.allowed(self.num_left)
            allowed[: len(mask)] = mask
        return allowed

    def _offset(self, count: int) -> float:
        return self.settings.frequency_penalty * count + self.settings.presence_penalty


class _RowEdits:
    """What is added to logits or taken off, as vectors (V,)."""

    def __init__(self, state: SamplingState, size: int) -> None:
        # Ids beyond the logits stand for nothing that could be chosen.
        bias = {token: value for token, value in state.settings.logit_bias.items() if token < size}
        self.bias_ids = np.fromiter(bias, dtype=np.int64, count=len(bias))
        self.bias = np.fromiter(bias.values(), dtype=np.float32, count=len(bias))
        self.held = np.zeros(size if state._repeats else 0, dtype=np.bool_)
        self.held[list(state._held)] = True
        self.offsets = np.zeros(size if state._counts else 0, dtype=np.float32)
        for token, count in state._written.items():
            self.offsets[token] = state._offset(count)


class _TensorEdits:
    def __init__(self, edits: _RowEdits, device: torch.device) -> None:
        self.bias_ids = torch.from_numpy(edits.bias_ids).to(device)
        self.bias = torch.from_numpy(edits.bias).to(device)
        self.held = torch.from_numpy(edits.held).to(device)
        self.offsets = torch.from_numpy(edits.offsets).to(device)
