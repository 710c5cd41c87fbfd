"""Several runs in one picture: bits per byte and loss over steps, tokens and time, each line named where it ends.

The lines are those of the validation text, which is what runs are compared by; training is drawn faintly under them
while the runs are few. Colour, marker and a name beside its end tell each run, so that none is needed alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.errors import FormatError
from quire.training.drawing import FAINT_INK, INK, PALETTE, RULE, frame, our_look, save, shortened, time_unit
from quire.training.metrics import metrics_path, read_metrics
from quire.training.plots import History, Points, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_RUNS = len(PALETTE)
FEW_RUNS = 4  # up to so many, the training curves are drawn too
MARKERS = "osD^vPX*"
MOST_MARKS = 25  # on a line; more of them would hide it
STEEP_START = 0.1  # of the width: what is higher there is cut off
NAME_LENGTH = 18

TITLES = {
    "bits_per_byte": "Bits per byte of validation text",
    "loss": "Validation loss, nats per token (runs with one tokenizer)",
}
FIGURES = (
    ("bits-per-byte", "bits_per_byte", "step"),
    ("bits-per-byte-over-tokens", "bits_per_byte", "tokens"),
    ("bits-per-byte-over-time", "bits_per_byte", "seconds"),
    ("loss", "loss", "step"),
    ("loss-over-tokens", "loss", "tokens"),
    ("loss-over-time", "loss", "seconds"),
)
"""File name, quantity, and what runs along the bottom; all of them are together in "comparison"."""


@dataclass(frozen=True)
class _Run:
    name: str
    history: History
    colour: str
    marker: str


def compare(runs: Sequence[Path], out: Path) -> list[Path]:
    """Draw `runs` together, each picture as PNG and as SVG, and return the files written: `comparison.png` first.

    Args:
        runs: two or more run folders; they may still be training. Of more than eight, the best eight are drawn.
        out: where to.

    Raises:
        FormatError: one of them has no metrics, or no training step in them yet.
        QuireError: the pictures cannot be written.
    """
    chosen, about = _chosen(runs)
    with our_look():
        written = save(_all_in_one(chosen, about), out / "comparison")
        for name, key, along in FIGURES:
            written += save(_single(chosen, about, key, along), out / name)
    return written


def names_of(runs: Sequence[Path]) -> list[str]:
    """Return a name for each run: its folder's, with as many folders above as tell the runs apart."""
    parts = [run.resolve().parts for run in runs]
    length = 1
    while len({path[-length:] for path in parts}) < len(set(parts)):
        length += 1
    return ["/".join(path[-length:]) for path in parts]


def _chosen(runs: Sequence[Path]) -> tuple[list[_Run], str]:
    unique = list({run.resolve(): run for run in runs}.values())
    histories = []
    for run in unique:
        history = History.of(read_metrics(run))
        if not history.train:
            raise FormatError("no training step is recorded yet", where=metrics_path(run), hint="Leave this run out")
        histories.append(history)
    pairs = list(zip(names_of(unique), histories, strict=True))
    about = f"{len(pairs)} runs"
    if len(pairs) > MOST_RUNS:
        best = sorted(pairs, key=lambda pair: _best(pair[1]))[:MOST_RUNS]
        pairs = [pair for pair in pairs if pair in best]
        about = f"the best {MOST_RUNS} of {len(unique)} runs"
    styles = zip(pairs, PALETTE, MARKERS, strict=False)
    return [_Run(name, history, colour, marker) for (name, history), colour, marker in styles], about


def _best(history: History) -> float:
    points = history.points("validation", "bits_per_byte", "step") or history.points("train", "bits_per_byte", "step")
    return min((value for _, value in points), default=math.inf)


def _single(runs: Sequence[_Run], about: str, key: str, along: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.5))
    axes = figure.add_axes((0.078, 0.13, 0.662, 0.67))
    _draw(axes, runs, key, along, named=True)
    figure.text(0.03, 0.925, TITLES[key], fontsize=15, fontweight="bold", va="center")
    figure.text(0.03, 0.862, f"{about}  ·  {_legend_of_lines(runs)}", fontsize=10, color=FAINT_INK, va="center")
    frame(figure)
    return figure


def _all_in_one(runs: Sequence[_Run], about: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.0, 7.6))
    places = {"left": 0.036, "right": 0.868, "top": 0.82, "bottom": 0.075, "wspace": 0.32, "hspace": 0.45}
    grid = figure.subplots(2, 3, gridspec_kw=places)
    for number, (axes, (_, key, along)) in enumerate(zip(grid.flat, FIGURES, strict=True)):
        # Names stand in the last column only; the others have the same colours, markers and values.
        _draw(axes, runs, key, along, named=number % 3 == 2)
    for row, key in zip(grid, TITLES, strict=True):
        row[0].set_title(TITLES[key], loc="left", fontsize=11, fontweight="bold", pad=10)
    figure.text(0.016, 0.958, "Comparison of runs", fontsize=16, fontweight="bold", va="center")
    figure.text(0.016, 0.92, f"{about}  ·  {_legend_of_lines(runs)}", fontsize=10, color=FAINT_INK, va="center")
    frame(figure)
    return figure


