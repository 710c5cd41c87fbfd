import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from quire.model.config import ModelConfig
from quire.model.feedforward import FeedForward
from quire.scratch.activations import ACTIVATIONS
from quire.scratch.feedforward import mlp, mlp_backward, swiglu, swiglu_backward
from scratch.gradients import numerical_gradient, relative_error

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)
PEERS = {"identity": lambda z: z, "gelu_tanh": lambda z: F.gelu(z, approximate="tanh")}


@given(sizes, sizes, sizes, seeds)
def test_swiglu_agrees_with_the_model(length, width, inner, seed):
    config = ModelConfig(
        vocab_size=2,
        hidden_size=width,
        num_layers=1,
        num_heads=1,
        head_dim=2,
        intermediate_size=inner,
        context_length=9,
    )
    peer = FeedForward(config).double()
    generator = np.random.default_rng(seed)
    x, dy = generator.standard_normal((2, 2, length, width))
    gate, up, down = (parameter.detach().numpy() for parameter in peer.parameters())
    y, kept = swiglu(x, gate, up, down)
    gradients = swiglu_backward(dy, kept)

    leaf = torch.tensor(x, requires_grad=True)
    theirs = peer(leaf)
    theirs.backward(torch.tensor(dy))
    assert relative_error(y, theirs.detach().numpy()) < 1e-12
    for gradient, tensor in zip(gradients, (leaf, *peer.parameters()), strict=True):
        assert relative_error(gradient, tensor.grad.numpy()) < 1e-9


def test_swiglu_agrees_with_finite_differences():
    generator = np.random.default_rng(0)
    x, dy = generator.standard_normal((2, 2, 3, 4))
    gate, up, down = (generator.standard_normal(shape) for shape in ((5, 4), (5, 4), (4, 5)))
    gradients = swiglu_backward(dy, swiglu(x, gate, up, down)[1])
    for analytic, array in zip(gradients, (x, gate, up, down), strict=True):
        numerical = numerical_gradient(lambda: np.sum(swiglu(x, gate, up, down)[0] * dy), array)
        assert relative_error(analytic, numerical) < 1e-6


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_plain_part_agrees_with_pytorch_and_with_finite_differences(name):
    generator = np.random.default_rng(1)
    x, dy = generator.standard_normal((2, 2, 3, 4))
    shapes = ((5, 4), (5,), (4, 5), (4,))
    values = [x, *(generator.standard_normal(shape) for shape in shapes)]
    y, kept = mlp(*values, name)
    gradients = mlp_backward(dy, kept)

    leaves = [torch.tensor(each, requires_grad=True) for each in values]
    f = PEERS.get(name) or getattr(F, name)
    theirs = F.linear(f(F.linear(leaves[0], leaves[1], leaves[2])), leaves[3], leaves[4])
    theirs.backward(torch.tensor(dy))
    assert relative_error(y, theirs.detach().numpy()) < 1e-12
    for analytic, leaf, array in zip(gradients, leaves, values, strict=True):
        assert relative_error(analytic, leaf.grad.numpy()) < 1e-9
        assert relative_error(analytic, numerical_gradient(lambda: np.sum(mlp(*values, name)[0] * dy), array)) < 1e-6


@pytest.mark.parametrize("name", [*ACTIVATIONS, "swiglu"])
def test_weighted_sums_of_a_thousand_are_no_trouble(name):
    x, one = np.array([[1000.0], [-1000.0]]), np.ones((1, 1))
    with np.errstate(all="raise", under="ignore"):
        if name == "swiglu":
            y, kept = swiglu(x, one, one, one)
            gradients = swiglu_backward(np.ones_like(y), kept)
        else:
            y, kept = mlp(x, one, np.zeros(1), one, np.zeros(1), name)
            gradients = mlp_backward(np.ones_like(y), kept)
    assert all(np.isfinite(each).all() for each in (y, *gradients))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda a, b: swiglu(a, np.ones((3, 2)), np.ones((4, 2)), b),
            r"gate \(3, 2\) and up \(4, 2\) must have the same",
        ),
        (lambda a, b: swiglu(a, np.ones((3, 5)), np.ones((3, 5)), b), r"x \(1, 2\) does not fit"),
        (
            lambda a, b: mlp(a, np.ones((3, 2)), np.ones(2), b, np.ones(2)),
            "up_bias must have one number for each of the 3",
        ),
        (lambda a, b: mlp(a, np.ones((3, 2)), np.ones(3), b, np.ones(3)), "down_bias must have .* of the 2 outputs"),
        (lambda a, b: mlp(a, np.ones((3, 2)), np.ones(3), b, np.ones(2), "swish"), "'swish' is no activation"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((1, 2)), np.ones((2, 3)))
