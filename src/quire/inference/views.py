"""Blocks of the cache as PyTorch reads them: in place where a row's lie one after the other, gathered elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from quire.inference.blocks import BLOCK


def within(numbers: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return numbers as another type, those beyond its largest as that: infinite ones harm all of their block."""
    most = torch.finfo(dtype).max
    if most < torch.finfo(numbers.dtype).max:
        numbers = numbers.float().clamp(-most, most)  # bfloat16 does not have the largest of float16
    return numbers.to(dtype)


class View(ABC):
    """What readings share of their cache: it is also the placement of its tokens, as `quire.model.cache.Placement`.

    Args:
        keys: of all blocks, (layers, kv heads, slots, K).
        values: likewise.
        mask: (B, 1, T, S), True = seen.
        start: position of the first token, where those of all rows follow from it.
        positions: of the tokens (B, T), where they do not.
    """

    causal = False

    def __init__(
        self, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, start: int | None = None,
        positions: torch.Tensor | None = None
    ) -> None:  # fmt: skip
        self.keys, self.values, self.mask, self.start, self.positions = keys, values, mask, start, positions
        self.lengths: list[int] = []
        self.ends: list[int] = []  # the engine knows the lengths of its rows

    def place(self, num_tokens: int, positions: torch.Tensor | None = None) -> View:
        """Say where the tokens go: the positions are those the view was made for."""
        return self

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write keys and values (B, kv heads, T, K) into their blocks; return all of the rows (B, kv heads, S, K)."""
        return self._kept(self.keys[layer], keys), self._kept(self.values[layer], values)

    @abstractmethod
    def _kept(self, pool: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Write numbers of the tokens (B, kv heads, T, K) to `pool`, a layer's; return all of the rows."""


class RowView(View):
    """The blocks of one row, where one lies after the other, as the cache of one reading: nothing is copied.

    What is computed is the same to the bit as by `PagedView`: all of the last block, and what no token sees hidden.

    Args:
        keys: of all blocks, (layers, kv heads, slots, K).
        values: likewise.
        blocks: of the row.
        first: position of the first token that is read.
        stop: position after the last.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, blocks: range, first: int, stop: int) -> None:
        slots = torch.arange(len(blocks) * BLOCK, device=keys.device)
        super().__init__(keys, values, (slots <= slots[first:stop, None])[None, None], start=first)
        self._row = slice(blocks.start * BLOCK, blocks.stop * BLOCK)
        self._written = slice(self._row.start + first, self._row.start + stop)

    def _kept(self, pool: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        pool[:, self._written] = within(new[0], pool.dtype)
        return pool[None, :, self._row].to(new.dtype)


class PagedView(View):
    """The blocks of some rows, as the cache of one reading.

    Args:
        keys: of all blocks, (layers, kv heads, slots, K).
        values: likewise.
        tables: blocks of each row, (B, blocks).
        positions: of the tokens that are read, (B, T).
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, tables: torch.Tensor, positions: torch.Tensor) -> None:
        places = torch.arange(BLOCK, device=keys.device)
        slots = (tables[..., None] * BLOCK + places).flatten(1)  # (B, S)
        mask = torch.arange(slots.shape[1], device=keys.device) <= positions[:, None, :, None]
        super().__init__(keys, values, mask, positions=positions)
        self._rows, self._slots = slots.shape, slots.flatten()
        self._written = slots.gather(1, positions).flatten()  # (B T)

    def _kept(self, pool: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        pool.index_copy_(1, self._written, within(new, pool.dtype).transpose(0, 1).flatten(1, 2))
        held = pool.index_select(1, self._slots).view(-1, *self._rows, pool.shape[-1])  # (kv heads, B, S, K)
        return held.transpose(0, 1).to(new.dtype)
