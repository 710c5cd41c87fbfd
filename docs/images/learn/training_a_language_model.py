"""The pictures of the chapter "Training a language model"."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from learn.look import BLUE, FAINT, INK, ORANGE, PALE_GREY, PURPLE, RULE, WIDTH, look, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quire.scratch.losses import cross_entropy
from quire.scratch.optimizers import AdamW
from quire.scratch.transformer import Transformer, TransformerConfig
from quire.training.metrics import Record, read_metrics

RUNS = Path(__file__).resolve().parents[1] / "runs"
VOCABULARY = 512  # of the tokenizer of both runs
HALF_SMALLEST = 2.0**-25  # what is not above half of float16's smallest number is rounded to zero
LARGEST = 65504.0  # of float16
SCALE = 2.0**16


def draw(folder: Path) -> list[Path]:
    """Draw every picture of the chapter into `folder` and return the files."""
    with look():
        return [save(loss_scaling(), folder, "loss-scaling"), save(overfitting(), folder, "overfitting")]


def gradients_of_the_logits(steps: int = 150) -> NDArray[np.float64]:
    """Return the gradients of the logits of 2,048 targets, of a small transformer that has taken `steps` steps.

    The text is drawn so that each of 64 tokens is followed by one of three.
    """
    config = TransformerConfig(
        vocab_size=64, hidden_size=16, num_layers=2, num_heads=2, context_length=16, intermediate_size=32
    )
    model = Transformer.random(config, seed=0)
    rng = np.random.default_rng(0)
    following = rng.integers(64, size=(64, 3))
    text = np.empty((128, 17), dtype=np.int64)
    text[:, 0] = rng.integers(64, size=128)
    for place in range(16):
        text[:, place + 1] = following[text[:, place], rng.integers(3, size=128)]
    optimizer = AdamW(0.01, weight_decay=0.0)
    for step in range(steps):
        first = step % 8 * 16
        rows = text[first : first + 16]
        _, gradients = model.loss(rows[:, :-1], rows[:, 1:])
        optimizer.step(model.parameters, gradients)
    logits, _ = model.forward(text[:, :-1])
    _, dlogits = cross_entropy(logits, text[:, 1:])
    return dlogits.ravel()


def loss_scaling() -> Figure:
    """The sizes of gradients, as they are and times the loss scale, with what float16 cannot hold in grey."""
    sizes = np.abs(gradients_of_the_logits())
    figure = Figure(figsize=(WIDTH, 4.4))
    rows = figure.subplots(2, 1, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.125, right=0.97, top=0.92, bottom=0.12, hspace=0.38)
    for axes, scale, title in zip(rows, (1.0, SCALE), ("as they are", "times the scale 2¹⁶ = 65,536"), strict=True):
        scaled = sizes * scale
        lost = float((scaled <= HALF_SMALLEST).mean())
        for low, high, edge in ((1e-16, HALF_SMALLEST, HALF_SMALLEST), (LARGEST, 1e7, LARGEST)):
            axes.axvspan(low, high, color=PALE_GREY, zorder=0)
            axes.axvline(edge, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
        axes.hist(scaled, bins=list(np.logspace(-16, 7, 93)), color=BLUE)
        axes.set(xscale="log", xlim=(1e-13, 1e7), ylim=(0, 13500), yticks=(0, 5000, 10000), ylabel="gradients")
        axes.set_title(title)
        axes.text(2e-13, 13000, f"becomes zero: {lost:.0%}", va="top")
        axes.text(HALF_SMALLEST * 1.6, 13000, "float16 holds it", va="top")
        axes.text(1.2e5, 13000, "infinite", va="top")
    rows[1].set_xlabel("size of the gradient of a logit")
    return figure


def overfitting() -> Figure:
    """Training and validation loss of two runs, each with its best step."""
    figure = Figure(figsize=(WIDTH, 5.6))
    rows = figure.subplots(2, 1, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.085, right=0.97, top=0.94, bottom=0.095, hspace=0.24)
    for axes, name, title in zip(
        rows,
        ("overfitting", "overfitting-dropout"),
        ("Nothing holds the model back", "The same with dropout 0.3 and weight decay 0.3"),
        strict=True,
    ):
        _curves(axes, read_metrics(RUNS / name))
        axes.set_title(title)
    rows[0].text(
        420, math.log(VOCABULARY) + 0.08, "a model that knows nothing: ln 512", ha="center", va="bottom", color=FAINT
    )
    rows[1].set_xlabel("step")
    return figure


def _curves(axes: Axes, records: list[Record]) -> None:
    points = {
        kind: [(record["step"], record["loss"]) for record in records if record["kind"] == kind]
        for kind in ("train", "validation")
    }
    best = min(points["validation"], key=lambda point: point[1])
    axes.axhline(math.log(VOCABULARY), color=FAINT, linewidth=1.0, linestyle=(0, (1, 2)))
    axes.axvline(best[0], color=PURPLE, linewidth=1.0)
    axes.plot(*zip(*points["train"], strict=True), color=BLUE, linewidth=2.0)
    axes.plot(*zip(*points["validation"], strict=True), "o--", color=ORANGE, linewidth=1.4, markersize=3.2)
    axes.plot(*best, "o", markersize=10, markerfacecolor="none", markeredgecolor=PURPLE, markeredgewidth=1.6)
    axes.annotate(
        f"best: step {best[0]}, {best[1]:.3f}", best, xytext=(8, 30), textcoords="offset points", color=PURPLE
    )
    ends = {kind: dict(points[kind])[700] for kind in points}
    # Each name on the free side of its curve.
    above = ends["train"] < 1
    for kind, name, colour, over in (
        ("train", "training", BLUE, above),
        ("validation", "validation", ORANGE, not above),
    ):
        place = {"xytext": (0, 8 if over else -9), "va": "bottom" if over else "top"}
        axes.annotate(name, (700, ends[kind]), textcoords="offset points", ha="center", color=colour, **place)
    axes.set(xlim=(0, 805), ylim=(0, 7), ylabel="loss, nats a token")
    axes.grid(axis="y", color=RULE, linewidth=0.8)
