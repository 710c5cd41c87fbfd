"""Runs in one picture: every run is in it, named apart, none over another, and the same metrics give the same bytes."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from quire.cli.main import app
from quire.errors import FormatError
from quire.training.compare import FIGURES, compare, names_of, spread
from quire.training.metrics import metrics_path

NAMES = ["comparison", *(name for name, _, _ in FIGURES)]


def make_run(run: Path, floor: float, last: int = 200, **other: Any) -> Path:
    records = []
    for step in range(10, last + 1, 10):
        loss = floor + 100 / (step + 20)
        at = {"step": step, "tokens": step * 64, "seconds": step / 7}
        figures = {"loss": loss, "bits_per_byte": loss / 2, **other}
        speed = {"lr": 0.01, "grad_norm": 0.5, "tokens_per_second": 448.0}
        records.append({"kind": "train", **at, **figures, **speed})
        if step % 50 == 0:
            records.append({"kind": "validation", **at, **figures})
    metrics_path(run).parent.mkdir(parents=True)
    metrics_path(run).write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


def texts_of(picture: Path) -> str:
    # Matplotlib leaves what it draws as outlines in a comment above them.
    return "\n".join(re.findall(r"<!-- (.*?) -->", picture.read_text("utf-8")))


@pytest.mark.parametrize("count", [2, 8])
def test_every_run_is_named_with_its_last_value_in_every_picture(count: int, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"run {number}", 1.5 + number / 10) for number in range(count)]
    written = compare(runs, tmp_path / "out")
    assert [path.name for path in written] == [f"{name}.{suffix}" for name in NAMES for suffix in ("png", "svg")]
    for picture in (tmp_path / "out").glob("*.svg"):
        told = texts_of(picture)
        for number in range(count):
            loss = 1.5 + number / 10 + 100 / 220
            value = loss if picture.stem.startswith("loss") else loss / 2
            assert f"{value:.3f}  run {number}" in told, picture.name


def test_of_many_runs_the_best_are_drawn_and_that_is_said(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"run-{number}", 3 - number / 10, last=60) for number in range(11)]
    told = texts_of(next(path for path in compare(runs, tmp_path / "out") if path.name == "bits-per-byte.svg"))
    assert "the best 8 of 11 runs" in told
    drawn = set(re.findall(r"run-\d+", told))
    assert drawn == {f"run-{number}" for number in range(3, 11)}


def test_the_same_metrics_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, floor) for name, floor in (("a", 1.5), ("b", 1.6))]
    first, second = compare(runs, tmp_path / "one"), compare(runs, tmp_path / "two")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(
    "other",
    [{"loss": float("nan"), "seconds": 0.0}, {"bits_per_byte": None, "seconds": 1e6}],
    ids=["diverged, no time", "no bits, days"],
)
def test_runs_of_any_shape_are_compared(other: dict[str, Any], tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a$b_^", 1.5), make_run(tmp_path / "other", 1.6, last=40, **other)]
    assert all(path.stat().st_size > 1000 for path in compare(runs, tmp_path / "out"))


def test_a_run_that_is_only_begun_is_drawn_by_its_training(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "old", 1.5), make_run(tmp_path / "new", 2.0, last=30)]
    compare(runs, tmp_path / "out")
    assert "new" in texts_of(tmp_path / "out" / "loss.svg")


def test_a_run_without_a_step_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no training step is recorded yet\. Leave this run out"):
        compare([make_run(tmp_path / "a", 1.5), make_run(tmp_path / "b", 1.5, last=0)], tmp_path / "out")


def test_names_are_as_short_as_they_can_be_and_never_the_same(tmp_path: Path) -> None:
    paths = [tmp_path / "x" / "run", tmp_path / "y" / "run", tmp_path / "y" / "other"]
    assert names_of(paths[1:]) == ["run", "other"]
    assert names_of(paths) == ["x/run", "y/run", "y/other"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 0.1))
def test_names_stand_apart_in_order_and_inside(values: list[float], gap: float) -> None:
    heights = sorted(values)
    moved = spread(heights, gap, 0.0, 1.0)
    assert len(moved) == len(heights)
    assert min(moved) >= -1e-9
    assert max(moved) <= 1 + 1e-9
    assert all(upper - lower >= gap - 1e-9 for lower, upper in itertools.pairwise(moved))
    if all(upper - lower >= gap for lower, upper in itertools.pairwise(heights)):
        assert moved == pytest.approx(heights)


def test_two_that_touch_move_by_the_same() -> None:
    assert spread([0.5, 0.52], 0.1, 0.0, 1.0) == pytest.approx([0.46, 0.56])
    assert spread([0.99, 1.0], 0.1, 0.0, 1.0) == pytest.approx([0.9, 1.0])


def test_the_command_draws_runs_together_and_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [str(make_run(tmp_path / name, floor)) for name, floor in (("a", 1.5), ("b", 1.6))]
    result = CliRunner().invoke(app, ["plot", *runs])
    assert result.exit_code == 0, result.output
    printed = [Path(line) for line in result.stdout.splitlines()]
    assert printed[0] == Path("comparison/comparison.png")
    assert all(path.is_file() for path in printed)
    assert (tmp_path / "a/quire/plots/loss.svg").is_file()

    result = CliRunner().invoke(app, ["plot", *runs, "--out", "pictures", "--json"])
    told = json.loads(result.stdout)
    assert told["comparison"][0] == "pictures/comparison.png"
    assert len(told["comparison"]) == 2 * len(NAMES)
    assert Path("pictures/b/loss.png").is_file()

    result = CliRunner().invoke(app, ["plot", runs[0], runs[0], "--json"])  # one run, named twice
    assert json.loads(result.stdout)["comparison"] == []
