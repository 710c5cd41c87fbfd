"""Losses with their gradients: mean squared error, binary cross-entropy, cross-entropy with perplexity and bits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations, losses
from quire.scratch.explain.activations import applied
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Step, Table, equation, say, step, table
from quire.scratch.explain.expressions import Expression, Negative, Symbol
from quire.scratch.explain.notation import call, exp, minus, number, over, power, symbol, times, total
from quire.scratch.explain.numbers import SMALL, to_settled_digits
from quire.scratch.explain.products import settled

Array = NDArray[np.float64]
LOSS = symbol("loss", tex=r"\text{loss}")
NEARLY = 1e-13  # a share not above this is as good as 0
FAR = 30.0  # logits beyond which 1 - sigmoid is shown as what the module makes of it, not as a difference


def mean_squared_error(y: ArrayLike, target: ArrayLike) -> Explanation:
    """Work out the mean squared error of outputs and its gradient.

    Args:
        y: outputs (m,).
        target: what they should be (m,).

    Raises:
        ValueError: the shapes differ or are no rows.
    """
    outputs, targets = rows(y, target)
    loss, dy = losses.mean_squared_error(outputs, targets)
    steps = (
        step("The loss", *squared(outputs, targets, loss)),
        step("Its gradient", *squared_slopes(outputs, targets, dy)),
    )
    return Explanation("Mean squared error", steps, {"y": outputs, "target": targets, "loss": loss, "dy": dy})


def binary_cross_entropy(z: ArrayLike, target: ArrayLike) -> Explanation:
    """Work out the binary cross-entropy of logits and its gradient.

    Args:
        z: logits (m,).
        target: 0 or 1 for each (m,), or a chance between them.

    Raises:
        ValueError: the shapes differ or are no rows, or a target is not from 0 to 1.
    """
    logits, targets = rows(z, target)
    loss, dz = losses.binary_cross_entropy(logits, targets)
    names = indexed("z", logits.size)
    outputs = activations.sigmoid(logits)
    shares = [
        equation(y, *applied("sigmoid", float(a))) for y, a in zip(indexed("y", logits.size), logits, strict=True)
    ]
    steps = (
        step("The sigmoid of each logit", *shares),
        step("The loss", *binary(logits, targets, loss)),
        step("Its gradient", *binary_slopes(outputs, targets, dz, names)),
    )
    result = {"z": logits, "target": targets, "y": outputs, "loss": loss, "dz": dz}
    return Explanation("Binary cross-entropy", steps, result)


def rows(y: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    """Return both as rows of finite numbers. Raises ValueError where they are none."""
    outputs, targets = np.asarray(y, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if outputs.ndim != 1 or outputs.shape != targets.shape or not outputs.size:
        raise ValueError(
            f"outputs and targets must be rows of as many numbers; shapes {outputs.shape}, {targets.shape}"
        )
    if not (np.isfinite(outputs).all() and np.isfinite(targets).all()):
        raise ValueError("outputs and targets must be finite numbers")
    return outputs, targets


def indexed(name: str, many: int, tex: str = "") -> list[Symbol]:
    """Return name₁ to nameₘ, or just the name where there is only one."""
    return [Symbol(name, (), tex)] if many == 1 else [Symbol(name, (i,), tex) for i in range(1, many + 1)]


def squared(y: Array, t: Array, loss: float) -> list[Equation | Sentence | Table]:
    """Return the lines of the mean squared error of a row."""
    names, wanted = indexed("y", y.size), indexed("t", y.size)
    squares = [power(minus(a, b), 2) for a, b in zip(names, wanted, strict=True)]
    numbers = [power(minus(a, b), 2) for a, b in zip(y.tolist(), t.tolist(), strict=True)]
    differences = [power(settled(a - b, [a, b]), 2) for a, b in zip(y.tolist(), t.tolist(), strict=True)]
    if y.size == 1:
        return [equation(LOSS, squares[0], numbers[0], differences[0], number(loss))]
    mean = [over(total(*each), y.size) for each in (squares, numbers, differences)]
    return [equation(LOSS, *mean, number(loss))]


def squared_slopes(y: Array, t: Array, dy: Array) -> list[Equation | Sentence | Table]:
    """Return dy for each output of the mean squared error."""
    lines: list[Equation | Sentence | Table] = []
    letters = zip(indexed("dy", y.size), indexed("y", y.size), indexed("t", y.size), strict=True)
    for (name, a, b), value, wanted, slope in zip(letters, y.tolist(), t.tolist(), dy.tolist(), strict=True):
        formula, numbers = times(2, minus(a, b)), times(2, minus(value, wanted))
        if y.size == 1:
            lines.append(equation(name, formula, numbers, number(slope)))
        else:
            lines.append(equation(name, over(formula, y.size), over(numbers, y.size), number(slope)))
    return lines


def binary(z: Array, t: Array, loss: float) -> list[Equation | Sentence | Table]:
    """Return the lines of the binary cross-entropy of a row of logits."""
    y = activations.sigmoid(z)
    each = [losses.binary_cross_entropy(a, b)[0] for a, b in zip(z, t, strict=True)]
    lines: list[Equation | Sentence | Table] = []
    names = indexed("loss", z.size, r"\text{loss}")
    for name, a, share, wanted, value in zip(names, z.tolist(), y.tolist(), t.tolist(), each, strict=True):
        sides: list[Expression] = []
        if abs(a) < FAR:
            hit, miss = call("ln", share), call("ln", minus(1, share))
            if wanted == 1:
                sides = [Negative(hit)]
            elif wanted == 0:
                rest = float(activations.sigmoid(-a))
                # 1 less a share next to 1 has lost nearly all of its digits where it is printed.
                sides = [Negative(call("ln", rest))] if rest < SMALL else [Negative(miss), Negative(call("ln", rest))]
            else:
                sides = [minus(Negative(times(wanted, hit)), times(minus(1, wanted), miss))]
        lines.append(equation(name, *sides, number(value)))
    if z.size > 1:
        lines.append(equation(LOSS, over(total(*each), z.size), number(loss)))
    return lines


def binary_slopes(y: Array, t: Array, dz: Array, names: Sequence[Symbol]) -> list[Equation | Sentence | Table]:
    """Return dz for each logit of the binary cross-entropy."""
    lines: list[Equation | Sentence | Table] = [
        say("The slope of the sigmoid cancels against that of the logarithm; what is left is the difference.")
    ]
    for letter, share, wanted, slope in zip(names, y.tolist(), t.tolist(), dz.tolist(), strict=True):
        name = Symbol("d" + letter.name, letter.indices)
        lines.append(_share_less(name, share, wanted, y.size, slope))
    return lines


def _share_less(name: Symbol, share: float, wanted: float, many: int, slope: float) -> Equation:
    """Return name = (share - wanted) / many; a share printed as 1 gives what 1 gives."""
    printed = to_settled_digits(share)
    if printed != share and printed in {0.0, 1.0}:
        slope = (printed - wanted) / many
    difference: Expression = minus(share, wanted)
    return equation(name, difference if many == 1 else over(difference, many), number(slope))


def logarithm(share: float) -> list[Expression]:
    """Return -ln(share) as a side, or none where the share as printed, 1 or next to 0, has lost the digits of it."""
    lost = share <= NEARLY or (share != 1 and to_settled_digits(share) == 1)
    return [] if lost else [Negative(call("ln", share))]


def cross_entropy(
    logits: ArrayLike,
    classes: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    text_bytes: int | None = None,
) -> Explanation:
    """Work out the cross-entropy of scores, its perplexity, its bits, and its gradient.

    Args:
        logits: scores (V,) of one prediction, or of several (N, V).
        classes: the right class of each, a whole number, or N of them.
        names: what each class stands for (V).
        text_bytes: bytes of the text that the N predictions are of; with them the bits per byte are told.

    Raises:
        ValueError: the shapes do not fit, a class is out of range, or text_bytes is not positive.
    """
    scores = np.atleast_2d(np.asarray(logits, dtype=np.float64))  # (N, V)
    right = np.atleast_1d(np.asarray(classes))  # (N,)
    loss, dlogits = losses.cross_entropy(scores, right)
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite numbers")
    if names is not None and len(names) != scores.shape[1]:
        raise ValueError(f"{len(names)} names for {scores.shape[1]} classes")
    if text_bytes is not None and text_bytes < 1:
        raise ValueError(f"text_bytes is {text_bytes}; it must be 1 or more")
    shares = activations.softmax(scores)  # (N, V)
    count = len(scores)
    each = [losses.cross_entropy(one[None], chosen[None])[0] for one, chosen in zip(scores, right, strict=True)]
    label = [str(i) for i in range(scores.shape[1])] if names is None else list(names)
    steps = [_shares_of(scores, shares, right, label), _losses_of(shares, right, each, loss, label)]
    steps.append(_measures(loss, count, text_bytes))
    slopes: list[Equation | Sentence | Table] = [
        say("The share less 1 at the right class, less 0 at the others" + (":" if count == 1 else f", over {count}:"))
    ]
    for row in range(count):
        for column in range(scores.shape[1]):
            hit = 1.0 if column == int(right[row]) else 0.0
            name = Symbol("dz", (column + 1,)) if count == 1 else Symbol("dz", (row + 1, column + 1))
            slopes.append(_share_less(name, shares[row, column], hit, count, dlogits[row, column]))
    steps.append(step("The gradient of the scores", *slopes))
    result = {
        "logits": scores,
        "classes": right,
        "shares": shares,
        "losses": each,
        "loss": loss,
        "perplexity": math.exp(loss) if loss < 700 else math.inf,
        "bits": loss / math.log(2),
        "dlogits": dlogits,
    }
    if text_bytes is not None:
        result["bits_per_byte"] = loss * count / math.log(2) / text_bytes
    return Explanation("Cross-entropy" if count == 1 else f"Cross-entropy of {count} predictions", tuple(steps), result)


def _shares_of(scores: Array, shares: Array, right: Array, label: list[str]) -> Step:
    heads = ["class", *(["score", "share"] if len(scores) == 1 else [])]
    lines: list[Equation | Sentence | Table] = []
    if len(scores) == 1:
        rows = [
            [name, number(score), number(share)] for name, score, share in zip(label, scores[0], shares[0], strict=True)
        ]
        lines.append(table(heads, rows))
        below = total(*(exp(number(z)) for z in scores[0].tolist()))
        if np.abs(scores).max() < FAR:
            chosen = int(right[0])
            lines.append(
                equation(
                    Symbol("p", (chosen + 1,)),
                    over(exp(number(float(scores[0, chosen]))), below),
                    number(shares[0, chosen]),
                )
            )
        return step("Softmax makes shares of the scores", *lines)
    for count, (one, share) in enumerate(zip(scores, shares, strict=True), 1):
        rows = [[name, number(a), number(b)] for name, a, b in zip(label, one, share, strict=True)]
        lines += [
            say(f"Prediction {count}, where {label[int(right[count - 1])]} is right:"),
            table(["class", "score", "share"], rows),
        ]
    return step("Softmax makes shares of the scores", *lines)


def _losses_of(shares: Array, right: Array, each: list[float], loss: float, label: list[str]) -> Step:
    lines: list[Equation | Sentence | Table] = [
        say("The loss is minus the logarithm of the share that the right class got.")
    ]
    names = indexed("loss", len(each), r"\text{loss}")
    for name, share, chosen, value in zip(names, shares, right, each, strict=True):
        lines.append(equation(name, *logarithm(float(share[int(chosen)])), number(value)))
    if len(each) > 1:
        lines.append(equation(LOSS, over(total(*each), len(each)), number(loss)))
    return step("The loss", *lines)


def _measures(loss: float, count: int, text_bytes: int | None) -> Step:
    lines: list[Equation | Sentence | Table] = []
    if loss < 700:
        shown = to_settled_digits(loss)  # e^29 is far from e^29.0000000000003, which is printed as 29 too
        perplexity = symbol("perplexity", tex=r"\text{perplexity}")
        lines.append(equation(perplexity, exp(shown), number(math.exp(shown))))
    bits = loss / math.log(2)
    ln2 = math.log(2)
    name = symbol("bits", tex=r"\text{bits}")
    lines.append(equation(name, over(loss, call("ln", 2)), over(loss, ln2), number(bits)))
    if text_bytes is not None:
        lines.append(
            equation(
                symbol("bits per byte", tex=r"\text{bits per byte}"),
                over(times(bits, count), text_bytes),
                number(bits * count / text_bytes),
            )
        )
    return step("The same loss in other measures", *lines)
