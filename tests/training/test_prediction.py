"""What the plan foretells: laws of the formula, and the way from the plan through run.toml to the report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.settings import read_toml
from quire.training.config import load_config, run_toml
from quire.training.prediction import FURTHEST, LAW, REPETITIONS, doublings_outside, effective_bytes, predict
from quire.training.report import predicted_bits_per_byte
from quire.training.run import plan_training, train

counts = st.floats(1e3, 1e10)
measured_sizes = st.floats(*LAW.sizes)
measured_text = st.floats(*LAW.bytes_seen)


@given(counts, counts, st.floats(1.0, 10.0))
def test_text_seen_again_teaches_less_and_never_without_bound(seen: float, distinct: float, more: float) -> None:
    worth = effective_bytes(seen, distinct)
    assert worth <= seen * (1 + 1e-9)
    assert worth <= distinct * (1 + REPETITIONS) * (1 + 1e-9)
    assert effective_bytes(seen * more, distinct) >= worth * (1 - 1e-9)
    if seen <= distinct:
        assert worth == seen


def test_the_second_time_is_worth_nearly_as_much_as_the_first_the_fortieth_little() -> None:
    first, second = effective_bytes(100, 100), effective_bytes(200, 100)
    assert second - first == pytest.approx(100 * REPETITIONS * (1 - math.exp(-1 / REPETITIONS)))
    assert 0.95 < (second - first) / 100 < 1
    assert effective_bytes(4000, 100) - effective_bytes(3900, 100) < 10


@given(measured_sizes, measured_text, st.floats(0.5, 8), st.floats(1.0, 4.0))
def test_larger_models_and_more_text_are_never_foretold_worse(
    parameters: float, seen: float, ngram: float, more: float
) -> None:
    here = predict(parameters, seen, seen, ngram)
    assert here is not None
    larger, longer = predict(parameters * more, seen, seen, ngram), predict(parameters, seen * more, seen * more, ngram)
    assert larger is not None
    assert longer is not None
    assert larger.bits_per_byte <= here.bits_per_byte * (1 + 1e-9)
    assert longer.bits_per_byte <= here.bits_per_byte * (1 + 1e-9)
    twice = predict(parameters, seen, seen, 2 * ngram)
    assert twice is not None
    assert twice.bits_per_byte == pytest.approx(2 * here.bits_per_byte)


@given(measured_sizes, measured_text, st.floats(0.1, FURTHEST - 0.01))
def test_the_range_is_around_the_value_and_wider_where_nothing_was_measured(
    parameters: float, seen: float, doublings: float
) -> None:
    inside = predict(parameters, seen, seen, 2.0)
    outside = predict(LAW.sizes[1] * 2**doublings, seen, seen, 2.0)
    assert inside is not None
    assert outside is not None
    assert inside.low < inside.bits_per_byte < inside.high
    assert inside.high / inside.bits_per_byte - 1 == pytest.approx(LAW.error)
    assert outside.high / outside.bits_per_byte > inside.high / inside.bits_per_byte
    assert ("outside" in outside.why) == (doublings > 0.5) or doublings == pytest.approx(0.5)


def test_nothing_is_foretold_far_from_what_was_measured() -> None:
    among = (LAW.sizes[0], LAW.bytes_seen[0])
    assert doublings_outside(*among) == 0
    assert doublings_outside(LAW.sizes[1] * 4, LAW.bytes_seen[0] / 2) == pytest.approx(2)
    for parameters, seen in ((LAW.sizes[1] * 100, among[1]), (among[0], LAW.bytes_seen[0] / 100), (1e9, 1e12)):
        assert predict(parameters, seen, seen, 2.0) is None


class EnoughError(Exception):
    """Ends a run before its first step."""


def test_the_plan_of_a_run_foretells_it_and_its_folder_keeps_that(tmp_path: Path) -> None:
    for number in range(6):
        lines = [f"Sheet {line} of quire {number} has {line * number % 7} folds and a number.\n" for line in range(150)]
        (tmp_path / "notes").mkdir(exist_ok=True)
        (tmp_path / "notes" / f"{number}.txt").write_text("".join(lines))
    settings = {
        "model": {"hidden_size": 64, "num_layers": 3, "context_length": 64},
        "tokens": {"vocab_size": 300},
        "training": {"steps": 100, "batch_size": 16, "precision": "float32", "compile": False},
    }
    told: list[dict[str, Any]] = []

    def listen(record: dict[str, Any]) -> None:
        if record["kind"] == "prediction":
            told.append(record)
            raise EnoughError

    corpus, run = tmp_path / "corpus", tmp_path / "run"
    with pytest.raises(EnoughError):
        plan_training(tmp_path / "notes", run, settings=settings, corpus=corpus, listener=listen)
    with pytest.raises(EnoughError):
        train(corpus, run, settings=settings, listener=listen)
    first, second = told
    assert first == second
    assert 0 < first["low"] < first["bits_per_byte"] < first["high"]
    names = {"predicted_bits_per_byte": "bits_per_byte", "_low": "low", "_high": "high"}
    saved = read_toml(run_toml(run))["plan"]
    assert set(saved) == {"predicted_bits_per_byte", "predicted_bits_per_byte_low", "predicted_bits_per_byte_high"}
    for end, name in names.items():
        key = end if end.startswith("p") else f"predicted_bits_per_byte{end}"
        assert saved[key] == pytest.approx(first[name], abs=1e-4)
    assert predicted_bits_per_byte(run) == saved["predicted_bits_per_byte"]
    config, _, _ = load_config(run)  # a run.toml with a prediction is one to go on with
    assert config.training.steps == 100
