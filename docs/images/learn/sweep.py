"""The pictures of the recorded sweep: learning rates, and what was foretold beside what came (docs/training.md)."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from learn.look import BLUE, FAINT, INK, ORANGE, PALE_GREY, PURPLE, RULE, WIDTH, look, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quire.training.prediction import LAW, ORDER, predict

RUNS = Path(__file__).resolve().parents[1] / "runs" / "sweep.jsonl"
COLOURS = {"essays-0.3": BLUE, "shakespeare-1": ORANGE, "mixed-10": PURPLE}
RATES = {"matrix_learning_rate": "Muon's rate, times 0.02", "learning_rate": "AdamW's rate, times 0.006"}
USUAL = {"matrix_learning_rate": 0.02, "learning_rate": 0.006}

Row = dict[str, Any]


def draw(folder: Path) -> list[Path]:
    """Draw both pictures into `folder` and return the files."""
    rows = [json.loads(line) for line in RUNS.read_text("utf-8").splitlines()]
    with look():
        return [save(rates(rows), folder, "sweep-rates"), save(foretold(rows), folder, "sweep-foretold")]


def rates(rows: list[Row]) -> Figure:
    """By how much bits per byte change where one of the two learning rates is halved or doubled."""
    figure = Figure(figsize=(WIDTH, 3.6))
    columns = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.095, right=0.97, top=0.92, bottom=0.17, wspace=0.1)
    for axes, (field, label) in zip(columns, RATES.items(), strict=True):
        other = next(name for name in RATES if name != field)
        for corpus, colour in COLOURS.items():
            found = {
                row[field] / USUAL[field]: row["final"]
                for row in rows
                if row["corpus"] == corpus and row["question"] == "short rates" and row[other] == USUAL[other]
            }
            if 1.0 in found:
                points = [(factor, 100 * (found[factor] / found[1.0] - 1)) for factor in sorted(found)]
                axes.plot(*zip(*points, strict=True), "o-", color=colour, label=corpus)
        axes.axhline(0, color=FAINT, linewidth=1.0)
        axes.set(xscale="log", xlabel=label)
        axes.set_xticks([0.5, 1, 2], ["½", "1", "2"])
        axes.minorticks_off()
        axes.grid(axis="y", color=RULE, linewidth=0.8)
    columns[0].set_ylabel("bits per byte, change in %")
    columns[1].legend(frameon=False, loc="upper right")
    return figure


def foretold(rows: list[Row]) -> Figure:
    """Every run of the plan's settings: what the law says of it and what came, with the range that is told."""
    figure = Figure(figsize=(WIDTH, 4.6))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.085, right=0.97, top=0.97, bottom=0.125)
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        seen = row["tokens"] * row["train_bytes"] / row["train_tokens"]
        found = predict(row["parameters"], seen, row["train_bytes"], row["ngrams"][str(ORDER)])
        if found is not None and row["planned"]:
            points[row["corpus"]].append((found.bits_per_byte, row["final"]))
    _band(axes, [value for pairs in points.values() for pair in pairs for value in pair])
    marks = "os^Dvp"
    for number, (corpus, pairs) in enumerate(sorted(points.items())):
        colour = COLOURS.get(corpus, INK)
        axes.plot(*zip(*pairs, strict=True), marks[number % len(marks)], color=colour, label=corpus, linestyle="none")
    axes.set(xlabel="foretold, bits per byte", ylabel="came")
    axes.legend(frameon=False, loc="upper left")
    return figure


def _band(axes: Axes, values: list[float]) -> None:
    low, high = 0.95 * min(values), 1.05 * max(values)
    axes.fill_between(
        (low, high),
        (low * (1 - LAW.error), high * (1 - LAW.error)),
        (low * (1 + LAW.error), high * (1 + LAW.error)),
        color=PALE_GREY,
    )
    axes.plot((low, high), (low, high), color=FAINT, linewidth=1.0)
    axes.set(xlim=(low, high))
