"""The feed-forward part of a block: SwiGLU, and the plain one of two matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations, feedforward
from quire.scratch.explain.activations import SHOWN, applied
from quire.scratch.explain.explanation import Equation, Explanation, Step, equation, say, step
from quire.scratch.explain.expressions import Symbol
from quire.scratch.explain.neurons import layer
from quire.scratch.explain.notation import matmul, matrix, number, symbol, times, total
from quire.scratch.explain.products import dot, last_row, product_of, settled, tidy
from quire.scratch.projection import project

Array = NDArray[np.float64]


def swiglu(x: ArrayLike, gate: ArrayLike, up: ArrayLike, down: ArrayLike) -> Explanation:
    """Work out the gated feed-forward part for one token.

    Args:
        x: the token's row (D,).
        gate: matrix (F, D), a row for each output, as weights are stored.
        up: matrix (F, D).
        down: matrix (D, F).

    Raises:
        ValueError: the shapes do not fit.

    Source: Shazeer 2020, equation 6.
    """
    row = np.asarray(x, dtype=np.float64)
    matrices = [np.asarray(each, dtype=np.float64) for each in (gate, up, down)]
    if row.ndim != 1:
        raise ValueError(f"x must be the row of one token; its shape is {row.shape}")
    y, kept = feedforward.swiglu(row, *matrices)
    opened = activations.silu(kept.a)
    hidden = opened * kept.u
    steps = (
        step(
            "The gates",
            _projected("a", symbol("G"), row, matrices[0], kept.a),
            *_entries("a", row, matrices[0], kept.a),
        ),
        step(
            "What may pass",
            _projected("u", symbol("U"), row, matrices[1], kept.u),
            *_entries("u", row, matrices[1], kept.u),
        ),
        step(
            "How far each gate is open",
            say("SiLU(a) = a σ(a): well below 0 it is shut, well above 0 it gives its size."),
            *(equation(Symbol("s", (i,)), *applied("silu", settled(a, [a]))) for i, a in enumerate(kept.a.tolist(), 1)),
        ),
        step(
            "Both multiplied",
            *(
                equation(Symbol("h", (i,)), times(s, u), number(h))
                for i, (s, u, h) in enumerate(zip(opened.tolist(), kept.u.tolist(), hidden.tolist(), strict=True), 1)
            ),
        ),
        step(
            "Back to the width of the stream",
            _projected("y", symbol("D"), hidden, matrices[2], y, "h"),
            *_entries("y", hidden, matrices[2], y),
        ),
    )
    result = {"x": row, "a": kept.a, "u": kept.u, "opened": opened, "hidden": hidden, "y": y}
    return Explanation("The feed-forward part, SwiGLU", steps, result)


def swiglu_steps(kept: feedforward.SwiGLUKept, letter: str, *, first: int = 0) -> list[Step]:
    """Return the steps of SwiGLU for the rows of a text, the last of them written out.

    Args:
        kept: of one text, (1, T, D).
        letter: of the rows that go in.
        first: tokens before the first row.
    """
    x, a, u, hidden = kept.gate.x[0], kept.a[0], kept.u[0], kept.down.x[0]
    opened = activations.silu(a)
    y = project(*kept.down)[0][0]
    last = last_row(first, len(x))
    source, gate, up, down = symbol(letter), _weight("gate"), _weight("up"), _weight("down")
    sides = zip(a[-1].tolist(), opened[-1].tolist(), u[-1].tolist(), hidden[-1].tolist(), strict=True)
    worked: list[Equation] = []
    for i, (before, s, passes, h) in enumerate(sides, 1):
        worked.append(equation(Symbol("s", (i,)), *applied("silu", settled(before, [before]))))
        worked.append(equation(Symbol("h", (i,)), times(s, passes), number(h)))
    return [
        step(
            "The gates of the feed-forward part",
            product_of(symbol("A"), (source, x), (gate, kept.gate.weight.T), a),
            last,
            *_entries("a", x[-1], kept.gate.weight, a[-1]),
        ),
        step(
            "What may pass them",
            product_of(symbol("U"), (source, x), (up, kept.up.weight.T), u),
            last,
            *_entries("u", x[-1], kept.up.weight, u[-1]),
        ),
        step(
            "How far each gate is open, times what may pass",
            say("SiLU(a) = a σ(a): well below 0 it is shut, well above 0 it gives its size."),
            equation(symbol("S"), matrix(opened)),
            equation(symbol("H"), matrix(hidden)),
            last,
            *worked,
        ),
        step(
            "Back to the width of the stream",
            product_of(symbol("M"), (symbol("H"), hidden), (down, kept.down.weight.T), y),
            last,
            *_entries("m", hidden[-1], kept.down.weight, y[-1]),
        ),
    ]


def _weight(name: str) -> Symbol:
    return Symbol(f"W_{name}", (), f"W_{{\\text{{{name}}}}}")


def mlp(
    x: ArrayLike, up: ArrayLike, up_bias: ArrayLike, down: ArrayLike, down_bias: ArrayLike, activation: str = "gelu"
) -> Explanation:
    """Work out the plain feed-forward part for one token: a layer up, an activation, a layer down.

    Args:
        x: (D,).
        up: (F, D).
        up_bias: (F,).
        down: (D, F).
        down_bias: (D,).
        activation: its name.

    Raises:
        ValueError: the shapes do not fit, or there is no such activation.
    """
    row = np.asarray(x, dtype=np.float64)
    U, bU, W, bW = (np.asarray(each, dtype=np.float64) for each in (up, up_bias, down, down_bias))
    y, kept = feedforward.mlp(row, U, bU, W, bW, activation)
    hidden = activations.activation(activation)(kept.z)
    steps = (
        *layer(row, U.T, bU, activation).steps[1:],
        step(
            "And back, without activation",
            equation(
                symbol("y"),
                total(matmul(matrix(hidden), matrix(W.T)), matrix(bW)),
                matrix(tidy(np.atleast_2d(y), np.atleast_2d(hidden), W.T, bW)),
            ),
        ),
    )
    return Explanation(f"The feed-forward part, {SHOWN[activation]}", steps, {"x": row, "hidden": hidden, "y": y})


def _projected(name: str, letter: Symbol, x: Array, weight: Array, value: Array, source: str = "x") -> Equation:
    X, shown = np.atleast_2d(x), tidy(np.atleast_2d(value), np.atleast_2d(x), weight.T)
    return equation(symbol(name), matmul(symbol(source), letter), matmul(matrix(X), matrix(weight.T)), matrix(shown))


def _entries(name: str, x: Array, weight: Array, value: Array) -> list[Equation]:
    return [
        dot(Symbol(name, (i,)), x.tolist(), row.tolist(), float(out))
        for i, (row, out) in enumerate(zip(weight, value, strict=True), 1)
    ]
