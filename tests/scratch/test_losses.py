import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from quire.scratch.losses import binary_cross_entropy, cross_entropy, mean_squared_error
from scratch.gradients import numerical_gradient, relative_error

PEERS = {mean_squared_error: F.mse_loss, binary_cross_entropy: F.binary_cross_entropy_with_logits}


@pytest.mark.parametrize("loss", PEERS)
def test_losses_of_one_shape_agree_with_finite_differences_and_pytorch(loss):
    generator = np.random.default_rng(5)
    y, target = generator.standard_normal((4, 3)) * 3, generator.random((4, 3))
    value, dy = loss(y, target)
    assert relative_error(dy, numerical_gradient(lambda: loss(y, target)[0], y)) < 1e-6
    peer = torch.tensor(y, requires_grad=True)
    expected = PEERS[loss](peer, torch.tensor(target))
    expected.backward()
    assert math.isclose(value, expected.item(), rel_tol=1e-12)
    assert relative_error(dy, peer.grad.numpy()) < 1e-9


def test_cross_entropy_agrees_with_finite_differences_and_pytorch():
    generator = np.random.default_rng(6)
    logits, classes = generator.standard_normal((2, 3, 7)) * 3, generator.integers(0, 7, (2, 3))
    value, dlogits = cross_entropy(logits, classes)
    assert relative_error(dlogits, numerical_gradient(lambda: cross_entropy(logits, classes)[0], logits)) < 1e-6
    peer = torch.tensor(logits, requires_grad=True)
    expected = F.cross_entropy(peer.view(-1, 7), torch.tensor(classes).view(-1))
    expected.backward()
    assert math.isclose(value, expected.item(), rel_tol=1e-12)
    assert relative_error(dlogits, peer.grad.numpy()) < 1e-9


@given(st.floats(-1000, 1000), st.sampled_from([0.0, 1.0]))
def test_binary_cross_entropy_is_cross_entropy_of_two_classes(z, target):
    value, dz = binary_cross_entropy([z], [target])
    other, dlogits = cross_entropy([[0.0, z]], [int(target)])
    assert math.isclose(value, other, rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(dz[0], dlogits[0, 1], rel_tol=1e-9, abs_tol=1e-12)


def test_nothing_overflows_far_out():
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert binary_cross_entropy([1000.0, -1000.0], [0.0, 1.0])[0] == 1000
        assert binary_cross_entropy([1000.0, -1000.0], [1.0, 0.0])[0] == 0
        assert cross_entropy([[1000.0, -1000.0]], [1])[0] == 2000


@given(st.integers(1, 300), st.floats(-50, 50))
def test_knowing_nothing_costs_the_logarithm_of_the_number_of_classes(number, level):
    assert math.isclose(cross_entropy(np.full((2, number), level), [0, number - 1])[0], math.log(number), abs_tol=1e-12)


@given(st.integers(2, 9), st.integers(0, 1000))
def test_the_gradient_of_each_row_sums_to_zero(number, seed):
    logits = np.random.default_rng(seed).standard_normal((3, number)) * 10
    np.testing.assert_allclose(cross_entropy(logits, [0, 1, number - 1])[1].sum(-1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_squared_error([1.0], [1.0, 2.0]), r"outputs of shape \(1,\) need targets of the same shape"),
        (lambda: mean_squared_error([], []), "outputs of shape"),
        (lambda: binary_cross_entropy([0.0], [2.0]), "must be from 0 to 1"),
        (lambda: binary_cross_entropy([0.0], [float("nan")]), "must be from 0 to 1"),
        (lambda: cross_entropy([[0.0, 1.0]], [2]), "class 2 is not among the 2 classes from 0 to 1"),
        (lambda: cross_entropy([[0.0, 1.0]], [-1]), "class -1 is not among"),
        (lambda: cross_entropy([[0.0, 1.0]], [0.0]), "classes must be whole numbers"),
        (lambda: cross_entropy([[0.0, 1.0]], [0, 1]), r"need classes of shape \(1,\), not \(2,\)"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
