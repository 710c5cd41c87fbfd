"""Muon step by step: what makes an update orthogonal, and how that moves a matrix of weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import optimizers
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Step, Table, equation, say, step, table
from quire.scratch.explain.expressions import Expression
from quire.scratch.explain.notation import (
    counted,
    matmul,
    matrix,
    minus,
    number,
    over,
    power,
    root,
    symbol,
    times,
    total,
)
from quire.scratch.explain.products import settled, tidy

Array = NDArray[np.float64]

X, A, B = symbol("X"), symbol("A"), symbol("B")
W, MEAN, AHEAD, UPDATE = symbol("W"), symbol("M"), symbol("N"), symbol("O")
TURNED, UPDATE_TURNED = symbol("Xᵀ", tex=r"X^{\top}"), symbol("Oᵀ", tex=r"O^{\top}")
NORM = symbol("‖G‖", tex=r"\lVert G \rVert")
DET = symbol("det G", tex=r"\det G")
SHOWN = 1e-5  # the largest number of a matrix must be as large, or nothing is left of it that could be printed
SPREAD = 1e-9  # of the largest number: a smaller one vanishes in the squares

LEGIBLE = (0.01, 1000.0)


def orthogonalization(gradient: ArrayLike, steps: int = optimizers.NEWTON_SCHULZ_STEPS) -> Explanation:
    """Work out how Newton-Schulz steps make a matrix orthogonal: its singular values, one step in full, all of them.

    Args:
        gradient: the matrix (m, n), finite and not all 0.
        steps: from 1 to 10.

    Raises:
        ValueError: the matrix or the number of steps is none of those.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    given = _checked(gradient, "the gradient")
    if not 1 <= steps <= 10:
        raise ValueError(f"{steps} steps; from 1 to 10 can be followed on paper")
    if not given.any():
        raise ValueError("the gradient is all 0: it has no direction that could be made orthogonal")
    rows, columns = given.shape
    tall = rows > columns
    legible = LEGIBLE[0] <= np.abs(given).max() <= LEGIBLE[1]  # its square is still printed with all its digits
    told = [_strengths(given)] if given.shape == (2, 2) and legible else []
    norm = float(np.sqrt((given**2).sum()))
    x = optimizers.orthogonalize(given, 0)
    worked = x.T if tall else x
    told.append(_divided(given, norm, worked, tall))
    told.append(_one_step(worked))
    states = [worked]
    for done in range(1, steps + 1):
        after = optimizers.orthogonalize(given, done)
        states.append(after.T if tall else after)
    values = _values(given, steps)
    told.append(_all_steps(states, values))
    result = optimizers.orthogonalize(given, steps)
    told.append(_result(states[-1], result, given))
    return Explanation(
        f"{given.shape[0]} × {given.shape[1]} made orthogonal in {counted(steps, 'step')}",
        tuple(told),
        {"gradient": given, "norm": norm, "singular_values": values, "result": result},
    )


def muon(
    weights: ArrayLike,
    gradients: Sequence[ArrayLike],
    learning_rate: float = 0.02,
    *,
    momentum: float = 0.95,
    weight_decay: float = 0.1,
) -> Explanation:
    """Work out steps of Muon on a matrix: the mean, the look ahead, the orthogonal update, the decay, the step.

    Args:
        weights: where the matrix begins (m, n).
        gradients: one of the same shape for each step.
        learning_rate: positive.
        momentum: from 0 to below 1.
        weight_decay: from 0 on.

    Raises:
        ValueError: no gradients, shapes that differ, or a number out of range.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    """
    w = _checked(weights, "the weights").copy()
    if not len(gradients):
        raise ValueError("there must be at least one gradient, one for each step")
    optimizer = optimizers.Muon(learning_rate, momentum, weight_decay)
    mean = np.zeros_like(w)
    steps, told = [], []
    for count, gradient in enumerate(gradients, 1):
        g = _checked(gradient, f"gradient {count}")
        before = w.copy()
        optimizer.step({"w": w}, {"w": g})
        old, mean = mean, optimizer.mean["w"]
        ahead = momentum * mean + (1 - momentum) * g
        update = optimizers.orthogonalize(ahead)
        lines: list[Equation | Sentence | Table] = [
            say("The mean of the gradients:"),
            _mixed(MEAN, "←", momentum, old, g, mean),
            say("Mixed with the gradient once more, the mean is where it will be soon (Nesterov):"),
            _mixed(AHEAD, "=", momentum, mean, g, ahead),
            *_orthogonal(ahead, update),
            *_moved(before, update, w, learning_rate, weight_decay),
        ]
        steps.append(step(f"Step {count}", *lines))
        told.append({"gradient": g, "mean": mean.copy(), "ahead": ahead, "update": update, "weights": w.copy()})
    result = {
        "weights": _checked(weights, "the weights"),
        "learning_rate": learning_rate,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "steps": told,
    }
    return Explanation(f"Muon on a matrix of {w.shape[0]} × {w.shape[1]}", tuple(steps), result)


