import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.model.rotary import rotary_tables
from quire.model.rotary import rotate as model_rotate
from quire.scratch.positions import rotary_angles, rotate, rotate_backward, sinusoidal
from scratch.gradients import numerical_gradient, relative_error

seeds = st.integers(0, 2**32 - 1)
halves = st.integers(1, 6)
places = st.integers(0, 500)


def test_the_waves_are_those_of_the_paper():
    waves = sinusoidal(7, 6)
    assert waves.shape == (7, 6)
    for p in range(7):
        for i in range(3):
            angle = p / 10000 ** (2 * i / 6)
            assert waves[p, 2 * i] == pytest.approx(math.sin(angle), abs=1e-14)
            assert waves[p, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-14)


@given(halves, places, places, st.integers(0, 500))
def test_the_product_of_two_waves_depends_on_their_distance_alone(half, m, n, shift):
    waves = sinusoidal(1001, 2 * half)
    assert waves[m] @ waves[n] == pytest.approx(waves[m + shift] @ waves[n + shift], abs=1e-10)


@given(halves, places, places, st.integers(-500, 500), seeds)
def test_the_product_of_turned_rows_depends_on_their_distance_alone(half, m, n, shift, seed):
    q, k = np.random.default_rng(seed).standard_normal((2, 1, 2 * half))

    def product(i, j):
        angles = rotary_angles([i, j], 2 * half)
        return float((rotate(q, angles[:1]) @ rotate(k, angles[1:]).T).item())

    assert product(m, n) == pytest.approx(product(m + shift, n + shift), abs=1e-10)


@given(halves, st.integers(1, 5), seeds)
def test_turning_keeps_lengths_and_turning_back_undoes_it(half, length, seed):
    generator = np.random.default_rng(seed)
    x, angles = generator.standard_normal((2, 3, length, 2 * half)), rotary_angles(np.arange(length), 2 * half, 100.0)
    y = rotate(x, angles)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(rotate_backward(y, angles), x, atol=1e-12)
    np.testing.assert_array_equal(y[..., 0, :], x[..., 0, :])  # position 0 is not turned


@given(halves, st.integers(1, 5), places, st.floats(10, 1e6), seeds)
def test_pairs_turn_as_complex_numbers(half, length, first, theta, seed):
    x = np.random.default_rng(seed).standard_normal((length, 2 * half))
    positions = first + np.arange(length)
    z = (x[:, :half] + 1j * x[:, half:]) * np.exp(
        1j * np.outer(positions, [theta ** (-2 * i / (2 * half)) for i in range(half)])
    )
    y = rotate(x, rotary_angles(positions, 2 * half, theta))
    np.testing.assert_allclose(y, np.concatenate((z.real, z.imag), axis=1), atol=1e-10)


def test_it_agrees_with_the_model_and_with_finite_differences():
    generator = np.random.default_rng(1)
    x, dy = generator.standard_normal((2, 3, 5, 8)), generator.standard_normal((2, 3, 5, 8))
    angles = rotary_angles(np.arange(5), 8, 1000.0)
    cos, sin = rotary_tables(5, 8, 1000.0, torch.float64)
    leaf = torch.tensor(x, requires_grad=True)
    peer = model_rotate(leaf, cos, sin)
    peer.backward(torch.tensor(dy))
    assert relative_error(rotate(x, angles), peer.detach().numpy()) < 1e-12
    dx = rotate_backward(dy, angles)
    assert relative_error(dx, leaf.grad.numpy()) < 1e-9
    assert relative_error(dx, numerical_gradient(lambda: np.sum(rotate(x, angles) * dy), x)) < 1e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sinusoidal(4, 5), "even and at least 2, since pairs are turned, not 5"),
        (lambda: sinusoidal(-1, 4), "length must be 0 or more, not -1"),
        (lambda: rotary_angles([0, 1], 0), "even and at least 2"),
        (lambda: rotary_angles([0, 1], 4, 0.0), "theta must be positive"),
        (lambda: rotary_angles([[0, 1]], 4), r"one row of numbers, not of shape \(1, 2\)"),
        (lambda: rotate(np.ones((3, 4)), np.ones((2, 2))), r"x \(3, 4\) does not fit angles .* of \(2, 2\)"),
        (lambda: rotate(np.ones((2, 3)), np.ones((2, 2))), "must end in tokens, 2 pairs"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
