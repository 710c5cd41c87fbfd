"""Optimizers: how far each parameter moves, given its gradient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class SGD:
    """Gradient descent: w <- w - learning_rate * g.

    Args:
        learning_rate: positive.

    Raises:
        ValueError: it is not.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = _positive(learning_rate, "learning_rate")

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
        """Change every parameter in place.

        Args:
            parameters: by name.
            gradients: of the same names and shapes.

        Raises:
            ValueError: names or shapes differ.
        """
        _check(parameters, gradients)
        for name, w in parameters.items():
            w[...] -= self.learning_rate * gradients[name]


class Momentum:
    """Gradient descent with momentum: v <- momentum * v + g, then w <- w - learning_rate * v.

    Args:
        learning_rate: positive.
        momentum: from 0 (none) to below 1.

    Source: Polyak 1964; in this form, without (1 - momentum) before g, Sutskever et al. 2013 and PyTorch.
    """

    def __init__(self, learning_rate: float, momentum: float = 0.9) -> None:
        self.learning_rate = _positive(learning_rate, "learning_rate")
        self.momentum = _share(momentum, "momentum")
        self.velocity: dict[str, Array] = {}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
        """Change every parameter in place; arguments and errors are those of `SGD.step`."""
        _check(parameters, gradients)
        for name, w in parameters.items():
            v = self.momentum * self.velocity.get(name, np.zeros_like(w)) + gradients[name]
            self.velocity[name] = v
            w[...] -= self.learning_rate * v


class AdamW:
    """Adam with weight decay apart from the gradient.

    With t counted from 1:

        m <- b1 m + (1 - b1) g                 the mean of the gradients
        v <- b2 v + (1 - b2) g^2               the mean of their squares
        m^ = m / (1 - b1^t),  v^ = v / (1 - b2^t)    both began at 0: this takes the 0 out of the mean
        w <- w - learning_rate * weight_decay * w
        w <- w - learning_rate * m^ / (sqrt(v^) + eps)

    Args:
        learning_rate: positive; about the length of a step for each weight.
        betas: (b1, b2), each from 0 to below 1.
        eps: positive, against division by 0.
        weight_decay: from 0 on; the share of a weight taken off at each step is learning_rate * weight_decay.

    Source: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2, with the decay multiplied by the
    learning rate as in PyTorch.
    """

    def __init__(
        self,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        self.learning_rate = _positive(learning_rate, "learning_rate")
        self.betas = (_share(betas[0], "the first beta"), _share(betas[1], "the second beta"))
        self.eps = _positive(eps, "eps")
        if not 0 <= weight_decay < np.inf:
            raise ValueError(f"weight_decay is {weight_decay}; it must be 0 or more")
        self.weight_decay = weight_decay
        self.steps = 0
        self.mean: dict[str, Array] = {}
        self.mean_square: dict[str, Array] = {}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
        """Change every parameter in place; arguments and errors are those of `SGD.step`."""
        _check(parameters, gradients)
        self.steps += 1
        first, second = self.betas
        for name, w in parameters.items():
            g, zeros = gradients[name], np.zeros_like(w)
            self.mean[name] = first * self.mean.get(name, zeros) + (1 - first) * g
            self.mean_square[name] = second * self.mean_square.get(name, zeros) + (1 - second) * g**2
            mean = self.mean[name] / (1 - first**self.steps)
            mean_square = self.mean_square[name] / (1 - second**self.steps)
            w[...] -= self.learning_rate * self.weight_decay * w
            w[...] -= self.learning_rate * mean / (np.sqrt(mean_square) + self.eps)


def _check(parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
    if set(parameters) != set(gradients):
        odd = ", ".join(sorted(set(parameters) ^ set(gradients)))
        raise ValueError(f"parameters and gradients must have the same names; these stand on one side only: {odd}")
    for name, w in parameters.items():
        if w.shape != gradients[name].shape:
            raise ValueError(f"{name} has the shape {w.shape} and its gradient {gradients[name].shape}")


def _positive(value: float, name: str) -> float:
    if not 0 < value < np.inf:
        raise ValueError(f"{name} is {value}; it must be above 0")
    return value


def _share(value: float, name: str) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value}; it must be from 0 to below 1")
    return value
