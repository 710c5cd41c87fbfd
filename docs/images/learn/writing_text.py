"""The pictures of the chapter "Writing text"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from learn.look import AMBER, BLUE, FAINT, GREEN, INK, ORANGE, PALE_GREY, PURPLE, RULE, WIDTH, look, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quire.scratch.sampling import distribution

WORDS = ("mat", "sofa", "floor", "moon", "xylophone")
OURS = (0.4, 0.3, 0.2, 0.07, 0.03)
SURE = (0.92, 0.04, 0.02, 0.01, 0.01)
UNSURE = (0.24, 0.22, 0.2, 0.18, 0.16)
TOP_K, TOP_P, MIN_P = 2, 0.8, 0.1


def draw(folder: Path) -> list[Path]:
    """Draw every picture of the chapter into `folder` and return the files."""
    with look():
        return [save(temperature(), folder, "temperature"), save(cuts(), folder, "cuts")]


def temperature() -> Figure:
    """The probability of each token over the temperature."""
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.add_axes((0.095, 0.15, 0.74, 0.8))
    places = np.logspace(-1, 1, 121)
    curves = np.array([distribution(np.log(OURS), temperature=T) for T in places])  # (places, V)
    lines = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
    for token, (word, colour, line) in enumerate(zip(WORDS, (BLUE, ORANGE, GREEN, PURPLE, AMBER), lines, strict=True)):
        axes.plot(places, curves[:, token], color=colour, linestyle=line)
        # The ends lie close together at a high temperature: the names are spread a little.
        axes.text(10.6, curves[-1, token] + 0.047 * (2 - token), word, color=colour, va="center")
    axes.axvline(1, color=FAINT, linewidth=1.0, linestyle=(0, (1, 2)))
    axes.text(1.04, 0.96, "as the model says", color=FAINT, va="top")
    axes.axhline(1 / len(WORDS), color=RULE, linewidth=1.0, zorder=0)
    axes.set(xscale="log", xlim=(0.1, 10), ylim=(0, 1), xlabel="temperature T", ylabel="probability")
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    axes.minorticks_off()
    return figure


def cuts() -> Figure:
    """Three distributions and what each rule keeps of them."""
    figure = Figure(figsize=(WIDTH, 5.6))
    grid = figure.subplots(3, 3, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.165, right=0.98, top=0.93, bottom=0.15, hspace=0.22, wspace=0.08)
    rows = ((SURE, "a sure model"), (OURS, "our example"), (UNSURE, "an unsure model"))
    rules: tuple[tuple[str, dict[str, Any]], ...] = (
        (f"top-k {TOP_K}", {"top_k": TOP_K}),
        (f"top-p {TOP_P}", {"top_p": TOP_P}),
        (f"min-p {MIN_P}", {"min_p": MIN_P}),
    )
    for number, (shares, name) in enumerate(rows):
        for axes, (title, rule) in zip(grid[number], rules, strict=True):
            kept = distribution(np.log(shares), **rule) > 0
            _bars(axes, shares, kept.tolist())
            if "min_p" in rule:
                axes.axhline(MIN_P * shares[0], color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
            if "top_p" in rule:
                axes.plot(range(5), np.cumsum(shares), "o-", color=ORANGE, linewidth=1.0, markersize=3.5)
                axes.axhline(TOP_P, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
            if number == 0:
                axes.set_title(title)
        grid[number][0].set_ylabel(f"{name}\n", fontweight="bold")
    grid[2][1].text(-0.4, 0.97, "running sum", color=ORANGE, va="top")
    figure.text(0.018, 0.54, "probability", rotation=90, va="center", ha="center")
    for axes in grid[-1]:
        axes.set_xticks(range(5), WORDS, rotation=40, ha="right", rotation_mode="anchor")
    return figure


def _bars(axes: Axes, shares: tuple[float, ...], kept: list[bool]) -> None:
    colours = [BLUE if here else PALE_GREY for here in kept]
    axes.bar(range(len(shares)), shares, color=colours, edgecolor=[BLUE if here else FAINT for here in kept], width=0.7)
    axes.text(4.45, 0.46, f"{sum(kept)} kept", ha="right", va="center")
    axes.set(ylim=(0, 1.08), yticks=(0, 0.5, 1), xlim=(-0.6, 4.6))
