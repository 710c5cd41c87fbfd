"""The pictures of the chapter "How it learns"."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from learn.look import (
    AMBER,
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
    SKY,
    WIDTH,
    decimal,
    look,
    save,
    sheet,
)
from learn.neural_network import arrow, box, edge_points, label
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quire.scratch.activations import sigmoid
from quire.scratch.explain.examples import exercise_2_network
from quire.scratch.learning import Moment, Optimizer, moons, train
from quire.scratch.losses import binary_cross_entropy, mean_squared_error
from quire.scratch.network import Network
from quire.scratch.optimizers import SGD, AdamW, Momentum
from quire.scratch.schedules import SCHEDULES

Array = NDArray[np.float64]

TARGET = 2.0  # what the network of exercise 2 should have said
CURVATURES = np.array([1.0, 20.0])  # of the bowl: twenty times as steep across as along
BOWL_START = np.array([-4.0, 1.5])
BOWL_STEPS = 40
MOONS_STEPS = 400
MOONS_SHOWN = (0, 20, 100, 400)
RATES = (0.01, 1.0, 10.0, 100.0)


def draw(folder: Path) -> list[Path]:
    """Draw every picture of the chapter into `folder` and return the files."""
    with look():
        return [
            save(losses(), folder, "losses"),
            save(slope(), folder, "slope"),
            save(backpropagation(), folder, "backpropagation"),
            save(descent(), folder, "descent"),
            save(schedules(), folder, "schedules"),
            save(moons_regions(), folder, "moons"),
            save(learning_rates(), folder, "learning-rates"),
        ]


# ---- loss and slope -----------------------------------------------------------------------------------------------


def losses() -> Figure:
    """Squared error and cross-entropy of one sigmoid output that should be 1: their values and their slopes."""
    z = np.linspace(-6, 6, 481)
    s = sigmoid(z)
    entropy = [binary_cross_entropy([value], [1.0]) for value in z]
    squared = [mean_squared_error([value], [1.0]) for value in s]
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    values, slopes = figure.subplots(1, 2)
    values.plot(z, [loss for loss, _ in entropy], color=BLUE, label="cross-entropy, $-\\ln s$")
    values.plot(z, [loss for loss, _ in squared], color=ORANGE, ls=(0, (5, 2)), label="squared error, $(s - 1)^2$")
    values.set(title="The loss, when 1 is right", xlabel="logit $z$;  $s$ = sigmoid($z$)", ylabel="loss", ylim=(0, 6))
    values.legend(loc="upper right")
    slopes.plot(z, [float(dz[0]) for _, dz in entropy], color=BLUE)
    chained = [float(dy[0]) * share * (1 - share) for (_, dy), share in zip(squared, s, strict=True)]
    slopes.plot(z, chained, color=ORANGE, ls=(0, (5, 2)))
    slopes.axhline(0, color=RULE, lw=1)
    slopes.set(title="Its slope: what learning sees", xlabel="logit $z$", ylabel="slope of the loss in $z$")
    slopes.annotate("very wrong:\nalmost no slope", (-5.2, -0.02), (-5.8, -0.55), fontsize=9, color=ORANGE,
                    arrowprops={"arrowstyle": "-", "color": ORANGE, "lw": 1})  # fmt: skip
    return figure


def loss_of_one_weight(weight: float) -> tuple[float, float]:
    """Return the loss of exercise 2's network, and its slope, as its first output weight is changed."""
    net = exercise_2_network()
    net.layers[1].weights[0, 0] = weight
    y, kept = net.forward([[1.0, 0.5]])
    loss, dy = mean_squared_error(y, [[TARGET]])
    return loss, float(net.backward(dy, kept)[1]["1.weights"][0, 0])


