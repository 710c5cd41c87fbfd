"""What reads tokens for the engine: PyTorch on any device, whole readings without a cache, compiled steps on CPUs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch

from quire.inference.blocks import BLOCK
from quire.inference.recorded import RecordedStep, power_of_two
from quire.inference.row import Draw
from quire.inference.sequence import Batch
from quire.inference.views import PagedView, RowView, View
from quire.model.cache import KVCache
from quire.model.transformer import Transformer

if TYPE_CHECKING:
    from quire.inference.native.forward import NativeModel


class TorchExecutor:
    """Reads with PyTorch, on the model's device, as it is: also right after its weights were changed.

    Rows that read one token each are read together, on a GPU as a recorded graph; the others by themselves.

    Args:
        model: what reads.
        blocks: of 32 positions, that the cache has.
        recorded: whether rows of one token are read at fixed places; left out, on a GPU.
        dtype: of what the cache holds; left out, that of the weights.
    """

    drawing: Draw | None = None

    def __init__(
        self, model: Transformer, blocks: int, *, recorded: bool | None = None, dtype: torch.dtype | None = None
    ) -> None:
        self.model, self.config, self.blocks = model, model.config, blocks
        config, weight = model.config, model.model.norm.weight
        self.device = weight.device
        self.recorded = self.device.type == "cuda" if recorded is None else recorded
        # One block more than texts may have: rows that only fill a recorded step up write there.
        shape = (config.num_layers, config.num_kv_heads, (blocks + 1) * BLOCK, config.head_dim)
        self.keys = torch.zeros(shape, device=self.device, dtype=dtype or weight.dtype)  # (layers, kv heads, slots, K)
        self.values = torch.zeros_like(self.keys)
        self._steps: dict[tuple[int, int], RecordedStep] = {}

    @property
    def version(self) -> int:
        """Return how often the weights were changed in place."""
        return sum(tensor._version for tensor in (*self.model.parameters(), *self.model.buffers()))

    def step(self, batch: Batch) -> torch.Tensor:
        """Read a batch; see `Executor.step`."""
        pairs = zip(batch.rows, batch.positions, strict=True)
        self._clear([batch.tables[row][position // BLOCK] for row, position in pairs if position % BLOCK == 0])
        ends = [place for place, row in enumerate(batch.rows) if batch.rows[place + 1 : place + 2] != [row]]
        begins = [0, *(end + 1 for end in ends[:-1])]
        wanted = set(batch.wanted)
        logits: dict[int, torch.Tensor] = {}
        single = [number for number, (begin, end) in enumerate(zip(begins, ends, strict=True)) if begin == end]
        if single:
            read = self._read_single(single, begins, batch)
            logits.update(zip((begins[number] for number in single), read, strict=True))
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            if begin != end:
                hidden = self._read(number, range(begin, end + 1), batch)  # (T, D)
                places = [place for place in range(begin, end + 1) if place in wanted]
                if places:
                    own = self.model.head(hidden[[place - begin for place in places]])
                    logits.update(zip(places, own, strict=True))
        if not batch.wanted:
            return torch.empty(0, self.config.vocab_size, device=self.device)
        return torch.stack([logits[place] for place in batch.wanted])

    def close(self) -> None:
        """Give back what it holds: nothing that needs it."""

    def _clear(self, blocks: list[int]) -> None:
        """Empty blocks that are written anew: what is hidden in them counts nothing, unless it is no number."""
        for pool in (self.keys, self.values) if blocks else ():
            pool.view(*pool.shape[:2], -1, BLOCK, pool.shape[-1])[:, :, blocks] = 0

    def _read(self, number: int, span: range, batch: Batch) -> torch.Tensor:
        """Read several tokens of one row; return what each gives, (T, D)."""
        tokens = torch.tensor([batch.token_ids[span[0] : span[-1] + 1]], device=self.device)
        first, stop = batch.positions[span[0]], batch.positions[span[-1]] + 1
        return self._hidden(tokens, self._view(batch.tables[number], first, stop))[0]

    def _view(self, table: Sequence[int], first: int, stop: int) -> View:
        """Return the cache of one row for its tokens from `first` on, before `stop`."""
        table = table[: -(-stop // BLOCK)]
        if all(after == before + 1 for before, after in itertools.pairwise(table)):
            return RowView(self.keys, self.values, range(table[0], table[-1] + 1), first, stop)
        positions = torch.arange(first, stop, device=self.device)[None]
        return PagedView(self.keys, self.values, torch.tensor([table], device=self.device), positions)

    def _read_single(self, rows: Sequence[int], begins: Sequence[int], batch: Batch) -> torch.Tensor:
        """Read a token of each of some rows; return the logits after each, (B, V)."""
        places = [begins[row] for row in rows]
        tokens, positions = ([numbers[place] for place in places] for numbers in (batch.token_ids, batch.positions))
        most = max(positions) // BLOCK + 1
        if not self.recorded:
            columns = torch.tensor([tokens, positions], device=self.device)[..., None]  # (2, B, 1)
            if len(rows) == 1:
                view = self._view(batch.tables[rows[0]], positions[0], positions[0] + 1)
                return self.model.head(self._hidden(columns[0], view)[:, -1])
            known = [batch.tables[row][:most] for row in rows]
            spare = [self.blocks] * most  # no one's block fills them up
            tables = [[*table, *spare[len(table) :]] for table in known]
            return self._logits(columns[0], columns[1], torch.tensor(tables, device=self.device))
        most = min(power_of_two(most), -(-self.config.context_length // BLOCK))
        size = (power_of_two(len(rows)), most)
        if size not in self._steps:
            self._steps[size] = RecordedStep(self._logits, *size, self.device, self.blocks)
        return self._steps[size](tokens, positions, [batch.tables[row][:most] for row in rows])

    def _hidden(self, tokens: torch.Tensor, view: View) -> torch.Tensor:
        return self.model.hidden(tokens, cache=cast(KVCache, view))  # it has what a reading asks of one

    def _logits(self, tokens: torch.Tensor, positions: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
        view = PagedView(self.keys, self.values, tables, positions)
        return self.model.head(self._hidden(tokens, view)[:, -1])


class UncachedExecutor:
    """Reads everything anew for every token: slow, and what the others are compared with.

    Args:
        model: what reads.
        blocks: that the engine should believe in; there are none.
    """

    drawing: Draw | None = None

    def __init__(self, model: Transformer, blocks: int) -> None:
        self.model, self.config, self.blocks = model, model.config, blocks
        self.version = 0  # nothing is kept

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
        self.drawing: Draw | None = native.drawing
        self.version = 0  # its copy of the weights stays as it is

    def step(self, batch: Batch) -> torch.Tensor:
        """Read a batch; see `Executor.step`."""
        return torch.from_numpy(
            self.native.step(batch.token_ids, batch.positions, batch.rows, batch.tables, batch.wanted)
        )

    def close(self) -> None:
        """End its threads."""
        self.native.close()
