import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.scratch.embedding import embed, embed_backward
from scratch.gradients import numerical_gradient, relative_error

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


@given(sizes, sizes, sizes, sizes, seeds)
def test_a_lookup_is_the_product_with_a_one_hot_row(rows, length, vocab_size, width, seed):
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, vocab_size, (rows, length))
    table, dx = generator.standard_normal((vocab_size, width)), generator.standard_normal((rows, length, width))
    one_hot = np.eye(vocab_size)[tokens]  # (B, T, V)
    x, kept = embed(tokens, table)
    np.testing.assert_array_equal(x, one_hot @ table)
    np.testing.assert_allclose(embed_backward(dx, kept), np.einsum("btv,btd->vd", one_hot, dx), atol=1e-12)


def test_gradients_agree_with_finite_differences_and_pytorch():
    generator = np.random.default_rng(0)
    tokens = np.array([[3, 1, 3], [0, 3, 5]])  # 3 comes three times, 2 and 4 never
    table, dx = generator.standard_normal((6, 4)), generator.standard_normal((2, 3, 4))
    dtable = embed_backward(dx, embed(tokens, table)[1])
    numerical = numerical_gradient(lambda: np.sum(embed(tokens, table)[0] * dx), table)
    assert relative_error(dtable, numerical) < 1e-6
    assert not dtable[[2, 4]].any()

    leaf = torch.tensor(table, requires_grad=True)
    torch.nn.functional.embedding(torch.tensor(tokens), leaf).backward(torch.tensor(dx))
    assert relative_error(dtable, leaf.grad.numpy()) < 1e-9


@pytest.mark.parametrize(
    ("tokens", "table", "message"),
    [
        ([[0, 1], [2, 6]], np.zeros((6, 4)), r"token 6 at \(1, 1\) is not in the vocabulary of 6 \(0 to 5\)"),
        ([[0, -1]], np.zeros((6, 4)), r"token -1 at \(0, 1\)"),
        ([[0.5, 1.0]], np.zeros((6, 4)), "whole numbers, not float64"),
        ([[0, 1]], np.zeros(6), r"\(vocabulary, width\), not \(6,\)"),
    ],
)
def test_what_does_not_fit_is_told(tokens, table, message):
    with pytest.raises(ValueError, match=message):
        embed(tokens, table)
