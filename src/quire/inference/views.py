"""Blocks of the cache as PyTorch reads them: in place where a row's lie one after the other, gathered elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from quire.inference.blocks import BLOCK


def within(numbers: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return numbers as another type, those beyond its largest as that: infinite ones harm all of their block."""
    most = torch.finfo(dtype).max
    if most < torch.finfo(numbers.dtype).max:
        numbers = numbers.float().clamp(-most, most)  # bfloat16 does not have the largest of float16
    return numbers.to(dtype)


class RowView:
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
        self.row = slice(blocks.start * BLOCK, blocks.stop * BLOCK)
        self.written = slice(self.row.start + first, self.row.start + stop)
        self.keys, self.values, self.start = keys, values, first
        self.lengths: list[int] = []
        slots = torch.arange(len(blocks) * BLOCK, device=keys.device)
        self.mask = (slots <= slots[first:stop, None])[None, None]  # (1, 1, T, S)

    def place(self, num_tokens: int, positions: torch.Tensor | None = None) -> RowPlacement:
        """Say where the tokens go; the positions are those the view was made for."""
        return RowPlacement(self, self.mask, self.start)


@dataclass(frozen=True, slots=True)
class RowPlacement:
    """Where the tokens of one reading go in the blocks of a row, as `quire.model.cache.Placement`."""

    view: RowView
    mask: torch.Tensor  # (1, 1, T, S), True = seen
    start: int
    causal: bool = False
    positions: torch.Tensor | None = None

    @property
    def ends(self) -> list[int]:
        """Return nothing: the engine knows the lengths of its rows."""
        return []

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write keys and values (1, kv heads, T, K); return all of the row (1, kv heads, S, K)."""
        view = self.view
        together = []
        for pool, new in ((view.keys[layer], keys), (view.values[layer], values)):
            pool[:, view.written] = within(new[0], pool.dtype)
            together.append(pool[None, :, view.row].to(new.dtype))
        return together[0], together[1]


class PagedView:
    """The blocks of some rows, as the cache of one reading.

    Args:
        keys: of all blocks, (layers, kv heads, slots, K).
        values: likewise.
        tables: blocks of each row, (B, blocks).
        positions: of the tokens that are read, (B, T).
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, tables: torch.Tensor, positions: torch.Tensor) -> None:
        self.keys, self.values, self.positions = keys, values, positions
        self.lengths: list[int] = []
        places = torch.arange(BLOCK, device=keys.device)
        self.slots = (tables[..., None] * BLOCK + places).flatten(1)  # (B, S)
        self.mask = torch.arange(self.slots.shape[1], device=keys.device) <= positions[:, None, :, None]  # (B, 1, T, S)
        self.written = self.slots.gather(1, positions)  # (B, T)

    def place(self, num_tokens: int, positions: torch.Tensor | None = None) -> PagedPlacement:
        """Say where the tokens go; the positions are those the view was made for."""
        return PagedPlacement(self, self.positions, self.mask)


@dataclass(frozen=True, slots=True)
class PagedPlacement:
    """Where the tokens of one reading go in the blocks, as `quire.model.cache.Placement`."""

    view: PagedView
    positions: torch.Tensor  # (B, T)
    mask: torch.Tensor  # (B, 1, T, S), True = seen
    causal: bool = False
    start: int | None = None

    @property
    def ends(self) -> list[int]:
        """Return nothing: the engine knows the lengths of its rows."""
        return []

    def store(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Write keys and values (B, kv heads, T, K) into their blocks; return all of the rows (B, kv heads, S, K)."""
        view = self.view
        (rows, size), width = view.slots.shape, keys.shape[-1]
        together = []
        for pool, new in ((view.keys[layer], keys), (view.values[layer], values)):
            pool.index_copy_(1, view.written.flatten(), within(new, pool.dtype).transpose(0, 1).flatten(1, 2))
            held = pool.index_select(1, view.slots.flatten()).view(-1, rows, size, width)  # (kv heads, B, S, K)
            together.append(held.transpose(0, 1).to(new.dtype))
        return together[0], together[1]
