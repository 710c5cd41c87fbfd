"""What reads tokens for the engine: PyTorch on any device, whole readings without a cache, compiled steps on CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from quire.inference.blocks import BLOCK
from quire.inference.sequence import Batch
from quire.model.cache import KVCache
from quire.model.transformer import Transformer

if TYPE_CHECKING:
    from quire.inference.native.forward import NativeModel


class TorchExecutor:
    """Reads with PyTorch, on the model's device, as it is: also right after its weights were changed.

    Rows that read one token each are read together, the others by themselves.

    Args:
        model: what reads.
        blocks: of 32 positions, that the cache has.
    """

    def __init__(self, model: Transformer, blocks: int) -> None:
        self.model, self.config, self.blocks = model, model.config, blocks
        config, weight = model.config, model.model.norm.weight
        shape = (config.num_layers, blocks, config.num_kv_heads, BLOCK, config.head_dim)
        kind = weight.dtype
        self.keys = torch.zeros(shape, device=weight.device, dtype=kind)  # (layers, blocks, kv heads, 32, K)
        self.values = torch.zeros(shape, device=weight.device, dtype=kind)

    def step(self, batch: Batch) -> torch.Tensor:
        """Read a batch; see `Executor.step`."""
        ends = [place for place, row in enumerate(batch.rows) if batch.rows[place + 1 : place + 2] != [row]]
        begins = [0, *(end + 1 for end in ends[:-1])]
        single = [number for number, (begin, end) in enumerate(zip(begins, ends, strict=True)) if begin == end]
        groups = [single] if single else []
        groups += [[number] for number in range(len(ends)) if begins[number] != ends[number]]
        hidden: dict[int, torch.Tensor] = {}
        for group in groups:
            spans = [range(begins[number], ends[number] + 1) for number in group]
            read = self._read([batch.tables[number] for number in group], spans, batch)  # (B, T, D)
            for row, span in zip(read, spans, strict=True):
                hidden.update(zip(span, row, strict=True))
        if not batch.wanted:
            return torch.empty(0, self.config.vocab_size)
        return self.model.head(torch.stack([hidden[place] for place in batch.wanted]))

    def close(self) -> None:
        """Give back what it holds: nothing that needs it."""

    def _read(self, tables: Sequence[Sequence[int]], spans: Sequence[range], batch: Batch) -> torch.Tensor:
        device = self.keys.device
        tokens = torch.tensor([[batch.token_ids[place] for place in span] for span in spans], device=device)
        positions = torch.tensor([[batch.positions[place] for place in span] for span in spans], device=device)
        most = max(batch.positions[span[-1]] for span in spans) // BLOCK + 1
        padded = [[*table[:most], *[0] * (most - len(table))] for table in tables]
        view = PagedView(self.keys, self.values, torch.tensor(padded, device=device), positions)
        return self.model.hidden(tokens, cache=cast(KVCache, view))  # it has what a reading asks of one


class PagedView:
    """The blocks of some rows, as the cache of one reading."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, tables: torch.Tensor, positions: torch.Tensor) -> None:
        self.keys, self.values, self.tables, self.positions = keys, values, tables, positions
        self.lengths: list[int] = []
        slots = torch.arange(tables.shape[1] * BLOCK, device=keys.device)  # (S)
        self.mask = slots <= positions[:, None, :, None]  # (B, 1, T, S)
        self.blocks = tables.gather(1, positions // BLOCK)  # (B, T)

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
        together = []
        for pool, new in ((view.keys[layer], keys), (view.values[layer], values)):
            pool[view.blocks, :, self.positions % BLOCK] = new.transpose(1, 2).to(pool.dtype)
            rows = pool[view.tables]  # (B, blocks, kv heads, 32, K)
            together.append(rows.transpose(1, 2).flatten(2, 3))
        return together[0], together[1]


class UncachedExecutor:
    """Reads everything anew for every token: slow, and what the others are compared with.

    Args:
        model: what reads.
        blocks: that the engine should believe in; there are none.
    """

    def __init__(self, model: Transformer, blocks: int) -> None:
        self.model, self.config, self.blocks = model, model.config, blocks

    def step(self, batch: Batch) -> torch.Tensor:
        """Read a batch; see `Executor.step`."""
        hidden = []
        for place in batch.wanted:
            row = batch.rows[place]
            begin = batch.rows.index(row)
            before = batch.texts[row].view()[: batch.positions[begin]]
            tokens = torch.tensor([[*before, *batch.token_ids[begin : place + 1]]], device=self.model.cos.device)
            hidden.append(self.model.hidden(tokens)[0, -1])
        if not hidden:
            return torch.empty(0, self.config.vocab_size)
        return self.model.head(torch.stack(hidden))

    def close(self) -> None:
        """Give back what it holds: nothing that needs it."""


class NativeExecutor:
    """Reads with compiled steps on a CPU, from a copy of the weights.

    Args:
        native: what reads.
    """

    def __init__(self, native: NativeModel) -> None:
        self.native, self.config, self.blocks = native, native.config, native.blocks

    def step(self, batch: Batch) -> torch.Tensor:
        """Read a batch; see `Executor.step`."""
        return torch.from_numpy(
            self.native.step(batch.token_ids, batch.positions, batch.rows, batch.tables, batch.wanted)
        )

    def close(self) -> None:
        """End its threads."""
        self.native.close()
