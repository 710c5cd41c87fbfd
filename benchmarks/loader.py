"""Does a corpus larger than memory train as fast as a small one, and what share of a step does a batch take?

    python benchmarks/loader.py [--gigabytes 6] [--rounds 9] [--folder DIR] [--json-out FILE]

Two corpora of random bytes as uint16 tokens are written to temporary folders: one of --gigabytes (of tokens, 2**30
bytes each), and one of 64 MiB that stays in memory. Three ways to read, in turn in each round, in one process:

- in memory: the small corpus
- on the disk: the large corpus
- not told ahead: the large corpus, with quire's loader kept from telling the system what it needs next

In each round batches of 16 windows of 256 tokens are drawn with nothing between them, and then a model of 0.9M
parameters takes --steps training steps. Figures are medians over the rounds; the time of a batch is the median of all
batches.

What a process reads again and again stays in memory as long as there is room. Where the memory that this process may
use (that of its control group, as in `docker run --memory 2g`, or the machine's) is smaller than the large corpus,
nothing is done about it. Where it is larger, the corpus is dropped from memory before the batches and before the steps
of a round: since a round reads a small part of it, nearly every window is then read from the disk, as from a corpus
many times as large as memory. The step after that is not timed, as what had been read for it was dropped too. Which
way was taken is printed, and so is how much the disk has read for a batch.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quire.files import write_text
from quire.limits import memory_limit, usable_cores
from quire.model.config import ModelConfig
from quire.model.size import count_parameters
from quire.tokens.batches import Batch, BatchStream, TokenRow
from quire.tokens.dataset import FORMAT, TokenDataset
from quire.tokens.settings import TokenSettings
from quire.tokens.tokenizer import Tokenizer
from quire.tokens.writer import SplitWriter, write_index
from quire.training.config import RunConfig, TrainingSettings
from quire.training.determinism import deterministic_kernels
from quire.training.machine import cpu_name
from quire.training.optimizer import OptimizerSettings
from quire.training.schedule import ScheduleSettings
from quire.training.trainer import Trainer

GIB = 1 << 30
SMALL = 1 / 16  # GiB
AT_ONCE = 1 << 24  # tokens made at once
SHARD = 1 << 28  # tokens
ROWS, CONTEXT = 16, 256
BATCHES = 32  # drawn in a row in each round
RECORD = {"document_id": 0, "source": "random", "member": None, "char_start": 0, "page_starts": [], "page_numbers": []}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=6.0, help="size of the large corpus")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=8, help="training steps of a round")
    parser.add_argument(
        "--folder", type=Path, help="where the corpora are written for the while; default: the system's"
    )
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    if sys.platform != "linux":
        parser.error("what the disk has read for a process, and pages to drop, are Linux' own")
    with tempfile.TemporaryDirectory(prefix="quire-loader-", dir=args.folder) as folder:
        free = shutil.disk_usage(folder).free
        if free < (args.gigabytes + 1) * GIB:
            parser.error(f"{folder} has {free / GIB:.1f} GiB left: choose another --folder or fewer --gigabytes")
        result = measure(Path(folder), args.gigabytes, args.rounds, args.steps)
    show(result)
    if args.json_out:
        write_text(args.json_out, json.dumps(result, indent=1) + "\n")


def measure(folder: Path, gigabytes: float, rounds: int, steps: int) -> dict[str, Any]:
    """Write the corpora, and return the figures of the three ways to read them."""
    large = write_corpus(folder / "large", gigabytes)
    small = write_corpus(folder / "small", SMALL)
    drop = memory_limit() > gigabytes * GIB
    ways: dict[str, tuple[TokenDataset, TokenRow]] = {
        "in memory": (small, small.train),
        "on the disk": (large, large.train),
        "not told ahead": (large, Untold(large.train)),
    }
    trainers = {name: trainer_of(folder / "runs" / name, data, row) for name, (data, row) in ways.items()}
    figures: dict[str, dict[str, list[float]]] = {name: {} for name in ways}
    with deterministic_kernels(torch.device("cpu"), wanted=True):
        for trainer, _ in trainers.values():  # what first steps set up is not the subject
            trainer.step()
        small.train.tokens(0, small.train.num_tokens).sum()
        for round_ in range(rounds):
            for name, (data, row) in ways.items():
                let_go = (lambda data=data: forget_pages(data)) if drop and data is large else (lambda: None)
                for key, values in draw_round(row, round_, let_go).items():
                    figures[name].setdefault(key, []).extend(values)
                for key, value in train_round(*trainers[name], steps, let_go).items():
                    figures[name].setdefault(key, []).append(value)
    return {
        "machine": f"{cpu_name()}, {usable_cores()} cores, {memory_limit() / GIB:.1f} GiB of memory",
        "corpus_gib": gigabytes,
        "way": "dropped from memory before the batches and before the steps of each round"
        if drop
        else "more than the memory holds",
        "parameters": count_parameters(trainers["in memory"][0].config.model),
        "tokens_a_step": ROWS * CONTEXT,
        "ways": {
            name: {key: statistics.median(values) for key, values in of.items()}
            | {"longest_draw_ms": max(of["draw_ms"])}
            | {"ratio_to_memory": median_ratio(of["steps_per_second"], figures["in memory"]["steps_per_second"])}
            for name, of in figures.items()
        },
    }


def write_corpus(folder: Path, gigabytes: float) -> TokenDataset:
    """Write token shards of random bytes and open them."""
    folder.mkdir()
    tokenizer = Tokenizer.byte()
    tokenizer.save(folder)
    draw = np.random.default_rng(0)
    splits = {}
    for side, length in (("train", int(gigabytes * GIB / 2)), ("validation", 1 << 16)):
        writer = SplitWriter(folder, side, np.uint16, SHARD)
        for start in range(0, length, AT_ONCE):
            size = min(AT_ONCE, length - start)
            writer.add(draw.integers(0, 256, size, dtype=np.uint16), size)
        writer.end_document(RECORD, tokenizer.end_of_text)
        splits[side] = writer.finish()
    write_index(folder, {"format": FORMAT}, ["random bytes"], splits)
    return TokenDataset.open(folder)


class Untold:
    """A row of tokens that nobody tells what is asked for next."""

    def __init__(self, row: TokenRow) -> None:
        self.num_tokens, self.end_of_text, self.tokens = row.num_tokens, row.end_of_text, row.tokens


class Timed:
    """A stream of batches that sums the seconds in which it was waited for."""

    def __init__(self, stream: BatchStream) -> None:
        self.state, self._stream, self.seconds = stream.state, stream, 0.0

    def next_batch(self) -> Batch:
        began = time.perf_counter()
        batch = self._stream.next_batch()
        self.seconds += time.perf_counter() - began
        return batch


def trainer_of(run: Path, data: TokenDataset, row: TokenRow) -> tuple[Trainer, Timed]:
    """Return what trains a small model on a row, and the stream of its batches."""
    shape = {"hidden_size": 128, "num_layers": 4, "num_heads": 4, "context_length": CONTEXT}
    config = RunConfig(
        tokens=TokenSettings(tokenizer="byte"),
        model=ModelConfig(vocab_size=512, **shape),
        optimizer=OptimizerSettings(),
        schedule=ScheduleSettings(),
        training=TrainingSettings(minutes=None, steps=100_000, batch_size=ROWS, micro_batch_size=ROWS),
    )
    trainer = Trainer(run, config, data)
    timed = Timed(BatchStream(row, CONTEXT, ROWS, seed=1))
    trainer.batches = timed  # type: ignore[assignment]
    return trainer, timed


def draw_round(row: TokenRow, seed: int, let_go: Callable[[], None]) -> dict[str, list[float]]:
    """Draw batches with nothing between them; return the milliseconds of each, and the KiB read for one."""
    stream = BatchStream(row, CONTEXT, ROWS, seed=1000 + seed)
    let_go()
    before, times = bytes_read(), []
    for _ in range(BATCHES):
        began = time.perf_counter()
        stream.next_batch()
        times.append(1e3 * (time.perf_counter() - began))
    return {"draw_ms": times, "kib_a_batch": [(bytes_read() - before) / BATCHES / 1024]}


def train_round(trainer: Trainer, stream: Timed, steps: int, let_go: Callable[[], None]) -> dict[str, float]:
    """Take training steps; return how many a second, and the loader's share of their time."""
    let_go()
    trainer.step()
    stream.seconds = 0.0
    began = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    seconds = time.perf_counter() - began
    return {"steps_per_second": steps / seconds, "loader_share": stream.seconds / seconds}


