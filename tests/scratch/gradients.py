"""Gradients by central differences, and how far two gradients are from each other."""

import numpy as np

STEP = 6e-6  # about the cube root of float64's precision: the errors of rounding and of the parabola are then alike


def numerical_gradient(loss, x):
    """Return dloss/dx by changing each number of `x` in place by a little, both ways; `loss` takes no argument."""
    result = np.empty_like(x)
    for place in np.ndindex(x.shape):
        before = x[place]
        step = STEP * max(1.0, abs(before))
        x[place] = before + step
        above = loss()
        x[place] = before - step
        below = loss()
        x[place] = before
        result[place] = (above - below) / ((before + step) - (before - step))
    return result


def relative_error(a, b):
    """Return |a - b| / max(|a|, |b|) with the norm over all numbers, 0 where both are 0."""
    size = max(np.linalg.norm(a), np.linalg.norm(b))
    return 0.0 if size == 0 else float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / size)
