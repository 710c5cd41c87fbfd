import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quire.scratch import activations
from quire.scratch.activations import ACTIVATIONS, activation, log_softmax, softmax, softmax_backward
from scratch.gradients import numerical_gradient, relative_error

PEERS = {
    "identity": lambda z: z,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
}
GRID = np.concatenate([np.linspace(-30, 30, 601) + 0.003, [-1000.0, 1000.0]])
rows = arrays(np.float64, st.integers(1, 9), elements=st.floats(-1000, 1000))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_are_those_of_pytorch(name):
    z = torch.tensor(GRID, requires_grad=True)
    y = PEERS[name](z)
    y.sum().backward()
    np.testing.assert_allclose(ACTIVATIONS[name](GRID), y.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ACTIVATIONS[name].derivative(GRID), z.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_is_the_slope(name):
    z = np.linspace(-6, 6, 41) + 0.05
    numerical = numerical_gradient(lambda: ACTIVATIONS[name](z).sum(), z)
    assert relative_error(ACTIVATIONS[name].derivative(z), numerical) < 1e-6


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nothing_overflows_far_out(name):
    far = np.array([-1e308, -1000.0, 0.0, 1000.0, 1e308])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert np.isfinite(ACTIVATIONS[name](far)).all()
        assert np.isfinite(ACTIVATIONS[name].derivative(far)).all()


def test_the_limits_far_out():
    for name in ("relu", "sigmoid", "gelu", "gelu_tanh", "silu"):
        assert ACTIVATIONS[name](-1000.0) == 0
    assert activations.sigmoid(1000.0) == activations.tanh(1000.0) == 1
    for name in ("relu", "gelu", "gelu_tanh", "silu"):
        assert ACTIVATIONS[name](1000.0) == 1000
        assert ACTIVATIONS[name].derivative(1000.0) == 1


def test_the_kink_of_relu_belongs_to_the_flat_side():
    assert activations.relu_derivative([-1.0, 0.0, 1e-300]).tolist() == [0, 0, 1]


def test_the_tanh_form_of_gelu_is_near_the_exact_one():
    z = np.linspace(-10, 10, 200_001)
    error = np.abs(activations.gelu(z) - activations.gelu_tanh(z)).max()
    assert 4.7e-4 < error <= 4.8e-4


def test_gelu_keeps_its_digits_where_it_is_small():
    # Phi(-10) by the continued fraction of the tail: phi(10) / (10 + 1 / (10 + 2 / (10 + 3 / (10 + ...))))
    tail = 10.0
    for n in range(60, 0, -1):
        tail = 10 + n / tail
    expected = -10 * math.exp(-50) / math.sqrt(2 * math.pi) / tail
    assert math.isclose(float(activations.gelu(-10.0)), expected, rel_tol=1e-12)


@given(rows)
def test_shares_sum_to_one_and_a_shift_changes_none(z):
    p = softmax(z)
    assert (p >= 0).all()
    assert math.isclose(p.sum(), 1, rel_tol=1e-12)
    np.testing.assert_allclose(softmax(z + 17.5), p, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(p, torch.tensor(z).softmax(-1).numpy(), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(log_softmax(z), torch.tensor(z).log_softmax(-1).numpy(), rtol=1e-12, atol=1e-12)


def test_softmax_along_another_axis():
    z = np.arange(24.0).reshape(2, 3, 4) ** 1.3
    np.testing.assert_allclose(softmax(z, axis=1), torch.tensor(z).softmax(1).numpy(), rtol=1e-12)


def test_a_masked_place_has_no_share():
    assert softmax([0.0, -np.inf, 0.0]).tolist() == [0.5, 0, 0.5]


def test_softmax_backward_is_the_jacobian_and_the_finite_difference():
    generator = np.random.default_rng(1)
    z, dp = generator.standard_normal(6), generator.standard_normal(6)
    p = softmax(z)
    dz = softmax_backward(dp, p)
    np.testing.assert_allclose(dz, activations.jacobian_of_softmax(p).T @ dp, rtol=1e-12)
    assert relative_error(dz, numerical_gradient(lambda: softmax(z) @ dp, z)) < 1e-6
    peer = torch.tensor(z, requires_grad=True)
    (peer.softmax(-1) @ torch.tensor(dp)).backward()
    assert relative_error(dz, peer.grad.numpy()) < 1e-9


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'rleu' is no activation; there are identity, relu, sigmoid, .*silu"):
        activation("rleu")