def forget_pages(data: TokenDataset) -> None:
    """Drop what is in memory of the training shards: from the maps of this process, then from the system's memory."""
    for mapped in maps(data):
        mapped.madvise(mmap.MADV_DONTNEED)
    for path in data.path.glob("train-*.npy"):
        file = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


def maps(data: TokenDataset) -> Iterator[mmap.mmap]:
    """Yield the memory maps of the training shards."""
    for start in range(0, data.train.num_tokens, SHARD):
        array: Any = data.train.tokens(start, start + 1)
        while not isinstance(array, mmap.mmap):
            array = array.base
        yield array


def bytes_read() -> int:
    """Return the bytes that a disk has read for this process."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(fields["read_bytes"])


def median_ratio(values: list[float], others: list[float]) -> float:
    """Return the median over the rounds of one value over the other."""
    return statistics.median(value / other for value, other in zip(values, others, strict=True))


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print(
        f"{result['machine']}; {result['corpus_gib']:g} GiB of tokens, {result['way']}; {result['parameters']:,} "
        f"parameters, {result['tokens_a_step']:,} tokens a step\n"
    )
    print("| corpus | a batch, ms | the longest | KiB read for it | steps/s | ratio | loader's share of a step |")
    print("|---|---|---|---|---|---|---|")
    for name, of in result["ways"].items():
        print(
            f"| {name} | {of['draw_ms']:.2f} | {of['longest_draw_ms']:.1f} | {of['kib_a_batch']:,.0f} "
            f"| {of['steps_per_second']:.2f} | {of['ratio_to_memory']:.3f} | {of['loader_share']:.2%} |"
        )


if __name__ == "__main__":
    main()
