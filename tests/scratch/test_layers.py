import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.scratch.activations import ACTIVATIONS
from quire.scratch.layers import Layer, collapse, random_layer
from quire.scratch.neuron import Neuron
from scratch.gradients import numerical_gradient, relative_error

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)


@given(sizes, sizes, sizes, seeds, st.sampled_from(sorted(ACTIVATIONS)))
def test_a_layer_is_its_neurons_side_by_side(examples, inputs, neurons, seed, name):
    generator = np.random.default_rng(seed)
    X = generator.standard_normal((examples, inputs))
    W, b = generator.standard_normal((inputs, neurons)), generator.standard_normal(neurons)
    Y, _ = Layer(W, b, name).forward(X)
    one_by_one = [[Neuron(W[:, j], b[j], name)(x) for j in range(neurons)] for x in X]
    np.testing.assert_allclose(Y, one_by_one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_agree_with_finite_differences_and_pytorch(name):
    generator = np.random.default_rng(3)
    layer = random_layer(3, 4, name, generator)
    layer.biases[:] = generator.standard_normal((1, 4))
    X, dY = generator.standard_normal((5, 3)), generator.standard_normal((5, 4))
    Y, kept = layer.forward(X)
    dX, gradients = layer.backward(dY, kept)

    for analytic, values in ((dX, X), (gradients["weights"], layer.weights), (gradients["biases"], layer.biases)):
        assert analytic.shape == values.shape
        assert relative_error(analytic, numerical_gradient(lambda: np.sum(layer.forward(X)[0] * dY), values)) < 1e-6

    peers = {"gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"), "identity": lambda z: z}
    f = peers.get(name) or getattr(torch.nn.functional, name)
    x, w, b = (torch.tensor(values, requires_grad=True) for values in (X, layer.weights, layer.biases))
    y = f(x @ w + b)
    y.backward(torch.tensor(dY))
    assert relative_error(Y, y.detach().numpy()) < 1e-12
    assert relative_error(dX, x.grad.numpy()) < 1e-9
    assert relative_error(gradients["weights"], w.grad.numpy()) < 1e-9
    assert relative_error(gradients["biases"], b.grad.numpy()) < 1e-9


@given(sizes, sizes, sizes, sizes, seeds)
def test_two_layers_without_activation_are_one(examples, inputs, hidden, outputs, seed):
    generator = np.random.default_rng(seed)
    first = Layer(generator.standard_normal((inputs, hidden)), generator.standard_normal(hidden), "identity")
    second = Layer(generator.standard_normal((hidden, outputs)), generator.standard_normal(outputs), "tanh")
    X = generator.standard_normal((examples, inputs))
    in_a_row, _ = second.forward(first.forward(X)[0])
    np.testing.assert_allclose(collapse(first, second).forward(X)[0], in_a_row, rtol=1e-9, atol=1e-12)


def test_with_an_activation_between_they_are_not():
    first = Layer([[1.0, -1.0]], [0.0, 0.0], "relu")
    second = Layer([[1.0], [1.0]], [0.0], "identity")
    absolute, _ = second.forward(first.forward([[-2.0], [0.0], [2.0]])[0])
    assert absolute.ravel().tolist() == [2, 0, 2]  # |x|: on no straight line
    with pytest.raises(ValueError, match="the first layer has the activation relu"):
        collapse(first, second)


def test_random_weights_keep_the_size_of_the_signal():
    layer = random_layer(400, 300, "identity", np.random.default_rng(0))
    Z = layer.weighted_sums(np.random.default_rng(1).standard_normal((200, 400)))
    assert 0.95 < Z.var() < 1.05
    assert 1.9 < random_layer(400, 300, "relu", np.random.default_rng(0)).weights.var() * 400 < 2.1


def backward_of(shape):
    layer = Layer(np.ones((2, 3)), np.zeros(3), "tanh")
    return layer.backward(np.ones(shape), layer.forward(np.ones((4, 2)))[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Layer([1.0, 2.0], [0.0]), r"weights must be a matrix of inputs x neurons; .*\(2,\)"),
        (lambda: Layer([[1.0, 2.0]], [0.0]), r"weights of shape \(1, 2\) make 2 neurons, which need as many biases"),
        (lambda: Layer([[1.0]], [np.nan]), "the biases hold a number that is not finite"),
        (lambda: Layer([[1.0]], [0.0], "none"), "'none' is no activation"),
        (lambda: Layer([[1.0], [2.0]], [0.0]).forward([[1.0, 2.0, 3.0]]), r"\(examples, 2\).*they have \(1, 3\)"),
        (lambda: backward_of((1, 1)), r"outputs of shape \(4, 3\) must have that shape, not \(1, 1\)"),
        (lambda: backward_of((3,)), r"not \(3,\)"),
        (lambda: collapse(Layer([[1.0]], [0.0], "identity"), Layer([[1.0], [2.0]], [0.0])), "cannot follow"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
