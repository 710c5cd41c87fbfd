"""Attention of 16-bit numbers on a CPU: PyTorch's own forward pass, and gradients that round less than PyTorch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from quire.model.attention import CausalAttention16
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer

SHAPE = (3, 4, 40, 16)  # (B, H, T, K)


def gradients(attend, parts, dtype, gradient):
    own = [part.to(dtype, copy=True).requires_grad_() for part in parts]
    result = attend(*own)
    result.backward(gradient.to(dtype))
    return result.detach(), [part.grad.double() for part in own]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_forward_is_pytorch_s_and_gradients_are_nearer_to_the_exact_ones(dtype):
    torch.manual_seed(0)
    parts = [torch.randn(SHAPE).to(dtype) for _ in range(3)]
    gradient = torch.randn(SHAPE).to(dtype)

    def torch_s(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    _, exact = gradients(torch_s, parts, torch.float64, gradient)
    theirs, rough = gradients(torch_s, parts, dtype, gradient)
    ours, fine = gradients(CausalAttention16.apply, parts, dtype, gradient)
    assert torch.equal(ours, theirs)
    for mine, other, true in zip(fine, rough, exact, strict=True):
        error = (mine - true).norm() / true.norm()
        assert error <= 1.01 * (other - true).norm() / true.norm()
        assert error < 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_a_model_under_autocast_trains_with_it_eager_and_in_groups(kv_heads):
    torch.manual_seed(1)
    config = ModelConfig(
        vocab_size=50, hidden_size=64, num_layers=2, num_heads=4, num_kv_heads=kv_heads, context_length=32
    )
    model = Transformer(config)
    for parameter in model.parameters():  # the projections to the stream begin as zeros
        torch.nn.init.normal_(parameter, std=0.1)
    tokens = torch.randint(50, (3, 32))
    model.loss(tokens, tokens).backward()
    exact = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss(tokens, tokens)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad - exact[name]).norm() < 0.1 * exact[name].norm(), name
