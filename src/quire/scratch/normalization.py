"""Normalisation: every row is brought to one size, so that what is added to the stream cannot blow it up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class NormKept(NamedTuple):
    """What the backward of either norm needs."""

    normalised: Array  # n: the rows before the learned weight, (..., D)
    scale: Array  # r: what each row was multiplied by, (..., 1)
    weight: Array  # (D,)


def rms_norm(x: ArrayLike, weight: ArrayLike, eps: float = 1e-6) -> tuple[Array, NormKept]:
    """Scale each row to a root mean square of 1, then by a learned weight: x / sqrt(mean(x^2) + eps) * weight.

    Args:
        x: rows of D numbers, (..., D).
        weight: one number a column, (D,).
        eps: added to the mean square, inside the root, so that a row of zeros stays zero.

    Raises:
        ValueError: the weight has not one number for each column of `x`; eps is negative, or 0 and a row all zeros.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", section 4.
    """
    x, weight = np.asarray(x, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    _check(x, weight=weight)
    scale = _scale(np.mean(x**2, axis=-1, keepdims=True), eps)  # (..., 1)
    normalised = x * scale  # (..., D)
    return normalised * weight, NormKept(normalised, scale, weight)


def rms_norm_backward(dy: Array, kept: NormKept) -> tuple[Array, Array]:
    """Return dx (..., D) and dweight (D,).

    With n = r x and r = (mean(x^2) + eps)^(-1/2), and g = dy * weight the gradient of n:

        dr/dx[j] = -1/2 r^3 * 2 x[j] / D = -r^2 n[j] / D
        dx[j]    = r g[j] + sum_i g[i] x[i] dr/dx[j]
                 = r (g[j] - n[j] * mean(g * n))            since r x[i] = n[i]

    So the part of g that points along n is taken out: making a row longer does not change the normalised row.
    The weight multiplies each row alike: dweight = sum of dy * n over the rows.
    """
    n, scale, weight = kept
    g = dy * weight  # (..., D)
    dx = scale * (g - n * np.mean(g * n, axis=-1, keepdims=True))  # (..., D)
    return dx, _over_rows(dy * n)


def layer_norm(x: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float = 1e-5) -> tuple[Array, NormKept]:
    """Shift each row to mean 0, scale it to variance 1, then: (x - mean) / sqrt(variance + eps) * weight + bias.

    Args:
        x: rows of D numbers, (..., D).
        weight: one number a column, (D,).
        bias: likewise.
        eps: added to the variance, inside the root, so that a row of equal numbers does not divide by zero.

    Raises:
        ValueError: the weight or the bias has not one number for each column of `x`; eps is negative, or 0 and the
            numbers of a row are all equal.

    Source: Ba, Kiros and Hinton 2016, "Layer Normalization", section 3.
    """
    x, weight, bias = (np.asarray(each, dtype=np.float64) for each in (x, weight, bias))
    _check(x, weight=weight, bias=bias)
    centred = x - np.mean(x, axis=-1, keepdims=True)  # (..., D)
    scale = _scale(np.mean(centred**2, axis=-1, keepdims=True), eps)  # (..., 1)
    normalised = centred * scale  # (..., D)
    return normalised * weight + bias, NormKept(normalised, scale, weight)


def layer_norm_backward(dy: Array, kept: NormKept) -> tuple[Array, Array, Array]:
    """Return dx (..., D), dweight (D,) and dbias (D,).

    With c = x - mean(x), the step from c to n = r c is that of `rms_norm`: dc = r (g - n * mean(g * n)).
    Taking the mean off has the gradient dx = dc - mean(dc), and mean(n) = 0, so

        dx = r (g - mean(g) - n * mean(g * n))

    Both directions that normalising forgets are taken out: shifting the row, and making it longer.
    """
    n, scale, weight = kept
    g = dy * weight  # (..., D)
    dx = scale * (g - np.mean(g, axis=-1, keepdims=True) - n * np.mean(g * n, axis=-1, keepdims=True))  # (..., D)
    return dx, _over_rows(dy * n), _over_rows(dy)


def _scale(mean_square: Array, eps: float) -> Array:
    if not 0 <= eps < np.inf:
        raise ValueError(f"eps must be 0 or more, not {eps}")
    if eps == 0 and not mean_square.all():
        raise ValueError("a row without any spread cannot be scaled to size 1: eps must be above 0 for it")
    return np.asarray(1 / np.sqrt(mean_square + eps))


def _over_rows(x: Array) -> Array:
    return np.asarray(x.reshape(-1, x.shape[-1]).sum(axis=0))  # (D,)


def _check(x: Array, **columns: Array) -> None:
    for name, column in columns.items():
        if x.ndim < 1 or column.shape != x.shape[-1:]:
            raise ValueError(
                f"the {name} must have one number for each column of x {x.shape}, not the shape {column.shape}"
            )
