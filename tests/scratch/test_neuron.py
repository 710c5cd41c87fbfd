import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.scratch.activations import ACTIVATIONS
from quire.scratch.neuron import Neuron

numbers = st.floats(-1e3, 1e3)


def test_the_first_neuron():
    neuron = Neuron([0.6, 0.4, 0.2], 0.1, "relu")
    x = [0.5, 0.3, 0.8]
    np.testing.assert_allclose(neuron.products(x), [0.3, 0.12, 0.16], rtol=1e-15)
    assert math.isclose(neuron.weighted_sum(x), 0.68, rel_tol=1e-15)
    assert math.isclose(neuron(x), 0.68, rel_tol=1e-15)


def test_exercise_1():
    assert math.isclose(Neuron([0.5, -0.3, 0.8], 0.2, "relu")([2.0, -1.0, 0.5]), 1.9, rel_tol=1e-15)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), numbers, st.sampled_from(sorted(ACTIVATIONS)))
def test_it_is_f_of_the_exact_sum(pairs, bias, name):
    x, w = zip(*pairs, strict=True)
    z = math.fsum([*(a * b for a, b in pairs), bias])
    neuron = Neuron(w, bias, name)
    assert math.isclose(neuron.weighted_sum(x), z, rel_tol=1e-9, abs_tol=1e-6)
    assert neuron(x) == float(ACTIVATIONS[name](neuron.weighted_sum(x)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Neuron([1.0, 2.0])([1.0]), "1 input for 2 weights: each input needs one weight"),
        (lambda: Neuron([1.0])([1.0, 2.0, 3.0]), "3 inputs for 1 weight"),
        (lambda: Neuron([]), "weights must be a row of at least one number"),
        (lambda: Neuron([[1.0]]), r"weights must be a row .*\(1, 1\)"),
        (lambda: Neuron([1.0])([float("nan")]), "number 1 of the inputs is nan"),
        (lambda: Neuron([1.0, float("inf")]), "number 2 of the weights is inf"),
        (lambda: Neuron([1.0], float("nan")), "the bias is nan"),
        (lambda: Neuron([1.0], "x"), "the bias is x; it must be a finite number"),
        (lambda: Neuron([1.0], 0.0, "step"), "'step' is no activation"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
