"""Optimizers: how far each parameter moves, given its gradient."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""a, b, c of the polynomial a x + b x^3 + c x^5 by which `orthogonalize` moves every singular value."""
NEWTON_SCHULZ_STEPS = 5
SMALLEST_NORM = 1e-7  # what a matrix is divided by at least


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
        self.weight_decay = _decay(weight_decay)
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


class Muon:
    """Momentum whose update, a matrix, is made nearly orthogonal before it moves the weights.

        M <- momentum M + (1 - momentum) G         the mean of the gradients
        N  = momentum M + (1 - momentum) G         once more: where the mean will be (Nesterov)
        W <- W - learning_rate * weight_decay * W
        W <- W - learning_rate * sqrt(max(1, rows / columns)) * orthogonalize(N)

    Args:
        learning_rate: positive; about by how much a step changes an output, for inputs of size 1.
        momentum: from 0 to below 1.
        weight_decay: from 0 on; the share of a weight taken off at each step is learning_rate * weight_decay.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the factor of tall matrices
    is the one that PyTorch calls "original".
    """

    def __init__(self, learning_rate: float, momentum: float = 0.95, weight_decay: float = 0.1) -> None:
        self.learning_rate = _positive(learning_rate, "learning_rate")
        self.momentum = _share(momentum, "momentum")
        self.weight_decay = _decay(weight_decay)
        self.mean: dict[str, Array] = {}

    def step(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array]) -> None:
        """Change every parameter in place.

        Args:
            parameters: matrices (m, n) by name.
            gradients: of the same names and shapes.

        Raises:
            ValueError: names or shapes differ, or a parameter is no matrix.
        """
        _check(parameters, gradients)
        for name, w in parameters.items():
            if w.ndim != 2:
                raise ValueError(f"{name} has the shape {w.shape}; Muon moves matrices only")
            g = gradients[name]
            self.mean[name] = self.momentum * self.mean.get(name, np.zeros_like(w)) + (1 - self.momentum) * g
            ahead = self.momentum * self.mean[name] + (1 - self.momentum) * g
            rows, columns = w.shape
            w[...] -= self.learning_rate * self.weight_decay * w
            w[...] -= self.learning_rate * max(1.0, rows / columns) ** 0.5 * orthogonalize(ahead)


def orthogonalize(matrix: Array, steps: int = NEWTON_SCHULZ_STEPS) -> Array:
    """Return a matrix with the same singular vectors and with singular values near 1.

    Divided by its norm, no singular value is above 1. Then each of the `steps` moves every one of them, x, to
    a x + b x^3 + c x^5, by products of matrices alone:

        A = X X^T,    X <- a X + (b A + c A A) X

    Args:
        matrix: (m, n); of a tall one the transpose is worked on, which makes A the smaller of both that there are.
        steps: from 0 on.

    Source: Jordan et al. 2024, the quintic Newton-Schulz iteration with their coefficients.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    X = matrix.T if tall else matrix
    X = X / max(float(np.sqrt((X**2).sum())), SMALLEST_NORM)
    for _ in range(steps):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if tall else X


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


def _decay(value: float) -> float:
    if not 0 <= value < np.inf:
        raise ValueError(f"weight_decay is {value}; it must be 0 or more")
    return value
