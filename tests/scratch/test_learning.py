import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from quire.scratch.learning import GATE_INPUTS, GATES, first_correct, learn_gate, moons, train
from quire.scratch.network import Network
from quire.scratch.optimizers import SGD, AdamW, Momentum


def test_and_is_learned_by_one_neuron_from_zero():
    _, moments = learn_gate("and", steps=1000)
    assert first_correct(moments) == 16
    early, late = moments[16].parameters, moments[1000].parameters
    np.testing.assert_allclose(early["0.weights"].ravel(), [0.844880462064072] * 2, rtol=1e-13)
    np.testing.assert_allclose(early["0.biases"].ravel(), [-1.6877437047245498], rtol=1e-13)
    np.testing.assert_allclose(late["0.weights"].ravel(), [7.414311377625753] * 2, rtol=1e-12)
    np.testing.assert_allclose(late["0.biases"].ravel(), [-11.294073552477853], rtol=1e-12)
    assert math.isclose(moments[1000].loss, 0.017414387398196375, rel_tol=1e-12)


def test_and_is_learned_the_same_way_by_pytorch():
    w, b = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True), torch.zeros(1, dtype=torch.float64)
    b.requires_grad_(True)
    _, moments = learn_gate("and", steps=50)
    optimizer = torch.optim.SGD([w, b], lr=1.0)
    for moment in moments:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            torch.tensor(GATE_INPUTS) @ w + b, torch.tensor(GATES["and"])
        )
        assert math.isclose(moment.loss, loss.item(), rel_tol=1e-12)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_or_is_learned_by_one_neuron():
    _, moments = learn_gate("or")
    assert first_correct(moments) is not None
    assert moments[-1].correct == 4


def test_xor_never_moves_one_neuron():
    _, moments = learn_gate("xor")
    for moment in moments:
        assert not moment.parameters["0.weights"].any()
        assert not moment.parameters["0.biases"].any()
        assert moment.loss == math.log(2)
        assert moment.correct == 0


@pytest.mark.parametrize("seed", range(8))
def test_xor_is_learned_with_a_hidden_layer(seed):
    _, moments = learn_gate("xor", hidden=4, seed=seed)
    assert moments[-1].correct == 4
    assert moments[-1].loss < 0.01
    assert moments[0].correct < 4


@pytest.mark.parametrize(("optimizer", "steps"), [(SGD(1.0), 1500), (Momentum(0.3), 600), (AdamW(0.02), 600)])
def test_points_of_the_plane_that_no_line_separates(optimizer, steps):
    X, targets = moons(100, seed=1)
    line = Network.random((2, 1), "tanh", "sigmoid")
    curve = Network.random((2, 16, 1), "tanh", "sigmoid", seed=2)
    straight = train(line, X, targets, SGD(1.0), 1500)[-1].correct
    bent = train(curve, X, targets, optimizer, steps)[-1].correct
    assert straight < 190
    assert bent >= 198


def test_full_batch_descent_with_a_small_rate_never_climbs():
    _, moments = learn_gate("and", steps=300, learning_rate=0.5)
    losses = [moment.loss for moment in moments]
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_the_last_layer_must_be_a_sigmoid():
    with pytest.raises(ValueError, match="the last layer must be a sigmoid for this loss; it is relu"):
        train(Network.random((2, 1), "relu", "relu"), GATE_INPUTS, GATES["and"], SGD(1.0), 1)


def test_an_unknown_gate_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="'nand' is no gate; there are and, or, xor"):
        learn_gate("nand")
    with pytest.raises(ValueError, match="must be 0 or more"):
        learn_gate("and", steps=-1)
