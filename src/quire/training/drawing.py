"""How the pictures of runs look: colours, a white card, and files that are the same for the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quire.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart by the colour-blind (Okabe & Ito 2008); their yellow, too faint for a line on white, is a grey here.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#1A1A1A", "#8A8A8A")
INK, FAINT_INK, RULE, CARD = "#1A1A1A", "#595959", "#E3E3E3", "#FFFFFF"


@contextmanager
def our_look() -> Iterator[None]:
    """Draw with quire's settings while the block runs, whatever a user's matplotlibrc says."""
    import matplotlib

    own: dict[str, Any] = {
        "svg.hashsalt": "quire",  # else the names inside an SVG are drawn by lot
        "font.size": 10.0,
        "axes.edgecolor": FAINT_INK,
        "axes.labelcolor": FAINT_INK,
        "text.color": INK,
        "xtick.color": FAINT_INK,
        "ytick.color": FAINT_INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "lines.solid_capstyle": "round",
    }
    shipped = matplotlib.rcParamsDefault
    defaults: dict[str, Any] = {key: value for key, value in shipped.items() if not key.startswith("backend")}
    with matplotlib.rc_context():  # nothing of a user's matplotlibrc in, nothing of ours out
        settings: Any = matplotlib.rcParams  # typed as if a key could only ever be a literal
        settings.update(defaults | own)
        yield


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `figure` as PATH.png and PATH.svg, the same bytes for the same drawing. Raises `QuireError`."""
    files = []
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        file = path.with_name(f"{path.name}.{suffix}")
        with atomic_write(file, "wb") as handle:
            figure.savefig(handle, format=suffix, dpi=160, metadata=metadata, facecolor=CARD)
        files.append(file)
    return files


def frame(figure: Figure) -> None:
    """Draw the edge of the card."""
    from matplotlib.patches import Rectangle

    # A hairline keeps the card in shape on a white page.
    figure.add_artist(Rectangle((0, 0), 1, 1, fill=False, edgecolor=RULE, linewidth=1.5, transform=figure.transFigure))


def shortened(name: str, length: int) -> str:
    """Return a name in at most `length` characters, ready for Matplotlib."""
    # A dollar sign would begin a formula.
    return (name if len(name) <= length else name[: length - 1] + "…").replace("$", r"\$")


def rounded(number: float) -> str:
    """Return a number in three digits and a letter: 12.3M."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the unit that a time of so many seconds is read best in: its seconds, its sign."""
    if seconds < 180:
        return 1.0, "s"
    return (60.0, "min") if seconds < 3 * 3600 else (3600.0, "h")
