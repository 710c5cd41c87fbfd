"""The keys and values of tokens already read, so that each new token costs one step and not a whole reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from quire.model.config import ModelConfig


class KVCache:
    """Room for the keys and values of `batch_size` rows of up to `capacity` tokens, allocated once.

    Row b has read `lengths[b]` tokens; token p of it lies in slot p. A query at position p sees slots 0 to p and
    no other. What lies beyond is never seen, so a row may hold left-overs of padding there, and rows of different
    lengths need no padding at their left.

    Args:
        config: the model's shape.
        batch_size: B, number of rows.
        capacity: S, number of slots a row; `config.context_length` where None.
        device: where the model is.
        dtype: what the model computes keys and values in.

    Raises:
        ValueError: the capacity is over the model's context.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int,
        *,
        capacity: int | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        capacity = config.context_length if capacity is None else capacity
        if not 1 <= capacity <= config.context_length:
            raise ValueError(f"capacity must be 1 to {config.context_length} (the model's context), not {capacity}")
        shape = (config.num_layers, batch_size, config.num_kv_heads, capacity, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)  # (layers, B, kv heads, S, K)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths = [0] * batch_size
        self._slots = torch.arange(capacity, device=device)

    @property
    def capacity(self) -> int:
        """Number of tokens that fit in a row."""
        return self.keys.shape[3]

    def select(self, rows: Sequence[int]) -> KVCache:
        """Return a cache of copies of `rows`, in that order; a row may be taken several times."""
        chosen = torch.tensor(rows, device=self.keys.device, dtype=torch.long)
        return self._with(self.keys[:, chosen], self.values[:, chosen], [self.lengths[row] for row in rows])

    def row(self, row: int) -> KVCache:
        """Return a cache of one row that shares its room with this one; lengths are then each one's own."""
        chosen = slice(row, row + 1)
        return self._with(self.keys[:, chosen], self.values[:, chosen], self.lengths[chosen])

    def truncate(self, lengths: Sequence[int]) -> None:
        """Forget what each row holds beyond its length: padding after a prompt, or a reading to be taken back.

        Raises:
            ValueError: a length is negative or more than the row holds, or there are not as many as rows.
        """
        for row, (new, old) in enumerate(zip(lengths, self.lengths, strict=True)):
            if not 0 <= new <= old:
                raise ValueError(f"row {row} holds {old} tokens and cannot be cut to {new}")
        self.lengths = list(lengths)

    def place(self, num_tokens: int, positions: torch.Tensor | None = None) -> Placement:
        """Say where the next `num_tokens` of each row go and what they see.

        Args:
            num_tokens: T, tokens a row in this call.
            positions: slots (B, T) of each token; by default each row goes on after what it has read.

        Raises:
            ValueError: a position lies outside the capacity.
        """
        starts = self.lengths
        if positions is None and min(starts) == max(starts):
            return self._place_together(starts[0], num_tokens)
        if positions is None:
            first = torch.tensor(starts, device=self._slots.device)[:, None]  # (B, 1)
            positions = first + torch.arange(num_tokens, device=self._slots.device)  # (B, T)
            ends = [start + num_tokens for start in starts]
        else:
            positions = positions.expand(len(starts), num_tokens)
            ends = [end + 1 for end in positions.amax(-1).tolist()]
        stop = max(ends)
        if stop > self.capacity or int(positions.min()) < 0:
            raise ValueError(f"tokens up to position {stop - 1} do not fit a cache of {self.capacity}")
        mask = self._slots[:stop] <= positions[:, None, :, None]  # (B, 1, T, S)
        return Placement(self, ends, stop, None, positions, mask, causal=False)

    def _place_together(self, start: int, num_tokens: int) -> Placement:
        stop = start + num_tokens
        if stop > self.capacity:
            raise ValueError(f"tokens up to position {stop - 1} do not fit a cache of {self.capacity}")
        # The common cases need no mask at all: one token sees everything, and a prompt from 0 is plainly causal.
        mask = None
        if start > 0 and num_tokens > 1:
            mask = self._slots[:stop] <= self._slots[start:stop, None]  # (T, S)
        ends = [stop] * len(self.lengths)
        return Placement(self, ends, stop, start, None, mask, causal=start == 0 and num_tokens > 1)

    def _with(self, keys: torch.Tensor, values: torch.Tensor, lengths: list[int]) -> KVCache:
        other = object.__new__(KVCache)
        other.keys, other.values, other.lengths, other._slots = keys, values, lengths, self._slots
        return other


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the tokens of one call go in the cache, for every layer alike, and what each of them sees."""

    cache: KVCache
    ends: list[int]  # lengths of the rows afterwards
    stop: int  # no token of this call sees a slot from here on
    start: int | None  # the slot of the first token where all rows stand at the same one
    positions: torch.Tensor | None  # (B, T) where they do not
    mask: torch.Tensor | None  # True = seen, (T, S) or (B, 1, T, S); None = all, or as `causal` says
    causal: bool

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write this call's keys and values (B, kv heads, T, K); return all up to `stop` (B, kv heads, S, K)."""
        all_keys, all_values = self.cache.keys[layer], self.cache.values[layer]
        if self.positions is None:
            all_keys[:, :, self.start : self.stop] = keys
            all_values[:, :, self.start : self.stop] = values
        else:
            rows = torch.arange(len(self.ends), device=keys.device)[:, None]  # (B, 1)
            all_keys[rows, :, self.positions] = keys.transpose(1, 2).to(all_keys.dtype)  # (B, T, kv heads, K)
            all_values[rows, :, self.positions] = values.transpose(1, 2).to(all_values.dtype)
        return all_keys[:, :, : self.stop], all_values[:, :, : self.stop]
