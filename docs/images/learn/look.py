"""How the pictures of the chapters look: colours, type, and files that come out the same on every machine.

Colours are those that the colour-blind tell apart (Okabe and Ito 2008); what a colour says, a dash, a marker or a word
says too. Every picture is an opaque white card about 700 px wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#56B4E9", "#E69F00"
INK, FAINT, RULE, CARD = "#1A1A1A", "#595959", "#E3E3E3", "#FFFFFF"
PALE_BLUE, PALE_ORANGE, PALE_GREY = "#DCEBF5", "#FBE6D6", "#F4F4F4"
WIDTH = 7.2  # inches: 691 px in a browser
EDGE = 0.005  # inches that may stand over, for rounding

SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "quire",  # else the names inside an SVG are drawn by lot
    "svg.fonttype": "path",  # letters as outlines: they do not depend on the reader's fonts
    "mathtext.fontset": "dejavusans",
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": RULE,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@contextmanager
def look() -> Iterator[None]:
    """Set the look for the pictures drawn inside, whatever the settings of this machine are."""
    shipped = matplotlib.rcParamsDefault
    defaults: dict[str, Any] = {key: value for key, value in shipped.items() if not key.startswith("backend")}
    with matplotlib.rc_context():
        settings: Any = matplotlib.rcParams
        settings.update(defaults | SETTINGS)
        yield


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write a figure as `name`.svg into `folder` and return the file.

    Raises:
        ValueError: a word or a line of it would be cut off at the edge.
    """
    file = folder / f"{name}.svg"
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, facecolor=CARD)
    width, height = figure.get_size_inches()
    drawn: Any = figure.get_tightbbox()  # where things came to stand while the file was written
    if min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) < -EDGE:
        file.unlink()
        raise ValueError(f"{name} is cut off: it reaches from {drawn.min} to {drawn.max} of {width} x {height} inches")
    return file


def sheet(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Return a figure of that size in inches, and axes that cover it, are not seen and count in tenths of an inch."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10 * width), ylim=(0, 10 * height), aspect="equal")
    axes.axis("off")
    return figure, axes


def decimal(value: float, digits: int = 4) -> str:
    """Return a number with at most that many decimals, a true minus, and no zeros at its end."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−") if text not in {"-0", "0"} else "0"
