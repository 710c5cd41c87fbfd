"""A profile adds up, its trace is one that Chrome reads and of bounded size, and the run is what it is without it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from quire.errors import QuireError
from quire.tokens.dataset import TokenDataset
from quire.training import profile as profiles
from quire.training.config import RunConfig
from quire.training.profile import MARK, PARTS, TRACED_PASSES, TRACED_STEPS, profile_folder, profile_steps
from quire.training.trainer import Trainer

STEPS = {"steps": 4, "minutes": None, "batch_size": 12, "micro_batch_size": 2}


def events_of(trace: Path) -> list[dict[str, Any]]:
    content = json.loads(gzip.decompress(trace.read_bytes()))
    events: list[dict[str, Any]] = content["traceEvents"]
    return events


def test_a_profile_adds_up_and_its_trace_has_each_part_of_each_step(
    tmp_path: Path, config: Callable[..., RunConfig], data: TokenDataset
) -> None:
    profile = profile_steps(tmp_path, config(training=STEPS), data)
    assert tuple(profile.parts) == PARTS
    assert all(seconds > 0 for seconds in profile.parts.values())
    assert sum(profile.parts.values()) == pytest.approx(profile.seconds)
    assert profile.parts["forward"] + profile.parts["backward"] > profile.parts["loader"]
    assert 1 <= profile.steps <= profiles.TIMED_STEPS

    # A step has six micro-batches: fewer are traced, which bounds the size.
    marks = [event["name"].removeprefix(MARK) for event in events_of(profile.trace) if event["name"].startswith(MARK)]
    once = dict.fromkeys(("step", "loader", "clipping", "optimizer"), TRACED_STEPS)
    passes = dict.fromkeys(("forward", "backward"), TRACED_STEPS * TRACED_PASSES)
    assert {name: marks.count(name) for name in set(marks)} == once | passes
    assert sorted(path.name for path in profile_folder(tmp_path).iterdir()) == ["profile.txt", "trace.json.gz"]

    shares = [operator.share for operator in profile.operators]
    assert shares == sorted(shares, reverse=True)
    assert 0.3 < sum(shares) <= 1 + 1e-9
    assert not any(operator.name.startswith(MARK) for operator in profile.operators)
    assert any("mm" in operator.name for operator in profile.operators)

    lines = profile.lines()
    assert profile.table.read_text("utf-8").splitlines() == lines
    assert str(profile.trace) in lines[-1]
    assert "perfetto" in lines[-1]


def test_a_run_is_the_same_after_a_profile(
    tmp_path: Path, config: Callable[..., RunConfig], data: TokenDataset
) -> None:
    settings = config(training=STEPS)
    weights = []
    for name in ("bare", "profiled"):
        if name == "profiled":
            profile_steps(tmp_path / name, settings, data)
            assert [path.name for path in (tmp_path / name / "quire").iterdir()] == ["profile"]
        trainer = Trainer(tmp_path / name, settings, data)
        trainer.run()
        weights.append(trainer.model.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_trace_that_cannot_be_written_is_told(
    tmp_path: Path, config: Callable[..., RunConfig], data: TokenDataset
) -> None:
    (tmp_path / "quire").mkdir()
    profile_folder(tmp_path).write_text("a file")
    with pytest.raises(QuireError, match="profile"):
        profile_steps(tmp_path, config(training=STEPS), data)
