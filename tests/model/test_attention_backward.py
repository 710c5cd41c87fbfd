"""Attention of training on a CPU: what PyTorch's own gives, no less exact than PyTorch's in any number format."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from quire.model.attention import CausalAttention
from quire.model.config import ModelConfig
from quire.model.size import query_blocks
from quire.model.transformer import Transformer


def gradients(attend, parts, dtype, gradient):
    own = [part.to(dtype, copy=True).requires_grad_() for part in parts]
    result = attend(*own)
    result.backward(gradient.to(dtype))
    return [result.detach().double(), *(part.grad.double() for part in own)]


@pytest.mark.parametrize("context", [1, 2, 3, 31, 40, 64, 130, 257])
def test_blocks_of_queries_are_all_of_them_once(context):
    blocks = query_blocks(context)
    assert [place for start, end in blocks for place in range(start, end)] == list(range(context))
    assert len(blocks) <= 4


@pytest.mark.parametrize("context", [1, 2, 7, 40, 130])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_it_is_pytorch_s_attention_and_no_less_exact(dtype, context):
    torch.manual_seed(0)
    shape = (3, 4, context, 16)  # (B, H, T, K)
    parts = [torch.randn(shape).to(dtype) for _ in range(3)]
    gradient = torch.randn(shape).to(dtype)

    def torch_s(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    exact = gradients(torch_s, parts, torch.float64, gradient)
    rough = gradients(torch_s, parts, dtype, gradient)
    ours = gradients(CausalAttention.apply, parts, dtype, gradient)
    for mine, other, true in zip(ours, rough, exact, strict=True):
        size = true.norm() + 1  # of one token alone the gradients of query and key are zeros
        assert (mine - true).norm() / size <= 1.5 * (other - true).norm() / size + 16 * torch.finfo(dtype).eps


def test_what_comes_later_is_not_seen_however_large_it_is():
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 70, 8) for _ in range(3))
    before = CausalAttention.apply(q, k, v)[:, :, :50]
    k[:, :, 50:], v[:, :, 50:] = 1e4, -1e30
    assert torch.equal(CausalAttention.apply(q, k, v)[:, :, :50], before)


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
