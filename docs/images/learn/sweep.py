"""The pictures of the recorded sweep: rates, learning by heart, and what was foretold beside what came."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from learn.look import BLUE, FAINT, INK, ORANGE, PALE_GREY, PURPLE, RULE, WIDTH, look, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quire.training.plan import PARAMETER_EPOCHS_PER_BYTE
from quire.training.prediction import LAW, ORDER, predict

RUNS = Path(__file__).resolve().parents[1] / "runs" / "sweep.jsonl"
COLOURS = {"essays-0.3": BLUE, "shakespeare-1": ORANGE, "mixed-10": PURPLE}
RATES = {"matrix_learning_rate": "Muon's rate, times the plan's", "learning_rate": "AdamW's rate, times the plan's"}

Row = dict[str, Any]


def draw(folder: Path) -> list[Path]:
    """Draw the pictures into `folder` and return the files."""
    rows = [json.loads(line) for line in RUNS.read_text("utf-8").splitlines()]
    with look():
        figures = {"sweep-rates": rates, "sweep-foretold": foretold, "sweep-by-heart": by_heart}
        return [save(make(rows), folder, name) for name, make in figures.items()]


def rates(rows: list[Row]) -> Figure:
    """By how much bits per byte change where one of the two learning rates is halved or doubled."""
    figure = Figure(figsize=(WIDTH, 4.8))
    columns = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.095, right=0.97, top=0.97, bottom=0.35, wspace=0.1)
    groups: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        short = row["question"] == "short rates"
        if short or row["question"] in ("centre", "rates"):
            groups[row["corpus"], row["parameters"], "98 steps" if short else f"{row['steps']:,} steps"].append(row)
    for axes, (field, label) in zip(columns, RATES.items(), strict=True):
        other = next(name for name in RATES if name != field)
        for (corpus, parameters, steps), runs in sorted(groups.items()):
            usual = {name: _middle(run[name] for run in runs) for name in RATES}
            found = {round(run[field] / usual[field], 1): run["final"] for run in runs if run[other] == usual[other]}
            if {0.5, 1.0, 2.0} <= set(found) and not any(_by_heart(run) for run in runs):
                points = [(factor, 100 * (found[factor] / found[1.0] - 1)) for factor in sorted(found)]
                style = {"98 steps": "o:", "1,085 steps": "s--", "1,149 steps": "s--"}.get(steps, "^-")
                name = f"{corpus}, {parameters / 1e6:.1f}M, {steps}"
                axes.plot(*zip(*points, strict=True), style, color=COLOURS[corpus], label=name)
        axes.axhline(0, color=FAINT, linewidth=1.0)
        axes.set(xscale="log", xlabel=label)
        axes.set_xticks([0.5, 1, 2], ["½", "1", "2"])
        axes.minorticks_off()
        axes.grid(axis="y", color=RULE, linewidth=0.8)
    columns[0].set_ylabel("bits per byte, change in %")
    lines = columns[0].get_legend_handles_labels()
    figure.legend(*lines, frameon=False, loc="lower center", ncols=2)
    return figure


def by_heart(rows: list[Row]) -> Figure:
    """Bits per byte of text not seen, over a run, by parameters times the times seen for each byte of text."""
    figure = Figure(figsize=(WIDTH, 4.4))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.085, right=0.97, top=0.97, bottom=0.135)
    styles = {"0.5M": "-", "3M": "--", "10M": ":"}
    for row in rows:
        if row["question"] == "centre" and row["corpus"] in ("essays-0.3", "shakespeare-1"):
            whole = row["parameters"] * row["epochs"] / row["train_bytes"]
            points = [(whole * step / row["steps"], bits) for step, bits in row["curve"]]
            name = f"{row['corpus']}, {row['size']}"
            axes.plot(*zip(*points, strict=True), styles[row["size"]], color=COLOURS[row["corpus"]], label=name)
    axes.axvline(PARAMETER_EPOCHS_PER_BYTE, color=FAINT, linewidth=1.0)
    axes.text(1.05 * PARAMETER_EPOCHS_PER_BYTE, 3.05, "the plan ends here", color=INK)
    axes.set(xscale="log", ylabel="bits per byte", xlabel="parameters x times the text was seen, for each byte of it")
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.minorticks_off()
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.legend(frameon=False, loc="upper left")
    return figure


def _by_heart(row: Row) -> bool:
    return bool(row["parameters"] * row["epochs"] > PARAMETER_EPOCHS_PER_BYTE * row["train_bytes"])


def _middle(values: Iterable[float]) -> float:
    """Return the value that most runs have: that of the plan."""
    return Counter(values).most_common(1)[0][0]


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
