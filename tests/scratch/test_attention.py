import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from quire.model.attention import Attention
from quire.model.config import ModelConfig
from quire.model.rotary import rotary_tables
from quire.scratch.attention import (
    attend,
    attend_backward,
    merge_heads,
    self_attention,
    self_attention_backward,
    split_heads,
)
from quire.scratch.positions import rotary_angles
from quire.scratch.projection import project, project_backward
from scratch.gradients import numerical_gradient, relative_error

sizes = st.integers(1, 4)
seeds = st.integers(0, 2**32 - 1)


def parts(rows, groups, heads_a_group, length, width, seed, before=0):
    """Return q, k, v and dout of such a shape; `before` keys stand before the first query."""
    generator = np.random.default_rng(seed)
    q, dout = generator.standard_normal((2, rows, groups * heads_a_group, length, width))
    k, v = generator.standard_normal((2, rows, groups, before + length, width))
    return q, k, v, dout


@given(sizes, sizes, sizes, sizes, seeds)
def test_a_projection_is_sums_of_products(rows, length, inputs, outputs, seed):
    generator = np.random.default_rng(seed)
    x, weight = generator.standard_normal((rows, length, inputs)), generator.standard_normal((outputs, inputs))
    dy = generator.standard_normal((rows, length, outputs))
    y, kept = project(x, weight)
    by_hand = [[[sum(x[b, t] * weight[j]) for j in range(outputs)] for t in range(length)] for b in range(rows)]
    np.testing.assert_allclose(y, by_hand, atol=1e-12)
    for analytic, array in zip(project_backward(dy, kept), (x, weight), strict=True):
        assert relative_error(analytic, numerical_gradient(lambda: np.sum(project(x, weight)[0] * dy), array)) < 1e-6


@given(sizes, sizes, sizes, sizes, seeds)
def test_heads_are_cut_and_put_together_again(rows, length, heads, width, seed):
    x = np.random.default_rng(seed).standard_normal((rows, length, heads * width))
    cut = split_heads(x, heads)
    for head in range(heads):
        np.testing.assert_array_equal(cut[:, head], x[:, :, head * width : (head + 1) * width])
    np.testing.assert_array_equal(merge_heads(cut), x)


@given(sizes, sizes, sizes, sizes, sizes, st.integers(0, 3), seeds)
def test_attention_agrees_with_pytorch(rows, groups, heads_a_group, length, width, before, seed):
    q, k, v, dout = parts(rows, groups, heads_a_group, length, width, seed, before)
    out, kept = attend(q, k, v, before)
    gradients = attend_backward(dout, kept)

    leaves = [torch.tensor(each, requires_grad=True) for each in (q, k, v)]
    seen = torch.ones(length, before + length, dtype=torch.bool).tril(before)
    peer = F.scaled_dot_product_attention(*leaves, attn_mask=seen, enable_gqa=True)
    peer.backward(torch.tensor(dout))
    assert relative_error(out, peer.detach().numpy()) < 1e-12
    for gradient, leaf in zip(gradients, leaves, strict=True):
        # A lone key is seen by all, whatever its score: that gradient is 0 but for rounding.
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("groups", "heads_a_group"), [(2, 1), (1, 3), (2, 2)])
def test_gradients_agree_with_finite_differences(groups, heads_a_group):
    q, k, v, dout = parts(2, groups, heads_a_group, 3, 4, seed=5, before=1)
    gradients = attend_backward(dout, attend(q, k, v, 1)[1])
    for analytic, array in zip(gradients, (q, k, v), strict=True):
        numerical = numerical_gradient(lambda: np.sum(attend(q, k, v, 1)[0] * dout), array)
        assert analytic.shape == array.shape
        assert relative_error(analytic, numerical) < 1e-6


@given(sizes, sizes, st.integers(2, 6), sizes, seeds, st.data())
def test_a_later_token_changes_nothing_before(groups, heads_a_group, length, width, seed, data):
    q, k, v, dout = parts(1, groups, heads_a_group, length, width, seed)
    place = data.draw(st.integers(1, length - 1))
    out, kept = attend(q, k, v)
    k[:, :, place:] += 100.0
    v[:, :, place:] -= 100.0
    changed, _ = attend(q, k, v)
    np.testing.assert_array_equal(changed[:, :, :place], out[:, :, :place])
    assert (changed[:, :, place:] != out[:, :, place:]).any(axis=-1).all()
    # and no gradient reaches a later key or value from a query before it
    dout[:, :, place:] = 0
    _, dk, dv = attend_backward(dout, kept)
    assert not dk[:, :, place:].any()
    assert not dv[:, :, place:].any()


