"""The pictures of the chapter "Training in depth"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from learn.look import BLUE, FAINT, GREEN, INK, ORANGE, PALE_GREY, PURPLE, RULE, WIDTH, look, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quire.scratch.optimizers import NEWTON_SCHULZ, orthogonalize
from quire.training.checkpoint import TrainingState
from quire.training.length import RunLength
from quire.training.pace import Pace
from quire.training.schedule import Schedule, ScheduleSettings

Array = NDArray[np.float64]

GRADIENT = np.array([[3.0, 0.0], [4.0, 5.0]])
VALUES = (1.0, 0.5, 0.1, 0.03, 0.01, 0.003, 0.001)
STEPS = 5
DASHES: list[Any] = ["-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 1.5, 1.5, 1.5))]
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)


def draw(folder: Path) -> list[Path]:
    """Draw every picture of the chapter into `folder` and return the files."""
    with look():
        return [
            save(orthogonalized(), folder, "orthogonalized"),
            save(multipliers(), folder, "multipliers"),
            save(clock(), folder, "by-the-clock"),
        ]


def orthogonalized() -> Figure:
    """What a matrix and its orthogonalized form make of a circle; singular values over the steps."""
    figure = Figure(figsize=(WIDTH, 3.5))
    plane, values = figure.subplots(1, 2, width_ratios=(1, 1.15))
    figure.subplots_adjust(left=0.05, right=0.885, top=0.9, bottom=0.14, wspace=0.3)
    _ellipses(plane)
    _iterates(values)
    return figure


def _ellipses(axes: Axes) -> None:
    turn = np.linspace(0, 2 * np.pi, 241)
    circle = np.array([np.cos(turn), np.sin(turn)])  # (2, points)
    for matrix, colour, dash, width in (
        (np.eye(2), FAINT, DASHES[2], 1.2),
        (orthogonalize(GRADIENT, 0), ORANGE, DASHES[1], 1.8),
        (orthogonalize(GRADIENT), BLUE, DASHES[0], 2.0),
    ):
        axes.plot(*(matrix @ circle), color=colour, linestyle=dash, linewidth=width)
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), aspect="equal")
    axes.set_title("What becomes of a circle")
    axes.axhline(0, color=RULE, linewidth=0.8, zorder=0)
    axes.axvline(0, color=RULE, linewidth=0.8, zorder=0)
    axes.axis("off")
    for x, name, colour, align in (
        (-0.07, "inputs", FAINT, "left"),
        (0.36, "G / norm", ORANGE, "center"),
        (1.1, "orthogonalized", BLUE, "right"),
    ):
        axes.text(x, -0.06, name, color=colour, ha=align, transform=axes.transAxes)


def _iterates(axes: Axes) -> None:
    a, b, c = NEWTON_SCHULZ
    steps = np.arange(STEPS + 1)
    axes.axhspan(0.68, 1.2, color=PALE_GREY, zorder=0)
    for count, start in enumerate(VALUES):
        path = [start]
        for _ in range(STEPS):
            s = path[-1]
            path.append(a * s + b * s**3 + c * s**5)
        axes.plot(
            steps,
            path,
            color=COLOURS[count % 4],
            linestyle=DASHES[count % 4],
            marker="o",
            markersize=3,
            linewidth=1.5,
        )
        axes.annotate(
            f"{start:g}", (0, start), xytext=(-6, 0), textcoords="offset points", ha="right", va="center", fontsize=8.5
        )
    axes.set(yscale="log", xlim=(-0.1, STEPS + 0.1), ylim=(7e-4, 2), xlabel="step", xticks=steps)
    axes.set_title("Singular values")
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.text(STEPS + 0.2, 0.9, "0.7 to 1.2", va="center", color=INK, fontsize=9)


def multipliers() -> Figure:
    """The four forms of a schedule over 100 steps."""
    forms = {
        "linear": ScheduleSettings(warmup_steps=10, decay_fraction=1.0),
        "cosine": ScheduleSettings(warmup_steps=10, decay_fraction=1.0, shape="cosine"),
        "stable, then linear": ScheduleSettings(warmup_steps=10, decay_fraction=0.6),
        "stable, then sqrt": ScheduleSettings(warmup_steps=10, decay_fraction=0.6, shape="sqrt"),
    }
    figure = Figure(figsize=(WIDTH, 3.1))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.08, right=0.98, top=0.95, bottom=0.15)
    for (name, form), colour, dash in zip(forms.items(), COLOURS, DASHES, strict=True):
        rates = [Schedule(form, 100).multiplier(step) for step in range(100)]
        axes.plot(range(100), rates, color=colour, linestyle=dash, label=name)
    axes.set(xlim=(0, 100), ylim=(0, 1.05), xlabel="step", ylabel="part of the peak rate")
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.legend(loc="lower left", bbox_to_anchor=(0.1, 0.02))
    return figure


def by_the_clock(later: float) -> tuple[list[float], list[float], list[float]]:
    """Return seconds and multipliers of the steps of a run of a minute, and the seconds of its revisions.

    Args:
        later: how many times as long a step takes after 30 seconds.
    """
    schedule = Schedule(ScheduleSettings(warmup_steps=10, decay_fraction=0.6), 450)
    state, pace, length = TrainingState(total_steps=450), Pace(), RunLength(1.0)
    seconds, taken, revised = [], [], []
    while state.step < state.total_steps:
        seconds.append(state.seconds)
        taken.append(schedule.multiplier(state.step))
        state.seconds += 0.1 * (later if state.seconds >= 30 else 1.0)
        state.step += 1
        pace.stepped(state.seconds)
        before = len(state.knots)
        length.revise(state, pace, schedule)
        if len(state.knots) > before:
            revised.append(state.seconds)
    return seconds, taken, revised


def clock() -> Figure:
    """The multiplier over time where the machine keeps its speed, and where it becomes slower or faster."""
    figure = Figure(figsize=(WIDTH, 3.1))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.08, right=0.98, top=0.95, bottom=0.15)
    axes.axvline(30, color=FAINT, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.text(30.5, 0.06, "the machine changes", color=FAINT)
    for name, later, colour, dash in (
        ("as before", 1.0, BLUE, DASHES[0]),
        ("twice as slow", 2.0, ORANGE, DASHES[1]),
        ("twice as fast", 0.5, GREEN, DASHES[2]),
    ):
        seconds, taken, revised = by_the_clock(later)
        axes.plot(seconds, taken, color=colour, linestyle=dash, label=name)
        if len(revised) > 1:
            at = revised[-1]
            axes.plot(at, np.interp(at, seconds, taken), "o", color=colour, markersize=5)
    axes.set(xlim=(0, 62), ylim=(0, 1.05), xlabel="seconds", ylabel="part of the peak rate", xticks=range(0, 61, 10))
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.legend(loc="lower left", bbox_to_anchor=(0.1, 0.1))
    return figure