def _legend_of_lines(runs: Sequence[_Run]) -> str:
    return "lines: validation, the last value beside the name" + (", faint: training" if len(runs) <= FEW_RUNS else "")


def _draw(axes: Axes, runs: Sequence[_Run], key: str, along: str, *, named: bool) -> None:
    lines = {run.name: _line(run, key, along) for run in runs}
    drawn = [run for run in runs if lines[run.name]]
    if not drawn:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no finite value was recorded", ha="center", color=FAINT_INK, transform=axes.transAxes)
        return
    size, label = 1.0, along if along == "tokens" else "step"
    if along == "seconds":
        size, unit = time_unit(max(x for line in lines.values() for x, _ in line))
        label = f"training time, {unit}"
    ends = []
    for run in drawn:
        places = [x / size for x, _ in lines[run.name]]
        values = [y for _, y in lines[run.name]]
        if len(runs) <= FEW_RUNS and run.history.validation:
            faint = run.history.points("train", key, along)
            if faint:
                curve = smoothed([y for _, y in faint])
                axes.plot([x / size for x, _ in faint], curve, color=run.colour, alpha=0.3, linewidth=1.0, zorder=2)
        marks: dict[str, Any] = {"markersize": 4.2, "markevery": max(1, len(values) // MOST_MARKS), "clip_on": False}
        axes.plot(places, values, color=run.colour, linewidth=1.8, zorder=3)
        axes.plot(places, values, run.marker, color=run.colour, zorder=4, **marks)
        ends.append((run, places[-1], values[-1]))
    _scale(axes, [[(x / size, y) for x, y in lines[run.name]] for run in drawn])
    axes.set_xlabel(label)
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    if along == "tokens":
        axes.xaxis.set_major_formatter(lambda value, _: _short_number(value))
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.tick_params(length=3, width=0.8)
    _name_ends(axes, ends, named=named)


def _line(run: _Run, key: str, along: str) -> Points:
    points = run.history.points("validation", key, along)
    if points:
        return points
    points = run.history.points("train", key, along)  # not evaluated yet
    return list(zip([x for x, _ in points], smoothed([y for _, y in points]), strict=True))


def _short_number(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.10g}{letter}"
    return f"{value:.10g}"


def _scale(axes: Axes, lines: Sequence[Points]) -> None:
    last = max(x for line in lines for x, _ in line)
    low = min(y for line in lines for _, y in line)
    # A model that knows nothing yet would flatten all that comes after.
    high = max([y for line in lines for x, y in line if x >= last * STEEP_START] + [line[-1][1] for line in lines])
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    axes.set_xlim(0, last * 1.005 if last > 0 else 1)
    axes.set_ylim(low - room, high + room)
    for line in axes.get_lines():
        if line.get_marker() != "None":
            line.set_clip_on(any(y > high + room for y in line.get_ydata()))  # type: ignore[operator, union-attr]


def _name_ends(axes: Axes, ends: Sequence[tuple[_Run, float, float]], *, named: bool) -> None:
    # The names stand right of the picture in the order in which the lines end, joined to them by a hair.
    low, high = axes.get_ylim()
    inches = axes.get_position().height * float(axes.figure.get_figheight())  # type: ignore[union-attr]
    gap = (high - low) * 13.5 / (inches * 72)
    order = sorted(ends, key=lambda end: end[2])
    heights = spread([value for _, _, value in order], gap, low, high)
    right = axes.get_xlim()[1]
    for (run, x, value), height in zip(order, heights, strict=True):
        across: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        hair: dict[str, Any] = {"color": run.colour, "linewidth": 0.8, "alpha": 0.6, "clip_on": False, "zorder": 1}
        axes.plot([x, right], [value, value], **hair)
        axes.annotate(
            f"{value:.3f}" + (f"  {shortened(run.name, NAME_LENGTH)}" if named else ""),
            (1, height),
            xytext=(20, 0),
            color=INK,
            fontsize=9,
            va="center",
            annotation_clip=False,
            **across,
        )
        spot: dict[str, Any] = {
            "color": run.colour,
            "clip_on": False,
            "transform": axes.get_yaxis_transform(),
            "zorder": 5,
        }
        axes.plot([1, 1.0 + _points(axes, 9)], [value, height], linewidth=0.8, alpha=0.6, **spot)
        axes.plot([1.0 + _points(axes, 13)], [height], run.marker, markersize=5.5, **spot)


def _points(axes: Axes, points: float) -> float:
    """Return so many points as a fraction of the width of the axes."""
    return points / 72 / (axes.get_position().width * float(axes.figure.get_figwidth()))  # type: ignore[union-attr]


def spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move rising `heights` apart until each is `gap` above the one below, by as little as that takes.

    Args:
        heights: in rising order.
        gap: the least distance.
        low: nothing is moved below it, unless all of them have no room above.
        high: nor above it.

    Returns:
        The heights nearest to those given, by least squares, that keep the distance.
    """
    groups: list[list[float]] = []  # the sum of heights less their place in line, and how many: neighbours that touch
    for place, height in enumerate(heights):
        groups.append([height - place * gap, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += count
    bases = [total / count for total, count in groups for _ in range(int(count))]
    highest = high - (len(bases) - 1) * gap
    bases = [max(min(base, highest), low) for base in bases]
    return [base + place * gap for place, base in enumerate(bases)]