def slope() -> Figure:
    """Left: secants that become the tangent. Right: steps down the same curve."""
    weights = np.linspace(0, 3.2, 321)
    curve = [loss_of_one_weight(w)[0] for w in weights]
    start = 0.5
    loss, steepness = loss_of_one_weight(start)
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    tangent, steps = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes in (tangent, steps):
        axes.plot(weights, curve, color=INK)
        axes.set(xlabel="the weight $w$", xlim=(0, 2.8), ylim=(-0.05, 1.75))
    tangent.set(title="Slope: the line that the secants near", ylabel="loss")
    for width, colour, style in ((1.8, AMBER, ":"), (0.8, SKY, "--")):
        other = loss_of_one_weight(start + width)[0]
        rise = (other - loss) / width
        ends = np.array([0.0, 2.8])
        tangent.plot(ends, loss + rise * (ends - start), color=colour, ls=style, lw=1.6,
                     label=f"over {decimal(width)}: {decimal(rise)}")  # fmt: skip
        tangent.plot(start + width, other, "o", color=colour, ms=5)
    ends = np.array([0.0, 1.2])
    tangent.plot(ends, loss + steepness * (ends - start), color=ORANGE, lw=2.2, label=f"slope: {decimal(steepness)}")
    tangent.plot(start, loss, "o", color=INK, ms=6, zorder=5)
    tangent.legend(loc="upper right")
    steps.set_title("Steps against the slope, rate 0.3")
    places = [start]
    for _ in range(4):
        places.append(places[-1] - 0.3 * loss_of_one_weight(places[-1])[1])
    heights = [loss_of_one_weight(w)[0] for w in places]
    steps.plot(places, heights, "o-", color=BLUE, ms=6, lw=1.2)
    for number, (w, height) in enumerate(zip(places[:4], heights, strict=False)):
        steps.annotate(f"{number}", (w, height), (6, 6), textcoords="offset points", fontsize=9, color=BLUE)
    return figure


# ---- backpropagation ----------------------------------------------------------------------------------------------


def backpropagation() -> Figure:
    """The network of exercise 2: values forward (above each line), gradients back (below it)."""
    net = exercise_2_network()
    x = np.array([[1.0, 0.5]])
    y, kept = net.forward(x)
    loss, dy = mean_squared_error(y, [[TARGET]])
    dz2 = dy * net.layers[1].activation.derivative(kept[1].Z)
    dh = dz2 @ net.layers[1].weights.T
    dz1 = dh * net.layers[0].activation.derivative(kept[0].Z)
    _, gradients = net.backward(dy, kept)
    figure, axes = sheet(4.1)
    inputs, hidden = [(6.0, 31.0), (6.0, 12.0)], [(30.0, 31.0), (30.0, 12.0)]
    out, end = (52.0, 21.5), (66.0, 21.5)
    for i, start in enumerate(inputs):
        for j, at in enumerate(hidden):
            arrow(axes, *edge_points(start, at, 4.0, 6.2))
            weight, gradient = net.layers[0].weights[i, j], gradients["0.weights"][i, j]
            both(axes, along(start, at, 0.46 if i == j else 0.27), weight, gradient)
    for j, at in enumerate(hidden):
        arrow(axes, *edge_points(at, out, 6.2, 5.6))
        both(axes, along(at, out, 0.47), net.layers[1].weights[j, 0], gradients["1.weights"][j, 0])
    arrow(axes, (56.8, 21.5), (61.5, 21.5))
    for i, at in enumerate(inputs):
        box(axes, at, 7, 5.6, f"$x_{i + 1}$ = {decimal(x[0, i])}", PALE_GREY)
    for j, at in enumerate(hidden):
        box(axes, at, 12, 8.4, "", PALE_BLUE, BLUE)
        axes.text(at[0], at[1] + 2.0, f"$z_{j + 1}$ = $h_{j + 1}$ = {decimal(kept[1].X[0, j])}", ha="center",
                  va="center", zorder=5, fontsize=9.5)  # fmt: skip
        axes.text(at[0], at[1] - 1.9, f"$dz_{j + 1}$ = {decimal(dz1[0, j])}", ha="center", va="center", zorder=5,
                  color=ORANGE, fontsize=9.5)  # fmt: skip
        outside = 7.2 if j == 0 else -7.2
        both(axes, (at[0], at[1] + outside), net.layers[0].biases[0, j], gradients["0.biases"][0, j], "$b$ ")
    box(axes, out, 9.6, 8.4, "", PALE_BLUE, BLUE)
    axes.text(out[0], out[1] + 2.0, f"$y$ = {decimal(y[0, 0])}", ha="center", va="center", zorder=5, fontsize=9.5)
    axes.text(out[0], out[1] - 1.9, f"$dz$ = {decimal(dz2[0, 0])}", ha="center", va="center", zorder=5, color=ORANGE,
              fontsize=9.5)  # fmt: skip
    both(axes, (out[0], out[1] + 7.2), net.layers[1].biases[0, 0], gradients["1.biases"][0, 0], "$b$ ")
    box(axes, end, 9.0, 8.4, f"loss\n{decimal(loss)}", PALE_ORANGE, ORANGE)
    label(axes, (66.0, 28.0), f"target {decimal(TARGET)}", FAINT)
    label(axes, (22.0, 1.5), "black: forward, from left to right", INK)
    label(axes, (53.0, 1.5), "orange: gradient of the loss, from right to left", ORANGE)
    return figure


