"""Backpropagation through a small network with all its numbers, and one step of gradient descent."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Step, Table, equation, say, step
from quire.scratch.explain.expressions import Symbol
from quire.scratch.explain.losses import binary, binary_slopes, indexed, squared, squared_slopes
from quire.scratch.explain.neurons import network as forward_steps
from quire.scratch.explain.neurons import output_letter
from quire.scratch.explain.notation import call, matmul, matrix, minus, number, symbol, times
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.products import dot, tidy
from quire.scratch.layers import Layer, LayerKept
from quire.scratch.losses import LOSSES
from quire.scratch.network import Network
from quire.scratch.optimizers import SGD

Array = NDArray[np.float64]


def backpropagation(
    network: Network,
    inputs: ArrayLike,
    target: ArrayLike,
    *,
    loss: str = "mean_squared_error",
    learning_rate: float | None = 0.1,
    title: str | None = None,
) -> Explanation:
    """Work out forward, loss, the gradient of every weight by the chain rule, and a step of gradient descent.

    Args:
        network: is left as it is; the step is taken by a copy.
        inputs: one example (n,).
        target: what should come out (m,).
        loss: mean_squared_error, or binary_cross_entropy where the last layer is a sigmoid.
        learning_rate: of the step; None leaves it out.
        title: of the explanation.

    Raises:
        ValueError: shapes do not fit, there is no such loss, or it does not fit the last layer.
    """
    if loss not in LOSSES:
        raise ValueError(f"{loss!r} is no loss; there are {', '.join(LOSSES)}")
    last = network.layers[-1]
    if loss == "binary_cross_entropy" and last.activation.name != "sigmoid":
        raise ValueError(f"binary_cross_entropy needs a sigmoid in the last layer; it is {last.activation.name}")
    t = np.asarray(target, dtype=np.float64)
    if t.shape != (last.weights.shape[1],):
        raise ValueError(f"the target must be a row of {last.weights.shape[1]} numbers; its shape is {t.shape}")
    forward = forward_steps(network, inputs)
    X = np.asarray(inputs, dtype=np.float64)[None, :]
    Y, kept = network.forward(X)
    steps = list(forward.steps[:-1])
    result = dict(forward.result)
    count = len(network.layers)
    dX: Array
    if loss == "mean_squared_error":
        value, dY = LOSSES[loss](Y, t[None, :])
        dX, gradients = network.backward(dY, kept)
        steps.append(step("The loss, mean squared error", *squared(Y[0], t, value)))
        steps.append(step("The gradient of the output", *squared_slopes(Y[0], t, dY[0])))
        dZ = None
    else:
        value, dZ = LOSSES[loss](kept[-1].Z, t[None, :])
        dX, gradients = network.backward_from_sums(dZ, kept)
        steps.append(step("The loss, binary cross-entropy", *binary(kept[-1].Z[0], t, value)))
        dY = np.zeros_like(dZ)  # not asked for: the loss gives dZ at once
    for index in range(count - 1, -1, -1):
        part = network.layers[index]
        if dZ is not None and index == count - 1:
            lines = binary_slopes(Y[0], t, dZ[0], indexed("z", t.size))
        else:
            dZ_here = dY * part.activation.derivative(kept[index].Z)  # (1, m)
            lines = _through_activation(part, kept[index], dY, dZ_here, index, count)
            dZ = dZ_here
        before, _ = Layer(part.weights, part.biases, "identity").backward(dZ, kept[index])
        lines += _through_weights(part, kept[index], dZ, gradients, before, index, count)
        steps.append(step(f"Back through layer {index + 1}", *lines))
        dY, dZ = before, None
    result |= {"target": t, "loss": value, "gradients": gradients, "dX": dX[0]}
    if learning_rate is not None:
        told, after, changed = _descend(network, X, t, loss, learning_rate, gradients)
        steps.append(told)
        result |= {"learning_rate": learning_rate, "parameters_after": changed, "loss_after": after}
        lower = "lower" if after < value else "not lower"
        steps.append(
            step(
                "The loss after the step",
                say(
                    "Worked out again with the new weights, the loss is ",
                    number(after),
                    " instead of ",
                    number(value),
                    f": {lower}.",
                ),
            )
        )
    return Explanation(title or "Backpropagation", tuple(steps), result)


def _names(letter: str, many: int, alone: bool) -> list[Symbol]:
    return [Symbol(letter)] if alone and many == 1 else [Symbol(letter, (i,)) for i in range(1, many + 1)]


def _through_activation(
    part: Layer, kept: LayerKept, dY: Array, dZ: Array, index: int, count: int
) -> list[Equation | Sentence | Table]:
    """dz = dy f'(z), number by number."""
    alone = index == count - 1
    many = dZ.shape[1]
    zs, dzs = _names("z", many, alone), _names("dz", many, alone)
    lines: list[Equation | Sentence | Table] = [
        say("Through the activation, the chain rule: each times the slope at its z.")
    ]
    slopes = part.activation.derivative(kept.Z)[0]
    Z = tidy(kept.Z, kept.X, part.weights, part.biases)[0]
    for j in range(many):
        y = Symbol("y") if alone and many == 1 else output_letter(index + 1, count, j + 1)
        dy = Symbol("d" + y.name, y.indices, "d" + y.tex if y.tex else "")
        lines.append(
            equation(
                dzs[j],
                times(dy, call("f'", zs[j])),
                times(dY[0, j], call("f'", Z[j])),
                times(dY[0, j], slopes[j]),
                number(dZ[0, j]),
            )
        )
    return lines


