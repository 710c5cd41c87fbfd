"""The figures of the chapter on attention."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from learn.boxes import box, canvas
from learn.look import BLUE, CARD, FAINT, INK, ORANGE, PALE_GREY, RULE, look, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from quire.scratch.attention import attend
from quire.scratch.cache import Work
from quire.scratch.losses import cross_entropy
from quire.scratch.optimizers import AdamW
from quire.scratch.projection import project
from quire.scratch.transformer import Transformer, TransformerConfig

Array = NDArray[np.float64]


def draw(folder: Path) -> list[Path]:
    """Draw all figures of the chapter into `folder`."""
    with look():
        return [draw_example(folder), draw_heads(folder), draw_copying(folder), draw_cost(folder)]


def draw_example(folder: Path) -> Path:
    """Draw the scores and the weights of the worked example as heat maps."""
    words = ["the", "cat", "sat"]
    x = np.array([[[1.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]])
    to_query = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])
    to_key = np.array([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    to_value = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 2.0]])
    q, k, v = (project(x, matrix)[0][:, None] for matrix in (to_query, to_key, to_value))
    kept = attend(q, k, v)[1]
    figure = Figure(figsize=(7.2, 3.3))
    for place, (numbers, title) in enumerate(
        ((kept.scores[0, 0], "Scores, divided by √2"), (kept.weights[0, 0], "Weights: softmax of each row"))
    ):
        axes = figure.add_axes((0.12 + 0.47 * place, 0.16, 0.37, 0.7))
        draw_map(axes, np.where(numbers > -np.inf, numbers, np.nan), words, words, high=1.5 - 0.5 * place)
        for t in range(3):
            for s in range(3):
                value = numbers[t, s]
                dark = value > (0.9 - 0.3 * place)
                text = f"{value:.4f}" if s <= t else "−∞" if place == 0 else "0"
                axes.text(
                    s + 0.5,
                    t + 0.5,
                    text,
                    ha="center",
                    va="center",
                    color=CARD if dark and s <= t else INK,
                    fontsize=11,
                )
        axes.set_title(title)
        axes.set_xlabel("key of")
        axes.set_ylabel("query of" if place == 0 else "")
    return save(figure, folder, "attention-example")


def draw_map(axes: Axes, weights: Array, rows: list[str], columns: list[str], high: float = 1.0) -> None:
    """Draw numbers (T, S) as a heat map; what lies behind the mask is hatched."""
    axes.pcolormesh(weights, cmap=matplotlib.colormaps["Blues"].resampled(21), vmin=0, vmax=high, edgecolors=RULE)
    for t in range(weights.shape[0]):
        for s in range(t + 1, weights.shape[1]):
            axes.add_patch(Rectangle((s, t), 1, 1, facecolor=PALE_GREY, edgecolor="#CFCFCF", hatch="///", linewidth=0))
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_ylim(len(rows), 0)
    axes.set_xlim(0, len(columns))
    axes.spines[["left", "bottom"]].set_visible(False)


def draw_heads(folder: Path) -> Path:
    """Draw four query heads that share four, two and one key and value heads."""
    figure, axes = canvas(7.2, 2.25)
    for place, (groups, name) in enumerate(((4, "multi-head"), (2, "grouped-query"), (1, "multi-query"))):
        left = 0.25 + 2.37 * place
        for head in range(4):
            x = left + 0.28 + 0.5 * head
            group = head // (4 // groups)
            middle = left + 0.28 + 0.5 * ((group + 0.5) * (4 // groups) - 0.5)
            axes.plot([x, middle], [1.36, 0.98], color=FAINT, linewidth=1.2, zorder=0)
            box(axes, x, 1.52, 0.42, 0.32, f"$q_{head}$", BLUE)
            if head % (4 // groups) == 0:
                box(axes, middle, 0.8, 0.42, 0.36, f"$k_{group}$\n$v_{group}$", ORANGE, fontsize=8.5, linespacing=1.0)
        axes.text(left + 1.03, 2.0, name, ha="center", va="center", fontweight="bold", fontsize=10.5)
        axes.text(left + 1.03, 0.32, f"H = 4, G = {groups}", ha="center", va="center", color=FAINT)
    return save(figure, folder, "attention-heads")


def copying_model() -> tuple[Transformer, Array]:
    """Return a model that has learned to go on with a row of letters that begins again, and one such row."""
    config = TransformerConfig(
        vocab_size=12,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        context_length=16,
        intermediate_size=32,
        rope_theta=100.0,
        tie_embeddings=False,
    )
    model, optimizer, generator = Transformer.random(config), AdamW(0.01, weight_decay=0.0), np.random.default_rng(0)
    for _ in range(200):
        once = np.array([generator.permutation(12)[:8] for _ in range(16)])
        rows = np.concatenate((once, once), axis=1)  # (16, 16): each row says its eight letters twice
        logits, kept = model.forward(rows[:, :-1])
        _, dlast = cross_entropy(logits[:, 7:], rows[:, 8:])
        dlogits = np.zeros_like(logits)
        dlogits[:, 7:] = dlast
        optimizer.step(model.parameters, model.backward(dlogits, kept))
    word = np.array([[2, 7, 0, 5, 10, 3, 8, 1] * 2])
    return model, word[:, :-1]


def draw_copying(folder: Path) -> Path:
    """Draw where two heads of the copying model look."""
    model, word = copying_model()
    _, kept = model.forward(word)
    letters = ["abcdefghijkl"[token] for token in word[0]]
    figure = Figure(figsize=(7.2, 4.0))
    for layer, title in ((0, "Block 0: at the one before"), (1, "Block 1: after the same letter")):
        axes = figure.add_axes((0.085 + 0.49 * layer, 0.12, 0.42, 0.78))
        # Rounded, so that another machine's last bits give the same picture.
        draw_map(axes, np.round(kept.blocks[layer].attention.attend.weights[0, 1], 3), letters, letters)
        axes.set_title(title)
        axes.set_xlabel("key of")
        axes.set_ylabel("query of" if layer == 0 else "")
    return save(figure, folder, "attention-copying")


def draw_cost(folder: Path) -> Path:
    """Draw what attention costs by the length of the row, and what the cache saves."""
    figure = Figure(figsize=(7.2, 3.3))
    axes = figure.add_axes((0.1, 0.17, 0.37, 0.7))
    D, lengths = 128, 2.0 ** np.arange(4, 14)
    axes.loglog(lengths, np.full_like(lengths, 8 * D * D), color=BLUE, label="four matrices")
    axes.loglog(lengths, 4 * D * lengths, "--", color=ORANGE, label="scores and sums")
    axes.axvline(2 * D, ymax=0.72, color=FAINT, linewidth=1, linestyle=":")
    axes.text(2 * D * 1.15, 9e3, f"T = 2D = {2 * D}", color=FAINT, fontsize=9.5)
    axes.set_xlabel("tokens in the row, T")
    axes.set_title("FLOPs a token, one block, D = 128")
    axes.legend(loc="upper left")
    axes.grid(color=RULE)
    axes = figure.add_axes((0.61, 0.17, 0.37, 0.7))
    config = TransformerConfig(vocab_size=16, hidden_size=8, num_layers=1, num_heads=2, context_length=65)
    model = Transformer.random(config)
    counts = (1, 8, 16, 24, 32, 40, 48, 56, 64)
    for cache, colour, style, name in ((False, ORANGE, "--", "without"), (True, BLUE, "-", "with the cache")):
        computed = []
        for count in counts:
            work = Work()
            model.generate([0], count, cache=cache, work=work)
            computed.append(work.keys_and_values)
        axes.plot(counts, computed, style, color=colour, label=name)
        axes.text(64, computed[-1], f"{computed[-1]:,}", color=colour, ha="right", va="bottom", fontweight="bold")
    axes.set_ylim(-60, 2350)
    axes.set_xlabel("tokens written")
    axes.set_title("Keys computed in one block")
    axes.legend(loc="upper left")
    axes.grid(color=RULE)
    return save(figure, folder, "attention-cost")