def along(start: tuple[float, float], end: tuple[float, float], share: float) -> tuple[float, float]:
    """Return the point at that share of the way."""
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def both(axes: Axes, at: tuple[float, float], value: float, gradient: float, name: str = "") -> None:
    """Write a weight, and below it the gradient of the loss with respect to it."""
    label(axes, (at[0], at[1] + 1.15), f"{name}{decimal(value)}", size=9)
    label(axes, (at[0], at[1] - 1.15), decimal(gradient), ORANGE, 9)


# ---- optimizers and schedules -------------------------------------------------------------------------------------


def bowl(w: Array) -> tuple[float, Array]:
    """Return the height (w1^2 + 20 w2^2) / 2 of the bowl at w, and its gradient."""
    return float(CURVATURES @ w**2) / 2, CURVATURES * w


def bowl_path(optimizer: Optimizer, steps: int = BOWL_STEPS) -> tuple[Array, list[float]]:
    """Return the places (steps + 1, 2) that an optimizer comes to from `BOWL_START`, and their heights."""
    parameters = {"w": BOWL_START.copy()}
    path, heights = [BOWL_START.copy()], [bowl(BOWL_START)[0]]
    for _ in range(steps):
        optimizer.step(parameters, {"w": bowl(parameters["w"])[1]})
        path.append(parameters["w"].copy())
        heights.append(bowl(parameters["w"])[0])
    return np.array(path), heights


BOWL_OPTIMIZERS: tuple[tuple[str, type, dict[str, float], str, str], ...] = (
    ("SGD, rate 0.09", SGD, {"learning_rate": 0.09}, ORANGE, "-"),
    ("momentum 0.8, rate 0.02", Momentum, {"learning_rate": 0.02, "momentum": 0.8}, GREEN, "--"),
    ("AdamW, rate 0.3", AdamW, {"learning_rate": 0.3, "weight_decay": 0.0}, BLUE, ":"),
)


def descent() -> Figure:
    """Three optimizers on the same bowl: their ways, and how the loss falls."""
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    places = figure.subplot_mosaic([["a", "b"], ["c", "loss"]])
    across, up = np.meshgrid(np.linspace(-4.6, 1.6, 125), np.linspace(-1.7, 1.9, 73))
    heights = (CURVATURES[0] * across**2 + CURVATURES[1] * up**2) / 2
    for key, (name, kind, settings, colour, style) in zip("abc", BOWL_OPTIMIZERS, strict=True):
        path, values = bowl_path(kind(**settings))
        axes = places[key]
        axes.contour(across, up, heights, levels=[0.3, 1.5, 4, 8, 14, 22, 32], colors="#BDBDBD", linewidths=0.8)
        axes.plot(path[:, 0], path[:, 1], color=colour, lw=1.3, marker="o", ms=3)
        axes.plot(*BOWL_START, "o", color=INK, ms=6)
        axes.plot(0, 0, "*", color=INK, ms=9, zorder=5)
        axes.set(title=name, xlabel="$w_1$", ylabel="$w_2$", xlim=(-4.6, 1.6), ylim=(-1.7, 1.9))
        places["loss"].plot(values, color=colour, ls=style, label=name.split(",")[0].removesuffix(" 0.8"))
    places["loss"].set(title="Loss", xlabel="step", ylabel="loss", yscale="log")
    places["loss"].legend(loc="lower left")
    return figure


