"""Each part against the same sums in NumPy, float64, written from the formulas."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from quire.model.attention import Attention
from quire.model.config import ModelConfig
from quire.model.feedforward import FeedForward
from quire.model.normalization import NormalizedRows, RMSNorm
from quire.model.rotary import rotary_tables, rotate

Array = np.ndarray[Any, Any]


def random_parameters(module: nn.Module, seed: int = 0) -> dict[str, Array]:
    """Give every parameter a random float64 value and return them by name."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def turned(x: Array, theta: float) -> Array:
    """Turn the rows of x (T, K), pair by pair, as complex numbers."""
    half = x.shape[1] // 2
    z = x[:, :half] + 1j * x[:, half:]
    for position in range(x.shape[0]):
        for i in range(half):
            z[position, i] *= np.exp(1j * position * theta ** (-2 * i / x.shape[1]))
    return np.concatenate((z.real, z.imag), axis=1)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_rms_norm_by_hand() -> None:
    norm = RMSNorm(5, eps=1e-3)
    weight = random_parameters(norm)["weight"]
    x = np.random.default_rng(1).normal(size=(2, 3, 5))
    np.testing.assert_allclose(norm(torch.tensor(x)).detach(), rms_norm(x, weight, 1e-3), rtol=1e-12)


def test_rms_norm_computes_in_float32_where_float16_would_overflow() -> None:
    norm = RMSNorm(4, eps=1e-6)
    large = torch.full((1, 4), 1000.0, dtype=torch.float16)  # its square, 1e6, is over float16's 65504
    assert torch.equal(norm(large), torch.ones(1, 4))


def test_the_written_derivative_of_the_norm_is_the_chain_of_its_operations() -> None:
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(2, 3, 5, generator=draw, dtype=torch.float64).transpose(1, 2).requires_grad_()
    weight = torch.randn(3, generator=draw, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: NormalizedRows.apply(x, w, 1e-3), (x, weight))
    assert torch.allclose(NormalizedRows.apply(x, weight, 1e-3), F.rms_norm(x, (3,), weight, 1e-3), atol=1e-14)


@pytest.mark.parametrize("rows", [1, 2])
def test_the_derivative_of_a_rotation_turns_back(rows: int) -> None:
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(2, 5, 3, 4, generator=draw, dtype=torch.float64).transpose(1, 2).requires_grad_()
    cos, sin = rotary_tables(10, 4, theta=100.0, dtype=torch.float64)
    if rows == 1:
        cos, sin = cos[:5], sin[:5]
    else:  # each row at positions of its own
        cos, sin = (table.view(2, 1, 5, 4) for table in (cos, sin))
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos, sin), (x,))
    assert torch.allclose(rotate(x, cos, sin), rotate(x.detach(), cos, sin), atol=1e-14)  # the two ways are one


def test_rotary_by_hand() -> None:
    x = np.random.default_rng(2).normal(size=(6, 8))
    cos, sin = rotary_tables(6, 8, theta=100.0)
    ours = rotate(torch.tensor(x)[None, None], cos.double(), sin.double())[0, 0]
    np.testing.assert_allclose(ours, turned(x, 100.0), atol=1e-6)  # the tables are float32


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 55), st.integers(0, 2**31))
def test_the_product_of_rotated_rows_depends_on_their_distance_alone(m: int, n: int, shift: int, seed: int) -> None:
    cos, sin = rotary_tables(256, 8, theta=10000.0)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def product(i: int, j: int) -> float:
        return float((rotate(q, cos[i : i + 1], sin[i : i + 1]) * rotate(k, cos[j : j + 1], sin[j : j + 1])).sum())

    assert product(m, n) == pytest.approx(product(m + shift, n + shift), abs=1e-5)


def test_rotary_angles_are_exact_at_far_positions() -> None:
    cos, _ = rotary_tables(100_001, 64, theta=10000.0)
    exact = np.cos(100_000 * 10000.0 ** (-np.arange(0, 64, 2) / 64))
    np.testing.assert_allclose(cos[100_000, :32], exact, atol=1e-7)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (6, 1)])
def test_attention_by_hand(heads: int, kv_heads: int) -> None:
    config = ModelConfig(
        vocab_size=9, hidden_size=10, num_layers=1, num_heads=heads, num_kv_heads=kv_heads, head_dim=4, context_length=5
    )
    attention = Attention(config)
    w = random_parameters(attention)
    x = np.random.default_rng(3).normal(size=(5, 10))
    cos, sin = rotary_tables(5, 4, config.rope_theta)

    gathered = []
    for head in range(heads):
        shared = head // (heads // kv_heads)
        mine, theirs = slice(head * 4, head * 4 + 4), slice(shared * 4, shared * 4 + 4)
        q = turned(rms_norm(x @ w["q_proj.weight"][mine].T, w["q_norm.weight"], config.norm_eps), config.rope_theta)
        k = turned(rms_norm(x @ w["k_proj.weight"][theirs].T, w["k_norm.weight"], config.norm_eps), config.rope_theta)
        v = x @ w["v_proj.weight"][theirs].T
        scores = np.where(np.tri(5, dtype=bool), q @ k.T / np.sqrt(4), -np.inf)
        gathered.append(softmax(scores) @ v)
    expected = np.concatenate(gathered, axis=1) @ w["o_proj.weight"].T

    ours = attention(torch.tensor(x)[None], cos.double(), sin.double(), 0, None)[0].detach()
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_swiglu_by_hand() -> None:
    config = ModelConfig(
        vocab_size=9, hidden_size=6, num_layers=1, num_heads=1, head_dim=6, intermediate_size=7, context_length=4
    )
    part = FeedForward(config)
    w = random_parameters(part)
    x = np.random.default_rng(4).normal(size=(3, 6))
    gate = x @ w["gate_proj.weight"].T
    expected = (gate / (1 + np.exp(-gate)) * (x @ w["up_proj.weight"].T)) @ w["down_proj.weight"].T
    np.testing.assert_allclose(part(torch.tensor(x)).detach(), expected, rtol=1e-12)
