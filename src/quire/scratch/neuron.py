"""One neuron: inputs times weights, plus a bias, through an activation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations

Array = NDArray[np.float64]


class Neuron:
    """y = f(z), where z = x_1 w_1 + ... + x_n w_n + b.

    Args:
        weights: one number for each input (n,).
        bias: b, a single number.
        activation: f, by its name in `quire.scratch.activations.ACTIVATIONS`.

    Raises:
        ValueError: the weights are no row of finite numbers, the bias is no finite number, or there is no such
            activation.

    Source: McCulloch and Pitts 1943; Rosenblatt 1958.
    """

    def __init__(self, weights: ArrayLike, bias: float = 0.0, activation: str = "relu") -> None:
        self.weights = _row(weights, "weights")  # (n,)
        if not isinstance(bias, (int, float, np.number)) or not np.isfinite(bias):
            raise ValueError(f"the bias is {bias}; it must be a finite number")
        self.bias = float(bias)
        self.activation = activations.activation(activation)

    def products(self, x: ArrayLike) -> Array:
        """Return x_i w_i for each input, (n,).

        Args:
            x: the inputs (n,).

        Raises:
            ValueError: there are not as many inputs as weights, or one is not finite.
        """
        inputs = _row(x, "inputs")
        if len(inputs) != len(self.weights):
            raise ValueError(
                f"{_count(len(inputs), 'input')} for {_count(len(self.weights), 'weight')}: each input needs one weight"
            )
        return inputs * self.weights

    def weighted_sum(self, x: ArrayLike) -> float:
        """Return z = sum_i x_i w_i + b; arguments and errors are those of `products`."""
        return float(self.products(x).sum() + self.bias)

    def __call__(self, x: ArrayLike) -> float:
        """Return y = f(z); arguments and errors are those of `products`."""
        return float(self.activation(self.weighted_sum(x)))


def _row(values: ArrayLike, name: str) -> Array:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not row.size:
        raise ValueError(f"{name} must be a row of at least one number; they have the shape {row.shape}")
    if not np.isfinite(row).all():
        place = int(np.flatnonzero(~np.isfinite(row))[0])
        raise ValueError(f"number {place + 1} of the {name} is {row[place]}; it must be a finite number")
    return row


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
