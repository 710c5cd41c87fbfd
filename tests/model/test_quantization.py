"""Laws of weights as integers: how far they may be off, that nothing is rounded twice, and where each bit lies."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from quire.errors import QuireError, UsageError
from quire.model.cache import KVCache
from quire.model.quantization import (
    QuantizedEmbedding,
    QuantizedLinear,
    dequantize_int4,
    dequantize_int8,
    load_weights,
    num_bytes,
    quantize,
    quantize_int4,
    quantize_int8,
)
from quire.model.transformer import Transformer

Make = Callable[..., Transformer]
TOKENS = torch.randint(0, 61, (3, 24), generator=torch.Generator().manual_seed(5))
BY_HAND = torch.tensor([[0.5, 1.27, -0.3, 0.0], [2.0, 1.0, -4.0, 0.8]])


@st.composite
def matrices(draw: st.DrawFn) -> torch.Tensor:
    """Draw a matrix of any shape and scale, some with zeros, and with numbers far larger than the rest."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 70))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    matrix = torch.randn(rows, columns, generator=generator) * 10 ** draw(st.floats(-8, 8))
    if draw(st.booleans()):
        matrix[torch.rand(matrix.shape, generator=generator) < 0.5] = 0
    if draw(st.booleans()):
        matrix[0] *= 1000
        matrix[-1] = 0
    return matrix


@given(matrices())
def test_int8_is_off_by_half_a_step_at_most(weight: torch.Tensor) -> None:
    values, scales = quantize_int8(weight)
    assert values.dtype == torch.int8
    assert int(values.min()) >= -127
    assert values.shape == weight.shape
    assert scales.shape == (len(weight),)
    off = (dequantize_int8(values, scales).double() - weight.double()).abs()
    assert bool((off <= scales[:, None].double() / 2 * (1 + 1e-4)).all())