def _checked(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} must be a matrix; the shape is {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be of finite numbers")
    if array.any() and np.abs(array).max() < SHOWN:
        raise ValueError(f"{name} is too near to 0: no number is as large as {SHOWN}")
    sizes = np.abs(array[array != 0])
    if sizes.size and sizes.min() < SPREAD * sizes.max():
        raise ValueError(f"{name} has {sizes.max():g} and {sizes.min():g} in it: too far apart to be shown together")
    return array


def _strengths(g: Array) -> Step:
    """The singular values of a matrix of 2 x 2, from the sum of its squares and its determinant."""
    (first, second), (third, fourth) = g.tolist()
    squares = settled(float((g**2).sum()), (g**2).ravel().tolist())
    det = settled(first * fourth - second * third, [first * fourth, second * third])
    size = abs(det)
    largest = float(_singular_values(g)[0])
    s1, s2 = symbol("s", 1), symbol("s", 2)
    lines: list[Equation | Sentence | Table] = [
        say(
            "An input of length 1 comes out with a length between the two singular values s. The sum of their squares "
            "is that of the four numbers, and their product is the determinant without its sign:"
        ),
        equation(total(power(s1, 2), power(s2, 2)), total(*(power(entry, 2) for entry in g.ravel())), number(squares)),
        equation(DET, minus(times(first, fourth), times(second, third)), number(det)),
        equation(times(s1, s2), number(size)),
    ]
    # Both roots of which the larger value is half the sum; their difference would lose digits for the smaller one.
    plus, less = squares + 2 * size, max(0.0, settled(squares - 2 * size, [squares, 2 * size]))
    lines += [
        say("So the squares of their sum and of their difference are known too, and with them both:"),
        equation(total(s1, s2), root(total(squares, times(2, size))), number(plus**0.5)),
        equation(minus(s1, s2), root(minus(squares, times(2, size))), number(less**0.5)),
        equation(s1, over(total(plus**0.5, less**0.5), 2), number(largest)),
        equation(s2, over(size, largest), number(size / largest)),
    ]
    return step("How strongly the matrix acts", *lines)


def _divided(g: Array, norm: float, x: Array, tall: bool) -> Step:
    lines: list[Equation | Sentence | Table] = []
    if tall:
        lines.append(say("It has more rows than columns: its transpose is worked on, and turned back at the end."))
    lines += [
        say("Then no singular value is above 1, since their squares sum to 1:"),
        equation(NORM, root(total(*(power(entry, 2) for entry in g.ravel()))), number(norm)),
        equation(X, over(matrix(g.T if tall else g), norm), matrix(x)),
    ]
    return step("Divide by the norm", *lines)


def _one_step(x: Array) -> Step:
    """One step of the iteration with every number."""
    a, b, c = optimizers.NEWTON_SCHULZ
    gram = tidy(x @ x.T, x, x.T)
    square = tidy(gram @ gram, gram, gram)
    both = _settled(b * gram + c * square, b * gram, c * square)
    after = a * x + both @ x
    lines: list[Equation | Sentence | Table] = [
        say("Two products of matrices, and their sum with the numbers b and c:"),
        equation(A, matmul(X, TURNED), matmul(matrix(x), matrix(x.T)), matrix(gram)),
        equation(matmul(A, A), matmul(matrix(gram), matrix(gram)), matrix(square)),
        equation(
            B,
            total(times(symbol("b"), A), times(symbol("c"), matmul(A, A))),
            total(times(b, matrix(gram)), times(c, matrix(square))),
            matrix(both),
        ),
        say("Then the step, with the number a:"),
        equation(
            X,
            "←",
            total(times(symbol("a"), X), matmul(B, X)),
            total(times(a, matrix(x)), matmul(matrix(both), matrix(x))),
            matrix(_settled(after, a * x, both @ x)),
        ),
    ]
    return step(f"One step, with a = {a}, b = {b}, c = {c}", *lines)


def _all_steps(states: Sequence[Array], values: Sequence[Array]) -> Step:
    """What the step does to each singular value, and the values after every step."""
    a, b, c = optimizers.NEWTON_SCHULZ
    s = symbol("s")
    lines: list[Equation | Sentence | Table] = [
        say(
            "The singular vectors stay what they are. Each singular value moves along a polynomial, whatever the "
            "others are:"
        ),
        equation(
            s,
            "←",
            total(times(symbol("a"), s), times(symbol("b"), power(s, 3)), times(symbol("c"), power(s, 5))),
        ),
    ]
    for count, (old, new) in enumerate(zip(values[0], values[1], strict=True), 1):
        terms = (a * old, b * old**3, c * old**5)
        lines.append(
            equation(
                symbol("s", count),
                "←",
                total(times(a, old), times(b, power(old, 3)), times(c, power(old, 5))),
                number(settled(float(new), terms)),
            )
        )
    heads: list[str | Expression] = ["after step", *(symbol("s", count) for count in range(1, len(values[0]) + 1)), X]
    rows = [
        [str(count), *(number(value) for value in found), matrix(_tiny_off(state))]
        for count, (state, found) in enumerate(zip(states, values, strict=True))
    ]
    lines.append(table(heads, rows))
    return step("All steps", *lines)


def _result(worked: Array, result: Array, given: Array) -> Step:
    lines: list[Equation | Sentence | Table] = []
    shown = _tiny_off(worked)
    product = _tiny_off(worked @ worked.T)
    if worked.shape[0] == 1:
        lines.append(say("A single row has a single direction. Of an orthogonal one this would be 1:"))
    else:
        lines.append(say("Of a matrix that is orthogonal exactly this has 1 on the diagonal and 0 beside it:"))
    lines.append(equation(matmul(UPDATE, UPDATE_TURNED), matmul(matrix(shown), matrix(shown.T)), matrix(product)))
    if given.shape[0] > given.shape[1]:
        lines += [say("Turned back:"), equation(UPDATE, matrix(_tiny_off(result)))]
    nearest = _nearest(given)
    if nearest is not None:
        lines += [
            say("The nearest that is exactly orthogonal has the same singular vectors, and singular values of 1:"),
            nearest,
        ]
    return step("How orthogonal it is", *lines)


def _nearest(g: Array) -> Equation | None:
    """U V^T of a matrix of 2 x 2 that is not singular, without its singular vectors."""
    if g.shape != (2, 2):
        return None
    u, values, vt = np.linalg.svd(g)
    if values[1] < 1e-6 * values[0]:
        return None
    return equation(matmul(symbol("U"), symbol("Vᵀ", tex=r"V^{\top}")), matrix(_tiny_off(u @ vt)))


def _mixed(name: Expression, relation: str, part: float, mean: Array, g: Array, value: Array) -> Equation:
    """name = part x mean + (1 - part) x g = value."""
    terms = total(times(part, matrix(mean)), times(minus(1, part), matrix(g)))
    return equation(name, *([] if relation == "=" else [relation]), terms, matrix(_settled(value, part * mean, g)))


def _orthogonal(ahead: Array, update: Array) -> list[Equation | Sentence | Table]:
    if not ahead.any():
        return [say("It is all 0, and so is the update:"), equation(UPDATE, matrix(update))]
    before, after = _singular_values(ahead), _values(ahead, optimizers.NEWTON_SCHULZ_STEPS)[-1]
    rows = [
        [str(count), number(old), number(new)] for count, (old, new) in enumerate(zip(before, after, strict=True), 1)
    ]
    return [
        say(f"Made orthogonal by {optimizers.NEWTON_SCHULZ_STEPS} steps of Newton-Schulz:"),
        equation(UPDATE, matrix(_tiny_off(update))),
        table(["singular value", "before", "after"], rows),
    ]


def _moved(
    before: Array, update: Array, after: Array, learning_rate: float, weight_decay: float
) -> list[Equation | Sentence | Table]:
    rows, columns = before.shape
    decayed = before - learning_rate * weight_decay * before
    lines: list[Equation | Sentence | Table] = []
    if weight_decay:
        lines += [
            say("The weights decay, whatever their gradient:"),
            equation(
                W,
                "←",
                minus(matrix(before), times(learning_rate, weight_decay, matrix(before))),
                matrix(_settled(decayed, before)),
            ),
        ]
    factor = [root(over(rows, columns))] if rows > columns else []
    told = "And they go a step against the update"
    told += ", longer because there are more outputs than inputs:" if factor else ":"
    moved = learning_rate * max(1.0, rows / columns) ** 0.5 * update
    lines += [
        say(told),
        equation(
            W,
            "←",
            minus(matrix(_settled(decayed, before)), times(learning_rate, *factor, matrix(_tiny_off(update)))),
            matrix(_settled(after, decayed, moved)),
        ),
    ]
    return lines


def _singular_values(given: Array) -> Array:
    return _tiny_off(np.asarray(np.linalg.svd(given, compute_uv=False), dtype=np.float64))


def _values(given: Array, steps: int) -> list[Array]:
    """Return the singular values before the first step and after each, in the order of the first."""
    a, b, c = optimizers.NEWTON_SCHULZ
    values: list[Array] = [_singular_values(given) / np.sqrt((given**2).sum())]
    for _ in range(steps):
        s = values[-1]
        values.append(np.asarray(a * s + b * s**3 + c * s**5))
    return values


def _settled(value: Array, *terms: Array) -> Array:
    """Return `value`, the sum of `terms`, each number without the digits that are only what rounding left."""
    flat = [np.broadcast_to(term, value.shape).ravel().tolist() for term in terms]
    numbers = [settled(one, parts) for one, *parts in zip(value.ravel().tolist(), *flat, strict=True)]
    return np.array(numbers).reshape(value.shape)


def _tiny_off(values: Array) -> Array:
    """Return `values` with 0 for what beside the largest of them is only what rounding left."""
    return np.where(np.abs(values) < 1e-12 * np.abs(values).max(), 0.0, values)
