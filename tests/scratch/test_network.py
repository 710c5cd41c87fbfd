import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.scratch.layers import Layer
from quire.scratch.losses import binary_cross_entropy, mean_squared_error
from quire.scratch.network import Network
from scratch.gradients import numerical_gradient, relative_error


def exercise_2():
    return Network(
        [Layer([[0.6, 0.4], [0.2, 0.8]], [0.1, -0.1], "relu"), Layer([[0.5], [0.7]], [0.2], "relu")],
    )


def test_exercise_2():
    y, kept = exercise_2().forward([[1.0, 0.5]])
    np.testing.assert_allclose(kept[1].X, [[0.8, 0.7]], rtol=1e-15)
    np.testing.assert_allclose(y, [[1.09]], rtol=1e-15)


@pytest.mark.parametrize("widths", [(3, 2), (3, 4, 2), (2, 5, 4, 3)])
def test_gradients_agree_with_finite_differences_and_pytorch(widths):
    generator = np.random.default_rng(8)
    network = Network.random(widths, "tanh", "silu", seed=4)
    X, target = generator.standard_normal((6, widths[0])), generator.standard_normal((6, widths[-1]))

    def loss():
        return mean_squared_error(network.forward(X)[0], target)[0]

    Y, kept = network.forward(X)
    dX, gradients = network.backward(mean_squared_error(Y, target)[1], kept)
    assert relative_error(dX, numerical_gradient(loss, X)) < 1e-6
    peers = {name: torch.tensor(values, requires_grad=True) for name, values in network.parameters.items()}
    y = x = torch.tensor(X, requires_grad=True)
    for number in range(len(widths) - 1):
        z = y @ peers[f"{number}.weights"] + peers[f"{number}.biases"]
        y = torch.tanh(z) if number < len(widths) - 2 else torch.nn.functional.silu(z)
    torch.nn.functional.mse_loss(y, torch.tensor(target)).backward()
    assert relative_error(dX, x.grad.numpy()) < 1e-9
    assert set(gradients) == set(network.parameters)
    for name, values in network.parameters.items():
        assert relative_error(gradients[name], numerical_gradient(loss, values)) < 1e-6
        assert relative_error(gradients[name], peers[name].grad.numpy()) < 1e-9


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(0, 99))
def test_the_way_from_the_sums_is_the_way_from_the_outputs(widths, seed):
    network = Network.random(widths, "tanh", "sigmoid", seed)
    generator = np.random.default_rng(seed)
    X, target = generator.standard_normal((3, widths[0])), generator.integers(0, 2, (3, widths[-1])).astype(float)
    Y, kept = network.forward(X)
    # dLoss/ds of -t log s - (1 - t) log(1 - s), which the other way never divides by
    dY = (Y - target) / (Y * (1 - Y)) / target.size
    dX, gradients = network.backward(dY, kept)
    dX_from_sums, from_sums = network.backward_from_sums(binary_cross_entropy(kept[-1].Z, target)[1], kept)
    np.testing.assert_allclose(dX_from_sums, dX, rtol=1e-9, atol=1e-12)
    for name, values in gradients.items():
        np.testing.assert_allclose(from_sums[name], values, rtol=1e-9, atol=1e-12)


def test_the_parameters_are_the_network_itself():
    network = exercise_2()
    network.parameters["1.biases"][...] += 1
    np.testing.assert_allclose(network.forward([[1.0, 0.5]])[0], [[2.09]], rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Network([]), "at least one layer"),
        (
            lambda: Network([Layer([[1.0, 2.0]], [0.0, 0.0]), Layer([[1.0]], [0.0])]),
            r"layer 1 has 2 neurons, so layer 2 needs weights of shape \(2, neurons\); they have \(1, 1\)",
        ),
        (lambda: Network.random((2,), "relu"), "two or more whole numbers"),
        (lambda: exercise_2().forward([[1.0]]), r"\(examples, 2\)"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