@given(sizes, sizes, sizes, seeds)
def test_a_group_is_one_key_and_value_head_repeated(groups, heads_a_group, length, seed):
    q, k, v, dout = parts(2, groups, heads_a_group, length, 3, seed)
    out, kept = attend(q, k, v)
    plain, plain_kept = attend(q, np.repeat(k, heads_a_group, axis=1), np.repeat(v, heads_a_group, axis=1))
    np.testing.assert_allclose(out, plain, atol=1e-12)
    dq, dk, dv = attend_backward(dout, kept)
    plain_dq, plain_dk, plain_dv = attend_backward(dout, plain_kept)
    np.testing.assert_allclose(dq, plain_dq, atol=1e-12)
    for shared, each in ((dk, plain_dk), (dv, plain_dv)):
        np.testing.assert_allclose(shared, each.reshape(2, groups, heads_a_group, length, 3).sum(axis=2), atol=1e-12)


def test_two_tokens_by_hand():
    # The second query has the scores 2/sqrt(4) = 1 with the first key and 0 with its own: e to 1.
    q = np.array([[[[9.0, 9, 9, 9], [2, 0, 0, 0]]]])
    k = np.array([[[[1.0, 0, 0, 0], [0, 1, 0, 0]]]])
    v = np.array([[[[1.0, 0, 0, 0], [0, 1, 0, 0]]]])
    out, kept = attend(q, k, v)
    assert kept.scores[0, 0, 1].tolist() == [1.0, 0.0]
    assert kept.scores[0, 0, 0, 1] == -np.inf
    np.testing.assert_allclose(kept.weights[0, 0], [[1, 0], [math.e / (math.e + 1), 1 / (math.e + 1)]], rtol=1e-15)
    np.testing.assert_allclose(out[0, 0, 1], [math.e / (math.e + 1), 1 / (math.e + 1), 0, 0], rtol=1e-15)


@pytest.mark.parametrize("size", [1000.0, -1000.0])
def test_scores_of_a_thousand_are_no_trouble(size):
    q, k = np.full((1, 1, 3, 1), size), np.array([1.0, -1.0, 1.0]).reshape(1, 1, 3, 1)  # scores of +-1000
    v = np.arange(3.0).reshape(1, 1, 3, 1)
    with np.errstate(all="raise", under="ignore"):
        out, kept = attend(q, k, v)
        gradients = attend_backward(np.ones_like(out), kept)
    assert set(np.abs(kept.scores[np.isfinite(kept.scores)])) == {1000.0}
    np.testing.assert_array_equal(out.ravel(), [0, 0, 1] if size > 0 else [0, 1, 1])
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (3, 1)])
def test_the_whole_part_agrees_with_the_model_and_with_finite_differences(heads, groups, qk_norm):
    generator = np.random.default_rng(11)
    config = ModelConfig(
        vocab_size=9,
        hidden_size=6,
        num_layers=1,
        num_heads=heads,
        num_kv_heads=groups,
        head_dim=4,
        context_length=5,
        qk_norm=qk_norm,
        norm_eps=1e-3,
    )
    peer = Attention(config).double()
    weights = {}
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            weights[name] = generator.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.tensor(weights[name]))
    x, dy = generator.standard_normal((2, 2, 5, 6))
    angles = rotary_angles(np.arange(5), 4)

    def run():
        return self_attention(x, weights, angles, num_heads=heads, num_kv_heads=groups, norm_eps=1e-3)

    y, kept = run()
    dx, gradients = self_attention_backward(dy, kept)
    leaf = torch.tensor(x, requires_grad=True)
    theirs = peer(leaf, *rotary_tables(5, 4, config.rope_theta, torch.float64), 0, None)
    theirs.backward(torch.tensor(dy))
    assert relative_error(y, theirs.detach().numpy()) < 1e-12
    assert relative_error(dx, leaf.grad.numpy()) < 1e-9
    assert gradients.keys() == weights.keys()
    for name, parameter in peer.named_parameters():
        assert relative_error(gradients[name], parameter.grad.numpy()) < 1e-9, name
    for analytic, array in ((dx, x), *((gradients[name], weights[name]) for name in weights)):
        assert relative_error(analytic, numerical_gradient(lambda: np.sum(run()[0] * dy), array)) < 1e-6


def zeros(*shape):
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_heads(zeros(1, 2, 10), 4), r"\(1, 2, 10\) must be .* a width that 4 heads divide"),
        (lambda: attend(zeros(1, 4, 2, 2), zeros(1, 3, 2, 2), zeros(1, 3, 2, 2)), "3 must divide 4"),
        (
            lambda: attend(zeros(1, 2, 2, 2), zeros(1, 2, 3, 2), zeros(1, 2, 3, 2)),
            "from position 0 on need 2 keys, not 3",
        ),
        (lambda: attend(zeros(1, 2, 2, 4), zeros(1, 2, 2, 2), zeros(1, 2, 2, 2)), "as many rows and be as wide"),
        (lambda: attend(zeros(1, 2, 2, 2), zeros(1, 2, 2, 2), zeros(1, 2, 1, 2)), "queries, keys and values must be"),
        (
            lambda: project(zeros(2, 3), zeros(4, 2)),
            r"x \(2, 3\) does not fit a weight \(outputs, inputs\) of \(4, 2\)",
        ),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
