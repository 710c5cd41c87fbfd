"""The figures of the chapter on tokens and embeddings."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from learn.boxes import arrow, box, canvas
from learn.look import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, RULE, look, save
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quire.scratch.bpe import BytePairEncoder
from quire.scratch.embedding import embed, embed_backward
from quire.scratch.losses import cross_entropy
from quire.scratch.optimizers import AdamW
from quire.scratch.positions import rotary_angles, rotate, sinusoidal
from quire.scratch.projection import project, project_backward

Array = NDArray[np.float64]

TEXT = "the cat sat on the mat, the cat ate the rat"
SHOWN = "the cat ate the rat"
SENTENCES = "the cat sat . the dog sat . the cat ran . the dog ran . a cat sat . a dog ran . a cat ran . a dog sat ."


def draw(folder: Path) -> list[Path]:
    """Draw all figures of the chapter into `folder`."""
    with look():
        return [
            draw_merges(folder),
            draw_meanings(folder),
            draw_waves(folder),
            draw_turns(folder),
        ]


def draw_merges(folder: Path) -> Path:
    """Draw a piece of the text as tokens before and after each merge."""
    whole = BytePairEncoder.train(TEXT, 6)
    figure, axes = canvas(7.2, 3.38)
    letter, top = 0.255, 2.95
    for count in range(len(whole.merges) + 1):
        encoder = BytePairEncoder(whole.merges[:count])
        y = top - count * 0.435
        if count == 0:
            told = "bytes"
        else:
            left, right, frequency = whole.merges[count - 1]
            told = f"{shown(left)} + {shown(right)}   {frequency} times"
        axes.text(1.72, y, told, ha="right", va="center", family="DejaVu Sans Mono", fontsize=8.5)
        x, made = 1.85, shown(encoder.tokens[-1]) if count else ""
        tokens = [shown(encoder.tokens[id]) for id in encoder.encode(SHOWN)]
        for token in tokens:
            width = letter * len(token)
            colour = ORANGE if token == made else BLUE if len(token) > 1 else FAINT
            box(axes, x + width / 2, y, width - 0.045, 0.32, token, colour, family="DejaVu Sans Mono")
            x += width
        axes.text(7.1, y, f"{len(tokens)}", ha="right", va="center", fontsize=11)
    axes.text(7.1, top + 0.27, "tokens", ha="right", va="center", fontsize=9.5, color=FAINT)
    return save(figure, folder, "merges")


def shown(token: bytes) -> str:
    """Return a token with its spaces made visible."""
    return token.decode().replace(" ", "␣")


def learn_meanings() -> tuple[list[str], Array, Array]:
    """Return the words, and their rows of two numbers before and after learning to foretell the next word."""
    text = SENTENCES.split()
    words = sorted(set(text))
    ids = np.array([[words.index(word) for word in text]])
    generator = np.random.default_rng(0)
    weights = {name: generator.normal(0.0, 0.5, (len(words), 2)) for name in ("table", "head")}
    before = weights["table"].copy()
    optimizer = AdamW(0.05)
    for _ in range(300):
        x, looked_up = embed(ids[:, :-1], weights["table"])
        logits, projected = project(x, weights["head"])
        _, dlogits = cross_entropy(logits, ids[:, 1:])
        dx, dhead = project_backward(dlogits, projected)
        optimizer.step(weights, {"table": embed_backward(dx, looked_up), "head": dhead})
    return words, before, weights["table"]


def draw_meanings(folder: Path) -> Path:
    """Draw the rows of the table as points before and after learning."""
    words, before, after = learn_meanings()
    colours = {"the": BLUE, "a": BLUE, "cat": ORANGE, "dog": ORANGE, "sat": GREEN, "ran": GREEN, ".": PURPLE}
    figure = Figure(figsize=(7.2, 3.6))
    for place, (rows, title) in enumerate(((before, "Before: by chance"), (after, "After 300 steps"))):
        axes = figure.add_axes((0.09 + 0.49 * place, 0.14, 0.41, 0.74))
        axes.axhline(0, color=RULE, linewidth=1)
        axes.axvline(0, color=RULE, linewidth=1)
        for word, (x, y) in zip(words, rows, strict=True):
            axes.plot([0, x], [0, y], color=colours[word], linewidth=1.2, alpha=0.5)
            axes.plot(x, y, "o", color=colours[word], markersize=7)
            name = "full stop" if word == "." else word
            axes.annotate(
                name, (x, y), textcoords="offset points", xytext=offset(word, place), fontsize=11, ha="center"
            )
        reach = 3 if place else 1.3
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
        axes.set_title(title, loc="left")
        axes.set_xlabel("first number of the row")
        axes.set_ylabel("second number" if place == 0 else "")
    return save(figure, folder, "embedding-plane")


def offset(word: str, place: int) -> tuple[int, int]:
    """Return where a word stands beside its point, in points."""
    after = {
        "the": (-14, -14),
        "a": (6, 9),
        "sat": (-20, 4),
        "ran": (-4, -17),
        ".": (30, -15),
        "cat": (-17, -1),
        "dog": (14, 6),
    }
    before = {"a": (11, 6), "cat": (-13, 7), "sat": (-18, -5), "dog": (4, 9), "the": (2, 9), ".": (33, -13)}
    return (after if place else before).get(word, (10, 8))


def draw_waves(folder: Path) -> Path:
    """Draw the sinusoidal positions as a table of colours, with four of its columns as curves."""
    waves = sinusoidal(64, 16)  # (T, D)
    figure = Figure(figsize=(7.2, 5.6))
    axes = figure.add_axes((0.09, 0.53, 0.735, 0.41))
    colours = matplotlib.colormaps["PuOr"].resampled(21)
    mesh = axes.pcolormesh(waves.T, cmap=colours, vmin=-1, vmax=1)
    axes.invert_yaxis()
    axes.set_yticks([0.5, 4.5, 8.5, 12.5], ["0", "4", "8", "12"])
    axes.set_ylabel("column of the row")
    axes.set_title("The row of 16 numbers that is added at each position", loc="left")
    axes.grid(visible=False)
    bar = figure.colorbar(mesh, cax=figure.add_axes((0.845, 0.53, 0.018, 0.41)))
    bar.set_ticks([-1, 0, 1])
    axes = figure.add_axes((0.09, 0.1, 0.735, 0.31))
    for column, colour, style in ((0, BLUE, "-"), (2, ORANGE, "--"), (4, GREEN, "-."), (8, PURPLE, ":")):
        axes.plot(waves[:, column], style, color=colour, linewidth=2, label=f"column {column}")
    axes.set_xlim(-0.5, 63.5)
    axes.set_xlabel("position")
    axes.set_ylabel("value")
    axes.set_title("Four of its columns: the later, the slower", loc="left")
    axes.grid(axis="y", color=RULE)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, handlelength=1.5, fontsize=9)
    return save(figure, folder, "sinusoidal")


def draw_turns(folder: Path) -> Path:
    """Draw a query and a key turned at two places of equal distance, and products by distance."""
    figure = Figure(figsize=(7.2, 3.5))
    query, key = np.array([[1.0, 0.5]]), np.array([[0.3, 2.0]])
    for place, (asks, answers) in enumerate(((3, 1), (5, 3))):
        axes = figure.add_axes((0.01 + 0.24 * place, 0.1, 0.235, 0.78))
        q = rotate(query, rotary_angles([asks], 2))[0]
        k = rotate(key, rotary_angles([answers], 2))[0]
        for row, colour, name in ((q, BLUE, f"q at {asks}"), (k, ORANGE, f"k at {answers}")):
            arrow(axes, (0.0, 0.0), (row[0], row[1]), colour, linewidth=2)
            axes.text(*(row * (1.0 + 0.55 / np.linalg.norm(row))), name, color=colour, ha="center", va="center")
        for row, colour in ((query[0], BLUE), (key[0], ORANGE)):
            axes.plot([0, row[0]], [0, row[1]], ":", color=colour, linewidth=1.5)
        axes.set_xlim(-2.45, 2.45)
        axes.set_ylim(-2.45, 2.45)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.axhline(0, color=RULE, linewidth=1, zorder=0)
        axes.axvline(0, color=RULE, linewidth=1, zorder=0)
        axes.set_title(f"q·k = {q @ k:.4f}", fontsize=11)
    axes = figure.add_axes((0.575, 0.27, 0.41, 0.6))
    distances = np.arange(0, 41)
    for width, colour, style in ((2, FAINT, ":"), (32, BLUE, "-")):
        row = np.ones((1, width)) / np.sqrt(width)
        products = [
            float((rotate(row, rotary_angles([d], width)) @ rotate(row, rotary_angles([0], width)).T)[0, 0])
            for d in distances
        ]
        axes.plot(distances, products, style, color=colour, linewidth=2, label=f"{width // 2} pair{'s' * (width > 2)}")
    axes.set_xlabel("distance in tokens")
    axes.set_title("q·k of two equal rows of length 1", loc="left", fontsize=11)
    axes.set_ylim(-1.05, 1.05)
    axes.grid(axis="y", color=RULE)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8.5)
    figure.text(0.255, 0.06, "dotted: as they are at position 0", ha="center", fontsize=9.5, color=INK)
    return save(figure, folder, "rotary")
