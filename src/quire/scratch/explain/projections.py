"""A matrix without bias: every output a weighted sum of the inputs, and how a gradient goes back through it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.explain.explanation import Explanation, Step, say, step
from quire.scratch.explain.expressions import Symbol
from quire.scratch.explain.products import dot, product_of
from quire.scratch.projection import project, project_backward

Array = NDArray[np.float64]
X, W, Y, DX, DW, DY = (Symbol(name) for name in ("x", "W", "y", "dx", "dW", "dy"))
W_TURNED, DY_TURNED = Symbol("Wᵀ", (), r"W^{\top}"), Symbol("dyᵀ", (), r"dy^{\top}")


def projection(x: ArrayLike, weight: ArrayLike, dy: ArrayLike | None = None) -> Explanation:
    """Work out the product of rows with a matrix as weights are stored, and the gradients of both.

    Args:
        x: a row (n,) or several (T, n).
        weight: W (m, n), a row for each output.
        dy: gradient of the outputs, (m,) or (T, m); None leaves the gradients out.

    Raises:
        ValueError: the shapes do not fit, or a number is not finite.
    """
    rows, matrix_ = np.atleast_2d(np.asarray(x, dtype=np.float64)), np.asarray(weight, dtype=np.float64)
    if rows.ndim != 2 or not rows.size or not matrix_.size:
        raise ValueError(f"x must be a row or rows of numbers; its shape is {np.shape(x)}")
    y, kept = project(rows, matrix_)
    if not (np.isfinite(rows).all() and np.isfinite(matrix_).all()):
        raise ValueError("the numbers of x and of the weight must be finite")
    steps = [_forward(rows, matrix_, y)]
    result: dict[str, Any] = {"x": rows, "weight": matrix_, "y": y}
    if dy is not None:
        slopes = np.atleast_2d(np.asarray(dy, dtype=np.float64))
        if slopes.shape != y.shape or not np.isfinite(slopes).all():
            raise ValueError(f"dy must be finite numbers of the shape of y, {y.shape}; its shape is {slopes.shape}")
        dx, dweight = project_backward(slopes, kept)
        steps += [_to_inputs(slopes, matrix_, dx), _to_weights(slopes, rows, dweight)]
        result |= {"dy": slopes, "dx": dx, "dweight": dweight}
    return Explanation(f"A projection from {matrix_.shape[1]} to {matrix_.shape[0]} numbers", tuple(steps), result)


def _forward(x: Array, weight: Array, y: Array) -> Step:
    sums = [
        dot(_entry("y", t, j, len(x)), x[t].tolist(), weight[j].tolist(), float(y[t, j]))
        for t in range(len(x))
        for j in range(len(weight))
    ]
    told = say("The matrix has a row for each output and is turned on its side, so that each output is a column:")
    return step("The outputs", told, product_of(Y, (X, x), (W_TURNED, weight.T), y), *sums)


def _to_inputs(dy: Array, weight: Array, dx: Array) -> Step:
    sums = [
        dot(_entry("dx", t, i, len(dy)), dy[t].tolist(), weight[:, i].tolist(), float(dx[t, i]))
        for t in range(len(dy))
        for i in range(weight.shape[1])
    ]
    told = say("An input counts in every output by its weight there; its gradient is the sum of all these ways:")
    return step("The gradient of the inputs", told, product_of(DX, (DY, dy), (W, weight), dx), *sums)


def _to_weights(dy: Array, x: Array, dweight: Array) -> Step:
    sums = [
        dot(Symbol("dw", (j + 1, i + 1)), dy[:, j].tolist(), x[:, i].tolist(), float(dweight[j, i]))
        for j in range(dy.shape[1])
        for i in range(x.shape[1])
    ]
    told = say(
        "A weight multiplies an input; its gradient is that of the output times the input, summed over the rows:"
    )
    return step("The gradient of the weights", told, product_of(DW, (DY_TURNED, dy.T), (X, x), dweight), *sums)


def _entry(name: str, row: int, column: int, rows: int) -> Symbol:
    return Symbol(name, (column + 1,) if rows == 1 else (row + 1, column + 1))
