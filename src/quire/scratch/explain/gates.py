"""Logic gates: by weights that someone chose, and by weights that gradient descent finds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import learning
from quire.scratch.activations import sigmoid
from quire.scratch.explain.activations import applied
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Step, Table, equation, say, step, table
from quire.scratch.explain.expressions import Expression, Negative, Symbol
from quire.scratch.explain.neurons import vector
from quire.scratch.explain.notation import call, matrix, minus, number, over, symbol, times, total
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.products import settled
from quire.scratch.layers import Layer
from quire.scratch.losses import binary_cross_entropy
from quire.scratch.network import Network
from quire.scratch.neuron import Neuron

Array = NDArray[np.float64]
ORDER = ((1, 1), (0, 0), (1, 0), (0, 1))  # the rows in the order in which people ask for them
MILESTONES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
WORKED = 2  # steps that are worked out with all numbers


def gate(
    name: str,
    *,
    weights: ArrayLike | None = None,
    bias: float | None = None,
    hidden: int = 0,
    steps: int = 1000,
    learning_rate: float = 1.0,
    seed: int = 0,
) -> Explanation:
    """Work out a logic gate: with the weights given, or, with none given, by letting gradient descent find them.

    Args:
        name: and, or, xor.
        weights: of one sigmoid neuron (2,); its bias must be given too.
        bias: of that neuron.
        hidden: of the network that learns, the number of tanh neurons in a hidden layer; 0 is one neuron alone.
        steps: of gradient descent.
        learning_rate: of gradient descent.
        seed: of the random weights that a hidden layer begins with.

    Raises:
        ValueError: there is no such gate, weights are given without bias or the reverse, or a number is out of range.
    """
    if name not in learning.GATES:
        raise ValueError(f"{name!r} is no gate; there are {', '.join(learning.GATES)}")
    if (weights is None) != (bias is None):
        given, missing = ("weights", "a bias") if bias is None else ("a bias", "weights")
        raise ValueError(f"{given} without {missing}: a chosen neuron needs both")
    if weights is not None and bias is not None:
        return chosen_gate(name, weights, bias)
    return learned_gate(name, hidden=hidden, steps=steps, learning_rate=learning_rate, seed=seed)


def answer(name: str, row: Sequence[int]) -> int:
    """Return what the gate `name` says to a pair of truth values."""
    place = next(i for i, pair in enumerate(learning.GATE_INPUTS) if tuple(pair) == tuple(row))
    return int(learning.GATES[name][place, 0])


# ---- chosen -------------------------------------------------------------------------------------------------------


def chosen_gate(name: str, weights: ArrayLike, bias: float) -> Explanation:
    """Work out one sigmoid neuron with chosen weights on the four rows of a gate, and what the weights must satisfy.

    Args:
        name: and, or, xor.
        weights: (2,).
        bias: a number.

    Raises:
        ValueError: there is no such gate, or there are not two weights.
    """
    part = Neuron(weights, bias, "sigmoid")
    if len(part.weights) != 2:
        raise ValueError(f"{len(part.weights)} weights: a gate has two inputs, so its neuron needs 2")
    w1, w2, b = float(part.weights[0]), float(part.weights[1]), part.bias
    sums, outputs, rows, kept = [], [], [], []
    for row in ORDER:
        terms = [*part.products(row).tolist(), b]
        z, y = part.weighted_sum(row), part(row)
        shown = settled(z, terms)
        sums.append(
            equation(_of("z", row), total(times(row[0], w1), times(row[1], w2), b), total(*terms), number(shown))
        )
        outputs.append(equation(_of("y", row), *applied("sigmoid", shown)))
        wanted = answer(name, row)
        right = bool((z > 0) == wanted) and z != 0
        rows.append([vector(np.array(row)), number(shown), number(y), number(wanted), "yes" if right else "no"])
        kept.append({"inputs": list(row), "z": z, "y": y, "wanted": wanted, "right": right})
    right_in_all = sum(bool(told["right"]) for told in kept)
    steps = (
        step("The weighted sum of each row", say("z = x₁ w₁ + x₂ w₂ + b:"), *sums),
        step("Its sigmoid", *outputs),
        step(
            "The four rows",
            table(["(x₁, x₂)", "z", "y", "wanted", "on the right side of 0.5"], rows),
            say(f"{right_in_all} of 4 rows are right."),
        ),
        inequalities(name, w1, w2, b),
    )
    result = {"gate": name, "weights": part.weights, "bias": b, "rows": kept, "right": right_in_all}
    title = f"The {name.upper()} gate with chosen weights: w = ({_plain(w1)}, {_plain(w2)}), b = {_plain(b)}"
    return Explanation(title, steps, result)


def _plain(value: float) -> str:
    return NumberForm().write(value).text


def _of(letter: str, row: Sequence[int]) -> Expression:
    return Symbol(f"{letter}({row[0]}, {row[1]})")


def inequalities(name: str, w1: float, w2: float, b: float) -> Step:
    """Return the four conditions that weights of the gate `name` must satisfy, each tried on the given ones."""
    letters = symbol("w", 1), symbol("w", 2)
    lines: list[Equation | Sentence | Table] = [
        say("The sigmoid is above 0.5 exactly where z is above 0. So the gate asks of z:"),
    ]
    failed = 0
    for row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        named = [letter for letter, on in zip(letters, row, strict=True) if on]
        values = [value for value, on in zip((w1, w2), row, strict=True) if on]
        z = settled(sum(values) + b, [*values, b])
        above = answer(name, row) == 1
        holds = z > 0 if above else z < 0
        failed += not holds
        asked, found = ">" if above else "<", ">" if z > 0 else "<" if z < 0 else "="
        sides: list[Expression | str] = [total(*named, symbol("b"))]
        if values:
            sides.append(total(*values, b))
        sides.append(number(z))
        if z != 0:
            sides += [found, number(0)]
        wanted = equation(total(*named, symbol("b")), asked, number(0))
        told = "holds" if holds else "does not hold"
        lines.append(say(f"{row}: ", wanted, " is wanted. Here ", equation(*sides), f": it {told}."))
    if name == "xor":
        lines.append(say("No weights satisfy all four. The second and the third together ask for"))
        both = total(letters[0], letters[1], times(2, symbol("b")))
        lines.append(equation(both, ">", number(0)))
        lines.append(say("and the first and the fourth together for"))
        lines.append(equation(both, "<", number(0)))
        lines.append(say("One neuron cannot be an XOR gate; a hidden layer can."))
    else:
        lines.append(
            say("All four hold." if not failed else f"{4 - failed} of the four hold: this is no {name.upper()} gate.")
        )
    return step("What the gate asks of the weights", *lines)


# ---- learned ------------------------------------------------------------------------------------------------------


def learned_gate(
    name: str, *, hidden: int = 0, steps: int = 1000, learning_rate: float = 1.0, seed: int = 0
) -> Explanation:
    """Let gradient descent find the weights of a gate; arguments and errors are those of `gate`."""
    network, moments = learning.learn_gate(name, hidden, steps, learning_rate, seed)
    first = learning.first_correct(moments)
    last = moments[-1]
    told: list[Step] = []
    if hidden:
        told.append(_beginning(moments[0], hidden, seed))
    else:
        worked = min(1 if _still(moments) else WORKED, steps)
        told += [_worked(name, moments[count], learning_rate) for count in range(worked)]
    told.append(_milestones(moments, first, hidden))
    told.append(_outcome(name, network, moments, first, hidden))
    result = {
        "gate": name,
        "hidden": hidden,
        "learning_rate": learning_rate,
        "steps": steps,
        "first_correct": first,
        "loss": last.loss,
        "parameters": last.parameters,
        "outputs": last.outputs[:, 0],
        "right": last.correct,
    }
    kind = f"{hidden} hidden neurons" if hidden else "one neuron"
    return Explanation(f"The {name.upper()} gate, learned by {kind}", tuple(told), result)


def _worked(name: str, moment: learning.Moment, learning_rate: float) -> Step:
    """One step of gradient descent on one neuron, with every number."""
    X, targets = learning.GATE_INPUTS, learning.GATES[name]
    one = Network([Layer(moment.parameters["0.weights"], moment.parameters["0.biases"], "sigmoid")])
    Y, kept = one.forward(X)
    _, dZ = binary_cross_entropy(kept[-1].Z, targets)
    _, gradients = one.backward_from_sums(dZ, kept)
    w = moment.parameters["0.weights"][:, 0]
    b = float(moment.parameters["0.biases"][0, 0])
    z, y, t = kept[0].Z[:, 0], Y[:, 0], targets[:, 0]
    differences = y - t
    losses = [binary_cross_entropy(a, wanted)[0] for a, wanted in zip(z, t, strict=True)]
    rows = [
        [
            vector(x),
            number(z[i]),
            number(y[i]),
            number(t[i]),
            equation(minus(y[i], t[i]), number(differences[i])),
            equation(*_log_loss(y[i], t[i], z[i]), number(losses[i])),
        ]
        for i, x in enumerate(X)
    ]
    gs = [settled(float(slope), differences) for slope in (*gradients["0.weights"][:, 0], gradients["0.biases"][0, 0])]
    lines: list[Equation | Sentence | Table] = [
        say("The weights are ", equation(symbol("w"), vector(w)), " and ", equation(symbol("b"), number(b)), "."),
        table(["(x₁, x₂)", "z", "y", "t", "y - t", "loss"], rows),
        say("The loss is the mean of the four, and a gradient the mean of y - t times what it is multiplied with."),
        equation(symbol("loss", tex=r"\text{loss}"), over(total(*losses), 4), number(moment.loss)),
    ]
    for index, letter in enumerate((symbol("dw", 1), symbol("dw", 2))):
        terms = [times(difference, x) for difference, x in zip(differences, X[:, index], strict=True)]
        lines.append(equation(letter, over(total(*terms), 4), number(gs[index])))
    lines.append(equation(symbol("db"), over(total(*differences), 4), number(gs[2])))
    lines.append(say("Each goes against its gradient, times the learning rate ", number(learning_rate), "."))
    for letter, value, slope in zip((symbol("w", 1), symbol("w", 2), symbol("b")), [*w.tolist(), b], gs, strict=True):
        after = value - learning_rate * slope
        lines.append(
            equation(letter, "←", minus(value, times(learning_rate, slope)), number(settled(after, [value, slope])))
        )
    return step(f"Step {moment.step + 1} of gradient descent", *lines)


def _log_loss(y: float, t: float, z: float) -> list[Expression]:
    """Return -ln of the share that the right answer got; nothing where a float cannot tell that share from 0."""
    return [Negative(call("ln", y if t else float(sigmoid(-z))))] if abs(z) < 30 else []


def _beginning(moment: learning.Moment, hidden: int, seed: int) -> Step:
    names = ["W₁", "b₁", "W₂", "b₂"]
    values = list(moment.parameters.values())
    return step(
        "Where it begins",
        say(f"2 inputs, {hidden} tanh neurons, 1 sigmoid neuron. The weights are random (seed {seed}), the biases 0."),
        *(
            equation(Symbol(name[0], (int("₀₁₂".index(name[1])),)), matrix(value))
            for name, value in zip(names, values, strict=True)
        ),
    )


def _milestones(moments: list[learning.Moment], first: int | None, hidden: int) -> Step:
    milestones = (0, 1) if _still(moments) else MILESTONES
    steps = sorted(
        {step for step in (*milestones, first, moments[-1].step) if step is not None and step < len(moments)}
    )
    heads = [
        "step",
        *([] if hidden else ["w₁", "w₂", "b"]),
        "loss",
        "y(0, 0)",
        "y(0, 1)",
        "y(1, 0)",
        "y(1, 1)",
        "right",
    ]
    rows = []
    for count in steps:
        moment = moments[count]
        numbers: list[float] = []
        if not hidden:
            w, b = moment.parameters["0.weights"][:, 0], moment.parameters["0.biases"][0, 0]
            numbers = [w[0], w[1], b]
        values = [*numbers, moment.loss, *moment.outputs[:, 0]]
        rows.append([str(count), *(number(value) for value in values), f"{moment.correct} of 4"])
    return step("How it goes on", table(heads, rows))


def _outcome(name: str, network: Network, moments: list[learning.Moment], first: int | None, hidden: int) -> Step:
    last = moments[-1]
    lines: list[Equation | Sentence | Table] = []
    if first is not None:
        lines.append(
            say(
                f"All four rows are right from step {first} on."
                if _stays(moments, first)
                else f"All four rows are right for the first time at step {first}."
            )
        )
    elif not hidden and name == "xor":
        lines.append(
            say(
                "The gradients cancel: the neuron stays where it began, at 0, and its loss at ",
                equation(call("ln", 2), number(math.log(2))),
                ". One neuron cannot be an XOR gate. A hidden layer can.",
            )
        )
    else:
        lines.append(say(f"{last.correct} of 4 rows are right after {last.step} steps."))
    if hidden:
        H = network.layers[0].forward(learning.GATE_INPUTS)[0]
        shown = [
            [vector(x), vector(h), number(float(y)), number(float(t))]
            for x, h, y, t in zip(learning.GATE_INPUTS, H, last.outputs[:, 0], learning.GATES[name][:, 0], strict=True)
        ]
        for index, layer in enumerate(network.layers, 1):
            lines += [
                equation(symbol("W", index), matrix(layer.weights)),
                equation(symbol("b", index), matrix(layer.biases)),
            ]
        lines.append(table(["(x₁, x₂)", "hidden outputs", "y", "wanted"], shown))
    return step("What was learned", *lines)


def _still(moments: list[learning.Moment]) -> bool:
    """Whether no step changed anything."""
    first, last = moments[0].parameters, moments[-1].parameters
    return len(moments) > 1 and all(np.allclose(first[name], last[name], rtol=0, atol=1e-12) for name in first)


def _stays(moments: list[learning.Moment], first: int) -> bool:
    return all(moment.correct == len(moment.outputs) for moment in moments[first:])
