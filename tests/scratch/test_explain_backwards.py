"""Gradients through a matrix, softmax, a norm and attention: values of their modules, statements that hold."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from quire.scratch import activations, attention, explain
from quire.scratch.normalization import rms_norm, rms_norm_backward
from scratch.statements import holds

STRAIGHT = (Phase.explicit, Phase.reuse, Phase.generate)
short = st.integers(-3000, 3000).map(lambda thousandths: thousandths / 1000)
pairs = st.integers(1, 4).flatmap(lambda n: st.tuples(*[st.lists(short, min_size=n, max_size=n)] * 2))


def test_a_projection_by_hand():
    worked = explain.projection([1, 0.5], [[0.2, -1], [3, 1], [0, 1]], [1, -1, 0.5])
    assert worked.result["y"] == pytest.approx(np.array([[-0.3, 3.5, 0.5]]))
    assert worked.result["dx"] == pytest.approx(np.array([[-2.8, -1.5]]))
    assert worked.result["dweight"] == pytest.approx(np.array([[1, 0.5], [-1, -0.5], [0.5, 0.25]]))
    text = worked.to_text()
    assert "y₁ = 1 × 0.2 + 0.5 × (-1) = 0.2 - 0.5 = -0.3\n" in text
    assert "dx₁ = 1 × 0.2 + (-1) × 3 + 0.5 × 0 = 0.2 - 3 + 0 = -2.8\n" in text
    assert "dw₃₂ = 0.5 × 0.5 = 0.25\n" in text
    assert len(explain.projection([1], [[2]]).steps) == 1


def test_softmax_by_hand():
    worked = explain.softmax_backward([0, 0], [1, 0])
    assert worked.result["dz"].tolist() == [0.25, -0.25]
    assert "mean = 1 × 0.5 + 0 × 0.5 = 0.5 + 0 = 0.5\n" in worked.to_text()
    assert "dz₂ = 0.5 × (0 - 0.5) = -0.25\n" in worked.to_text()
    assert "J = ⎡  0.25  -0.25 ⎤" in worked.to_text()
    assert "J" not in [line.split(" ")[0] for line in explain.softmax_backward([0] * 5, [1] * 5).to_text().split()]


def test_a_norm_by_hand():
    worked = explain.rms_norm_backward([1, 1], [1, -1], [2, 1], eps=1e-20)
    assert worked.result["dx"] == pytest.approx([1.5, -1.5])
    assert worked.result["dweight"] == pytest.approx([1, -1])
    assert "dx₁ = (2 - 1 × 0.5) / 1 = 1.5\n" in worked.to_text()
    # What points along the row is taken out whole.
    assert explain.rms_norm_backward([3, 4], [3, 4], eps=1e-20).to_text().count("≈ 0\n") == 2


def test_attention_by_hand():
    worked = explain.attention_backward([[1], [0]], [[1], [1]], [[1], [3]], [[2], [1]])
    assert worked.result["dv"].tolist() == [[2.5], [0.5]]
    assert worked.result["dscores"].tolist() == [[0, 0], [-0.5, 0.5]]
    text = worked.to_text()
    assert "mean₂ = 0.5 × 1 + 0.5 × 3 = 0.5 + 1.5 = 2\n" in text
    assert "ds₂₁ = 0.5 × (1 - 2) = -0.5\n" in text
    assert r"dQ &= \frac{dS \, K}{\sqrt{1}}" in worked.to_markdown()


@given(pairs, st.integers(0, 10**6))
@settings(max_examples=15, deadline=None, phases=STRAIGHT)
def test_every_statement_holds_and_every_value_is_that_of_its_module(rows, seed):
    one, other = rows
    draw = np.random.default_rng(seed).standard_normal
    worked = explain.softmax_backward(one, other)
    shares = activations.softmax(np.array(one))
    assert worked.result["dz"] == pytest.approx(activations.softmax_backward(np.array(other), shares), abs=1e-15)
    holds(worked)
    if any(one):
        weight = draw(len(one))
        worked = explain.rms_norm_backward(one, other, weight)
        expected = rms_norm_backward(np.array(other), rms_norm(one, weight, 1e-6)[1])
        assert worked.result["dx"] == pytest.approx(expected[0])
        assert worked.result["dweight"] == pytest.approx(expected[1])
        holds(worked)
    x, dy = draw((len(one), 2)), np.round(draw((len(one), 3)), 1)
    holds(explain.projection(x, draw((3, 2)), dy))
    parts = [np.round(draw((len(one), 2)), 1) for _ in range(4)]
    worked = explain.attention_backward(*parts)
    _, kept = attention.attend(*(part[None, None] for part in parts[:3]))
    for name, gradient in zip("qkv", attention.attend_backward(parts[3][None, None], kept), strict=True):
        assert worked.result[f"d{name}"] == pytest.approx(gradient[0, 0], abs=1e-14)
    holds(worked)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain.projection([1, 2], [[1]]), "does not fit a weight"),
        (lambda: explain.projection([1], [[np.nan]]), "must be finite"),
        (lambda: explain.projection([], [[1]]), "x must be a row or rows of numbers"),
        (lambda: explain.projection([1], [[1]], [1, 2]), r"of the shape of y, \(1, 1\); its shape is \(1, 2\)"),
        (lambda: explain.softmax_backward([1, 2], [1]), r"scores and dp must be rows .* \(2,\), \(1,\)"),
        (lambda: explain.softmax_backward([1, np.inf], [1, 1]), "the numbers of scores must be finite"),
        (lambda: explain.rms_norm_backward([0, 0], [1, 1]), "x is a row of zeros"),
        (lambda: explain.rms_norm_backward([1], [1], [1, 2]), "x and weight must be rows"),
        (
            lambda: explain.attention_backward([[1]], [[1]], [[1]], [[1, 2]]),
            r"\(tokens, width\), not \(1, 1\), \(1, 1\)",
        ),
        (lambda: explain.attention_backward([[1]], [[1]], [[1]], [[np.nan]]), "must be finite numbers"),
    ],
)
def test_wrong_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_only_rounding_leaves_of_a_gradient_is_shown_as_nothing():
    # Both tokens have the same value, so no weight matters and every gradient of a score is 0.
    worked = explain.attention_backward(
        [[1, 0], [0.3, 0.7]], [[-0.1, 0.3], [-0.5, 0.4]], [[0.1, 0.3]] * 2, [[0.7, 0.1]] * 2
    )
    assert "e-1" not in worked.to_text()
    holds(worked)
