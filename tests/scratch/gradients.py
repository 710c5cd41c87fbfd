"""Gradients by central differences, and how far two gradients are from each other."""

import numpy as np

STEP = 6e-6  # about the cube root of float64's precision: the errors of rounding and of the parabola are then alike


def numerical_gradient(loss, x):
    """Return dloss/dx by changing each number of `x` in place by a little, both ways; `loss` takes no argument."""
    return numerical_gradient_at(loss, x, list(np.ndindex(x.shape))).reshape(x.shape)


def relative_error(a, b):
    """Return |a - b| / max(|a|, |b|) with the norm over all numbers, 0 where both are 0."""
    size = max(np.linalg.norm(a), np.linalg.norm(b))
    return 0.0 if size == 0 else float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / size)


def some_places(x, most, generator):
    """Return up to `most` places of `x`, chosen at random: for arrays too large to change every number twice."""
    chosen = generator.permutation(x.size)[:most]
    return [tuple(int(i) for i in np.unravel_index(number, x.shape)) for number in chosen]


def numerical_gradient_at(loss, x, places):
    """Return dloss/dx at those places only, as one row."""
    return np.array([_slope(loss, x, place) for place in places])


def _slope(loss, x, place):
    before = x[place]
    step = STEP * max(1.0, abs(before))
    x[place] = before + step
    above = loss()
    x[place] = before - step
    below = loss()
    x[place] = before
    return (above - below) / ((before + step) - (before - step))