@given(matrices(), st.sampled_from([2, 4, 32]))
def test_int4_is_off_by_half_a_step_where_it_reaches_and_by_one_elsewhere(weight: torch.Tensor, group: int) -> None:
    values, scales = quantize_int4(weight, group)
    groups = -(-weight.shape[1] // group)
    assert values.dtype == torch.uint8
    assert values.shape == (len(weight), groups * group // 2)
    assert scales.shape == (len(weight), groups)
    steps = scales.double().repeat_interleave(group, 1)[:, : weight.shape[1]]
    off = (dequantize_int4(values, scales, weight.shape[1]).double() - weight.double()).abs()
    reached = weight.double() * steps.sign() <= 7.5 * steps.abs()
    assert bool((off[reached] <= steps.abs()[reached] / 2 * (1 + 1e-5)).all())
    assert bool((off <= steps.abs() * (1 + 1e-5)).all())


@given(matrices())
def test_what_was_rounded_is_not_rounded_again(weight: torch.Tensor) -> None:
    values, scales = quantize_int8(weight)
    again, _ = quantize_int8(dequantize_int8(values, scales))
    assert torch.equal(again, values)
    values, scales = quantize_int4(weight)
    matrix = dequantize_int4(values, scales, weight.shape[1])
    again, scales_again = quantize_int4(matrix)
    assert torch.equal(dequantize_int4(again, scales_again, weight.shape[1]), matrix)
    assert torch.equal(again, values)
    assert torch.equal(scales_again, scales)


@given(matrices(), st.integers(0, 1000))
def test_a_product_is_off_by_half_a_step_for_each_number_of_the_input(weight: torch.Tensor, seed: int) -> None:
    x = torch.randn(weight.shape[1], generator=torch.Generator().manual_seed(seed)).double()
    values, scales = quantize_int8(weight)
    off = (dequantize_int8(values, scales).double() @ x - weight.double() @ x).abs()
    assert bool((off <= scales.double() / 2 * x.abs().sum() * (1 + 1e-4)).all())


def test_a_matrix_on_the_grid_comes_back_exactly() -> None:
    integers = torch.randint(-127, 128, (6, 40), generator=torch.Generator().manual_seed(1))
    integers[:, 0] = 127
    weight = integers * torch.tensor([2.0**power for power in range(-3, 3)])[:, None]
    values, scales = quantize_int8(weight)
    assert torch.equal(values, integers.to(torch.int8))
    assert torch.equal(dequantize_int8(values, scales), weight)
    integers = torch.randint(-8, 8, (6, 40), generator=torch.Generator().manual_seed(1))
    integers[:, [0, 39]] = -8
    weight = integers * torch.tensor([2.0**power for power in range(-3, 3)])[:, None]
    assert torch.equal(dequantize_int4(*quantize_int4(weight), 40), weight)


def test_two_rows_by_hand() -> None:
    values, scales = quantize_int8(BY_HAND)
    torch.testing.assert_close(scales, torch.tensor([1.27 / 127, 4 / 127]))
    assert values.tolist() == [[50, 127, -30, 0], [64, 32, -127, 25]]  # 63.5 and 31.75, 25.4
    packed, scales = quantize_int4(BY_HAND, 4)
    torch.testing.assert_close(scales, torch.tensor([[-0.15875], [0.5]]))
    # -3.15, -8, 1.89, 0 and 4, 2, -8, 1.6; each plus 8, the first two in the low halves
    assert packed.tolist() == [[5 | 10 << 4, 0 | 8 << 4], [12 | 0 << 4, 10 | 10 << 4]]


def test_halves_go_to_the_even_integer() -> None:
    assert quantize_int8(torch.tensor([[127.0, 0.5, 1.5, -2.5]]))[0].tolist() == [[127, 0, 2, -2]]
    packed, scales = quantize_int4(torch.tensor([[-8.0, 0.5, 1.5, -2.5]]), 4)
    assert dequantize_int4(packed, scales, 4).tolist() == [[-8, 0, 2, -2]]


def test_byte_j_holds_integer_j_and_integer_j_plus_16() -> None:
    integers = torch.tensor([[-8, *range(-7, 8), *range(7, -8, -1), 3], [-8] + [5] * 31]).float()
    packed, scales = quantize_int4(integers)
    assert scales.tolist() == [[1.0], [1.0]]
    for row in range(2):
        for j in range(16):
            byte = int(packed[row, j])
            assert (byte & 15) - 8 == integers[row, j]
            assert (byte >> 4) - 8 == integers[row, j + 16]


def test_zeros_stay_zeros_and_give_no_nan() -> None:
    values, scales = quantize_int8(torch.zeros(2, 3))
    assert values.tolist() == [[0, 0, 0]] * 2
    assert scales.tolist() == [0, 0]
    packed, scales = quantize_int4(torch.zeros(1, 3), 4)
    assert packed.tolist() == [[0x88, 0x88]]
    assert not scales.signbit().any()
    assert dequantize_int4(packed, scales, 3).tolist() == [[0, 0, 0]]
    tiny = torch.full((1, 32), 1e-45)  # the smallest number there is: no scale is smaller
    assert dequantize_int8(*quantize_int8(tiny)).isfinite().all()
    assert dequantize_int4(*quantize_int4(tiny), 32).isfinite().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(bad: float, make_model: Make) -> None:
    for function in (quantize_int8, quantize_int4):
        with pytest.raises(QuireError, match="infinite"):
            function(torch.tensor([[1.0, bad]]))
    model = make_model()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = bad
    with pytest.raises(QuireError, match=r"layers\.1\.mlp\.up_proj\.weight"):
        quantize(model, "int8")
    assert model.weights_kind == "float32"
    assert isinstance(model.model.embed_tokens, nn.Embedding)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_the_modules_are_the_plain_ones_with_the_rounded_matrix(kind: str) -> None:
    weight = torch.randn(10, 45, generator=torch.Generator().manual_seed(2))
    x = torch.randn(2, 3, 45, generator=torch.Generator().manual_seed(3))
    linear = QuantizedLinear(10, 45, kind)  # type: ignore[arg-type]
    assert torch.equal(linear(x), torch.zeros(2, 3, 10))
    linear.fill(weight)
    assert dict(linear.named_buffers()).keys() == {"values", "scales"}
    assert torch.equal(linear(x), F.linear(x, linear.weight))
    assert not torch.equal(linear.weight, weight)
    embedding = QuantizedEmbedding(10, 45, kind)  # type: ignore[arg-type]
    embedding.fill(weight)
    tokens = torch.tensor([[1, 9, 1], [0, 2, 3]])
    assert torch.equal(embedding(tokens), F.embedding(tokens, embedding.weight))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_quantized_model_is_the_one_with_rounded_weights(make_model: Make, kind: str, tied: bool) -> None:
    model = make_model(tie_embeddings=tied)
    small = load_weights(copy.deepcopy(model), kind)
    assert small.weights_kind == kind
    assert not any(isinstance(part, nn.Linear | nn.Embedding) for part in small.modules())
    rounded = copy.deepcopy(model)
    for name, part in small.named_modules():
        if isinstance(part, QuantizedLinear | QuantizedEmbedding):
            rounded.get_parameter(f"{name}.weight").data.copy_(part.weight)
            head = name in ("lm_head", "model.embed_tokens")
            assert part.kind == ("int8" if head else kind)
    with torch.no_grad():
        assert torch.equal(small(TOKENS), rounded(TOKENS))
        assert torch.equal(small.loss(TOKENS, TOKENS), rounded.loss(TOKENS, TOKENS))
        assert not torch.equal(small(TOKENS), model(TOKENS))
        cache = KVCache(small.config, 3, dtype=small.head_weight.dtype)
        steps = [small(TOKENS[:, [at]], cache=cache) for at in range(24)]
        torch.testing.assert_close(torch.cat(steps, 1), small(TOKENS), rtol=0, atol=1e-4)


def test_bytes_are_those_of_integers_scales_and_norms(make_model: Make) -> None:
    model = make_model(hidden_size=64)
    assert num_bytes(model) == 4 * model.num_parameters()
    matrices = [part for part in model.modules() if isinstance(part, nn.Linear)]
    table = 61 * (64 + 4)
    norms = 4 * sum(part.numel() for part in model.parameters() if part.dim() == 1)
    groups = sum(part.out_features * -(-part.in_features // 32) for part in matrices)
    eight = sum(part.out_features * (part.in_features + 4) for part in matrices)
    assert num_bytes(quantize(copy.deepcopy(model), "int8")) == table + norms + eight
    assert num_bytes(quantize(model, "int4")) == table + norms + groups * (16 + 4)


def test_a_quantized_model_is_not_trained(make_model: Make) -> None:
    model = quantize(make_model(), "int8")
    assert not model.training
    model.train(False)
    with pytest.raises(UsageError, match="int8 weights cannot be trained"):
        model.train()
    with pytest.raises(RuntimeError, match="does not require grad"):
        model.loss(TOKENS, TOKENS).backward()  # type: ignore[no-untyped-call]


def test_loading_takes_what_it_can_and_says_what_it_cannot(make_model: Make) -> None:
    model = make_model()
    assert load_weights(model, None) is model
    assert load_weights(model, "float32").weights_kind == "float32"
    assert load_weights(model, "int4") is model
    assert load_weights(model, "int4") is load_weights(model, None) is model
    with pytest.raises(UsageError, match="int4 already"):
        load_weights(model, "int8")
    with pytest.raises(UsageError, match="does not come back"):
        load_weights(model, "float32")
    with pytest.raises(UsageError, match="'int2': known are float32, int8, int4"):
        load_weights(make_model(), "int2")
