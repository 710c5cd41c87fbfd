"""A network: layers in a row, the outputs of one being the inputs of the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.layers import Layer, LayerKept, random_layer

Array = NDArray[np.float64]


class Network:
    """f3(f2(f1(X W1 + b1) W2 + b2) W3 + b3), for any number of layers.

    Args:
        layers: at least one; each has as many inputs as the one before it has neurons.

    Raises:
        ValueError: there is no layer, or two neighbours do not fit.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        if not layers:
            raise ValueError("a network needs at least one layer")
        for number, (one, other) in enumerate(pairwise(layers), 1):
            if one.weights.shape[1] != other.weights.shape[0]:
                raise ValueError(
                    f"layer {number} has {one.weights.shape[1]} neurons, so layer {number + 1} needs weights of shape "
                    f"({one.weights.shape[1]}, neurons); they have {other.weights.shape}"
                )
        self.layers = list(layers)

    @classmethod
    def random(cls, widths: Sequence[int], activation: str, last: str = "identity", seed: int = 0) -> Network:
        """Return a network with random weights.

        Args:
            widths: number of inputs, of neurons in each hidden layer, of outputs: (2, 8, 1).
            activation: of every hidden layer.
            last: activation of the last layer.
            seed: of the random numbers.

        Raises:
            ValueError: fewer than two widths, or one below 1.
        """
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths must be two or more whole numbers from 1 on; they are {tuple(widths)}")
        generator = np.random.default_rng(seed)
        names = [activation] * (len(widths) - 2) + [last]
        sizes = zip(widths, widths[1:], names, strict=False)
        return cls([random_layer(inputs, neurons, name, generator) for inputs, neurons, name in sizes])

    @property
    def parameters(self) -> dict[str, Array]:
        """The weights and biases themselves, by names such as `0.weights`: changed in place, the network changes."""
        return {
            f"{number}.{name}": values
            for number, layer in enumerate(self.layers)
            for name, values in (("weights", layer.weights), ("biases", layer.biases))
        }

    def forward(self, X: ArrayLike) -> tuple[Array, list[LayerKept]]:
        """Return the outputs (B, m of the last layer) and, for each layer, what `backward` needs.

        Args:
            X: the inputs of B examples (B, n of the first layer).

        Raises:
            ValueError: X does not have that shape.
        """
        Y, kept = np.asarray(X, dtype=np.float64), []
        for layer in self.layers:
            Y, one = layer.forward(Y)
            kept.append(one)
        return Y, kept

    def backward(self, dY: Array, kept: Sequence[LayerKept]) -> tuple[Array, dict[str, Array]]:
        """Return dX (B, n) and the gradient of every parameter, by its name, from the last layer to the first.

        The dX of a layer is the dY of the layer before it: the chain rule.

        Args:
            dY: gradient of the loss with respect to the outputs.
            kept: what `forward` returned.
        """
        gradients: dict[str, Array] = {}
        for number in reversed(range(len(self.layers))):
            dY, one = self.layers[number].backward(dY, kept[number])
            gradients |= {f"{number}.{name}": values for name, values in one.items()}
        return dY, gradients

    def backward_from_sums(self, dZ: Array, kept: Sequence[LayerKept]) -> tuple[Array, dict[str, Array]]:
        """Return the same as `backward`, given the gradient dZ of the last layer's weighted sums in place of dY.

        Losses from logits (`binary_cross_entropy`) give that one: it needs no division by the activation's slope,
        which is next to 0 where a sigmoid is sure of itself.
        """
        last = len(self.layers) - 1
        plain = Layer(self.layers[last].weights, self.layers[last].biases, "identity")
        dX, one = plain.backward(dZ, kept[last])
        gradients = {f"{last}.{name}": values for name, values in one.items()}
        if last:
            dX, others = Network(self.layers[:last]).backward(dX, kept[:last])
            gradients |= others
        return dX, gradients