def schedules() -> Figure:
    """The three schedules with a warmup of 10 of 100 steps."""
    steps, peak, warmup = 100, 0.01, 10
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.subplots()
    for name, colour, style in (("constant", FAINT, ":"), ("linear", ORANGE, "--"), ("cosine", BLUE, "-")):
        rates = [SCHEDULES[name](step, steps, peak, warmup) for step in range(steps)]
        axes.plot(range(steps), rates, color=colour, ls=style, label=name, lw=2)
    axes.axvspan(0, warmup - 1, color=PALE_GREY, zorder=0)
    axes.text((warmup - 1) / 2, peak * 1.06, "warmup", ha="center", fontsize=9, color=FAINT)
    axes.set(xlabel="step", ylabel="learning rate", xlim=(0, steps - 1), ylim=(0, peak * 1.14))
    axes.legend(loc="lower left", bbox_to_anchor=(0.12, 0.02))
    return figure


# ---- the moons ----------------------------------------------------------------------------------------------------


@cache
def learned_moons() -> tuple[Network, tuple[Moment, ...]]:
    """Return the network of the chapter after its training on the moons, and every moment of it."""
    X, targets = moons(100, noise=0.15, seed=0)
    net = Network.random((2, 8, 1), "tanh", "sigmoid", seed=0)
    return net, tuple(train(net, X, targets, AdamW(0.03), MOONS_STEPS))


def moons_regions() -> Figure:
    """What the network takes for which moon, at four moments."""
    X, targets = moons(100, noise=0.15, seed=0)
    _, moments = learned_moons()
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    places = figure.subplot_mosaic([list(MOONS_SHOWN[:3]), [MOONS_SHOWN[3], "loss", "loss"]])
    mesh = np.meshgrid(np.linspace(-1.6, 2.6, 169), np.linspace(-1.2, 1.7, 117))
    points = np.stack([part.ravel() for part in mesh], axis=1)
    upper = targets.ravel() == 0
    for step in MOONS_SHOWN:
        axes = places[step]
        net = Network.random((2, 8, 1), "tanh", "sigmoid", seed=0)
        for name, values in net.parameters.items():
            values[...] = moments[step].parameters[name]
        shares = net.forward(points)[0].reshape(mesh[0].shape)
        axes.contourf(*mesh, shares, levels=[0, 0.5, 1], cmap=ListedColormap([PALE_BLUE, PALE_ORANGE]), zorder=0)
        axes.contour(*mesh, shares, levels=[0.5], colors=[INK], linewidths=1.4)
        axes.scatter(*X[upper].T, s=13, color=BLUE, marker="o")
        axes.scatter(*X[~upper].T, s=15, color=ORANGE, marker="^")
        moment = moments[step]
        axes.set(title=f"Step {step}: {moment.correct} right", aspect="equal", xlabel="$x_1$", xticks=[-1, 0, 1, 2])
    places[MOONS_SHOWN[0]].set_ylabel("$x_2$")
    places[MOONS_SHOWN[3]].set_ylabel("$x_2$")
    falling = places["loss"]
    falling.plot([moment.loss for moment in moments], color=BLUE)
    for step in MOONS_SHOWN:
        falling.plot(step, moments[step].loss, "o", color=INK, ms=5)
    falling.set(title="Loss", xlabel="step", ylabel="loss", ylim=(0, None))
    return figure


def learning_rates() -> Figure:
    """The loss on the moons under gradient descent with four learning rates."""
    X, targets = moons(100, noise=0.15, seed=0)
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    looks = ((PURPLE, ":"), (BLUE, "-"), (GREEN, "--"), (ORANGE, "-."))
    for rate, (colour, style) in zip(RATES, looks, strict=True):
        net = Network.random((2, 8, 1), "tanh", "sigmoid", seed=0)
        values = [moment.loss for moment in train(net, X, targets, SGD(rate), 300)]
        axes.plot(values, color=colour, ls=style, lw=1.4, label=f"rate {decimal(rate)}")
    axes.axhline(np.log(2), color=FAINT, lw=0.8)
    axes.text(301, np.log(2) * 1.08, "ln 2: guessing", ha="right", va="bottom", fontsize=9, color=FAINT)
    axes.set(xlabel="step", ylabel="loss", yscale="log", xlim=(0, 300))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
