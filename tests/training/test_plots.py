"""Pictures are drawn of every run there is, the same bytes each time, and show what was last recorded."""

from __future__ import annotations

import json
import math
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from quire.cli.main import app
from quire.errors import FormatError
from quire.training.metrics import metrics_path, read_metrics, truncate_metrics
from quire.training.plots import History, draw, smoothed

NAMES = [
    "loss",
    "loss-over-time",
    "bits-per-byte",
    "bits-per-byte-over-time",
    "learning-rate",
    "gradient-norm",
    "speed",
    "overview",
]


def train(step: int, **other: Any) -> dict[str, Any]:
    loss = 2 + 5 * math.exp(-step / 50)
    return {
        "kind": "train",
        "step": step,
        "tokens": step * 64,
        "seconds": step / 7,
        "loss": loss,
        "bits_per_byte": loss / 2,
        "lr": 0.01,
        "grad_norm": 0.5,
        "tokens_per_second": 448.0,
        **other,
    }


def validation(step: int, **other: Any) -> dict[str, Any]:
    loss = 2.2 + 5 * math.exp(-step / 50)
    return {"kind": "validation", "step": step, "seconds": step / 7, "loss": loss, "bits_per_byte": loss / 2, **other}


def make_run(run: Path, records: list[dict[str, Any]], tail: str = "") -> Path:
    metrics_path(run).parent.mkdir(parents=True)
    metrics_path(run).write_text("".join(json.dumps(record) + "\n" for record in records) + tail)
    return run


def a_story(last: int = 300) -> list[dict[str, Any]]:
    records = []
    for step in range(2, last + 1, 2):
        records.append(train(step))
        if step % 50 == 0:
            records.append(validation(step))
    return records


def test_every_picture_is_there_as_png_and_svg(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "sonnets", a_story())
    written = draw(run)
    assert [path.name for path in written] == [f"{name}.{suffix}" for name in NAMES for suffix in ("png", "svg")]
    assert {path.parent for path in written} == {run / "quire" / "plots"}
    for path in written:
        data = path.read_bytes()
        if path.suffix == ".png":
            width, height = struct.unpack(">II", data[16:24])
            assert data.startswith(b"\x89PNG")
            assert (width, height) == ((1920, 1104) if path.stem == "overview" else (1280, 720))
            assert b"Software" not in data
        else:
            assert "</svg>" in data.decode()
            assert "<dc:date>" not in data.decode()
            assert "Matplotlib v" not in data.decode()


def test_the_same_metrics_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", a_story())
    here = draw(run, tmp_path / "here")
    settings = tmp_path / "matplotlibrc"
    settings.write_text("axes.facecolor: red\nfont.size: 30\n")
    code = "import sys; from pathlib import Path; from quire.training.plots import draw; draw(*map(Path, sys.argv[1:]))"
    words = [sys.executable, "-c", code, str(run), str(tmp_path / "there")]
    subprocess.run(words, check=True, env={"PATH": "", "MATPLOTLIBRC": str(settings), "HOME": str(tmp_path)})
    assert all(path.read_bytes() == (tmp_path / "there" / path.name).read_bytes() for path in here)


def test_a_resumed_run_is_drawn_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    story = a_story()
    at = next(number for number, record in enumerate(story) if record["step"] > 200)
    # It went on to 200 and beyond, was killed in the middle of a line, and went back to the checkpoint of step 150.
    lost = [train(step, loss=9.0) for step in range(152, 200, 2)] + [validation(200, loss=9.0)]
    before = [record for record in story[:at] if record["step"] <= 150]
    after = [record for record in story if record["step"] > 150]
    whole = draw(make_run(tmp_path / "a" / "run", story))
    resumed = draw(make_run(tmp_path / "b" / "run", [*before, *lost, *after], tail='{"kind": "train", "st'))
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in resumed]


def test_a_repeated_step_counts_as_last_written() -> None:
    history = History.of([train(1), validation(1), train(2, loss=9.0), train(2, loss=3.0), validation(2, loss=8.0)])
    assert history.points("train", "loss", "step") == [(1, train(1)["loss"]), (2, 3.0)]
    assert history.points("validation", "loss", "step") == [(1, validation(1)["loss"]), (2, 8.0)]
    back = History.of([train(1), train(2), validation(2), train(3), train(2, loss=1.0)])
    assert back.points("train", "loss", "step") == [(1, train(1)["loss"]), (2, 1.0)]
    assert back.points("validation", "loss", "step") == [(2, validation(2)["loss"])]


