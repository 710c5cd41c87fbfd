"""The feed-forward part: what a token makes of what it has gathered, each token by itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations
from quire.scratch.projection import ProjectKept, project, project_backward

Array = NDArray[np.float64]

SILU = activations.activation("silu")


class SwiGLUKept(NamedTuple):
    """What `swiglu_backward` needs."""

    gate: ProjectKept
    up: ProjectKept
    down: ProjectKept
    a: Array  # what the gate opens by, before SiLU, (..., F)
    u: Array  # what passes through it, (..., F)


def swiglu(x: ArrayLike, gate: Array, up: Array, down: Array) -> tuple[Array, SwiGLUKept]:
    """Return down(silu(gate(x)) * up(x)), (..., D), where silu(z) = z / (1 + exp(-z)).

    Args:
        x: rows of D numbers, (..., D).
        gate: matrix (F, D).
        up: matrix (F, D).
        down: matrix (D, F).

    Raises:
        ValueError: the shapes do not fit.

    Source: Shazeer 2020, "GLU Variants Improve Transformer", equation 6.
    """
    if gate.shape != up.shape:
        raise ValueError(f"gate {gate.shape} and up {up.shape} must have the same shape")
    a, kept_gate = project(x, gate)  # (..., F)
    u, kept_up = project(x, up)  # (..., F)
    y, kept_down = project(SILU.function(a) * u, down)  # (..., D)
    return y, SwiGLUKept(kept_gate, kept_up, kept_down, a, u)


def swiglu_backward(dy: Array, kept: SwiGLUKept) -> tuple[Array, Array, Array, Array]:
    """Return dx (..., D), dgate (F, D), dup (F, D) and ddown (D, F).

    With h = silu(a) * u, a = gate(x) and u = up(x), the product rule gives, number by number:

        du = dh * silu(a)
        da = dh * u * silu'(a)

    and x, which goes both ways, gets the sum of what comes back from the two.
    """
    dh, ddown = project_backward(dy, kept.down)  # (..., F)
    dx_up, dup = project_backward(dh * SILU.function(kept.a), kept.up)
    dx_gate, dgate = project_backward(dh * kept.u * SILU.derivative(kept.a), kept.gate)
    return dx_gate + dx_up, dgate, dup, ddown


class MLPKept(NamedTuple):
    """What `mlp_backward` needs."""

    up: ProjectKept
    down: ProjectKept
    z: Array  # before the activation, (..., F)
    activation: str


def mlp(
    x: ArrayLike, up: Array, up_bias: Array, down: Array, down_bias: Array, activation: str = "gelu"
) -> tuple[Array, MLPKept]:
    """Return f(x up^T + up_bias) down^T + down_bias, (..., D): the plain feed-forward part, with two matrices.

    Args:
        x: rows of D numbers, (..., D).
        up: matrix (F, D).
        up_bias: (F,).
        down: matrix (D, F).
        down_bias: (D,).
        activation: f, by its name in `quire.scratch.activations.ACTIVATIONS`.

    Raises:
        ValueError: the shapes do not fit, or there is no such activation.

    Source: Vaswani et al. 2017, section 3.3 (with ReLU); Hendrycks and Gimpel 2016 (GELU).
    """
    for name, bias, matrix in (("up_bias", up_bias, up), ("down_bias", down_bias, down)):
        if bias.shape != matrix.shape[:1]:
            raise ValueError(f"{name} must have one number for each of the {matrix.shape[0]} outputs, not {bias.shape}")
    function = activations.activation(activation).function
    products, kept_up = project(x, up)  # (..., F)
    z = products + up_bias
    y, kept_down = project(function(z), down)  # (..., D)
    return y + down_bias, MLPKept(kept_up, kept_down, z, activation)


def mlp_backward(dy: Array, kept: MLPKept) -> tuple[Array, Array, Array, Array, Array]:
    """Return dx (..., D), dup (F, D), dup_bias (F,), ddown (D, F) and ddown_bias (D,).

    A bias is added to every row, so its gradient is the sum over the rows; through the activation,
    number by number, dz = dh * f'(z).
    """
    dh, ddown = project_backward(dy, kept.down)  # (..., F)
    dz = dh * activations.activation(kept.activation).derivative(kept.z)  # (..., F)
    dx, dup = project_backward(dz, kept.up)
    return dx, dup, _over_rows(dz), ddown, _over_rows(dy)


def _over_rows(x: Array) -> Array:
    return np.asarray(x.reshape(-1, x.shape[-1]).sum(axis=0))
