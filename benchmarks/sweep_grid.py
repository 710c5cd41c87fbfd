"""The runs of a sweep: a question at a time, each around what the plan would choose, the most important first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quire.model.config import ModelConfig
from quire.model.size import count_flops, count_parameters
from quire.settings import build

# Name, width, blocks; parameters with the vocabularies of 0.3 to 10 MB of text.
SIZES = {"0.2M": (64, 3), "0.5M": (96, 4), "0.9M": (128, 4), "2M": (192, 5), "3M": (224, 5), "10M": (320, 8)}
# Tokens of a run of each size: 2,000, 1,150 and 750 steps of the plan's batch.
LENGTHS = {"0.5M": 4_100_000, "3M": 5_000_000, "10M": 6_200_000}
CORPORA = ("essays-0.3", "shakespeare-1", "mixed-10")
FOR_A_CPU = (*CORPORA, "sources-10")  # tinyshakespeare, the docs of quire and Python's library: nothing to be fetched
OTHERS = ("library-1", "scripture-1", "library-0.3")
# How large a model a small text carries, and how often: size, times seen, dropout. Small enough for a CPU.
CAPACITY = (
    ("0.9M", 32, 0.1),
    ("0.5M", 32, 0.0),
    ("0.9M", 32, 0.2),
    ("0.5M", 32, 0.2),
    ("2M", 16, 0.1),
    ("2M", 16, 0.2),
    ("0.9M", 64, 0.2),
    ("0.5M", 64, 0.1),
)
# From where on dropout pays: sizes and times that the smallest corpus is seen, each without and with it.
DROPOUT = (("0.5M", 24), ("3M", 4), ("3M", 8), ("0.5M", 48))


@dataclass(frozen=True)
class Run:
    """One training run. `question` says what it is for; everything else decides its outcome."""

    question: str
    size: str
    corpus: str
    steps: int
    batch: int  # rows
    context: int
    matrix_learning_rate: float
    learning_rate: float
    weight_decay: float
    dropout: float
    beta1: float = 0.8
    beta2: float = 0.95
    momentum: float = 0.95
    warmup: int = 20
    decay_fraction: float = 0.6
    seed: int = 0

    @property
    def tokens(self) -> int:
        return self.steps * self.batch * self.context


def model_config(size: str, vocab_size: int, dropout: float = 0.0) -> ModelConfig:
    """Return the model of a size, with the heads and the context that the plan gave such widths before the sweep."""
    width, blocks = SIZES[size]
    values = {
        "vocab_size": vocab_size,
        "hidden_size": width,
        "num_layers": blocks,
        "num_heads": width // (32 if width <= 256 else 64),
        "context_length": 128 if width < 160 else 256,
        "dropout": dropout,
    }
    return build(ModelConfig, values)


@dataclass(frozen=True)
class Cell:
    """A size on a corpus: what the plan, as it was before this sweep, chooses there."""

    size: str
    corpus: str
    facts: Mapping[str, Any]

    def run(
        self,
        question: str,
        *,
        tokens: float | None = None,
        epochs: float | None = None,
        batch: float = 1.0,
        matrix: float = 1.0,
        rate: float = 1.0,
        **fixed: Any,
    ) -> Run:
        """Return a run at the plan's choices.

        Args:
            question: what it is for.
            tokens: to train on; default that of the size.
            epochs: instead of `tokens`.
            batch, matrix, rate: factors on the batch and on the two learning rates.
            fixed: other fields of `Run`.
        """
        config = model_config(self.size, self.facts["vocab_size"])
        parameters = max(count_parameters(config), 800_000)
        rows = max(1, round(round(2048 * (parameters / 800_000) ** 0.55) / config.context_length))
        rows = max(1, round(rows * batch))
        if epochs is not None:
            tokens = epochs * self.facts["train_tokens"]
        seen = tokens or LENGTHS[self.size]
        steps = max(20, round(seen / (rows * config.context_length)))
        often = seen / self.facts["train_tokens"] >= 8
        chosen: dict[str, Any] = {
            "matrix_learning_rate": round(0.02 * matrix, 6),
            "learning_rate": round(0.006 * (parameters / 800_000) ** (-1 / 3) * rate, 6),
            "weight_decay": 0.3 if often else 0.1,
            "dropout": 0.1 if often else 0.0,
            "warmup": min(100, max(5, steps // 50)),
        }
        return Run(question, self.size, self.corpus, steps, rows, config.context_length, **{**chosen, **fixed})


def grid(facts: Mapping[str, Mapping[str, Any]], *, quick: bool = False) -> list[Run]:
    """Return the runs in the order of importance, none twice."""
    cells = [Cell(s, c, facts[c]) for s in LENGTHS for c in CORPORA if c in facts]
    others = [Cell(s, c, facts[c]) for s in ("0.5M", "3M") for c in OTHERS if c in facts]
    few = [cell for cell in cells if cell.size == "0.5M"]
    on_cpu = [Cell(s, c, facts[c]) for s in LENGTHS for c in FOR_A_CPU if c in facts]
    tiny = [Cell("0.2M", cell.corpus, cell.facts) for cell in few]
    short = list(_short_runs(few, tiny))
    if quick:
        return unique([*_runs_for_a_cpu(on_cpu), *short])
    capacity = [
        Cell(size, "essays-0.3", facts["essays-0.3"]).run("capacity", epochs=epochs, dropout=dropout)
        for size, epochs, dropout in CAPACITY
        if "essays-0.3" in facts
    ]
    quarter = [
        cell.run("AdamW's rate", tokens=LENGTHS[cell.size] / 4, rate=factor) for factor in (2, 1.4) for cell in few
    ]
    return unique([*_runs(cells, others, short), *capacity, *quarter])


def _short_runs(few: Sequence[Cell], tiny: Sequence[Cell]) -> Iterator[Run]:
    """Yield runs that a CPU has time for; there and on a GPU they must agree within the noise."""
    usual = 200_000
    for factor in (1, 0.5, 2):
        for cell in few:
            yield cell.run("short rates", tokens=usual, matrix=factor)
    for factor in (0.5, 2):
        for cell in few:
            yield cell.run("short rates", tokens=usual, rate=factor)
    for tokens in (100_000, 400_000):
        for cell in few:
            yield cell.run("short length", tokens=tokens)
    for tokens in (100_000, 200_000, 400_000):
        for cell in tiny:
            yield cell.run("short length", tokens=tokens)
    for cell in few[:2]:
        yield cell.run("noise", tokens=usual, seed=1)
    for cell in few[:1]:
        for tokens in (800_000, 1_600_000):
            for dropout in (0.0, 0.1):
                for decay in (0.1, 0.3):
                    yield cell.run("dropout and decay", tokens=tokens, dropout=dropout, weight_decay=decay)


def _runs_for_a_cpu(cells: Sequence[Cell]) -> Iterator[Run]:
    """Yield runs about dropout, batch, weight decay and seed, most of them of a quarter of the usual length."""
    places = {(cell.size, cell.corpus): cell for cell in cells}
    for size, epochs in DROPOUT:
        if essays := places.get((size, "essays-0.3")):
            for dropout in (0.0, 0.1):
                yield essays.run("when dropout", epochs=epochs, dropout=dropout)
    for size, length in LENGTHS.items():
        essays, shakespeare, mixed, sources = (places.get((size, corpus)) for corpus in FOR_A_CPU)
        here = [cell for cell in (sources, shakespeare, mixed, essays) if cell]
        tokens = length / (8 if size == "10M" else 4)
        for factor in (1, 2, 0.5):
            for cell in here:
                yield cell.run("batch", tokens=tokens, batch=factor)
        if sources:
            for decay in (0.0, 0.3):
                yield sources.run("decay", tokens=tokens, weight_decay=decay)
        for cell in here:
            yield cell.run("noise", tokens=tokens, seed=1)
        if essays:
            for dropout in (0.0, 0.2):
                yield essays.run("dropout", tokens=tokens, dropout=dropout)
            for decay in (0.1, 1.0):
                yield essays.run("decay", tokens=tokens, weight_decay=decay)
        if shakespeare:
            yield shakespeare.run("dropout", tokens=tokens, dropout=0.1)
            for decay in (0.0, 0.3, 1.0):
                yield shakespeare.run("decay", tokens=tokens, weight_decay=decay)
    for factor in (0.25, 4):
        for cell in (cell for cell in cells if cell.size == "0.5M"):
            yield cell.run("batch", tokens=LENGTHS["0.5M"] / 4, batch=factor)


def _runs(cells: Sequence[Cell], others: Sequence[Cell], short: Sequence[Run]) -> Iterator[Run]:
    large = [cell for cell in cells if cell.size == "10M"]
    small = [cell for cell in cells if cell.size != "10M"]
    middle = [cell for cell in small if cell.corpus == "shakespeare-1"]
    repeated = [cell for cell in small if cell.corpus != "mixed-10"]
    for cell in cells:
        yield cell.run("centre")
    for factor in (0.5, 2):
        for cell in cells:
            yield cell.run("rates", matrix=factor)
            if cell not in large or cell.corpus != "essays-0.3":
                yield cell.run("rates", rate=factor)
    for share in (0.25, 0.5, 2):
        for cell in cells:
            if cell not in large or share < 1 or cell.corpus == "mixed-10":
                yield cell.run("length", tokens=LENGTHS[cell.size] * share)
    yield from short
    for cell in small:
        yield cell.run("noise", seed=1)
    for epochs in (16, 40, 4):
        for cell in repeated:
            if epochs < 40 or cell.size == "0.5M" or cell.corpus == "essays-0.3":
                for dropout in (0.0, 0.1, 0.2):
                    yield cell.run("dropout", epochs=epochs, dropout=dropout)
                for decay in (0.0, 0.1, 0.3, 1.0):
                    yield cell.run("decay", epochs=epochs, weight_decay=decay)
    for factor in (0.25, 4, 0.5, 2):
        for cell in middle:
            yield cell.run("batch", batch=factor)
    for factor in (0.25, 4):
        for joint in (0.5, 2):
            for cell in middle:
                yield cell.run("rates and batch", batch=factor, matrix=joint, rate=joint)
    for cell in others:
        for share in (0.25, 1):
            yield cell.run("another text", tokens=LENGTHS[cell.size] * share)
    for cell in large:
        if cell.corpus == "shakespeare-1":
            for factor in (0.5, 2):
                yield cell.run("batch", batch=factor)
            for dropout in (0.0, 0.1, 0.2):
                yield cell.run("dropout", dropout=dropout)
            for decay in (0.0, 0.3, 1.0):
                yield cell.run("decay", weight_decay=decay)
    for factor in (0.7, 1.4):
        for cell in small:
            yield cell.run("rates", matrix=factor)
            yield cell.run("rates", rate=factor)
    for cell in small:
        # Whether the best rates depend on how long a run is.
        for share in (0.25, 2):
            for joint in (0.5, 2):
                yield cell.run("rates and length", tokens=LENGTHS[cell.size] * share, matrix=joint, rate=joint)
    for cell in repeated:
        for dropout in (0.0, 0.1, 0.2):
            yield cell.run("dropout", epochs=8, dropout=dropout)
        for decay in (0.0, 0.1, 0.3, 1.0):
            yield cell.run("decay", epochs=1, weight_decay=decay)
    for cell in middle:
        for key, values in OTHER_SETTINGS.items():
            for value in values:
                yield cell.run(key, **{key: value})
    for cell in small:
        yield cell.run("noise", seed=2)
        if cell.size == "0.5M":
            yield cell.run("length", tokens=LENGTHS[cell.size] * 4)
        if cell.corpus == "mixed-10":
            for factor in (0.25, 0.5, 2, 4):
                yield cell.run("batch", batch=factor)
            for decay in (0.0, 0.3, 1.0):
                yield cell.run("decay", weight_decay=decay)
    for cell in large:
        for factor in (0.7, 1.4):
            yield cell.run("rates", matrix=factor)
            yield cell.run("rates", rate=factor)
        yield cell.run("noise", seed=1)
        yield cell.run("length", tokens=LENGTHS[cell.size] * 2)
    for cell in repeated:
        if cell.size == "3M" and cell.corpus == "shakespeare-1":
            for dropout in (0.0, 0.1, 0.2):
                yield cell.run("dropout", epochs=40, dropout=dropout)
            for decay in (0.0, 0.1, 0.3, 1.0):
                yield cell.run("decay", epochs=40, weight_decay=decay)


OTHER_SETTINGS: Mapping[str, Sequence[Any]] = {
    "beta1": (0.9,),
    "beta2": (0.9, 0.98, 0.99),
    "momentum": (0.9, 0.98),
    "decay_fraction": (0.2, 0.4, 0.8, 1.0),
}


def unique(runs: Iterable[Run]) -> list[Run]:
    """Return the runs in their order; those that differ in nothing but the question count once."""
    seen: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        seen.setdefault(dataclasses.astuple(run)[1:], run)
    return list(seen.values())


def flops(run: Run, vocab_size: int) -> float:
    """Return the training FLOPs of a run."""
    config = model_config(run.size, vocab_size)
    return float(count_flops(config, config.context_length, training=True)) * run.tokens
