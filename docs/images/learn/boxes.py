"""Boxes and arrows, of which diagrams are made."""

from __future__ import annotations

from typing import Any

from learn.look import BLUE, CARD, FAINT, GREEN, ORANGE, PALE_BLUE, PALE_GREY, PALE_ORANGE, PURPLE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PALE = {BLUE: PALE_BLUE, ORANGE: PALE_ORANGE, GREEN: "#D9F0E8", PURPLE: "#F6E6F1", FAINT: PALE_GREY}


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of that size in inches, and axes that cover it, are not seen and count in inches."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(
    axes: Axes, x: float, y: float, width: float, height: float, text: str = "", colour: str = FAINT, **words: Any
) -> None:
    """Draw a box with its middle at (x, y), and words in it."""
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=PALE.get(colour, CARD),
            edgecolor=colour,
            linewidth=1.2,
        )
    )
    if text:
        axes.text(x, y, text, **({"ha": "center", "va": "center"} | words))


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = FAINT, **more: Any) -> None:
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.3}
    axes.add_patch(FancyArrowPatch(start, end, color=colour, **(style | more)))
