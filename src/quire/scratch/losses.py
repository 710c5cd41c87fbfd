"""Losses: one number for how wrong the outputs are, and its gradient with respect to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.activations import log_softmax, sigmoid

Array = NDArray[np.float64]


def mean_squared_error(y: ArrayLike, target: ArrayLike) -> tuple[float, Array]:
    """Return the mean of (y - t)^2 over all N numbers, and dy = 2 (y - t) / N.

    Args:
        y: outputs, any shape.
        target: what they should be, the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    outputs, targets = _same_shape(y, target)
    difference = outputs - targets
    return float(np.mean(difference**2)), 2 * difference / difference.size


def binary_cross_entropy(z: ArrayLike, target: ArrayLike) -> tuple[float, Array]:
    """Return the mean over all N numbers of -t log s - (1 - t) log(1 - s), where s = sigmoid(z), and dz = (s - t) / N.

    With log s = -log(1 + e^-z) and log(1 - s) = log s - z the term is max(z, 0) - z t + log(1 + e^-|z|), which has no
    exponential that can overflow and no logarithm of 0.

    Args:
        z: logits, the weighted sums before the sigmoid, any shape.
        target: 0 or 1 (or a chance between them) for each, the same shape.

    Raises:
        ValueError: the shapes differ, or a target is not from 0 to 1.
    """
    logits, targets = _same_shape(z, target)
    if not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError("targets of the binary cross-entropy must be from 0 to 1")
    terms = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return float(np.mean(terms)), (sigmoid(logits) - targets) / logits.size


def cross_entropy(logits: ArrayLike, classes: ArrayLike) -> tuple[float, Array]:
    """Return the mean over all N rows of -log p_c, where p = softmax(logits) and c is the row's class, and dlogits.

    -log p_c = log sum_j e^(z_j) - z_c; its derivative with respect to z_i is p_i, less 1 at i = c. So
    dlogits = (p - one at c) / N.

    Args:
        logits: scores (..., V).
        classes: the right class of each row, whole numbers from 0 to V - 1 (...).

    Raises:
        ValueError: the shapes do not fit, or a class is out of range.
    """
    scores = np.asarray(logits, dtype=np.float64)
    right = np.asarray(classes)
    if right.shape != scores.shape[:-1] or not right.size:
        raise ValueError(f"logits of shape {scores.shape} need classes of shape {scores.shape[:-1]}, not {right.shape}")
    if not np.issubdtype(right.dtype, np.integer):
        raise ValueError(f"classes must be whole numbers; they are {right.dtype}")
    if right.min() < 0 or right.max() >= scores.shape[-1]:
        wrong = int(right.min() if right.min() < 0 else right.max())
        raise ValueError(f"class {wrong} is not among the {scores.shape[-1]} classes from 0 to {scores.shape[-1] - 1}")
    rows = log_softmax(scores).reshape(-1, scores.shape[-1])  # (N, V)
    picked = np.arange(len(rows)), right.reshape(-1)
    dlogits = np.exp(rows)
    dlogits[picked] -= 1
    return float(-rows[picked].mean()), (dlogits / len(rows)).reshape(scores.shape)


LOSSES = {"mean_squared_error": mean_squared_error, "binary_cross_entropy": binary_cross_entropy}
"""The losses of outputs and targets of one shape, by name."""


def _same_shape(y: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    outputs, targets = np.asarray(y, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if outputs.shape != targets.shape or not outputs.size:
        raise ValueError(f"outputs of shape {outputs.shape} need targets of the same shape, not {targets.shape}")
    return outputs, targets
