"""How a gradient goes back through softmax, a norm and attention."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations, attention, normalization
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Step, Table, equation, say, step
from quire.scratch.explain.expressions import Symbol
from quire.scratch.explain.neurons import vector
from quire.scratch.explain.normalizations import root_mean_square
from quire.scratch.explain.notation import matmul, matrix, minus, number, over, root, symbol, times
from quire.scratch.explain.products import dot, product_of, settled, tidy

Array = NDArray[np.float64]
ENTRIES = 16  # entries of the slopes of softmax up to which the matrix is shown
MEAN = symbol("mean", tex=r"\text{mean}")


def softmax_backward(scores: ArrayLike, dp: ArrayLike) -> Explanation:
    """Work out the gradient of the scores, given that of their shares.

    Args:
        scores: z (V,), finite.
        dp: gradient of the shares (V,), finite.

    Raises:
        ValueError: they are no rows of as many finite numbers.
    """
    z, slopes = _rows("scores", scores, "dp", dp)
    p = activations.softmax(z)
    dz = activations.softmax_backward(slopes, p)
    mean = float(slopes @ p)
    steps = [step("The shares", say("Softmax of the scores ", vector(z), ":"), equation(symbol("p"), vector(p)))]
    if p.size**2 <= ENTRIES:
        table = activations.jacobian_of_softmax(p)
        told = (
            "A score raises its own share by that share times what it lacks to 1, and lowers every other one by the "
            "product of the two shares; a row for each share:"
        )
        steps.append(step("How each share moves with each score", say(told), equation(symbol("J"), matrix(table))))
    steps += [
        step(
            "The mean of the gradients, weighted with the shares",
            dot(MEAN, slopes.tolist(), p.tolist(), mean),
        ),
        step(
            "Each share times what its gradient is above the mean",
            *(
                equation(
                    Symbol("dz", (j,)), times(share, minus(slope, mean)), number(_less(share * slope, share * mean))
                )
                for j, (share, slope) in enumerate(zip(p.tolist(), slopes.tolist(), strict=True), 1)
            ),
            say("They sum to 0: raising all scores alike changes no share."),
        ),
    ]
    return Explanation(
        f"The gradient through softmax, {p.size} score{'' if p.size == 1 else 's'}",
        tuple(steps),
        {"scores": z, "shares": p, "dp": slopes, "mean": mean, "dz": dz},
    )


def rms_norm_backward(x: ArrayLike, dy: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6) -> Explanation:
    """Work out the gradient of a row through RMSNorm.

    Args:
        x: the row (D,), finite, not all zero.
        dy: gradient of what comes out (D,), finite.
        weight: the learned weight (D,); None is all ones.
        eps: added to the mean square.

    Raises:
        ValueError: they are no rows of as many finite numbers, or x is zero.
    """
    row, slopes = _rows("x", x, "dy", dy)
    if not row.any():
        raise ValueError("x is a row of zeros; there is no direction that the norm takes out")
    scale = np.ones_like(row) if weight is None else _rows("x", x, "weight", weight)[1]
    _, kept = normalization.rms_norm(row, scale, eps)
    dx, dweight = normalization.rms_norm_backward(slopes, kept)
    n, size = kept.normalised, float(1 / kept.scale[0])
    g = slopes * scale
    mean = float(np.mean(g * n))
    steps = [
        step(
            "The norm itself",
            root_mean_square(symbol("r"), row, eps),
            *(
                equation(Symbol("n", (i,)), over(value, size), number(small))
                for i, (value, small) in enumerate(zip(row.tolist(), n.tolist(), strict=True), 1)
            ),
        )
    ]
    if weight is not None:
        through = zip(slopes.tolist(), scale.tolist(), g.tolist(), n.tolist(), dweight.tolist(), strict=True)
        lines = []
        for i, (slope, w, before, small, dw) in enumerate(through, 1):
            lines.append(equation(Symbol("g", (i,)), times(slope, w), number(before)))
            lines.append(equation(Symbol("dw", (i,)), times(slope, small), number(dw)))
        steps.append(step("Through the learned weights, and theirs", *lines))
    sums = dot(symbol("sum", tex=r"\text{sum}"), g.tolist(), n.tolist(), float(g @ n))
    steps += [
        step(
            "How much of the gradient points along the row",
            sums,
            equation(MEAN, over(float(g @ n), row.size), number(mean)),
        ),
        step(
            "That part is taken out, for a longer row gives the same",
            *(
                equation(
                    Symbol("dx", (i,)),
                    over(minus(before, times(small, mean)), size),
                    number(_less(before, small * mean) / size),
                )
                for i, (before, small) in enumerate(zip(g.tolist(), n.tolist(), strict=True), 1)
            ),
        ),
    ]
    result = {"x": row, "dy": slopes, "weight": scale, "eps": eps, "normalised": n, "mean": mean}
    return Explanation(
        f"The gradient through RMSNorm, {row.size} number{'' if row.size == 1 else 's'}",
        tuple(steps),
        result | {"dx": dx, "dweight": dweight},
    )


def attention_backward(q: ArrayLike, k: ArrayLike, v: ArrayLike, dout: ArrayLike) -> Explanation:
    """Work out the gradients of queries, keys and values of one head.

    Args:
        q: queries (T, K).
        k: keys (T, K).
        v: values (T, K).
        dout: gradient of what each token gathers (T, K).

    Raises:
        ValueError: they are not of one shape (T, K), or a number is not finite.
    """
    queries, keys, values, slopes = (np.asarray(each, dtype=np.float64) for each in (q, k, v, dout))
    shapes = [each.shape for each in (queries, keys, values, slopes)]
    if len(set(shapes)) > 1 or queries.ndim != 2 or not queries.size:
        told = ", ".join(map(str, shapes))
        raise ValueError(f"queries, keys, values and dout must all be (tokens, width), not {told}")
    if not all(np.isfinite(each).all() for each in (queries, keys, values, slopes)):
        raise ValueError("queries, keys, values and dout must be finite numbers")
    out, kept = attention.attend(queries[None, None], keys[None, None], values[None, None])
    dq, dk, dv = (each[0, 0] for each in attention.attend_backward(slopes[None, None], kept))
    P = kept.weights[0, 0]  # (T, T)
    dP = slopes @ values.T  # (T, T)
    dS = activations.softmax_backward(dP, P)  # (T, T)
    sizes = P * (np.abs(dP) + np.sum(np.abs(dP) * P, axis=-1, keepdims=True))
    settle = np.vectorize(lambda value, size: settled(value, [size]))
    shown = settle(dS, sizes)
    root = np.sqrt(queries.shape[1])
    dq_shown, dk_shown = settle(dq, sizes @ np.abs(keys) / root), settle(dk, sizes.T @ np.abs(queries) / root)
    steps = (
        step("The weights that each token gathers with", equation(symbol("P"), matrix(P))),
        step(
            "The gradient of the values",
            say("A value goes to all tokens that look at it, by their weights:"),
            product_of(symbol("dV"), (_turned("P"), P.T), (symbol("dO"), slopes), dv),
        ),
        step(
            "The gradient of the weights",
            say("A weight multiplies a value:"),
            product_of(symbol("dP"), (symbol("dO"), slopes), (_turned("V"), values.T), dP),
        ),
        step(
            "Through softmax, row by row",
            say(
                "Each weight times what its gradient is above the mean of its row, weighted with the row; behind the "
                "mask the weight is 0, and so is this:"
            ),
            *_softmax_rows(P, dP),
            equation(symbol("dS"), matrix(shown)),
        ),
        _scaled("The gradient of the queries", "dQ", (symbol("dS"), shown), (symbol("K"), keys), dq_shown),
        _scaled("The gradient of the keys", "dK", (_turned("dS"), shown.T), (symbol("Q"), queries), dk_shown),
    )
    result = {"q": queries, "k": keys, "v": values, "out": out[0, 0], "dout": slopes, "weights": P}
    result |= {"dweights": dP, "dscores": dS, "dq": dq, "dk": dk, "dv": dv}
    many = len(queries)
    return Explanation(f"The gradient through attention of {many} token{'' if many == 1 else 's'}", steps, result)


def _softmax_rows(P: Array, dP: Array) -> list[Equation | Sentence | Table]:
    lines: list[Equation | Sentence | Table] = []
    for t in range(len(P)):
        seen = t + 1
        mean = float(P[t] @ dP[t])
        lines.append(dot(Symbol("mean", (seen,), r"\text{mean}"), P[t, :seen].tolist(), dP[t, :seen].tolist(), mean))
        lines += [
            equation(
                Symbol("ds", (seen, u + 1)),
                times(P[t, u], minus(dP[t, u], mean)),
                number(_less(P[t, u] * dP[t, u], P[t, u] * mean)),
            )
            for u in range(seen)
        ]
    return lines


def _scaled(heading: str, name: str, first: tuple[Symbol, Array], second: tuple[Symbol, Array], value: Array) -> Step:
    """Show name = first x second / root of K, for two matrices with their letters."""
    width = value.shape[1]
    whole = tidy(value * math.sqrt(width), first[1], second[1])
    letters = matmul(first[0], second[0])
    return step(
        heading,
        say(
            "The scores were divided by the root of the width of a head, ",
            equation(root(width), number(math.sqrt(width))),
            ", and so is this:",
        ),
        equation(letters, matmul(matrix(first[1]), matrix(second[1])), matrix(whole)),
        equation(symbol(name), over(letters, root(width)), matrix(whole / math.sqrt(width))),
    )


def _less(one: float, other: float) -> float:
    """The difference, without digits that are only what rounding left."""
    return settled(one - other, [one, other])


def _turned(name: str) -> Symbol:
    return Symbol(f"{name}ᵀ", (), f"{name}^{{\\top}}")


def _rows(name: str, one: ArrayLike, other_name: str, other: ArrayLike) -> tuple[Array, Array]:
    """Return both as rows of as many finite numbers."""
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.ndim != 1 or not first.size or first.shape != second.shape:
        raise ValueError(
            f"{name} and {other_name} must be rows of as many numbers; their shapes are {first.shape}, {second.shape}"
        )
    for label, values in ((name, first), (other_name, second)):
        if not np.isfinite(values).all():
            raise ValueError(f"the numbers of {label} must be finite")
    return first, second
