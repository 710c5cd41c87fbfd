"""The pictures of the chapter "What is a neural network"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from learn.look import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PALE_BLUE,
    PALE_GREY,
    PALE_ORANGE,
    PURPLE,
    RULE,
    WIDTH,
    decimal,
    look,
    save,
    sheet,
)
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from quire.scratch.activations import ACTIVATIONS
from quire.scratch.explain.examples import exercise_2_network
from quire.scratch.learning import GATE_INPUTS, GATES, learn_gate
from quire.scratch.neuron import Neuron

Array = NDArray[np.float64]
Point = tuple[float, float]

FIRST_INPUTS, FIRST_WEIGHTS, FIRST_BIAS = (0.5, 0.3, 0.8), (0.6, 0.4, 0.2), 0.1
SHOWN_STEPS = (8, 12, 16, 60, 1000)


def draw(folder: Path) -> list[Path]:
    """Draw every picture of the chapter into `folder` and return the files."""
    with look():
        return [
            save(biological_neuron(), folder, "biological-neuron"),
            save(neuron(), folder, "neuron"),
            save(layer(), folder, "layer"),
            save(network(), folder, "network"),
            save(exercise_2(), folder, "exercise-2"),
            save(activations(), folder, "activations"),
            save(and_plane(), folder, "and-plane"),
            save(xor(), folder, "xor"),
        ]


# ---- parts of the drawings ----------------------------------------------------------------------------------------


def node(axes: Axes, at: Point, radius: float, text: str = "", face: str = "white", edge: str = INK) -> None:
    """Draw a circle with a text in it."""
    axes.add_patch(Circle(at, radius, facecolor=face, edgecolor=edge, linewidth=1.4, zorder=3))
    axes.text(*at, text, ha="center", va="center", fontsize=10, zorder=4)


def box(axes: Axes, at: Point, width: float, height: float, text: str, face: str = "white", edge: str = INK) -> None:
    """Draw a box with rounded corners around `at`, with a text in it."""
    corner = at[0] - width / 2, at[1] - height / 2
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, "round,pad=0,rounding_size=0.8", facecolor=face, edgecolor=edge, lw=1.4, zorder=3
        )
    )
    axes.text(*at, text, ha="center", va="center", fontsize=10, zorder=4, linespacing=1.4)


def arrow(axes: Axes, start: Point, end: Point, colour: str = FAINT, style: str = "-") -> None:
    """Draw an arrow."""
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, lw=1.3, linestyle=style,
            shrinkA=0, shrinkB=0, zorder=2,
        )
    )  # fmt: skip


def label(axes: Axes, at: Point, text: str, colour: str = INK, size: float = 10, ha: str = "center") -> None:
    """Write a text on a white ground, so that lines below it stop short."""
    axes.text(
        *at, text, ha=ha, va="center", fontsize=size, color=colour, zorder=5, linespacing=1.4,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
    )  # fmt: skip


def edge_points(start: Point, end: Point, first: float, last: float) -> tuple[Point, Point]:
    """Return where a line between two circles of those radii leaves the one and meets the other."""
    a, b = np.array(start), np.array(end)
    along = (b - a) / np.linalg.norm(b - a)
    one, other = a + first * along, b - last * along
    return (float(one[0]), float(one[1])), (float(other[0]), float(other[1]))


def between(start: Point, end: Point, share: float) -> Point:
    """Return the point at that share of the way from start to end."""
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


# ---- the pictures -------------------------------------------------------------------------------------------------


def biological_neuron() -> Figure:
    figure, axes = sheet(2.5)
    body = (21.0, 11.5)
    tips: list[tuple[Point, Point]] = [
        ((7, 21), (14, 20)),
        ((4, 15), (12, 15)),
        ((4, 8.5), (12, 10)),
        ((8, 3), (14, 4)),
    ]
    for tip, bend in tips:
        curve = Outline([tip, bend, body], [Outline.MOVETO, Outline.CURVE3, Outline.CURVE3])
        axes.add_patch(PathPatch(curve, facecolor="none", edgecolor=BLUE, lw=2.6, capstyle="round"))
        fork = between(tip, bend, 0.35)
        axes.plot([fork[0], fork[0] - 2.6], [fork[1], fork[1] + 2.2], color=BLUE, lw=1.8, solid_capstyle="round")
    for start, end in zip((27.0, 35.5, 44.0), (34.0, 42.5, 51.0), strict=True):
        axes.add_patch(
            FancyBboxPatch(
                (start, 10.4), end - start, 2.2, "round,pad=0,rounding_size=1.0",
                facecolor=PALE_ORANGE, edgecolor=ORANGE, lw=1.2, zorder=2,
            )
        )  # fmt: skip
    axes.plot([body[0], 55], [body[1], body[1]], color=ORANGE, lw=2.6, zorder=1, solid_capstyle="round")
    axes.add_patch(Ellipse(body, 9.5, 8, facecolor=PALE_BLUE, edgecolor=BLUE, lw=2, zorder=3))
    axes.add_patch(Circle(body, 1.7, facecolor=BLUE, edgecolor="none", zorder=4))
    for height in (19.0, 14.3, 8.7, 4.0):
        end = (62.0, height)
        curve = Outline([(55, 11.5), (58, height), end], [Outline.MOVETO, Outline.CURVE3, Outline.CURVE3])
        axes.add_patch(PathPatch(curve, facecolor="none", edgecolor=ORANGE, lw=2.0))
        axes.add_patch(Circle(end, 0.9, facecolor=ORANGE, edgecolor="none", zorder=3))
    label(axes, (14.5, 23.3), "dendrites: signals come in")
    label(axes, (22.5, 5.3), "cell body: adds up")
    label(axes, (41, 15.6), "axon: one signal goes out")
    label(axes, (60, 22.2), "synapses: contacts,\nstrong or weak")
    return figure


def neuron() -> Figure:
    """The first example: its numbers are computed by the neuron itself."""
    part = Neuron(FIRST_WEIGHTS, FIRST_BIAS, "relu")
    products, z, y = part.products(FIRST_INPUTS), part.weighted_sum(FIRST_INPUTS), part(FIRST_INPUTS)
    figure, axes = sheet(3.1)
    middle = (35.0, 13.5)
    for index, height in enumerate((24.0, 13.5, 3.5)):
        at = (8.0, height)
        node(axes, at, 3.0, f"$x_{index + 1}$\n{decimal(FIRST_INPUTS[index])}", PALE_BLUE, BLUE)
        arrow(axes, *edge_points(at, middle, 3.0, 4.2))
        place = between(at, middle, 0.47)
        product = decimal(float(products[index]))
        label(axes, place, f"× $w_{index + 1}$ = {decimal(FIRST_WEIGHTS[index])}  →  {product}")
    node(axes, middle, 4.2, "Σ", PALE_GREY)
    label(axes, (35.0, 6.4), f"$z$ = {decimal(z)}")
    box(axes, (35.0, 25.5), 9, 4, f"$b$ = {decimal(FIRST_BIAS)}", PALE_ORANGE, ORANGE)
    arrow(axes, (35.0, 23.5), (35.0, 17.7))
    box(axes, (50.0, 13.5), 10, 6.4, "$f$\nReLU", PALE_GREY)
    arrow(axes, (39.2, 13.5), (45.0, 13.5))
    node(axes, (65.0, 13.5), 3.4, f"$y$\n{decimal(y)}", PALE_BLUE, BLUE)
    arrow(axes, (55.0, 13.5), (61.6, 13.5))
    label(axes, (8.0, 29.0), "inputs", FAINT)
    label(axes, (21.0, 29.0), "weights, products", FAINT)
    label(axes, (35.0, 29.3), "bias", FAINT)
    label(axes, (50.0, 19.0), "activation", FAINT)
    label(axes, (65.0, 19.0), "output", FAINT)
    return figure


def layer() -> Figure:
    """Three inputs, two neurons: column j of W belongs to neuron j."""
    figure, axes = sheet(2.9)
    inputs = [(8.0, height) for height in (23.0, 14.0, 5.0)]
    neurons = [(38.0, 19.5), (38.0, 8.5)]
    for j, (at, colour, style) in enumerate(zip(neurons, (BLUE, ORANGE), ("-", (0, (5, 2))), strict=True), 1):
        for i, start in enumerate(inputs, 1):
            arrow(axes, *edge_points(start, at, 2.6, 3.2), colour=colour, style=style)  # type: ignore[arg-type]
            label(axes, between(start, at, 0.30 if j == 1 else 0.72), f"$w_{{{i}{j}}}$", colour)
        node(axes, at, 3.2, f"$z_{j}$", "white", colour)
        box(axes, (49.0, at[1]), 5.5, 5, "$f$", PALE_GREY)
        arrow(axes, (41.2, at[1]), (46.2, at[1]), colour=colour, style=style)  # type: ignore[arg-type]
        node(axes, (61.0, at[1]), 2.8, f"$y_{j}$", "white", colour)
        arrow(axes, (51.8, at[1]), (58.2, at[1]), colour=colour, style=style)  # type: ignore[arg-type]
        label(axes, (38.0, at[1] + 4.6 if j == 1 else at[1] - 4.6), f"$+\\,b_{j}$", colour)
    for i, at in enumerate(inputs, 1):
        node(axes, at, 2.6, f"$x_{i}$", PALE_GREY)
    label(axes, (8.0, 27.6), "n = 3 inputs", FAINT)
    label(axes, (38.0, 27.6), "m = 2 neurons: two weighted sums", FAINT)
    label(axes, (61.0, 27.6), "m = 2 outputs", FAINT)
    label(axes, (49.0, 1.2), "solid: column 1 of W;  dashed: column 2", FAINT)
    return figure


def network() -> Figure:
    """Three layers in a row: what each is called and the shapes of what it holds."""
    widths = (3, 4, 4, 2)
    figure, axes = sheet(3.4)
    columns = [8.0, 26.0, 44.0, 62.0]
    places = [
        [(x, 19.5 + 6.0 * ((count - 1) / 2 - k)) for k in range(count)]
        for x, count in zip(columns, widths, strict=True)
    ]
    colours = (FAINT, BLUE, BLUE, ORANGE)
    for left, right in pairwise(places):
        for start in left:
            for end in right:
                arrow(axes, *edge_points(start, end, 2.1, 2.1), colour="#A6A6A6")
    for number, (row, colour) in enumerate(zip(places, colours, strict=True)):
        letter = ("x", "h^{(1)}", "h^{(2)}", "y")[number]
        for index, at in enumerate(row, 1):
            name = f"${letter}_{index}$" if number in {0, 3} else f"$h_{index}$"
            node(axes, at, 2.1, name, PALE_GREY if number == 0 else "white", colour)
    heads = ("inputs", "hidden layer 1", "hidden layer 2", "output layer 3")
    formulas = ("$X$", "$H_1 = f_1(X W_1 + b_1)$", "$H_2 = f_2(H_1 W_2 + b_2)$", "$Y = f_3(H_2 W_3 + b_3)$")
    shapes = ["(B, 3)"] + [f"W: ({n}, {m}),  b: (1, {m})" for n, m in pairwise(widths)]
    for x, head, formula, shape in zip(columns, heads, formulas, shapes, strict=True):
        label(axes, (x, 32.0), head, FAINT)
        label(axes, (x, 6.2), formula, size=9.5)
        label(axes, (x, 3.0), shape, FAINT, 9)
    return figure


def exercise_2() -> Figure:
    """The network of exercise 2 with the numbers that run through it."""
    net = exercise_2_network()
    x = np.array([[1.0, 0.5]])
    y, kept = net.forward(x)
    figure, axes = sheet(2.9)
    inputs, hidden, out = [(8.0, 20.5), (8.0, 7.5)], [(34.0, 20.5), (34.0, 7.5)], (60.0, 14.0)
    for i, start in enumerate(inputs):
        for j, end in enumerate(hidden):
            arrow(axes, *edge_points(start, end, 3.2, 4.4), colour=BLUE)
            place = between(start, end, 0.5 if i == j else 0.30)
            label(axes, place, decimal(net.layers[0].weights[i, j]), BLUE)
        node(axes, start, 3.2, f"$x_{i + 1}$\n{decimal(x[0, i])}", PALE_GREY)
    for j, start in enumerate(hidden):
        arrow(axes, *edge_points(start, out, 4.4, 4.4), colour=ORANGE)
        label(axes, between(start, out, 0.45), decimal(net.layers[1].weights[j, 0]), ORANGE)
        node(axes, start, 4.4, f"$h_{j + 1}$ = {decimal(kept[1].X[0, j])}", PALE_BLUE, BLUE)
        side = 1 if j == 0 else -1
        label(axes, (34.0, start[1] + side * 6.2), f"bias {decimal(net.layers[0].biases[0, j])}", BLUE)
    node(axes, out, 4.4, f"$y$ = {decimal(y[0, 0])}", PALE_ORANGE, ORANGE)
    label(axes, (60.0, 20.2), f"bias {decimal(net.layers[1].biases[0, 0])}", ORANGE)
    label(axes, (19.5, 26.0), "$W_1$: weights on the lines", BLUE)
    label(axes, (50.0, 26.0), "$W_2$", ORANGE)
    return figure


def activations() -> Figure:
    """Each activation (solid) and its derivative (dashed)."""
    z = np.linspace(-4, 4, 401)
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    shown = (
        ("relu", "ReLU"),
        ("sigmoid", "Sigmoid"),
        ("tanh", "Tanh"),
        ("gelu", "GELU"),
        ("silu", "SiLU"),
        ("identity", "Identity (none)"),
    )
    grid = figure.subplots(2, 3, sharex=True, sharey=True)
    for place, (axes, (name, title)) in enumerate(zip(grid.flat, shown, strict=True)):
        part = ACTIVATIONS[name]
        axes.axhline(0, color=RULE, lw=1)
        axes.axvline(0, color=RULE, lw=1)
        axes.plot(z, part(z), color=BLUE, label="$f(z)$")
        slope = part.derivative(z)
        if name == "relu":  # it jumps at 0: two pieces, not a slanted line
            axes.plot(z[z < 0], slope[z < 0], color=ORANGE, ls=(0, (5, 2)), label="slope $f\\,'(z)$")
            axes.plot(z[z > 0], slope[z > 0], color=ORANGE, ls=(0, (5, 2)))
        else:
            axes.plot(z, slope, color=ORANGE, ls=(0, (5, 2)), label="slope $f\\,'(z)$")
        axes.set(title=title, xlim=(-4, 4), ylim=(-1.3, 3))
        if place >= 3:
            axes.set_xlabel("weighted sum $z$")
        if place % 3 == 0:
            axes.set_ylabel("value")
    grid[0, 0].legend(loc="upper left")
    return figure


def gate_points(axes: Axes, gate: str, places: Array = GATE_INPUTS, size: float = 70) -> None:
    """Draw the four rows of a gate: 1 as a full disc, 0 as an open square."""
    answers = GATES[gate].ravel()
    for value, marker, face, name in ((0, "s", "white", "answer 0"), (1, "o", INK, "answer 1")):
        chosen = places[answers == value]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=size,
            marker=marker,
            facecolor=face,
            edgecolor=INK,
            lw=1.5,
            zorder=5,
            label=name,
        )


def plane(axes: Axes, title: str) -> None:
    """Make axes the plane of two inputs."""
    axes.set(title=title, xlim=(-0.5, 1.7), ylim=(-0.5, 1.7), xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    axes.set_xticks([0, 1])
    axes.set_yticks([0, 1])


def line_ends(weights: Sequence[float], bias: float, low: float = -0.5, high: float = 1.7) -> tuple[Array, Array]:
    """Return two points of the line w1 x1 + w2 x2 + b = 0."""
    w1, w2 = weights
    if w2 == 0:
        return np.full(2, -bias / w1), np.array([low, high])
    x1 = np.array([low, high])
    return x1, -(w1 * x1 + bias) / w2


def and_plane() -> Figure:
    """Left: two choices of weights by hand. Right: where gradient descent puts the boundary."""
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    chosen, learned = figure.subplots(1, 2)
    plane(chosen, "Chosen by hand")
    x1, x2 = line_ends((8, 8), -10)
    chosen.fill_between(x1, x2, 1.7, color=PALE_BLUE, zorder=0)
    chosen.plot(x1, x2, color=BLUE, label="$w$ = (8, 8), $b$ = −10: AND")
    chosen.plot(*line_ends((20, 0), -10), color=ORANGE, ls=(0, (5, 2)), label="$w$ = (20, 0), $b$ = −10: not AND")
    gate_points(chosen, "and")
    plane(learned, "Learned, from $w$ = (0, 0), $b$ = 0")
    learned.set_xlim(-0.5, 2.2)
    _, moments = learn_gate("and", steps=max(SHOWN_STEPS))
    shades = (0.72, 0.58, 0.42, 0.22, 0.0)
    base = np.array([0, 0x72, 0xB2]) / 255
    for place, (step, shade) in enumerate(zip(SHOWN_STEPS, shades, strict=True)):
        values = moments[step].parameters
        w, b = values["0.weights"].ravel(), float(values["0.biases"][0, 0])
        colour = tuple(base + (1 - base) * shade)
        learned.plot(*line_ends(w.tolist(), b, -0.5, 2.2), color=colour, lw=1.6 if shade else 2.6)
        height = 0.86 - 0.26 * place
        learned.text(-b / w[0] - height, height, f"{step}", fontsize=9, ha="center", va="center", zorder=4,
                     bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip
    learned.text(0.42, 0.30, "number: step", ha="center", fontsize=9, color=FAINT)
    gate_points(learned, "and")
    handles, names = chosen.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def xor() -> Figure:
    """Left: the regions that two hidden neurons make. Right: the same four rows as those neurons hand them on."""
    net, _ = learn_gate("xor", hidden=2, steps=1000, seed=0)
    figure = Figure(figsize=(WIDTH, 4.3))
    outside, inside = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.98, top=0.93, bottom=0.2, wspace=0.3)
    plane(outside, "The plane of the inputs")
    ticks = np.linspace(-0.5, 1.7, 221)
    mesh = np.meshgrid(ticks, ticks)
    values = net.forward(np.stack([part.ravel() for part in mesh], axis=1))[0].reshape(mesh[0].shape)
    outside.contourf(*mesh, values, levels=[0, 0.5, 1], cmap=ListedColormap(["white", PALE_BLUE]), zorder=0)
    outside.contour(*mesh, values, levels=[0.5], colors=[BLUE], linewidths=2)
    for number, (colour, style) in enumerate(((GREEN, "--"), (PURPLE, ":"))):
        w, b = net.layers[0].weights[:, number], float(net.layers[0].biases[0, number])
        outside.plot(*line_ends(w.tolist(), b), color=colour, ls=style, label=f"$z_{number + 1}$ = 0")
    gate_points(outside, "xor")
    hidden = net.forward(GATE_INPUTS)[1][1].X
    w, b = net.layers[1].weights.ravel(), float(net.layers[1].biases[0, 0])
    inside.set(
        title="The plane of the hidden outputs", xlabel="$h_1$", ylabel="$h_2$", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3),
        aspect="equal",
    )  # fmt: skip
    across, up = line_ends(w.tolist(), b, -1.3, 1.3)
    inside.plot(across, up, color=BLUE, lw=2)
    outside.plot([], [], color=BLUE, lw=2, label="output = 0.5")
    inside.fill_between(across, up, np.sign(w[1]) * 9, color=PALE_BLUE, zorder=0)
    gate_points(inside, "xor", hidden)
    groups: dict[tuple[float, float], list[str]] = {}
    for row, at in zip(GATE_INPUTS, hidden, strict=True):
        groups.setdefault((round(float(at[0])) * 0.95, round(float(at[1])) * 0.95), []).append(
            f"({row[0]:.0f}, {row[1]:.0f})"
        )
    for at, names in groups.items():
        inside.annotate("\n".join(names), at, (0, 11 if at[1] < 0.6 else -17), textcoords="offset points",
                        ha="left" if at[0] < 0 else "right", fontsize=9)  # fmt: skip
    handles, names = outside.get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=5)
    return figure
