"""A layer: m neurons that share their n inputs, for B examples at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations

Array = NDArray[np.float64]


class LayerKept(NamedTuple):
    """What `Layer.backward` needs of `Layer.forward`: the inputs X (B, n) and the weighted sums Z (B, m)."""

    X: Array
    Z: Array


class Layer:
    """Y = f(Z), where Z = X W + b: column j of W holds the weights of neuron j.

    Args:
        weights: W (n, m).
        biases: b (m,) or (1, m).
        activation: f, by its name in `quire.scratch.activations.ACTIVATIONS`.

    Raises:
        ValueError: the shapes do not fit each other, a number is not finite, or there is no such activation.
    """

    def __init__(self, weights: ArrayLike, biases: ArrayLike, activation: str = "relu") -> None:
        self.weights = np.array(weights, dtype=np.float64)  # (n, m)
        if self.weights.ndim != 2 or not self.weights.size:
            raise ValueError(f"weights must be a matrix of inputs x neurons; they have the shape {self.weights.shape}")
        neurons = self.weights.shape[1]
        self.biases = np.array(biases, dtype=np.float64)
        if self.biases.shape not in {(neurons,), (1, neurons)}:
            raise ValueError(
                f"weights of shape {self.weights.shape} make {neurons} neurons, which need as many biases; "
                f"these have the shape {self.biases.shape}"
            )
        self.biases = self.biases.reshape(1, neurons)  # (1, m)
        for name, values in (("weights", self.weights), ("biases", self.biases)):
            if not np.isfinite(values).all():
                raise ValueError(f"the {name} hold a number that is not finite")
        self.activation = activations.activation(activation)

    def weighted_sums(self, X: ArrayLike) -> Array:
        """Return Z = X W + b, (B, m).

        Args:
            X: the inputs of B examples (B, n).

        Raises:
            ValueError: the examples do not have n inputs each.
        """
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.weights.shape[0]:
            raise ValueError(
                f"inputs must have the shape (examples, {self.weights.shape[0]}) to meet weights of shape "
                f"{self.weights.shape}; they have {X.shape}"
            )
        return X @ self.weights + self.biases

    def forward(self, X: ArrayLike) -> tuple[Array, LayerKept]:
        """Return the outputs Y (B, m) and what `backward` needs; arguments and errors are those of `weighted_sums`."""
        X = np.asarray(X, dtype=np.float64)
        Z = self.weighted_sums(X)  # (B, m)
        return self.activation(Z), LayerKept(X, Z)

    def backward(self, dY: Array, kept: LayerKept) -> tuple[Array, dict[str, Array]]:
        """Return dX (B, n) and the gradients of weights (n, m) and biases (1, m).

        Y = f(Z) for each number by itself, so dZ = dY * f'(Z). Then z_bj = sum_i x_bi w_ij + b_j: w_ij meets x_bi in
        every example, hence dW = X^T dZ; b_j is in every row, hence the column sums of dZ; and x_bi meets each w_ij,
        hence dX = dZ W^T.

        Args:
            dY: gradient of the loss with respect to Y (B, m).
            kept: what `forward` returned.

        Raises:
            ValueError: dY does not have the shape of Y.
        """
        if dY.shape != kept.Z.shape:
            raise ValueError(f"the gradient of outputs of shape {kept.Z.shape} must have that shape, not {dY.shape}")
        dZ = dY * self.activation.derivative(kept.Z)  # (B, m)
        gradients = {"weights": kept.X.T @ dZ, "biases": dZ.sum(axis=0, keepdims=True)}
        return dZ @ self.weights.T, gradients


def collapse(first: Layer, second: Layer) -> Layer:
    """Return the one layer that does what two do in a row when the first has no activation.

    (X W1 + b1) W2 + b2 = X (W1 W2) + (b1 W2 + b2).

    Raises:
        ValueError: the first has an activation, or the shapes do not follow each other.
    """
    if first.activation.name != "identity":
        raise ValueError(
            f"the first layer has the activation {first.activation.name}: only without one do two collapse"
        )
    if first.weights.shape[1] != second.weights.shape[0]:
        raise ValueError(
            f"weights of shape {second.weights.shape} cannot follow weights of shape {first.weights.shape}"
        )
    return Layer(first.weights @ second.weights, first.biases @ second.weights + second.biases, second.activation.name)


def random_layer(inputs: int, neurons: int, activation: str, generator: np.random.Generator) -> Layer:
    """Return a layer with normal random weights of variance 1 / n (2 / n before ReLU and its like) and zero biases.

    A sum of n products then has about the variance of one input, so that signals neither fade nor explode from layer
    to layer.

    Source: Glorot and Bengio 2010; He et al. 2015 for the factor 2.
    """
    factor = 2.0 if activation in {"relu", "gelu", "gelu_tanh", "silu"} else 1.0
    weights = generator.standard_normal((inputs, neurons)) * np.sqrt(factor / inputs)
    return Layer(weights, np.zeros((1, neurons)), activation)
