"""Activations: the function that a neuron puts on its weighted sum, each with its derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    """A function of one number with its derivative, both applied to each number of an array by itself.

    Attributes:
        name: what it is called, as in `ACTIVATIONS`.
        function: y = f(z), an array of the shape of z.
        derivative: dy/dz at z, likewise.
        formula: f(z) in LaTeX.
        slope: f'(z) in LaTeX.
    """

    name: str
    function: Callable[[ArrayLike], Array]
    derivative: Callable[[ArrayLike], Array]
    formula: str
    slope: str

    def __call__(self, z: ArrayLike) -> Array:
        """Return f(z)."""
        return self.function(z)


def _array(z: ArrayLike) -> Array:
    return np.asarray(z, dtype=np.float64)


def identity(z: ArrayLike) -> Array:
    """Return z itself: a neuron without activation."""
    return np.array(z, dtype=np.float64)


def identity_derivative(z: ArrayLike) -> Array:
    """Return 1 everywhere."""
    return np.ones_like(_array(z))


def relu(z: ArrayLike) -> Array:
    """Return max(0, z). Source: Nair and Hinton 2010."""
    return np.maximum(_array(z), 0.0)


def relu_derivative(z: ArrayLike) -> Array:
    """Return 1 where z > 0, else 0; at the kink itself 0, as in PyTorch."""
    return (_array(z) > 0).astype(np.float64)


def sigmoid(z: ArrayLike) -> Array:
    """Return 1 / (1 + exp(-z)), between 0 and 1."""
    z = _array(z)
    # exp of a number that is not positive cannot overflow: one form for either side.
    small = np.exp(-np.abs(z))
    return _array(np.where(z >= 0, 1 / (1 + small), small / (1 + small)))


def sigmoid_derivative(z: ArrayLike) -> Array:
    """Return s (1 - s), where s = sigmoid(z) and 1 - s = sigmoid(-z)."""
    return sigmoid(z) * sigmoid(-_array(z))


def tanh(z: ArrayLike) -> Array:
    """Return (exp(z) - exp(-z)) / (exp(z) + exp(-z)), between -1 and 1."""
    return np.tanh(_array(z))


def tanh_derivative(z: ArrayLike) -> Array:
    """Return 1 - tanh(z)^2, as 4 s (1 - s) with s = sigmoid(2z): that keeps its digits where tanh is near 1."""
    # Beyond 400 it is 0 in float64, and 2z might overflow.
    return 4 * sigmoid_derivative(2 * np.clip(_array(z), -400, 400))


def normal_cdf(z: ArrayLike) -> Array:
    """Return Phi(z), the chance that a standard normal number is below z."""
    z = _array(z)
    # erfc, not 1 + erf: for z = -10 the latter is 0.
    values = [0.5 * math.erfc(-value / math.sqrt(2)) for value in z.ravel()]
    return np.array(values, dtype=np.float64).reshape(z.shape)


def normal_density(z: ArrayLike) -> Array:
    """Return the height exp(-z^2 / 2) / sqrt(2 pi) of the standard normal curve at z, the derivative of Phi."""
    # exp(-40^2 / 2) is 0 in float64 already; the square of a larger number may overflow.
    z = np.clip(_array(z), -40, 40)
    return _array(np.exp(-z * z / 2) / math.sqrt(2 * math.pi))


def gelu(z: ArrayLike) -> Array:
    """Return z Phi(z). Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units"."""
    return _array(z) * normal_cdf(z)


def gelu_derivative(z: ArrayLike) -> Array:
    """Return Phi(z) + z phi(z), by the product rule."""
    return normal_cdf(z) + _array(z) * normal_density(z)


_GELU_SCALE = math.sqrt(2 / math.pi)
_GELU_CUBE = 0.044715


def gelu_tanh(z: ArrayLike) -> Array:
    """Return z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2, which differs from `gelu` by at most 4.8e-4."""
    z = _array(z)
    # (1 + tanh(u)) / 2 is sigmoid(2u).
    return z * sigmoid(2 * _inner(z))