def _through_weights(
    part: Layer, kept: LayerKept, dZ: Array, gradients: dict[str, Array], dX: Array, index: int, count: int
) -> list[Equation | Sentence | Table]:
    """dW = X^T dZ, db = dZ, dX = dZ W^T."""
    dW = tidy(gradients[f"{index}.weights"], kept.X.T, dZ)
    transposed = Symbol("xᵀ" if index == 0 else "hᵀ", (), "x^{\\top}" if index == 0 else "h^{\\top}")
    lines: list[Equation | Sentence | Table] = [
        say("A weight gets what came in times what came back; a bias what came back."),
        equation(
            Symbol("dW", (index + 1,)),
            matmul(transposed, symbol("dz")),
            matmul(matrix(kept.X.T), matrix(dZ)),
            matrix(dW),
        ),
        equation(Symbol("db", (index + 1,)), symbol("dz"), matrix(gradients[f"{index}.biases"])),
    ]
    if index == 0:
        return lines
    names = [output_letter(index, count, i) for i in range(1, part.weights.shape[0] + 1)]
    alone = index == count - 1 and dZ.shape[1] == 1
    dzs = _names("dz", dZ.shape[1], alone)
    lines.append(say("Backwards, each output of the layer before meets all its weights:"))
    for i, name in enumerate(names):
        weights = [Symbol("w", (i + 1, j + 1)) for j in range(dZ.shape[1])]
        lines.append(
            dot(
                Symbol("d" + name.name, name.indices, "d" + name.tex if name.tex else ""),
                dZ[0].tolist(),
                part.weights[i].tolist(),
                float(dX[0, i]),
                letters=(dzs, weights),
            )
        )
    return lines


def _descend(
    network: Network, X: Array, t: Array, loss: str, learning_rate: float, gradients: dict[str, Array]
) -> tuple[Step, float, dict[str, Array]]:
    """Take the step on a copy; return how, the loss after it, and the parameters after it."""
    copy = Network([Layer(part.weights, part.biases, part.activation.name) for part in network.layers])
    SGD(learning_rate).step(copy.parameters, gradients)
    Y, kept = copy.forward(X)
    after, _ = LOSSES[loss](Y if loss == "mean_squared_error" else kept[-1].Z, t[None, :])
    lines: list[Equation | Sentence | Table] = [
        say("Each weight and bias goes against its gradient, times the learning rate:")
    ]
    for name, before in network.parameters.items():
        index, kind = name.split(".")
        letter = Symbol("W" if kind == "weights" else "b", (int(index) + 1,))
        lines.append(
            equation(
                letter,
                "←",
                minus(matrix(before), times(learning_rate, matrix(gradients[name]))),
                matrix(copy.parameters[name]),
            )
        )
    heading = f"One step of gradient descent, learning rate {NumberForm().write(learning_rate).text}"
    return step(heading, *lines), after, copy.parameters
