"""What `quire train` shows: figures that fit the terminal, few lines in a log, and a resumed run told as one."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from quire.cli.train_view import BLOCKS, Figures, View, clock, gibibytes, sparkline


def train(step: int, seconds: float, **other: Any) -> dict[str, Any]:
    loss = 2 + 5 * math.exp(-step / 100)
    record = {"kind": "train", "step": step, "total_steps": 1000, "seconds": seconds, "tokens": step * 2048}
    figures = {"loss": loss, "bits_per_byte": loss / 2, "lr": 0.02, "tokens_per_second": 2048.0}
    return {**record, **figures, **other}


def validation(step: int, bits: float, **other: Any) -> dict[str, Any]:
    record = {"kind": "validation", "step": step, "seconds": float(step), "loss": 2 * bits, "best": True}
    return {**record, "bits_per_byte": bits, **other}


def figures_of(*records: dict[str, Any]) -> Figures:
    figures = Figures()
    for record in records:
        figures.take(record)
    return figures


def log_of(records: list[dict[str, Any]]) -> list[str]:
    console = Console(file=io.StringIO(), width=120, force_terminal=False, highlight=False)
    view = View(console)
    for record in records:
        view.show(record)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@given(st.integers(20, 300), st.integers(1, 10**7), st.floats(1, 1e7))
def test_no_line_is_wider_than_the_terminal(width: int, step: int, seconds: float) -> None:
    large = {"share": 0.6, "memory_bytes": 7e11, "loader_share": 0.01, "total_steps": 10**7}
    figures = figures_of(train(step, seconds, **large), validation(step, 1.25), validation(step, 1.5))
    console = Console(file=io.StringIO(), width=width)
    console.print(figures)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= min(width, 120)


def test_eighty_columns_hold_every_figure() -> None:
    figures = figures_of(
        train(300, 300.0, share=0.613, memory_bytes=3 * 2**29, loader_share=0.0012),
        validation(300, 1.25),
        train(310, 310.0, share=0.613, memory_bytes=3 * 2**29, loader_share=0.0012),
        validation(310, 1.5),
    )
    text = "\n".join(line.plain for line in figures.lines(80))
    for figure in ("step 310/1,000", "31%", "11:30 left", "2.225 nats a token", "1.113; validation 1.500, best 1.250"):
        assert figure in text
    for figure in ("2,048 tokens/s, loader 0.1%, learning rate 0.02", "61% of this machine's float32", "1.50 GiB"):
        assert figure in text
    figures.start({"kind": "start", "device": "cuda:0", "precision": "bfloat16"})
    assert "MFU 61% of the measured bfloat16 matrix-product rate" in figures.lines(80)[-1].plain


def test_a_record_without_the_machine_s_figures_is_shown_without_them() -> None:
    lines = [line.plain for line in figures_of(train(1, 1.0)).lines(80)]
    assert len(lines) == 4
    assert "None" not in "".join(lines)


def test_a_log_says_what_share_of_a_step_the_loader_takes_where_it_counts() -> None:
    assert "loader" not in figures_of(train(1, 1.0, loader_share=0.009)).line()
    assert "  loader 12%  " in figures_of(train(1, 1.0, loader_share=0.12)).line()


@pytest.mark.parametrize(("days", "most"), [(600 / 86400, 32), (1, 80), (7, 100)])
def test_a_log_has_few_lines_however_long_the_run(days: float, most: int) -> None:
    seconds = days * 86400
    records = [train(step, seconds * step / 1000) for step in range(1, 1001)]
    lines = log_of(records)
    assert 8 < len(lines) <= most
    assert "1/1,000" in lines[0]
    assert "1,000/1,000" in lines[-1]
    assert "0:00 left" in lines[-1]
    assert max(map(len, lines)) <= 120


def test_what_is_left_is_told_from_the_pace_of_this_process() -> None:
    # A tenth of a second a step before the interruption; one second a step since, evaluations among them.
    view = View(Console(file=io.StringIO(), width=80))
    view.remember([train(step, step / 10) for step in range(10, 210, 10)] + [validation(200, 1.5)])
    view.figures.take(train(160, 16.0))
    assert [record["step"] for record in view.figures.train] == [*range(10, 170, 10)]
    assert view.figures.validation == []  # it came after the checkpoint and is made again
    assert view.figures.seconds_left() == pytest.approx(840)  # one record: tokens a step over tokens a second
    view.figures.take(train(170, 26.0))
    assert view.figures.seconds_left() == pytest.approx(830)


def test_the_time_left_runs_down_between_two_records() -> None:
    now = 100.0
    figures = Figures(now=lambda: now)
    figures.take(train(10, 10.0))
    figures.take(train(20, 20.0))
    assert "16:20 left" in figures.lines(80)[0].plain
    now += 20
    assert "16:00 left" in figures.lines(80)[0].plain
    now += 5000
    assert "0:00 left" in figures.lines(80)[0].plain


def test_validations_and_samples_stand_in_the_log() -> None:
    told = log_of([validation(100, 1.5), {"kind": "sample", "step": 100, "text": "One [b]word\n" * 40}])
    assert told[0].split("  ")[-1] == "best so far"
    assert "1.5000 bits per byte" in told[0]
    assert len(told) == 2
    assert told[1].endswith("…")
    assert "[b]word" in told[1]


def test_what_the_plan_expects_is_told_in_one_line_with_its_range() -> None:
    record = {"kind": "prediction", "bits_per_byte": 2.079, "low": 1.9, "high": 2.2567, "why": "0.87M [parameters]"}
    (line,) = [line for line in log_of([record]) if line]
    assert line == "expected: 2.08 bits per byte of the validation text, 1.90 to 2.26 (0.87M [parameters])"


def test_a_step_that_was_not_taken_and_a_return_are_no_lines_of_their_own() -> None:
    back = [train(10, 1.0), {"kind": "skip", "step": 11, "reason": "wild"}, {"kind": "return", "step": 8}]
    figures = figures_of(train(10, 1.0), validation(10, 1.5), train(9, 2.0, loss=math.nan))
    assert [record["step"] for record in figures.train] == [9]
    assert figures.validation == []
    assert "nan" in figures.line()
    assert len(log_of(back)) == 1


@given(st.lists(st.floats(0, 50) | st.just(math.nan), max_size=300), st.integers(0, 100))
def test_a_curve_of_blocks_fits_and_ends_where_the_values_do(values: list[float], width: int) -> None:
    curve = sparkline(values, width)
    assert len(curve) <= width
    assert set(curve) <= set(BLOCKS)


def test_a_falling_curve_falls() -> None:
    curve = sparkline([100 / (1 + step) for step in range(200)], 40)
    assert curve[0] == BLOCKS[-1]
    assert curve[-1] == BLOCKS[0]
    assert sorted(curve, reverse=True) == list(curve)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (90061, "1 d 1:01:01")],
)
def test_times_are_written_as_on_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_memory_is_written_in_its_unit() -> None:
    assert gibibytes(2**29) == "512 MiB"
    assert gibibytes(5 * 2**29) == "2.50 GiB"
