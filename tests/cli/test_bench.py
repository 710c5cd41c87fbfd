"""`quire bench` measures, and says what the numbers mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quire.cli.main import app
from quire.evaluation.speed import Limit
from quire.model.folder import read_config


def bench(run: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["bench", str(run), "--rounds", "1", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("context", [1, 8, 512])
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_any_run_is_measured(make_run: Callable[[int], Path], context: int, backend: str) -> None:
    run = make_run(context)
    told = json.loads(bench(run, "--json", "--backend", backend, "--threads", "1"))
    assert (told["backend"], told["threads"], told["weights"]) == (backend, 1, "float32")
    for name in ("decode", "decode_batch", "prefill", "first_token", "cached_first_token", "memory", "products"):
        assert told[name] > 0
        assert told["rounds"][name] == [told[name]]
    assert told["first_token"] == pytest.approx(told["prompt_tokens"] / told["prefill"])
    assert told["prompt_tokens"] == max(1, min(512, context - 1))
    for limit in told["limits"].values():
        assert limit["bound"] in ("bandwidth", "arithmetic", "overhead")
    config = read_config(run)
    matrices = config.num_layers * config.hidden_size * (2 * 32 + 2 * 32 + 3 * config.intermediate_size)
    head = config.hidden_size * config.vocab_size
    assert told["weight_bytes"] >= 4 * (matrices + head)
    assert told["token_flops"] >= 2 * (matrices + head)


def test_smaller_weights_and_a_smaller_cache_are_fewer_bytes(make_run: Callable[[int], Path]) -> None:
    whole = json.loads(bench(make_run(64), "--json"))
    small = json.loads(bench(make_run(64), "--json", "--weights", "int8", "--cache-dtype", "float16"))
    assert whole["cache_bytes"] == 2 * small["cache_bytes"]
    assert (whole["cache"], small["cache"]) == ("float32", "float16")
    assert (small["weights"], whole["weights"]) == ("int8", "float32")
    assert 3 < whole["weight_bytes"] / small["weight_bytes"] <= 4


def test_the_table_fits_80_columns(make_run: Callable[[int], Path]) -> None:
    lines = bench(make_run(512)).splitlines()
    assert max(map(len, lines[1:])) <= 80
    for name in ("write, 1 text", "write, 16 texts", "read 511 tokens", "first token", "bandwidth", "products"):
        assert any(line.startswith(name) for line in lines)


@pytest.mark.parametrize(
    ("seconds", "moving", "computing", "bound"),
    [(1, 0.6, 0.1, "bandwidth"), (1, 0.2, 0.7, "arithmetic"), (1, 0.3, 0.4, "overhead"), (1, 1.1, 1.2, "arithmetic")],
)
def test_what_bounds(seconds: float, moving: float, computing: float, bound: str) -> None:
    limit = Limit("reading", "prompt", seconds, moving, computing)
    assert limit.bound == bound
    assert limit.sentence().startswith(f"{bound} bounds reading: a prompt takes")


def test_wrong_words_are_refused(make_run: Callable[[int], Path]) -> None:
    for words in (["--rounds", "0"], ["--threads", "0"], ["--backend", "x"], ["--weights", "x"]):
        assert CliRunner().invoke(app, ["bench", str(make_run(8)), *words]).exit_code == 2
