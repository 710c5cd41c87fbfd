"""Predicted memory beside what autograd and the optimizers really keep, and its sums and shards."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch

from quire.model import loss
from quire.model.config import ModelConfig
from quire.model.size import count_parameters
from quire.model.transformer import Transformer
from quire.training import footprint
from quire.training.footprint import (
    block_activations,
    block_parameters,
    logits_bytes,
    matrix_parameters,
    memory,
    table_parameters,
)
from quire.training.optimizer import Optimizer, OptimizerSettings

SHAPE = {"vocab_size": 512, "hidden_size": 128, "num_heads": 4, "context_length": 64}
GPT2 = ModelConfig(vocab_size=50257, hidden_size=768, num_layers=12, num_heads=12, context_length=1024)


def shaped(num_layers: int, **over: Any) -> ModelConfig:
    return ModelConfig(num_layers=num_layers, **{**SHAPE, **over})


def saved_bytes(config: ModelConfig, rows: int, precision: str) -> int:
    """Bytes of all tensors that a forward pass keeps for the backward pass, but for weights and copies of them."""
    model = Transformer(config)
    tokens = torch.randint(config.vocab_size, (rows, config.context_length))
    shapes = {tuple(p.shape) for p in model.parameters()} | {
        tuple(p.mT.shape) for p in model.parameters() if p.ndim == 2
    }
    whole = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in whole and not (tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in shapes):
            kept[place] = tensor
        return tensor

    half = torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), half:
        model.loss(tokens, torch.randint(config.vocab_size, tokens.shape))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("over", [{}, {"num_kv_heads": 2}, {"num_kv_heads": 1, "head_dim": 64}, {"qk_norm": False}])
def test_a_block_keeps_what_is_predicted(precision: str, over: dict[str, Any]) -> None:
    rows = 3
    two, three = (saved_bytes(shaped(layers, **over), rows, precision) for layers in (2, 3))
    measured = (three - two) / (rows * SHAPE["context_length"])
    predicted = block_activations(shaped(1, **over), precision, device="cpu")
    assert measured == pytest.approx(predicted, rel=0.02)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_the_optimizer_keeps_what_is_predicted(kind: Any) -> None:
    config = shaped(2)
    model = Transformer(config)
    optimizer = Optimizer(model, OptimizerSettings(kind=kind))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    kept = sum(tensor.nbytes for tensor in optimizer.state_tensors().values() if tensor.ndim)
    predicted = memory(config, 1, optimizer=kind)
    assert kept == predicted.optimizer
    assert sum(p.nbytes for p in model.parameters()) == predicted.weights == predicted.gradients


def test_gpt2_small_by_hand() -> None:
    """123,551,232 parameters of 4 bytes, three or four times; 84,934,656 of them in the matrices of blocks."""
    parameters, matrices = 123_551_232 + 12 * 2 * 64, 12 * (4 * 768**2 + 3 * 768 * 2048)
    assert count_parameters(GPT2) == parameters
    assert matrix_parameters(GPT2) == matrices == 84_934_656
    assert table_parameters(GPT2) == 50257 * 768
    found = memory(GPT2, 4, optimizer="adamw")
    assert found.weights == found.gradients == 4 * parameters
    assert found.optimizer == 8 * parameters
    assert found.copies == 2 * (matrices + 50257 * 768)
    # Bytes a token: the stream, queries, keys and values, four rows of the feed-forward part, a number for each row
    # that is normalised and each head.
    each = (8 + 10) * 768 + (8 + 4 + 4 + 2) * 768 + 8 * 2048 + 4 * (2 + 24 + 12)
    assert block_activations(GPT2, "bfloat16") == each
    assert found.activations == 4096 * (12 * each + 6 * 768)
    assert found.logits == 12 * 50257 * 4096
    assert found.update == 0
    assert found.total == 16 * parameters + found.copies + found.activations + found.logits
    assert memory(GPT2, 4, optimizer="muon").optimizer == 8 * parameters - 4 * matrices


def test_shards_add_up_to_the_whole() -> None:
    whole, eighth = (memory(GPT2, 4, shards=shards) for shards in (1, 8))
    for name in ("weights", "gradients", "optimizer", "update"):
        assert 8 * getattr(eighth, name) == getattr(whole, name)
    assert eighth.activations == whole.activations
    assert eighth.logits == whole.logits
    assert eighth.gathered > 0 == whole.gathered
    assert 0 == eighth.copies < whole.copies


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("shards", [1, 4])
def test_the_parts_sum_to_the_peak(checkpointing: bool, shards: int) -> None:
    found = memory(GPT2, 2, checkpointing=checkpointing, shards=shards)
    passes = found.copies + found.gathered + found.activations + found.logits
    state = found.weights + found.gradients + found.optimizer
    assert found.total == state + max(passes, found.update)
    assert found.to_json()["total"] == found.total


def test_checkpointing_keeps_one_block_and_the_inputs_of_all() -> None:
    kept, again = (memory(GPT2, 2, checkpointing=value) for value in (False, True))
    tokens, each = 2048, block_activations(GPT2, "bfloat16")
    assert kept.activations - again.activations == tokens * (11 * each - 12 * 4 * 768)
    assert kept.weights == again.weights


def test_twice_the_windows_are_twice_the_activations() -> None:
    one, two = memory(GPT2, 1), memory(GPT2, 2)
    assert two.activations == 2 * one.activations
    assert two.logits == 2 * one.logits
    assert two.state == one.state


def test_logits_in_chunks_hardly_grow_with_the_tokens() -> None:
    few, many = logits_bytes(GPT2, 2**14), logits_bytes(GPT2, 2**16)
    assert few < 12 * GPT2.vocab_size * 2**14
    assert many - few <= 8 * GPT2.hidden_size * (2**16 - 2**14)


def test_the_parts_of_a_model_are_its_parameters() -> None:
    for config in (GPT2, shaped(3, tie_embeddings=False, num_kv_heads=1)):
        blocks = config.num_layers * block_parameters(config)
        assert blocks + table_parameters(config) + config.hidden_size == count_parameters(config)


def test_chunks_of_logits_are_those_of_the_loss() -> None:
    assert footprint.WHOLE_LOGITS == {"cuda": loss.WHOLE_BYTES_ELSEWHERE, **loss.WHOLE_BYTES}
    assert footprint.LOGITS_CHUNK == {"cuda": loss.CHUNK_BYTES_ELSEWHERE, **loss.CHUNK_BYTES}
