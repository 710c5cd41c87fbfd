"""The pictures of a run, drawn from its metrics: the same metrics give the same bytes.

Every picture is an opaque white card, so it reads alike in print, on a white page and on a dark one. The two colours
are told apart by the colour-blind (Okabe & Ito 2008), and on grey paper by line and marker: training is a plain line
over its faint raw values, validation is dashed with dots.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.errors import FormatError
from quire.training.drawing import (
    CARD,
    FAINT_INK,
    PALETTE,
    RULE,
    frame,
    our_look,
    rounded,
    save,
    shortened,
    time_unit,
)
from quire.training.metrics import Record, metrics_path, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN, VALIDATION = PALETTE[:2]

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class _Measure:
    """One quantity of the metrics and how to write it."""

    key: str
    title: str
    digits: Callable[[float], str]
    validated: bool = False


_LOSS = _Measure("loss", "Loss, nats per token", lambda value: f"{value:.3f}", validated=True)
_BITS = _Measure("bits_per_byte", "Bits per byte of text", lambda value: f"{value:.3f}", validated=True)
_RATE = _Measure("lr", "Learning rate of the matrices", lambda value: f"{value:.2g}")
_NORM = _Measure("grad_norm", "Gradient norm before clipping", lambda value: f"{value:.2f}")
_SPEED = _Measure("tokens_per_second", "Speed, tokens per second", lambda value: f"{value:,.0f}")
_SHARE = _Measure("share", "Share of the machine's matrix-product rate", lambda value: f"{value:.0%}")
_MEMORY = _Measure("memory_bytes", "Memory in use", lambda value: f"{value / 1e9:.2f} GB")

# File name, quantity, and what runs along the bottom.
_FIGURES = (
    ("loss", _LOSS, "step"),
    ("loss-over-time", _LOSS, "seconds"),
    ("bits-per-byte", _BITS, "step"),
    ("bits-per-byte-over-time", _BITS, "seconds"),
    ("learning-rate", _RATE, "step"),
    ("gradient-norm", _NORM, "step"),
    ("speed", _SPEED, "step"),
    ("share", _SHARE, "step"),
    ("memory", _MEMORY, "step"),
)
_OVERVIEW = (
    (_LOSS, "step"),
    (_BITS, "step"),
    (_LOSS, "seconds"),
    (_RATE, "step"),
    (_NORM, "step"),
    (_SPEED, "step"),
)


def draw(run: Path, out: Path | None = None) -> list[Path]:
    """Draw the pictures of `run`, each as PNG and as SVG, and return the files written: `loss.png` first.

    Args:
        run: a run folder; it may still be training.
        out: where to; `run/quire/plots` by default.

    Raises:
        FormatError: there are no metrics, or no training step is in them yet.
        QuireError: the pictures cannot be written.
    """
    run = Path(run)
    out = run / "quire" / "plots" if out is None else Path(out)
    history = History.of(read_metrics(run))
    if not history.train:
        raise FormatError(
            "no training step is recorded yet", where=metrics_path(run), hint="Wait for the first line of progress"
        )
    written = []
    with our_look():
        for name, measure, along in _FIGURES:
            if history.points("train", measure.key, along) or history.points("validation", measure.key, along):
                written += save(_single(run, history, measure, along), out / name)
        written += save(_overview(run, history), out / "overview")
    return written


@dataclass(frozen=True)
class History:
    """The records of a run as one story: what a resumption has written again stands there once, as last written."""

    train: list[Record]
    validation: list[Record]

    @classmethod
    def of(cls, records: Sequence[Record]) -> History:
        """Sort out `records`, which are in the order they were written."""
        story: list[Record] = []
        for record in records:
            if record.get("kind") not in ("train", "validation") or not isinstance(record.get("step"), int):
                continue
            # A step back is a resumption: what came after it has not happened.
            while story and story[-1]["step"] > record["step"]:
                story.pop()
            story = [old for old in story if (old["kind"], old["step"]) != (record["kind"], record["step"])]
            story.append(record)
        return cls(
            [record for record in story if record["kind"] == "train"],
            [record for record in story if record["kind"] == "validation"],
        )

    def points(self, kind: str, key: str, along: str) -> Points:
        """Return the finite values of `key` with their step or second."""
        records = self.train if kind == "train" else self.validation
        places = [record for record in records if _is_finite(record.get(along)) and _is_finite(record.get(key))]
        return [(float(record[along]), float(record[key])) for record in places]


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def smoothed(values: Sequence[float], *, robust: bool = False) -> list[float]:
    """Return the mean of `values` around each of them: of up to a 40th of all, and of fewer where the curve begins.

    A trailing mean would lie above a falling curve; one that begins narrow follows its steep start.

    Args:
        values: in the order they were recorded.
        robust: take the median, which single outliers do not move.
    """
    middle = statistics.median if robust else statistics.fmean
    widest = len(values) // 80
    halves = [min(widest, place // 4) for place in range(len(values))]
    return [middle(values[place - half : place + half + 1]) for place, half in enumerate(halves)]


def _single(run: Path, history: History, measure: _Measure, along: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.5))
    _draw_curves(figure.add_axes((0.088, 0.13, 0.722, 0.67)), history, measure, along, labelled=True)
    figure.text(0.03, 0.925, shortened(run.resolve().name, 28), fontsize=15, fontweight="bold", va="center")
    about = "  ·  ".join([measure.title, *_summary(history)])
    figure.text(0.03, 0.862, about, fontsize=10, color=FAINT_INK, va="center")
    frame(figure)
    return figure


def _overview(run: Path, history: History) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 6.9))
    places = {"left": 0.05, "right": 0.98, "top": 0.84, "bottom": 0.08, "wspace": 0.22, "hspace": 0.42}
    for axes, (measure, along) in zip(figure.subplots(2, 3, gridspec_kw=places).flat, _OVERVIEW, strict=True):
        axes.set_title(measure.title, loc="left", fontsize=11, fontweight="bold", pad=9)
        _draw_curves(axes, history, measure, along, labelled=False)
    figure.text(0.02, 0.957, shortened(run.resolve().name, 90), fontsize=16, fontweight="bold", va="center")
    figure.text(0.02, 0.917, "  ·  ".join(_summary(history)), fontsize=10, color=FAINT_INK, va="center")
    frame(figure)
    return figure


def _summary(history: History) -> list[str]:
    last = history.train[-1]
    parts = [f"{last['step']:,} steps"]
    if _is_finite(last.get("tokens")):
        parts.append(f"{rounded(last['tokens'])} tokens")
    if _is_finite(last.get("seconds")):
        size, unit = time_unit(last["seconds"])
        parts.append(f"{last['seconds'] / size:.3g} {unit}")
    return parts


def _draw_curves(axes: Axes, history: History, measure: _Measure, along: str, *, labelled: bool) -> None:
    train = history.points("train", measure.key, along)
    validation = history.points("validation", measure.key, along) if measure.validated else []
    if not train and not validation:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no finite value was recorded", ha="center", color=FAINT_INK, transform=axes.transAxes)
        return
    label = "step"
    if along == "seconds":
        size, unit = time_unit(max(x for x, _ in train + validation))
        train, validation = ([(x / size, y) for x, y in points] for points in (train, validation))
        label = f"training time, {unit}"
    ends = []
    line: list[float] = []
    if train:
        line = _draw_train(axes, train, measure)
        ends.append((f"train {measure.digits(line[-1])}" if validation else measure.digits(line[-1]), line[-1], TRAIN))
    if validation:
        best = min(validation, key=lambda point: point[1])
        axes.plot(*zip(*validation, strict=True), color=VALIDATION, linewidth=1.6, dashes=(4, 1.6), zorder=4)
        axes.plot(*zip(*validation, strict=True), "o", color=VALIDATION, markersize=3.6, zorder=5, clip_on=False)
        ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": VALIDATION, "clip_on": False}
        axes.plot(*best, "o", markersize=9, zorder=5, **ring)
        ends.append((f"validation {measure.digits(validation[-1][1])}", validation[-1][1], VALIDATION))
        _write_legend(axes, measure, best, along, ends, final_too=not labelled)
    above = _scale(axes, train, validation, line, from_zero=not measure.validated)
    axes.set_xlabel(label + ("  (the start is above the picture)" if above else ""))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    if measure in (_SHARE, _MEMORY):
        axes.yaxis.set_major_formatter(lambda value, _: measure.digits(value))
    elif measure is not _RATE:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.tick_params(length=3, width=0.8)
    if labelled:
        _label_ends(axes, ends)
    elif not validation and ends:
        _label_corner(axes, ends[0])


def _draw_train(axes: Axes, points: Points, measure: _Measure) -> list[float]:
    places = [x for x, _ in points]
    values = [y for _, y in points]
    line = values if measure is _RATE else smoothed(values, robust=not measure.validated)
    if line != values:
        axes.plot(places, values, color=TRAIN, alpha=0.3, linewidth=0.9, zorder=2)
    single: dict[str, Any] = {"marker": "o", "clip_on": False} if len(values) == 1 else {}
    axes.plot(places, line, color=TRAIN, linewidth=2.0, zorder=3, **single)
    return line


def _scale(axes: Axes, train: Points, validation: Points, line: list[float], *, from_zero: bool) -> bool:
    # Returns whether the line begins above the picture.
    last = max(x for x, _ in train + validation)
    axes.set_xlim(0, last * 1.005 if last > 0 else 1)
    values = [y for _, y in train + validation]
    low, high = min(values), max(values)
    above = False
    if from_zero:
        # One wild gradient does not flatten all the others.
        typical = sorted(values)[int(0.99 * (len(values) - 1))]
        high = min(high, 1.6 * typical) if typical > 0 else high
        low = min(0.0, low)
    else:
        # A model that knows nothing yet loses log V: shown in full, its fall would leave the rest a flat line.
        begun = [y for (x, _), y in zip(train, line, strict=True) if x >= last * 0.03] + [y for _, y in validation]
        if begun and high - low > 1.5 * (max(begun) - low) > 0:
            high = max(begun)
            above = any(y > high for y in line)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    axes.set_ylim(low if from_zero else low - room, high + room)
    return above


def _label_corner(axes: Axes, end: tuple[str, float, str]) -> None:
    text, _, colour = end
    axes.set_title(text, loc="right", fontsize=11, fontweight="bold", color=colour, pad=9)


def _label_ends(axes: Axes, ends: list[tuple[str, float, str]]) -> None:
    # Final numbers stand beside the end of their lines; two that would overlap are moved apart.
    low, high = axes.get_ylim()
    least = (high - low) * 0.065
    heights = {text: height for text, height, _ in ends}
    if len(ends) == 2:
        (one, a, _), (other, b, _) = sorted(ends, key=lambda end: end[1])
        gap = least - (b - a)
        if gap > 0:
            heights[one], heights[other] = a - gap / 2, b + gap / 2
    for text, _, colour in ends:
        axes.annotate(
            text,
            (1, heights[text]),
            xytext=(7, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=colour,
            fontweight="bold",
            va="center",
            annotation_clip=False,
        )


def _write_legend(
    axes: Axes, measure: _Measure, best: tuple[float, float], along: str, ends: Sequence[Any], *, final_too: bool
) -> None:
    from matplotlib.lines import Line2D

    names = [text if final_too else text.split()[0] for text, _, _ in ends]
    drawn: list[Any] = [Line2D([], [], color=TRAIN, linewidth=2.0)] if len(ends) == 2 else []
    drawn.append(Line2D([], [], color=VALIDATION, linewidth=1.6, dashes=(4, 1.6), marker="o", markersize=3.6))
    drawn.append(Line2D([], [], linestyle="", marker="o", markersize=9, markerfacecolor="none", color=VALIDATION))
    at = f" at step {best[0]:,.0f}" if along == "step" else ""
    names.append(f"best {measure.digits(best[1])}{at}")
    if final_too:
        axes.legend(drawn, names, loc="best", handlelength=2.6, framealpha=0.9, edgecolor="none", facecolor=CARD)
    else:
        # In the head of the card, where no curve can run under it.
        axes.figure.legend(
            drawn,
            names,
            loc="center right",
            bbox_to_anchor=(0.985, 0.925),
            ncols=len(names),
            frameon=False,
            columnspacing=1.4,
        )
