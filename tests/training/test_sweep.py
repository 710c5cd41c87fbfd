"""The sweep of benchmarks/: its steps are those of the trainer, and its fit finds the law that made the numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RUNS = BENCHMARKS.parent / "docs" / "images" / "runs" / "sweep.jsonl"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def corpus() -> Any:
    from sweep_corpora import PackedCorpus, Row

    numbers = np.random.default_rng(0)
    rows = [Row(numbers.integers(0, 96, size).astype(np.int64), 96) for size in (3_000, 700)]
    facts = {"vocab_size": 97, "train_tokens": 3_000, "train_bytes": 6_000, "validation_bytes": 1_400}
    return PackedCorpus(*rows, facts)


def run_on(corpus: Any, **fixed: Any) -> Any:
    from sweep_grid import Cell

    run = Cell("0.2M", "numbers", corpus.facts).run("test", tokens=1e5, batch=0.25, dropout=0.0, **fixed)
    return dataclasses.replace(run, steps=6, warmup=2)


def test_its_steps_are_those_of_the_trainer(corpus: Any) -> None:
    from sweep_training import DeviceCorpus, Slot, reference_losses

    run = run_on(corpus, weight_decay=0.5)
    wanted = reference_losses(run, corpus, "cpu", run.steps)
    slot = Slot(run, DeviceCorpus(corpus, "cpu"), "cpu", run.steps, graph=False)
    slot.load(run)
    while slot.advance(4):
        pass
    assert slot.losses.tolist() == pytest.approx(wanted, rel=1e-5)


def test_a_slot_begins_each_run_from_the_start(corpus: Any) -> None:
    from sweep_training import DeviceCorpus, Slot

    first, other = run_on(corpus), run_on(corpus, matrix=2, seed=3)
    slot = Slot(first, DeviceCorpus(corpus, "cpu"), "cpu", first.steps, graph=False)
    outcomes = []
    for run in (first, other, first):
        slot.load(run)
        slot.advance(run.steps)
        outcomes.append(slot.finish())
    assert outcomes[0]["curve"] == outcomes[2]["curve"] != outcomes[1]["curve"]
    assert outcomes[0]["final"] == pytest.approx(outcomes[0]["curve"][-1][1])


def test_it_scores_as_the_trainer_does(corpus: Any) -> None:
    from quire.tokens.batches import evaluation_batches
    from sweep_training import DeviceCorpus, Slot

    run = run_on(corpus)
    slot = Slot(run, DeviceCorpus(corpus, "cpu"), "cpu", run.steps, graph=False)
    slot.load(run)
    slot.advance(run.steps)
    nats = 0.0
    slot.model.eval()
    with torch.no_grad():
        for batch in evaluation_batches(corpus.validation, run.context, 3):
            nats += float(slot.model.loss(torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)))
    assert slot.finish()["final"] == pytest.approx(nats / np.log(2) / 1_400, abs=2e-5)


def test_no_run_of_the_grid_is_there_twice_and_the_first_are_those_of_the_plan() -> None:
    from sweep_grid import CORPORA, grid

    facts = {name: {"vocab_size": 512, "train_tokens": 10**6} for name in CORPORA}
    runs = grid(facts)
    assert len({dataclasses.astuple(run)[1:] for run in runs}) == len(runs)
    assert {(run.size, run.corpus) for run in runs[:9]} == {(s, c) for s in ("0.5M", "3M", "10M") for c in CORPORA}
    assert {run.matrix_learning_rate for run in runs[:9]} == {0.02}
    quick = grid(facts, quick=True)
    assert len({dataclasses.astuple(run)[1:] for run in quick}) == len(quick)
    assert [run.size for run in quick[8:22]] == ["0.5M"] * 14
    assert {"when dropout"} == {run.question for run in quick[:8]}
    assert {"batch", "noise", "dropout", "decay"} == {run.question for run in quick[8:22]}


def test_the_fit_finds_the_law_that_made_the_numbers() -> None:
    from quire.training.prediction import LAW, ORDER, predict
    from sweep_fit import fit, foretell

    law = dataclasses.replace(LAW, factor=1.2, size_power=0.3, data_power=0.5, sizes=(1, 1e9))
    rows = []
    for parameters in (2e5, 5e5, 9e5):
        for tokens in (1e5, 4e5, 2e6):
            for corpus, distinct, bits in (("a-0.2", 1e5, 1.8), ("b-10", 5e6, 2.4)):
                row = {"parameters": parameters, "tokens": tokens, "train_tokens": distinct}
                row |= {"train_bytes": 2 * distinct, "ngrams": {str(ORDER): bits}}
                made = predict(parameters, 2 * tokens, 2 * distinct, bits, law)
                assert made is not None
                rows.append({**row, "corpus": corpus, "final": made.bits_per_byte})
    found = fit(rows)
    assert (found.factor, found.size_power, found.data_power) == pytest.approx((1.2, 0.3, 0.5))
    assert [foretell(row, found) for row in rows] == pytest.approx([row["final"] for row in rows], rel=1e-6)


def test_the_law_of_the_plan_is_what_the_recorded_runs_give() -> None:
    from quire.training.prediction import LAW
    from sweep_fit import read, with_error

    found = with_error([row for row in read([RUNS], None) if row["planned"]])
    for field in dataclasses.fields(LAW):
        assert getattr(found, field.name) == pytest.approx(getattr(LAW, field.name), rel=1e-3), field.name
