"""The figures of the chapter on the block."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from learn.boxes import arrow, box, canvas
from learn.look import BLUE, CARD, FAINT, GREEN, INK, ORANGE, PURPLE, RULE, look, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quire.scratch.cache import Work
from quire.scratch.feedforward import mlp, mlp_backward
from quire.scratch.normalization import rms_norm, rms_norm_backward
from quire.scratch.transformer import Transformer, TransformerConfig

Array = NDArray[np.float64]

DEMO = TransformerConfig(vocab_size=512, hidden_size=128, num_layers=4, num_heads=4, context_length=128)


def draw(folder: Path) -> list[Path]:
    """Draw all figures of the chapter into `folder`."""
    with look():
        return [
            draw_epsilon(folder),
            draw_residuals(folder),
            draw_blocks(folder),
            draw_transformer(folder),
            draw_shares(folder),
        ]


def draw_epsilon(folder: Path) -> Path:
    """Draw the size of a row after RMSNorm by its size before, with epsilon inside the root and outside."""
    sizes = np.logspace(-8, 1, 91)
    eps = 1e-6
    inside = [float(rms_norm(np.full(4, size), np.ones(4), eps)[0][0]) for size in sizes]
    figure = Figure(figsize=(7.2, 3.2))
    axes = figure.add_axes((0.1, 0.17, 0.85, 0.7))
    axes.loglog(sizes, inside, color=BLUE)
    axes.loglog(sizes, sizes / (sizes + eps), "--", color=ORANGE)
    axes.loglog(sizes, np.ones_like(sizes), ":", color=FAINT)
    axes.text(2.2e-5, 0.012, "ε inside the root", color=BLUE)
    axes.text(1.5e-7, 0.03, "ε outside", color=ORANGE)
    axes.text(2e-8, 1.3, "without ε", color=FAINT)
    axes.axvline(1e-3, color=RULE)
    axes.text(1.2e-3, 2e-5, "√ε = 0.001", color=FAINT)
    axes.set_ylim(5e-6, 4)
    axes.set_xlabel("size of the row before (root mean square)")
    axes.set_title("Size after RMSNorm, ε = 0.000001")
    axes.grid(color=RULE)
    return save(figure, folder, "norm-epsilon")


def gradient_at_first(depth: int, kind: str) -> float:
    """Return how long the gradient is before `depth` layers, as a multiple of its length after them."""
    generator = np.random.default_rng(0)
    D, F = 64, 256
    ones, no_bias = np.ones(D), (np.zeros(F), np.zeros(D))
    x, steps = generator.normal(size=(8, D)), []
    for _ in range(depth):
        up, down = generator.normal(0, D**-0.5, (F, D)), generator.normal(0, F**-0.5, (D, F))
        read, norm = rms_norm(x, ones) if kind == "pre" else (x, None)
        y, kept = mlp(read, up, no_bias[0], down, no_bias[1], "relu")
        x = y if kind == "plain" else x + y
        if kind == "post":
            x, norm = rms_norm(x, ones)
        steps.append((kept, norm))
    start = dx = generator.normal(size=x.shape)
    for kept, norm in reversed(steps):
        if kind == "plain":
            dx = mlp_backward(dx, kept)[0]
        elif kind == "none":
            dx = dx + mlp_backward(dx, kept)[0]
        elif kind == "post":  # the direct way alone
            dx = rms_norm_backward(dx, norm)[0]
        else:
            dx = dx + rms_norm_backward(mlp_backward(dx, kept)[0], norm)[0]
    return float(np.linalg.norm(dx) / np.linalg.norm(start))


def draw_residuals(folder: Path) -> Path:
    """Draw how much gradient reaches the first layer, by depth."""
    depths = [1, 2, 4, 8, 16, 32, 64]
    figure = Figure(figsize=(7.2, 3.4))
    axes = figure.add_axes((0.1, 0.16, 0.62, 0.72))
    for kind, name, colour, style in (
        ("none", "residual, no norm", PURPLE, ":s"),
        ("pre", "residual, pre-norm", BLUE, "-o"),
        ("post", "post-norm:\nthe direct way alone", GREEN, "-.^"),
        ("plain", "no residual", ORANGE, "--D"),
    ):
        values = [gradient_at_first(depth, kind) for depth in depths]
        axes.loglog(depths, values, style, color=colour, markersize=4.5)
        axes.text(70, values[-1], name, color=colour, va="center", clip_on=False)
    axes.set_xticks(depths, [str(depth) for depth in depths])
    axes.minorticks_off()
    axes.set_xlabel("layers")
    axes.set_title("Gradient before the first layer, as a multiple of that after the last")
    axes.grid(color=RULE)
    return save(figure, folder, "residuals")


def draw_blocks(folder: Path) -> Path:
    """Draw a block with its norms in the branches, and one with its norms in the stream."""
    figure, axes = canvas(7.2, 4.5)
    draw_block(axes, 0.55, "pre-norm", pre=True)
    draw_block(axes, 4.25, "post-norm", pre=False)
    return save(figure, folder, "block")


def draw_block(axes: Axes, left: float, name: str, *, pre: bool) -> None:
    """Draw one block, its stream going upwards."""
    stream, branch = left + 0.3, left + 1.7
    axes.text(left - 0.1, 4.28, name, fontweight="bold", fontsize=11, va="center")
    axes.text(stream, 0.14, "x", ha="center", va="center", fontstyle="italic")
    arrow(axes, (stream, 0.28), (stream, 4.05), INK, linewidth=2.6, mutation_scale=16)
    for base, part, colour in ((0.42, "attention", ORANGE), (2.17, "feed-forward", GREEN)):
        rows = [("norm", BLUE), (part, colour)] if pre else [(part, colour)]
        heights = [base + 0.4 + 0.52 * row for row in range(len(rows))]
        plus = base + 1.35 if pre else base + 0.88
        axes.plot([stream, branch], [base, base], color=FAINT, linewidth=1.3)
        places = [base, *heights, plus]
        for below, above in pairwise(places):
            low = below + (0.18 if below in heights else 0)
            high = above - (0.18 if above in heights else 0)
            if above != plus:
                arrow(axes, (branch, low), (branch, high))
            else:
                axes.plot([branch, branch], [low, plus], color=FAINT, linewidth=1.3)
        arrow(axes, (branch, plus), (stream + 0.14, plus))
        for (word, tint), height in zip(rows, heights, strict=True):
            box(axes, branch, height, 1.5, 0.36, word, tint)
        axes.plot(stream, plus, "o", markersize=15, color=CARD, markeredgecolor=INK, markeredgewidth=1.3, zorder=5)
        axes.text(stream, plus - 0.005, "+", ha="center", va="center", fontsize=13, zorder=6)
        if not pre:
            box(axes, stream, base + 1.32, 0.76, 0.36, "norm", BLUE, zorder=7)
    if pre:
        axes.text(stream + 0.16, 3.9, "x + attention + feed-forward", va="center", fontsize=9, color=FAINT)
    else:
        axes.text(stream + 0.16, 3.9, "normalised", va="center", fontsize=9, color=FAINT)


def draw_transformer(folder: Path) -> Path:
    """Draw the whole model of the demo with the shape of everything."""
    shapes = DEMO.weight_shapes()
    block = "model.layers.0."

    V, D = DEMO.vocab_size, DEMO.hidden_size
    queries = shapes[block + "self_attn.q_proj.weight"]
    inner = shapes[block + "mlp.gate_proj.weight"]
    figure, axes = canvas(7.2, 5.6)
    middle, width, right = 2.25, 2.3, 3.9
    for y, word, colour, told in (
        (0.75, "embedding", PURPLE, f"a table {shapes['model.embed_tokens.weight']}"),
        (1.65, "norm", BLUE, f"{D} weights"),
        (2.15, "attention", ORANGE, f"q, k, v, o: {queries} each;\nnorms of q and k: {DEMO.head_dim} weights each"),
        (3.05, "norm", BLUE, f"{D} weights"),
        (3.55, "feed-forward", GREEN, f"gate, up: {inner} each;\ndown: {shapes[block + 'mlp.down_proj.weight']}"),
        (4.5, "norm", BLUE, f"{D} weights"),
        (5.0, "head", PURPLE, "the table of the embedding again"),
    ):
        box(axes, middle, y, width, 0.34, word, colour)
        axes.text(right, y, told, va="center", fontsize=9)
    for low, high in ((0.3, 0.58), (0.92, 1.48), (1.82, 1.98), (3.22, 3.38), (4.0, 4.33), (4.67, 4.83), (5.17, 5.36)):
        arrow(axes, (middle, low), (middle, high))
    for low, out, plus in ((1.2, 2.32, 2.6), (2.8, 3.72, 4.0)):
        x = 0.8
        axes.plot([middle, x, x], [low, low, plus], color=INK, linewidth=1.8)
        arrow(axes, (x, plus), (middle - 0.13, plus), INK, linewidth=1.8)
        axes.plot([middle, middle], [out, plus], color=FAINT, linewidth=1.3)
        axes.plot(middle, plus, "o", markersize=14, color=CARD, markeredgecolor=INK, markeredgewidth=1.2, zorder=5)
        axes.text(middle, plus - 0.005, "+", ha="center", va="center", fontsize=12, zorder=6)
    arrow(axes, (middle, 2.7), (middle, 2.88))
    axes.plot(
        [0.5, 3.7, 3.7, 0.5, 0.5],
        [1.08, 1.08, 4.16, 4.16, 1.08],
        linestyle=(0, (4, 3)),
        color=FAINT,
        linewidth=1.1,
    )
    axes.text(0.42, 2.62, f"{DEMO.num_layers} blocks", rotation=90, ha="right", va="center")
    for y, word in ((0.18, "tokens (B, T)"), (5.47, f"logits (B, T, {V})")):
        axes.text(middle, y, word, ha="center", va="center")
    axes.text(right, 1.2, f"the residual stream (B, T, {D})", va="center", fontsize=9, fontweight="bold")
    return save(figure, folder, "transformer")


def draw_shares(folder: Path) -> Path:
    """Draw which part of the demo model holds which share of its parameters and of its work."""
    shapes = DEMO.weight_shapes()
    marks = {"table": "embed", "feed-forward": "mlp", "norms": "norm", "attention": "_proj"}
    parameters = dict.fromkeys(marks, 0)
    for name, shape in shapes.items():
        part = next(part for part, mark in marks.items() if mark in name)
        parameters[part] += int(np.prod(shape))
    work = Work()
    _, kept = Transformer.random(DEMO).forward(np.zeros((1, 128), dtype=np.int64))
    work.add(kept)
    scores = 2 * work.scores * DEMO.head_dim * 2 // 128
    flops = {part: 2 * number for part, number in parameters.items() if part != "norms"} | {"scores": scores}
    flops["head"] = flops.pop("table")
    assert sum(flops.values()) == 2 * work.multiplications // 128
    colours = {"table": PURPLE, "head": PURPLE, "attention": ORANGE, "scores": "#F0A875", "feed-forward": GREEN}
    colours["norms"] = BLUE
    figure = Figure(figsize=(7.2, 2.7))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 2.7))
    for y, numbers, title in (
        (1.75, parameters, f"{sum(parameters.values()):,} parameters"),
        (0.45, flops, f"{sum(flops.values()):,} FLOPs a token, in rows of 128"),
    ):
        axes.text(0, y + 0.62, title, fontweight="bold", va="center")
        start, total = 0.0, sum(numbers.values())
        for part, colour in colours.items():
            share = numbers.get(part, 0) / total
            axes.barh(y, share, left=start, height=0.55, color=colour, edgecolor=CARD, linewidth=1.5)
            words = {"y": y, "s": f"{part}\n{share:.1%}", "x": start + share / 2, "fontsize": 9}
            if share > 0.05:
                axes.text(**words, ha="center", va="center", color=INK if part == "scores" else CARD)
            elif share:
                axes.text(1, y - 0.42, f"{part} {share:.1%}", ha="right", va="center", color=colour, fontsize=9)
            start += share
    return save(figure, folder, "parameter-shares")
