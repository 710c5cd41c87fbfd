"""A neuron, a layer, a network, and why layers without activation are one layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import layers
from quire.scratch.explain.activations import SHOWN, applied
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Table, equation, say, step, table
from quire.scratch.explain.expressions import Expression, Symbol
from quire.scratch.explain.notation import call, counted, matmul, matrix, number, symbol, times, total
from quire.scratch.explain.products import dot, letters, product_of, settled, shape_sentence, shown_sum, tidy
from quire.scratch.layers import Layer
from quire.scratch.network import Network
from quire.scratch.neuron import Neuron

Array = NDArray[np.float64]
RAISED = {1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"}


def neuron(
    inputs: ArrayLike, weights: ArrayLike, bias: float = 0.0, activation: str = "relu", *, title: str | None = None
) -> Explanation:
    """Work out one neuron: products, sum, activation.

    Args:
        inputs: x (n,).
        weights: w (n,).
        bias: b.
        activation: f, a key of `quire.scratch.activations.ACTIVATIONS`.
        title: of the explanation.

    Raises:
        ValueError: the numbers of inputs and weights differ, one is not finite, or there is no such activation.
    """
    part = Neuron(weights, bias, activation)
    products = part.products(inputs)  # (n,)
    z, y = part.weighted_sum(inputs), part(inputs)
    x = np.asarray(inputs, dtype=np.float64)
    terms = [*products.tolist(), part.bias]
    shown = settled(z, terms)
    multiplied = [
        equation(times(symbol("x", i), symbol("w", i)), times(a, w), number(settled(product, [product])))
        for i, (a, w, product) in enumerate(zip(x, part.weights, products, strict=True), 1)
    ]
    steps = (
        step("Multiply each input by its weight", *multiplied),
        step("Add the products and the bias", shown_sum(symbol("z"), terms, z)),
        step(f"Apply the activation, {SHOWN[activation]}", *_through(activation, symbol("y"), shown)),
    )
    count = counted(len(x), "input")
    result = {
        "inputs": x,
        "weights": part.weights,
        "bias": part.bias,
        "activation": activation,
        "products": products,
        "z": z,
        "y": y,
    }
    return Explanation(title or f"A neuron with {count} and {SHOWN[activation]}", steps, result)


def _through(activation: str, name: Expression, z: float) -> list[Equation | Sentence | Table]:
    lines: list[Equation | Sentence | Table] = [equation(name, *applied(activation, z))]
    if activation == "relu":
        told = "is above 0, so ReLU lets it through." if z > 0 else "is not above 0, so ReLU gives 0."
        lines.append(say(number(z), " ", told))
    elif activation == "identity":
        lines.append(say("Without an activation the output is the sum itself."))
    return lines


def layer(
    inputs: ArrayLike, weights: ArrayLike, biases: ArrayLike, activation: str = "relu", *, title: str | None = None
) -> Explanation:
    """Work out a layer in matrix form: the shapes, each weighted sum written out, the activation.

    Args:
        inputs: X, one example (n,) or several (B, n).
        weights: W (n, m); column j holds the weights of neuron j.
        biases: b (m,).
        activation: f, a key of `quire.scratch.activations.ACTIVATIONS`.
        title: of the explanation.

    Raises:
        ValueError: the shapes do not fit, a number is not finite, or there is no such activation.
    """
    part = Layer(weights, biases, activation)
    X = np.atleast_2d(np.asarray(inputs, dtype=np.float64))  # (B, n)
    _finite(X)
    Y, kept = part.forward(X)  # (B, m)
    Z = tidy(kept.Z, X, part.weights, part.biases)
    names = symbol("X"), symbol("W"), symbol("b")
    written = matmul(matrix(X), matrix(part.weights)), matrix(part.biases)
    formula = equation(symbol("Z"), total(matmul(*names[:2]), names[2]), total(*written), matrix(Z))
    spread = [say("b is added to every row.")] if len(X) > 1 else []
    sums = [
        _weighted_sum(Symbol("z", (row, column)), X[row - 1], part, column, Z, row)
        for row in range(1, len(X) + 1)
        for column in range(1, Z.shape[1] + 1)
    ]
    outputs = [
        equation(Symbol("y", (row + 1, column + 1)), *applied(activation, Z[row, column]))
        for row in range(len(X))
        for column in range(Z.shape[1])
    ]
    steps = (
        step(
            "The shapes",
            shape_sentence(("X", X), ("W", part.weights), ("b", part.biases), ("Z = X W + b", Z)),
        ),
        step("The weighted sums, all at once", formula, *spread),
        step("The same, one by one", *sums),
        step(f"The activation, {SHOWN[activation]}, of each", *outputs, equation(symbol("Y"), matrix(Y))),
    )
    result = {"X": X, "W": part.weights, "b": part.biases, "activation": activation, "Z": kept.Z, "Y": Y}
    count = f"{counted(part.weights.shape[0], 'input')} and {counted(part.weights.shape[1], 'neuron')}"
    return Explanation(title or f"A layer of {count}", steps, result)


def _weighted_sum(name: Symbol, x: Array, part: Layer, column: int, Z: Array, row: int) -> Equation:
    n = len(x)
    letter_of = letters("x", row, n)[row - 1], [Symbol("w", (i, column)) for i in range(1, n + 1)]
    return dot(
        name,
        x.tolist(),
        part.weights[:, column - 1].tolist(),
        float(Z[row - 1, column - 1]),
        letters=letter_of,
        bias=float(part.biases[0, column - 1]),
        bias_letter=Symbol("b", (column,)),
    )


def output_letter(number_of_layer: int, layers_in_all: int, index: int) -> Symbol:
    """Return the symbol of an output: h for the neurons of a hidden layer, y for those of the last one."""
    if number_of_layer == layers_in_all:
        return Symbol("y", (index,))
    if layers_in_all == 2:
        return Symbol("h", (index,))
    return Symbol("h" + raised(number_of_layer), (index,), f"h^{{({number_of_layer})}}")


def raised(layer_number: int) -> str:
    """Return the number of a layer as it stands above a letter in text: ⁽¹⁾."""
    return "⁽" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(layer_number)) + "⁾"


def vector(values: ArrayLike) -> Expression:
    """Return a row of numbers as (0.8, 0.7); a single one as itself."""
    row = np.asarray(values, dtype=np.float64).ravel()
    return number(row[0]) if row.size == 1 else call("", *row.tolist())


def _finite(X: Array) -> None:
    if not np.isfinite(X).all():
        raise ValueError(f"the inputs hold {X[~np.isfinite(X)][0]}; they must be finite numbers")


def network(whole: Network | Sequence[Layer], inputs: ArrayLike, *, title: str | None = None) -> Explanation:
    """Work out a network layer by layer, with a table that sums it up.

    Args:
        whole: the network, or its layers.
        inputs: one example (n,).
        title: of the explanation.

    Raises:
        ValueError: the inputs are not as many as the first layer takes, or not finite.
    """
    net = whole if isinstance(whole, Network) else Network(whole)
    x = np.asarray(inputs, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"inputs must be a row of {net.layers[0].weights.shape[0]} numbers; their shape is {x.shape}")
    _finite(x)
    Y, kept = net.forward(x[None, :])
    count = len(net.layers)
    steps, rows, told = [], [[say("input"), say("x"), vector(x)]], []
    incoming = [Symbol("x", (i,)) for i in range(1, len(x) + 1)]
    outputs = [*(one.X for one in kept[1:]), Y]
    for index, (part, one) in enumerate(zip(net.layers, kept, strict=True), 1):
        Z = tidy(one.Z, one.X, part.weights, part.biases)[0]  # (m,)
        kind = "the output layer" if index == count else "a hidden layer"
        lines: list[Equation | Sentence | Table] = []
        outgoing = []
        for j in range(1, Z.size + 1):
            alone = index == count and Z.size == 1
            z = Symbol("z") if alone else Symbol("z", (j,))
            y = Symbol("y") if alone else output_letter(index, count, j)
            weights = [Symbol("w") if part.weights.size == 1 else Symbol("w", (i, j)) for i in range(1, one.X.size + 1)]
            lines.append(
                dot(
                    z,
                    one.X[0].tolist(),
                    part.weights[:, j - 1].tolist(),
                    float(one.Z[0, j - 1]),
                    letters=(incoming, weights),
                    bias=float(part.biases[0, j - 1]),
                    bias_letter=Symbol("b", () if alone else (j,)),
                )
            )
            lines.append(equation(y, *applied(part.activation.name, float(Z[j - 1]))))
            outgoing.append(y)
        shown = SHOWN[part.activation.name]
        steps.append(step(f"Layer {index}, {kind}: {_neurons(Z.size)}, {_of(shown)}", *lines))
        before = "x" if index == 1 else f"h{raised(index - 1)}" if count > 2 else "h"
        inner = total(matmul(_letter(before), symbol("W", index)), symbol("b", index))
        computation: Expression = inner if part.activation.name == "identity" else call(shown.split(" ")[0], inner)
        rows.append([say(f"layer {index}"), computation, vector(outputs[index - 1])])
        told.append({"weighted_sums": one.Z[0], "outputs": outputs[index - 1][0]})
        incoming = outgoing
    steps.append(step("Summary", table(["layer", "computation", "result"], rows)))
    result = {"inputs": x, "layers": told, "outputs": Y[0]}
    return Explanation(title or f"A network of {count} layer{'' if count == 1 else 's'}", tuple(steps), result)


def _letter(name: str) -> Symbol:
    if not name.startswith("h⁽"):
        return Symbol(name)
    digits = "".join(str("⁰¹²³⁴⁵⁶⁷⁸⁹".index(mark)) for mark in name[2:-1])
    return Symbol(name, (), f"h^{{({digits})}}")


def _neurons(many: int) -> str:
    return f"{many} neuron{'' if many == 1 else 's'}"


def _of(shown: str) -> str:
    return "no activation" if shown == "identity" else shown


def collapse(first: Layer, second: Layer, inputs: ArrayLike | None = None) -> Explanation:
    """Show that two layers, the first without activation, are one: multiply their matrices.

    Args:
        first: W1 (n, k), without activation.
        second: W2 (k, m).
        inputs: an example (n,) on which both ways are worked out.

    Raises:
        ValueError: the first layer has an activation, or the shapes do not follow each other.
    """
    one = layers.collapse(first, second)
    W1, W2, b1, b2 = (symbol("W", 1), symbol("W", 2), symbol("b", 1), symbol("b", 2))
    x = symbol("x")
    entries = [
        dot(
            Symbol("w", (row, column)),
            first.weights[row - 1].tolist(),
            second.weights[:, column - 1].tolist(),
            float(one.weights[row - 1, column - 1]),
        )
        for row in range(1, one.weights.shape[0] + 1)
        for column in range(1, one.weights.shape[1] + 1)
    ]
    bias = tidy(one.biases, first.biases, second.weights, second.biases)
    steps = [
        step(
            "Two layers, the first without activation",
            equation(
                symbol("z"),
                total(matmul(total(matmul(x, W1), b1), W2), b2),
                total(matmul(x, W1, W2), matmul(b1, W2), b2),
            ),
            say("Multiplied out, x meets only the product of the two matrices."),
        ),
        step(
            "The product of the weights",
            product_of(symbol("W"), (W1, first.weights), (W2, second.weights), one.weights),
            *entries,
        ),
        step(
            "The bias of the one layer",
            equation(
                symbol("b"),
                total(matmul(b1, W2), b2),
                total(matmul(matrix(first.biases), matrix(second.weights)), matrix(second.biases)),
                matrix(bias),
            ),
        ),
    ]
    result = {"weights": one.weights, "biases": one.biases}
    if inputs is not None:
        X = np.atleast_2d(np.asarray(inputs, dtype=np.float64))
        _finite(X)
        H = first.weighted_sums(X)
        two, alone = second.weighted_sums(H), one.weighted_sums(X)
        steps.append(
            step(
                "Both ways for one example",
                _affine(symbol("h"), X, first, H),
                _affine(symbol("z"), H, second, two),
                say("And by the one layer:"),
                _affine(symbol("z"), X, one, alone),
            )
        )
        result |= {"inputs": X[0], "two_layers": two[0], "one_layer": alone[0]}
    return Explanation("Two layers without an activation between them are one layer", tuple(steps), result)


def _affine(name: Symbol, X: Array, part: Layer, Z: Array) -> Equation:
    shown = tidy(Z, X, part.weights, part.biases)
    return equation(name, total(matmul(matrix(X), matrix(part.weights)), matrix(part.biases)), matrix(shown))
