"""Positions: how a token learns where it stands, by an added wave or by turning queries and keys."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def sinusoidal(length: int, width: int, theta: float = 10000.0) -> Array:
    """Return the waves (T, D) that are added to the embeddings: sines in the even columns, cosines in the odd ones.

    Column 2i holds sin(p * theta^(-2i/D)) and column 2i + 1 the cosine of the same angle, for position p.

    Args:
        length: T, number of positions, counted from 0.
        width: D, even.
        theta: base of the wavelengths.

    Raises:
        ValueError: the width is odd or not positive, theta is not positive, or the length is negative.

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
    """
    if length < 0:
        raise ValueError(f"the length must be 0 or more, not {length}")
    angles = rotary_angles(np.arange(length), width, theta)  # (T, D/2)
    waves = np.empty((length, width))  # (T, D)
    waves[:, 0::2] = np.sin(angles)
    waves[:, 1::2] = np.cos(angles)
    return waves


def rotary_angles(positions: ArrayLike, head_dim: int, theta: float = 10000.0) -> Array:
    """Return the angle (T, K/2) in radians by which each pair of numbers turns at each position.

    Pair i at position p turns by p * theta^(-2i/K): the first pair one radian a token, the last one slowly, so that
    near and far distances both have a pair that resolves them.

    Args:
        positions: position of each token, (T,).
        head_dim: K, even.
        theta: base of the wavelengths, positive.

    Raises:
        ValueError: the width is odd or not positive, theta is not positive, or the positions are no row.

    Source: Su et al. 2021, "RoFormer", section 3.2.
    """
    where = np.asarray(positions, dtype=np.float64)  # (T,)
    if where.ndim != 1:
        raise ValueError(f"positions must be one row of numbers, not of shape {where.shape}")
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"the width must be even and at least 2, since pairs are turned, not {head_dim}")
    if theta <= 0:
        raise ValueError(f"theta must be positive, not {theta}")
    frequencies = theta ** -(np.arange(0, head_dim, 2) / head_dim)  # (K/2,)
    return np.outer(where, frequencies)


def rotate(x: ArrayLike, angles: ArrayLike) -> Array:
    """Turn each pair (a, b) = (x[i], x[i + K/2]) by its angle: (a cos - b sin, b cos + a sin).

    The product of two turned rows depends on the difference of their positions alone, and their lengths stay.

    Args:
        x: queries or keys (..., T, K).
        angles: (T, K/2), as `rotary_angles` gives them.

    Raises:
        ValueError: `x` does not end in (T, K).

    Source: Su et al. 2021, "RoFormer", section 3.4.2; the pairing is that of Hugging Face's models.
    """
    x, angles = np.asarray(x, dtype=np.float64), np.asarray(angles, dtype=np.float64)
    if x.ndim < 2 or angles.ndim != 2 or x.shape[-2:] != (angles.shape[0], 2 * angles.shape[1]):
        raise ValueError(
            f"x {x.shape} does not fit angles (tokens, pairs) of {angles.shape}: x must end in tokens, 2 pairs"
        )
    cos, sin = np.cos(angles), np.sin(angles)  # (T, K/2)
    a, b = np.split(x, 2, axis=-1)  # (..., T, K/2) each
    return np.concatenate((a * cos - b * sin, b * cos + a * sin), axis=-1)


def rotate_backward(dy: Array, angles: Array) -> Array:
    """Return dx (..., T, K): the gradient, turned back.

    For a pair, y = R x with R = [[cos, -sin], [sin, cos]], so dx = R^T dy, and the transpose of a rotation is the
    rotation by the opposite angle. The angles are not learned and need no gradient.
    """
    return rotate(dy, -angles)
