"""Steps in which every row reads one token, at fixed places in memory: on a GPU, recorded once and replayed.

A step of a small model is hundreds of kernels of a few microseconds, and starting them one by one takes longer than
they do. A CUDA graph starts all at once, but always the same: so rows are filled up to a power of two, and tables of
blocks too. Rows that fill up read token 0 into a block that no text has.

Source: PyTorch's notes on CUDA graphs (pytorch.org/docs/stable/notes/cuda.html).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

WARM_UP = 2  # readings before the recording, in which libraries are set up

Read = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class RecordedStep:
    """A step of so many rows, with tables of so many blocks.

    Args:
        read: given tokens (B, 1), positions (B, 1) and tables (B, blocks), reads them and returns the logits (B, V).
        rows: B.
        blocks: of a table.
        device: of the model; what is recorded on a GPU is read each time elsewhere.
        spare: the block of rows that only fill up.
    """

    def __init__(self, read: Read, rows: int, blocks: int, device: torch.device, spare: int) -> None:
        self.rows, self.blocks, self.spare = rows, blocks, spare
        self._read = read
        self._tokens, self._positions = (torch.zeros(rows, 1, dtype=torch.long, device=device) for _ in range(2))
        self._tables = torch.full((rows, blocks), spare, dtype=torch.long, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = torch.empty(0)
        if device.type == "cuda":
            self._record()

    def __call__(
        self, tokens: Sequence[int], positions: Sequence[int], tables: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """Read a token of each row; return the logits (rows given, V), until the next step."""
        count = len(tokens)
        empty = [0] * (self.rows - count)
        filled = [[*table, *[self.spare] * (self.blocks - len(table))] for table in tables]
        filled += [[self.spare] * self.blocks] * len(empty)
        for place, values in (
            (self._tokens, [[token] for token in (*tokens, *empty)]),
            (self._positions, [[position] for position in (*positions, *empty)]),
            (self._tables, filled),
        ):
            place.copy_(torch.tensor(values), non_blocking=True)
        if self._graph is None:
            self._logits = self._read(self._tokens, self._positions, self._tables)
        else:
            self._graph.replay()
        return self._logits[:count]

    def _record(self) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._read(self._tokens, self._positions, self._tables)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._logits = self._read(self._tokens, self._positions, self._tables)
        self._graph = graph


def power_of_two(number: int) -> int:
    """Return the smallest power of two that is not below `number`."""
    return 1 << (number - 1).bit_length()
