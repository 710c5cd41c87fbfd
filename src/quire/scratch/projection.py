"""A matrix without bias: every output is a weighted sum of the inputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class ProjectKept(NamedTuple):
    """What `project_backward` needs."""

    x: Array  # (..., n)
    weight: Array  # (m, n)


def project(x: ArrayLike, weight: ArrayLike) -> tuple[Array, ProjectKept]:
    """Return y = x W^T (..., m): output j is the sum over i of x[i] W[j, i].

    The matrix lies as weights are stored in files, a row for each output. Each row of `x` is by itself.

    Args:
        x: rows of n numbers (..., n).
        weight: W (m, n).

    Raises:
        ValueError: the rows of `x` are not as long as those of the weight.
    """
    x, weight = np.asarray(x, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x {x.shape} does not fit a weight (outputs, inputs) of {weight.shape}: x must end in inputs")
    return x @ weight.T, ProjectKept(x, weight)


def project_backward(dy: Array, kept: ProjectKept) -> tuple[Array, Array]:
    """Return dx (..., n) and dW (m, n).

    y[j] = sum_i x[i] W[j, i], so dy[j]/dx[i] = W[j, i] and dy[j]/dW[j, i] = x[i]. With the chain rule:

        dx[i]    = sum_j dy[j] W[j, i]            dx = dy W
        dW[j, i] = sum over the rows of dy[j] x[i]    dW = dy^T x
    """
    x, weight = kept
    rows_of_dy, rows_of_x = dy.reshape(-1, weight.shape[0]), x.reshape(-1, weight.shape[1])
    return dy @ weight, rows_of_dy.T @ rows_of_x