def test_what_is_no_number_or_no_curve_is_left_out() -> None:
    records = [
        {"kind": "note", "step": 1, "text": "hello"},
        {"kind": "train"},
        train(1, loss=float("nan"), grad_norm=None),
        train(2, grad_norm=float("inf")),
        train(3),
    ]
    history = History.of(records)
    assert [x for x, _ in history.points("train", "loss", "step")] == [2, 3]
    assert [x for x, _ in history.points("train", "grad_norm", "step")] == [3]
    assert [x for x, _ in history.points("train", "lr", "step")] == [1, 2, 3]


@pytest.mark.parametrize(
    "records",
    [
        [train(10)],
        [train(0, tokens=0, seconds=0.0)],
        [validation(0), train(10), validation(10)],
        [train(step, loss=2.0, lr=0.0, grad_norm=0.0) for step in range(1, 90)],
        [train(step, seconds=step * 3600) for step in range(1, 9)],
        [train(1, loss=float("nan"), bits_per_byte=None), train(2, loss=float("inf"), bits_per_byte=None)],
    ],
    ids=["one step", "step zero", "validation first", "flat", "hours", "diverged"],
)
def test_a_run_of_any_shape_is_drawn(records: list[dict[str, Any]], tmp_path: Path) -> None:
    written = draw(make_run(tmp_path / "run_$1_^", records))
    assert all(path.stat().st_size > 1000 for path in written)
    assert "overview.png" in [path.name for path in written]


def test_lines_that_are_no_records_are_told_and_a_resumed_run_leaves_them_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [train(1), train(2), train(3)])
    whole = metrics_path(run).read_bytes()
    for damage, said in (
        (b"\xff\xfe\n", "is not JSON"),
        (b"{\n{\n", "is not JSON"),
        (b"[]\n", "is no record of a run"),
    ):
        metrics_path(run).write_bytes(damage + whole)
        with pytest.raises(FormatError, match=f"line 1 {said}.*") as raised:
            draw(run)
        assert "Delete this line" in str(raised.value.hint)
        assert len(read_metrics(run, lenient=True)) == 3
        truncate_metrics(run, 2)
        assert [record["step"] for record in read_metrics(run)] == [1, 2]


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"metrics\.jsonl: no metrics here"):
        draw(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="no training step is recorded yet"):
        draw(make_run(tmp_path / "empty", []))
    with pytest.raises(FormatError, match="no training step is recorded yet"):
        draw(make_run(tmp_path / "torn", [], tail='{"kind": "tr'))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=400), st.booleans())
def test_smoothing_keeps_length_bounds_and_the_first_value(values: list[float], robust: bool) -> None:
    line = smoothed(values, robust=robust)
    assert len(line) == len(values)
    assert line[0] == values[0]
    assert min(values) - 1e-9 <= min(line)
    assert max(line) <= max(values) + 1e-9


def test_smoothing_follows_a_steep_start_and_quiets_noise() -> None:
    falling = [100 / (1 + step) for step in range(800)]
    assert max(abs(a - b) / b for a, b in zip(smoothed(falling), falling, strict=True)) < 0.15
    noise = [(-1.0) ** step for step in range(800)]
    assert max(map(abs, smoothed(noise)[100:])) < 0.11
    spikes = [50.0 if step % 100 == 40 else 1.0 for step in range(800)]
    assert max(smoothed(spikes, robust=True)[100:]) == 1.0


def test_importing_the_room_does_not_import_matplotlib() -> None:
    code = (
        "import sys, quire.training, quire.training.plots; print(sorted(n for n in sys.modules if 'matplotlib' in n))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_the_command_prints_the_paths(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, a_story(20)) for name in ("one", "two")]
    result = CliRunner().invoke(app, ["plot", str(runs[0])])
    assert result.exit_code == 0, result.output
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert paths[0] == runs[0] / "quire" / "plots" / "loss.png"
    assert all(path.is_file() for path in paths)

    result = CliRunner().invoke(app, ["plot", *map(str, runs), "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    plots = json.loads(result.stdout)["plots"]
    assert plots[str(runs[1])][0] == str(tmp_path / "out" / "two" / "loss.png")
    assert len(list((tmp_path / "out").glob("*/*.svg"))) == 2 * len(NAMES)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name / "run", a_story(4)) for name in ("a", "b")]
    result = CliRunner().invoke(app, ["plot", *map(str, runs), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert re.search("two of the runs have the same name", result.stderr)
    assert CliRunner().invoke(app, ["plot", str(tmp_path / "nowhere")]).exit_code == 2
    (tmp_path / "hollow").mkdir()
    assert CliRunner().invoke(app, ["plot", str(tmp_path / "hollow")]).exit_code == 1
