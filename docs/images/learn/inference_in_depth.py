"""The measured pictures of docs/learn/inference-in-depth.md, from docs/images/runs/inference.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from learn.look import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, RULE, WIDTH, look, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RUNS = Path(__file__).resolve().parents[1] / "runs" / "inference.json"
COLOURS = (BLUE, ORANGE, PURPLE)
CACHES = {"float32": "o-", "float16": "s--"}

Models = dict[str, dict[str, Any]]


def draw(folder: Path) -> list[Path]:
    """Draw the pictures into `folder` and return the files."""
    models: Models = json.loads(RUNS.read_text("utf-8"))["models"]
    with look():
        figures = {
            "inference-positions": by_position,
            "inference-batches": by_batch,
            "inference-first-token": first_token,
        }
        return [save(make(models), folder, name) for name, make in figures.items()]


def _one() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.1, right=0.97, top=0.95, bottom=0.16)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    return figure, axes


def by_position(models: Models) -> Figure:
    """The time of a token by its position, and what the growth of the bytes that it reads would make of the first."""
    figure, axes = _one()
    for (name, model), colour in zip(models.items(), COLOURS, strict=False):
        for kind, style in CACHES.items():
            found = model["positions"][kind]
            label = f"{name}, cache in {kind}"
            axes.plot(found["position"], found["milliseconds"], style, color=colour, label=label, markersize=3)
            weights, cache = model["weight_bytes"], model["cache_bytes_per_token"][kind]
            first = found["milliseconds"][0] / (weights + cache * found["position"][0])
            expected = [first * (weights + cache * position) for position in found["position"]]
            axes.plot(found["position"], expected, "-", color=FAINT, linewidth=1.0)
    axes.plot([], [], "-", color=FAINT, linewidth=1.0, label="in proportion to the bytes read")
    axes.set(xlabel="position of the token", ylabel="milliseconds a token", ylim=(0, None))
    axes.legend(loc="center")
    return figure


def by_batch(models: Models) -> Figure:
    """Tokens a second of several texts at once, as a multiple of those of one."""
    figure, axes = _one()
    for (name, model), colour in zip(models.items(), COLOURS, strict=False):
        for kind, style in CACHES.items():
            found = model["batches"][kind]
            axes.plot(found["batch"], found["to_one"], style, color=colour, label=f"{name}, cache in {kind}")
            sizes = found["batch"]
    axes.plot(sizes, sizes, "-", color=FAINT, linewidth=1.0, label="if more texts cost nothing")
    axes.set(xscale="log", yscale="log", xlabel="texts at once", ylabel="tokens/s, times those of one text")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_yticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.legend(loc="upper left")
    return figure


def first_token(models: Models) -> Figure:
    """Time to the first token of a prompt, new and with a beginning that is known."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.9 * len(models)))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.27, right=0.97, top=0.97, bottom=0.5 / (0.9 + 0.9 * len(models)))
    labels: list[str] = []
    for name, model in models.items():
        found = model["prefix"]
        for label, time, colour in (
            (f"{name}, {found['prompt_tokens']} tokens new", found["new_milliseconds"], BLUE),
            (f"{name}, {found['known_tokens']} of them known", found["known_milliseconds"], GREEN),
        ):
            axes.barh(len(labels), time, color=colour, height=0.6)
            axes.text(time, len(labels), f" {time:.1f} ms", va="center", color=INK)
            labels.append(label)
    longest = max(model["prefix"]["new_milliseconds"] for model in models.values())
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set(xlabel="milliseconds to the first token", xlim=(0, 1.15 * longest), ylim=(len(labels) - 0.5, -0.5))
    return figure
