"""The solved examples of the first chapter, each a function that works it out."""

from __future__ import annotations

import numpy as np

from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Table, equation, say, step, table
from quire.scratch.explain.gates import chosen_gate, learned_gate
from quire.scratch.explain.neurons import collapse, network, neuron, vector
from quire.scratch.explain.notation import number, symbol, times, total
from quire.scratch.layers import Layer
from quire.scratch.network import Network
from quire.scratch.neuron import Neuron

PATTERN_INPUTS = (1.0, 1.0, 1.0)


def first_neuron() -> Explanation:
    """Return the neuron with x = (0.5, 0.3, 0.8), w = (0.6, 0.4, 0.2), b = 0.1 and ReLU."""
    return neuron([0.5, 0.3, 0.8], [0.6, 0.4, 0.2], 0.1, "relu")


def exercise_1() -> Explanation:
    """Return the neuron with x = (2, -1, 0.5), w = (0.5, -0.3, 0.8), b = 0.2 and ReLU."""
    return neuron([2.0, -1.0, 0.5], [0.5, -0.3, 0.8], 0.2, "relu", title="Exercise 1: one neuron")


def exercise_2_network() -> Network:
    """Return the network of Exercise 2: two inputs, two hidden neurons, one output, ReLU throughout."""
    hidden = Layer([[0.6, 0.4], [0.2, 0.8]], [0.1, -0.1], "relu")
    return Network([hidden, Layer([[0.5], [0.7]], [0.2], "relu")])


def exercise_2() -> Explanation:
    """Return the network of Exercise 2 worked out for x = (1, 0.5)."""
    return network(exercise_2_network(), [1.0, 0.5], title="Exercise 2: a network of two layers")


def exercise_3() -> Explanation:
    """Return the AND gate by the chosen weights w = (8, 8), b = -10."""
    return chosen_gate("and", [8.0, 8.0], -10.0)


def exercise_3_left_open() -> Explanation:
    """Return the weights w = (20, 0), b = -10: both inputs on is above 0, both off below 0, and yet no AND gate."""
    return chosen_gate("and", [20.0, 0.0], -10.0)


def exercise_3_learned() -> Explanation:
    """Return the AND gate learned by gradient descent from zero weights, learning rate 1, 1000 steps."""
    return learned_gate("and", steps=1000, learning_rate=1.0)


def xor_by_one_neuron() -> Explanation:
    """Return the XOR gate that one neuron cannot learn."""
    return learned_gate("xor", steps=1000, learning_rate=1.0)


def xor_by_a_hidden_layer() -> Explanation:
    """Return the XOR gate learned with three hidden neurons."""
    return learned_gate("xor", hidden=3, steps=1000, learning_rate=1.0)


def one_weight() -> Explanation:
    """Return one input of 2 and what it gives with a weight of 0.1, 5, -2 and 0."""
    x, weights = 2.0, (0.1, 5.0, -2.0, 0.0)
    meanings = ("it hardly counts", "it counts a lot", "it speaks against", "it does not count at all")
    lines: list[Equation | Sentence | Table] = []
    products = []
    for weight, meaning in zip(weights, meanings, strict=True):
        product = float(Neuron([weight], 0.0, "identity").products([x])[0])
        products.append(product)
        lines.append(say(equation(times(symbol("x"), symbol("w")), times(x, weight), number(product)), f": {meaning}."))
    result = {"input": x, "weights": list(weights), "products": products}
    return Explanation("One input, four weights", (step("The same input through each weight", *lines),), result)


def patterns() -> Explanation:
    """Return what neurons with weights (5, 0.1, 0.1), (0.5, 0.5, 0.5) and (-2, 1, 1) make of one and the same input."""
    x = np.array(PATTERN_INPUTS)
    told = []
    meanings = (
        ((5.0, 0.1, 0.1), "It looks almost only at the first input."),
        ((0.5, 0.5, 0.5), "It weighs all inputs alike: half their sum."),
        ((-2.0, 1.0, 1.0), "It is for the second and third input and against the first."),
    )
    lines: list[Equation | Sentence | Table] = [say("The inputs are ", equation(symbol("x"), vector(x)), ".")]
    for weights, meaning in meanings:
        part = Neuron(weights, 0.0, "identity")
        products = part.products(x)
        sides = total(*(times(a, w) for a, w in zip(x, weights, strict=True)))
        lines.append(say("Weights ", vector(np.array(weights)), f": {meaning[0].lower()}{meaning[1:]}"))
        lines.append(equation(symbol("z"), sides, total(*products), number(part.weighted_sum(x))))
        told.append({"weights": list(weights), "weighted_sum": part.weighted_sum(x)})
    return Explanation(
        "Three patterns of weights", (step("Each on the same inputs", *lines),), {"inputs": x, "patterns": told}
    )


def three_neurons() -> Explanation:
    """Return three neurons with weights (1, 0), (0, 1) and (0.5, 0.5) side by side on x = (0.8, 0.2)."""
    x = np.array([0.8, 0.2])
    part = Layer([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]], [0.0, 0.0, 0.0], "identity")
    Y = part.forward(x[None, :])[0][0]
    rows = []
    for weights, y in zip(part.weights.T, Y, strict=True):
        rows.append(
            [vector(weights), equation(total(*(times(a, w) for a, w in zip(x, weights, strict=True))), number(y))]
        )
    meaning = (
        "The first sees only x₁, the second only x₂, the third their mean: together they tell more than each alone."
    )
    steps = (
        step("Each neuron on x = (0.8, 0.2)", table(["weights", "weighted sum"], rows)),
        step("What that makes", say(meaning)),
    )
    return Explanation("Three neurons together", steps, {"inputs": x, "weights": part.weights, "outputs": Y})


def without_activation() -> Explanation:
    """Return the network of Exercise 2 without its activations, which collapses into one layer."""
    hidden = Layer([[0.6, 0.4], [0.2, 0.8]], [0.1, -0.1], "identity")
    return collapse(hidden, Layer([[0.5], [0.7]], [0.2], "identity"), [1.0, 0.5])


def why_weights_matter() -> Explanation:
    """Return one weight, three patterns, three neurons and the collapse without activation, in one explanation."""
    parts = (one_weight(), patterns(), three_neurons(), without_activation())
    steps = tuple(each for part in parts for each in part.steps)
    names = ("one_weight", "patterns", "three_neurons", "without_activation")
    result = {name: part.result for name, part in zip(names, parts, strict=True)}
    return Explanation("Why weights matter", steps, result)


EXAMPLES = {
    "first-neuron": first_neuron,
    "exercise-1": exercise_1,
    "exercise-2": exercise_2,
    "exercise-3": exercise_3,
    "exercise-3-left-open": exercise_3_left_open,
    "exercise-3-learned": exercise_3_learned,
    "xor-by-one-neuron": xor_by_one_neuron,
    "xor-by-a-hidden-layer": xor_by_a_hidden_layer,
    "one-weight": one_weight,
    "patterns": patterns,
    "three-neurons": three_neurons,
    "without-activation": without_activation,
    "why-weights-matter": why_weights_matter,
}
"""Every solved example by its name."""