def gelu_tanh_derivative(z: ArrayLike) -> Array:
    """Return s + z s (1 - s) 2u', where u is what tanh is put on, s = sigmoid(2u), u' = sqrt(2/pi) (1 + 3c z^2)."""
    z = _array(z)
    slope = _GELU_SCALE * (1 + 3 * _GELU_CUBE * np.clip(z, -40, 40) ** 2)
    return sigmoid(2 * _inner(z)) + z * sigmoid_derivative(2 * _inner(z)) * 2 * slope


def _inner(z: Array) -> Array:
    # Beyond 40 the sigmoid of it is 0 or 1 to the last bit, and z^3 might overflow.
    z = np.clip(z, -40, 40)
    return _GELU_SCALE * (z + _GELU_CUBE * z**3)


def silu(z: ArrayLike) -> Array:
    """Return z sigmoid(z). Source: Elfwing et al. 2017; also called swish."""
    return _array(z) * sigmoid(z)


def silu_derivative(z: ArrayLike) -> Array:
    """Return s + z s (1 - s), where s = sigmoid(z), by the product rule."""
    return sigmoid(z) + _array(z) * sigmoid_derivative(z)


ACTIVATIONS = {
    part.name: part
    for part in (
        Activation("identity", identity, identity_derivative, "z", "1"),
        Activation("relu", relu, relu_derivative, r"\max(0, z)", r"1 \text{ if } z > 0 \text{, else } 0"),
        Activation("sigmoid", sigmoid, sigmoid_derivative, r"\frac{1}{1 + e^{-z}}", r"\sigma(z)\,(1 - \sigma(z))"),
        Activation("tanh", tanh, tanh_derivative, r"\tanh(z)", r"1 - \tanh^2(z)"),
        Activation("gelu", gelu, gelu_derivative, r"z\,\Phi(z)", r"\Phi(z) + z\,\varphi(z)"),
        Activation(
            "gelu_tanh",
            gelu_tanh,
            gelu_tanh_derivative,
            r"\tfrac{1}{2}\,z\,\bigl(1 + \tanh(u)\bigr),\; u = \sqrt{2/\pi}\,(z + 0.044715\,z^3)",
            r"\tfrac{1}{2}\,(1 + \tanh u) + \tfrac{1}{2}\,z\,(1 - \tanh^2 u)\,u'",
        ),
        Activation("silu", silu, silu_derivative, r"z\,\sigma(z)", r"\sigma(z) + z\,\sigma(z)\,(1 - \sigma(z))"),
    )
}
"""Every activation by its name."""


def activation(name: str) -> Activation:
    """Return the activation of that name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"{name!r} is no activation; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def softmax(z: ArrayLike, axis: int = -1) -> Array:
    """Return exp(z_i) / sum_j exp(z_j) along `axis`: positive shares that sum to 1.

    The largest z is taken off first. That changes no share (it cancels), and exp of what is left cannot overflow.
    A z of -inf has the share 0; at least one must be finite.
    """
    z = _array(z)
    powers = np.exp(z - z.max(axis=axis, keepdims=True))
    return _array(powers / powers.sum(axis=axis, keepdims=True))


def log_softmax(z: ArrayLike, axis: int = -1) -> Array:
    """Return log(softmax(z)) without taking the logarithm of a share that has become 0."""
    z = _array(z)
    lowered = z - z.max(axis=axis, keepdims=True)
    return _array(lowered - np.log(np.exp(lowered).sum(axis=axis, keepdims=True)))


def softmax_backward(dp: Array, p: Array, axis: int = -1) -> Array:
    """Return dz for p = softmax(z).

    dp_i/dz_j = p_i (1 if i = j else 0) - p_i p_j, so dz_j = sum_i dp_i dp_i/dz_j = p_j (dp_j - sum_i dp_i p_i).
    """
    return _array(p * (dp - np.sum(dp * p, axis=axis, keepdims=True)))


def jacobian_of_softmax(p: ArrayLike) -> Array:
    """Return the matrix dp_i/dz_j = p_i (1 if i = j else 0) - p_i p_j of one row of shares `p` (V)."""
    p = _array(p)
    return _array(np.diag(p) - np.outer(p, p))
