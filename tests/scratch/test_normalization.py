import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from quire.model.normalization import RMSNorm
from quire.scratch.normalization import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
from scratch.gradients import numerical_gradient, relative_error

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 4), max_size=2).map(tuple)


def values(shape, width, seed):
    generator = np.random.default_rng(seed)
    x, dy = generator.standard_normal((*shape, width)), generator.standard_normal((*shape, width))
    return x, dy, 1 + 0.3 * generator.standard_normal(width), generator.standard_normal(width)


@given(shapes, st.integers(2, 7), seeds)
def test_rms_norm_agrees_with_pytorch(shape, width, seed):
    x, dy, weight, _ = values(shape, width, seed)
    y, kept = rms_norm(x, weight, 1e-5)
    dx, dweight = rms_norm_backward(dy, kept)

    norm, leaf = RMSNorm(width, 1e-5).double(), torch.tensor(x, requires_grad=True)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(weight))
    peer = norm(leaf)
    peer.backward(torch.tensor(dy))
    assert relative_error(y, peer.detach().numpy()) < 1e-12
    assert relative_error(dx, leaf.grad.numpy()) < 1e-9
    assert relative_error(dweight, norm.weight.grad.numpy()) < 1e-9


@given(shapes, st.integers(3, 7), seeds)
def test_layer_norm_agrees_with_pytorch(shape, width, seed):
    x, dy, weight, bias = values(shape, width, seed)
    y, kept = layer_norm(x, weight, bias, 1e-5)
    gradients = layer_norm_backward(dy, kept)

    leaves = [torch.tensor(each, requires_grad=True) for each in (x, weight, bias)]
    peer = F.layer_norm(leaves[0], (width,), leaves[1], leaves[2], 1e-5)
    peer.backward(torch.tensor(dy))
    assert relative_error(y, peer.detach().numpy()) < 1e-12
    for gradient, leaf in zip(gradients, leaves, strict=True):
        assert relative_error(gradient, leaf.grad.numpy()) < 1e-9


def test_gradients_agree_with_finite_differences():
    x, dy, weight, bias = values((2, 3), 5, 7)
    dx, dweight = rms_norm_backward(dy, rms_norm(x, weight, 1e-3)[1])
    for analytic, array in ((dx, x), (dweight, weight)):
        numerical = numerical_gradient(lambda: np.sum(rms_norm(x, weight, 1e-3)[0] * dy), array)
        assert relative_error(analytic, numerical) < 1e-6
    gradients = layer_norm_backward(dy, layer_norm(x, weight, bias, 1e-3)[1])
    for analytic, array in zip(gradients, (x, weight, bias), strict=True):
        numerical = numerical_gradient(lambda: np.sum(layer_norm(x, weight, bias, 1e-3)[0] * dy), array)
        assert relative_error(analytic, numerical) < 1e-6


@given(st.integers(2, 9), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), seeds)
def test_what_normalising_forgets(width, factor, shift, seed):
    x = np.random.default_rng(seed).standard_normal((3, width))
    x[:, 0] += 3  # no row close to one number throughout, which has no direction
    ones, zeros = np.ones(width), np.zeros(width)
    y, _ = rms_norm(x, ones, 1e-300)
    np.testing.assert_allclose(np.mean(y**2, axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(rms_norm(factor * x, ones, 1e-300)[0], y, rtol=1e-10)
    y, _ = layer_norm(x, ones, zeros, 1e-300)
    np.testing.assert_allclose(np.mean(y, axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(np.mean(y**2, axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(layer_norm(factor * x + shift, ones, zeros, 1e-300)[0], y, atol=1e-6)


def test_the_epsilon_stands_inside_the_root():
    y, _ = rms_norm([[3.0, 4.0]], [1.0, 1.0], eps=12.5)  # the mean square is 12.5 as well
    np.testing.assert_allclose(y, [[0.6, 0.8]], rtol=1e-15)
    y, kept = rms_norm(np.zeros((1, 3)), np.ones(3))
    assert not y.any()
    assert np.isfinite(rms_norm_backward(np.ones((1, 3)), kept)[0]).all()
    y, _ = layer_norm([[2.0, 4.0]], [1.0, 1.0], [0.0, 0.0], eps=3.0)  # variance 1
    np.testing.assert_allclose(y, [[-0.5, 0.5]], rtol=1e-15)


def test_large_rows_do_not_overflow():
    y, kept = rms_norm([[1e100, -1e100]], [1.0, 1.0])
    np.testing.assert_allclose(y, [[1.0, -1.0]], rtol=1e-15)
    assert np.isfinite(rms_norm_backward(np.ones((1, 2)), kept)[0]).all()


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"the weight must have one number for each column of x \(2, 3\).*\(2,\)"):
        rms_norm(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match=r"the bias must have one number for each column"):
        layer_norm(np.ones((2, 3)), np.ones(3), np.ones(1))


@pytest.mark.parametrize(
    ("norm", "row"),
    [
        (lambda x, eps: rms_norm(x, [1.0, 1.0], eps), [0.0, 0.0]),
        (lambda x, eps: layer_norm(x, [1.0, 1.0], [0.0, 0.0], eps), [3.0, 3.0]),
    ],
)
def test_what_cannot_be_scaled_is_told(norm, row):
    with pytest.raises(ValueError, match="eps must be above 0 for it"):
        norm(row, 0.0)
    with pytest.raises(ValueError, match="eps must be 0 or more, not -1"):
        norm(row, -1.0)
    assert norm([1.0, 2.0], 0.0)[0].shape == (2,)
