"""The figures of a run against its machine: a share of a measured rate, memory, and the loader's part of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from quire.model.size import count_flops
from quire.tokens.dataset import TokenDataset
from quire.training import meter as meters
from quire.training.config import RunConfig
from quire.training.meter import Meter, measured_rate
from quire.training.metrics import read_metrics
from quire.training.pace import Pace
from quire.training.trainer import Trainer


def test_every_line_of_training_has_the_figures(
    tmp_path: Path, config: Callable[..., RunConfig], data: TokenDataset
) -> None:
    Trainer(tmp_path, config(training={"steps": 6, "minutes": None, "log_interval": 2}), data).run()
    lines = [record for record in read_metrics(tmp_path) if record["kind"] == "train"]
    assert len(lines) == 3
    for record in lines:
        assert record["share"] > 0
        assert 0 < record["loader_share"] < 1
        assert 2**25 < record["memory_bytes"] < 2**40  # a process with torch in it, on a machine of this decade


def test_the_share_is_the_arithmetic_of_the_tokens_over_that_of_bare_products(config: Callable[..., RunConfig]) -> None:
    settings = config()
    flops = count_flops(settings.model, settings.model.context_length, training=True)
    assert Meter("cpu", flops, 1e9).share(1000.0) == pytest.approx(flops * 1000 / 1e9)
    one, two = Meter.of(settings), Meter.of(settings, processes=2)
    assert one.flops_per_token == flops
    assert two.flops_per_second == 2 * one.flops_per_second > 0
    assert two.share(1000.0) == pytest.approx(one.share(1000.0) / 2)  # type: ignore[operator]


def test_where_the_format_has_no_products_no_share_is_told() -> None:
    figures = Pace(Meter("cpu", 1e6, 0.0)).figures()
    assert "share" not in figures
    assert "memory_bytes" in figures
    assert set(Pace().figures()) == {"tokens_per_second", "loader_share"}


def test_measuring_uses_up_no_random_number_and_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    rate = meters.product_rate
    monkeypatch.setattr(meters, "product_rate", lambda *words: calls.append(words) or rate(*words))
    measured_rate.cache_clear()
    before = torch.random.get_rng_state()
    assert measured_rate("cpu", "float32", 1) == measured_rate("cpu", "float32", 1) > 1e6
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(calls) == 2  # the better of two, once in a process


def test_the_loader_s_share_is_the_part_of_the_steps_in_which_they_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    pace = Pace()
    for _ in range(2):
        with pace.loading():
            now += 1.0
        now += 3.0
        pace.targets += 100
        pace.stepped(now)
        now += 10.0  # an evaluation is no part of a step
        pace.looked(now)
    assert pace.figures() == {"tokens_per_second": 25.0, "loader_share": 0.25}
    pace.restart()
    assert pace.figures() == {"tokens_per_second": 0.0, "loader_share": 0.0}
