"""The figures of the chapter on the way from documents to text."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from learn.look import AMBER, BLUE, CARD, FAINT, INK, ORANGE, PALE_BLUE, PALE_GREY, PALE_ORANGE, RULE, look, save, sheet
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from quire.corpus.copies import bands_for
from quire.documents.formats.pdf_lines import TextLine, lines_of
from quire.documents.formats.pdf_order import in_order

PERMUTATIONS, THRESHOLD = 128, 0.8  # as the settings come


def draw(folder: Path) -> list[Path]:
    """Draw all figures of the chapter into `folder`."""
    with look():
        return [
            draw_order(folder),
            draw_averaging(folder),
            draw_encodings(folder),
            draw_minhash(folder),
            draw_found(folder),
        ]


LEFT = [
    "A pond needs three",
    "things: water that stays,",
    "a shore that is not too",
    "steep, and a little time.",
    "In the first summer it",
    "is green, in the second",
    "it clears.",
]
RIGHT = [
    "Frogs come by them-",
    "selves. Nobody has to",
    "carry them, and nobody",
    "should: with them come",
    "the diseases of other",
    "ponds. Toads stay away",
    "for some years.",
]
SIZE = (300, 220)


def _page() -> bytes:
    """The page of the chapter: two columns written row by row, and the title last."""
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=SIZE, invariant=True)
    canvas.setFont("Times-Roman", 10)
    for row, (one, other) in enumerate(zip(LEFT, RIGHT, strict=True)):
        canvas.drawString(30, SIZE[1] - 70 - 13 * row, one)
        canvas.drawString(160, SIZE[1] - 70 - 13 * row, other)
    canvas.drawString(80, SIZE[1] - 40, "On ponds, and on those in them")
    canvas.save()
    return buffer.getvalue()


def _lines() -> list[TextLine]:
    import pypdfium2

    with contextlib.ExitStack() as stack:
        pdf: Any = stack.enter_context(contextlib.closing(pypdfium2.PdfDocument(_page())))
        page = stack.enter_context(contextlib.closing(pdf[0]))
        layer = stack.enter_context(contextlib.closing(page.get_textpage()))
        return lines_of(layer.raw, layer.get_text_range(errors="replace"))


def draw_order(folder: Path) -> Path:
    """Draw the lines of a page twice: numbered by the file, and as they are read."""
    lines = _lines()
    figure = Figure(figsize=(7.2, 2.9))
    orders = ((lines, "In the order of the file", ORANGE), (in_order(lines), "In reading order", BLUE))
    for place, (order, title, colour) in enumerate(orders):
        axes = figure.add_axes((0.02 + 0.49 * place, 0.02, 0.47, 0.86))
        _draw_lines(axes, order, colour)
        axes.set_title(title)
    return save(figure, folder, "pdf-order")


def _draw_lines(axes: Axes, order: Sequence[TextLine], colour: str) -> None:
    axes.set(xlim=(10, SIZE[0] - 10), ylim=(-55, -195), aspect="equal")  # y grows downwards from the foot
    axes.add_patch(Rectangle((12, -194), SIZE[0] - 24, 138, facecolor=CARD, edgecolor=RULE))
    axes.axis("off")
    middles = [(line.left - 7, (line.top + line.bottom) / 2) for line in order]
    for number, (line, (x, y)) in enumerate(zip(order, middles, strict=True), start=1):
        size = (line.right - line.left, line.bottom - line.top)
        axes.add_patch(Rectangle((line.left, line.top), *size, facecolor=PALE_GREY, edgecolor=RULE))
        axes.text(x, y, str(number), ha="center", va="center", color=INK, fontsize=8.5, fontweight="bold", zorder=3)
    for (x, y), (to_x, to_y), line in zip(middles, middles[1:], order, strict=False):
        if abs(to_x - x) > 40:  # a jump to the other column
            end = line.right if to_x > x else line.left - 7
            axes.annotate(
                "",
                (to_x - math.copysign(9, to_x - x), to_y),
                (end, y),
                arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0},
            )


def draw_averaging(folder: Path) -> Path:
    """Draw a letter in black and white, and averaged to half the dots."""
    size = 24
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    from_middle = np.hypot(rows - 12, columns - 12)
    ring = (from_middle > 6.2) & (from_middle < 10.4)
    bar = (abs(rows - 12.6) < 1.7) & (from_middle < 8)
    gap = (rows > 14.3) & (rows < 17.2) & (columns > 14)
    dots = np.where((ring & ~gap) | bar, 0.0, 255.0)
    grey = dots.reshape(size // 2, 2, size // 2, 2).mean(axis=(1, 3))
    figure = Figure(figsize=(7.2, 3.3))
    titles = ("24 × 24 dots, black or white", "12 × 12 dots, the mean of four each")
    for place, (picture, title) in enumerate(zip((dots, grey), titles, strict=True)):
        axes = figure.add_axes((0.06 + 0.47 * place, 0.06, 0.41, 0.8))
        axes.pcolormesh(picture[::-1], cmap="gray", vmin=0, vmax=255, edgecolors=RULE, linewidth=0.4)
        axes.set(aspect="equal", title=title)
        axes.axis("off")
    return save(figure, folder, "averaging")


def draw_encodings(folder: Path) -> Path:
    """Draw one word in three encodings, a box a byte, the bytes of one character in one colour."""
    word = "Zürich"
    figure, axes = sheet(2.6)
    for row, encoding in enumerate(("utf-8", "cp1252", "utf-16")):
        top = 22.2 - 7.6 * row
        axes.text(1, top - 2, {"utf-8": "UTF-8", "utf-16": "UTF-16"}.get(encoding, encoding), va="center", fontsize=11)
        place = 10.0
        pieces = [(character, character.encode(encoding)) for character in word]
        if encoding == "utf-16":
            pieces = [("mark", b"\xff\xfe")] + [(character, character.encode("utf-16-le")) for character in word]
        for number, (character, data) in enumerate(pieces):
            special = character in ("ü", "mark")
            fill = PALE_ORANGE if character == "ü" else PALE_GREY if special else (PALE_BLUE, CARD)[number % 2]
            for byte in data:
                axes.add_patch(Rectangle((place, top - 4), 4.2, 4, facecolor=fill, edgecolor=FAINT, linewidth=0.8))
                axes.text(place + 2.1, top - 2, f"{byte:02X}", ha="center", va="center", fontsize=10)
                place += 4.2
            middle = place - 2.1 * len(data)
            axes.text(
                middle, top + 1.1, character, ha="center", va="center", fontsize=10, color=INK if not special else FAINT
            )
    return save(figure, folder, "three-encodings")


SHINGLES = (
    "a small dog ran over",
    "small dog ran over the",
    "dog ran over the wet",
    "ran over the wet green",
    "over the wet green grass",
    "ran over the wet brown",
    "over the wet brown grass",
)
OF_A, OF_B = (0, 1, 2, 3, 4), (0, 1, 2, 5, 6)
SHUFFLES = ((2, 1), (5, 4), (1, 3), (6, 2))


def draw_minhash(folder: Path) -> Path:
    """Draw the numbers that four shuffles give the shingles, the least of each text marked."""
    figure, axes = sheet(3.5)
    for shingle, text in enumerate(SHINGLES):
        y = 27.5 - 3.4 * shingle
        whose = "A and B" if shingle in OF_A and shingle in OF_B else "A" if shingle in OF_A else "B"
        axes.text(1, y, str(shingle), va="center", color=FAINT)
        axes.text(3.2, y, text, va="center")
        axes.text(28, y, whose, ha="center", va="center", color=FAINT)
    for column, (a, b) in enumerate(SHUFFLES):
        x = 38 + 9.4 * column
        numbers = [(a * shingle + b) % 7 for shingle in range(7)]
        least_a, least_b = (min(of, key=numbers.__getitem__) for of in (OF_A, OF_B))
        axes.text(x, 31.5, f"{a}x + {b}", ha="center", va="center", fontsize=11)
        for shingle, number in enumerate(numbers):
            y = 27.5 - 3.4 * shingle
            marks = [mark for mark, least in (("A", least_a), ("B", least_b)) if shingle == least]
            if marks:
                fill = PALE_BLUE if len(marks) == 2 else PALE_ORANGE
                axes.add_patch(Rectangle((x - 4, y - 1.5), 8, 3, facecolor=fill, edgecolor=FAINT, linewidth=0.8))
            axes.text(x - 1.6 * bool(marks), y, str(number), ha="center", va="center", fontsize=11)
            if marks:
                axes.text(x + 1.4, y, " ".join(marks), ha="center", va="center", fontsize=9.5, fontweight="bold")
        equal = least_a == least_b
        axes.text(x, 2.6, "equal" if equal else "different", ha="center", va="center", color=BLUE if equal else ORANGE)
    axes.text(28, 31.5, "mod 7:", ha="center", va="center", fontsize=11)
    axes.text(3.2, 2.6, "least number of A and of B:", va="center", color=FAINT)
    return save(figure, folder, "minhash")


def draw_found(folder: Path) -> Path:
    """Draw with which probability a pair is compared, and called a copy, over its similarity."""
    bands, places = bands_for(PERMUTATIONS, THRESHOLD)
    likeness = np.linspace(0, 1, 201)
    compared = 1 - (1 - likeness**places) ** bands
    least = math.ceil(PERMUTATIONS * THRESHOLD)
    called = np.array([_at_least(least, PERMUTATIONS, float(j)) for j in likeness])
    figure = Figure(figsize=(7.2, 3.2))
    axes = figure.add_axes((0.1, 0.17, 0.86, 0.76))
    axes.plot(likeness, compared, color=AMBER, linestyle="--", label=f"compared: {bands} bands of {places}")
    axes.plot(likeness, called, color=BLUE, label=f"called a copy: {least} of {PERMUTATIONS} minima equal")
    axes.axvline(THRESHOLD, color=FAINT, linewidth=1, linestyle=":")
    axes.text(THRESHOLD + 0.01, 0.04, "threshold", ha="left", color=FAINT)
    axes.set(xlabel="Jaccard similarity of two texts", ylabel="probability", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(True)
    axes.legend(loc="upper left")
    return save(figure, folder, "copies-found")


def _at_least(least: int, count: int, chance: float) -> float:
    return sum(math.comb(count, n) * chance**n * (1 - chance) ** (count - n) for n in range(least, count + 1))
