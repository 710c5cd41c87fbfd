"""Scores against the same sums by hand, and the laws of adding them up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from quire.errors import QuireError, UsageError
from quire.evaluation import Score, score, score_batches, score_split
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.batches import Batch, evaluation_batches
from quire.tokens.tokenizer import Tokenizer

TEXT = "A quire is a folded stack of pages. Größe, 漢字: naïve 🙂.\n" * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([TEXT], 300)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(
        ModelConfig(vocab_size=tokenizer.vocab_size, hidden_size=16, num_layers=2, num_heads=2, context_length=16)
    )
    with torch.no_grad():  # a fresh model is the identity: give every matrix something to do
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.train()


def by_hand(model: Transformer, ids: list[int], before: int) -> tuple[float, int]:
    """Each token alone, in NumPy and float64, from all that stands before it in a window of 16."""
    nats, correct = 0.0, 0
    for at, token in enumerate(ids):
        seen = ([before, *ids])[at // 16 * 16 : at + 1]
        with torch.no_grad():
            logits = model(torch.tensor([seen]))[0, -1].double().numpy()
        shifted = logits - logits.max()
        probabilities = np.exp(shifted) / np.exp(shifted).sum()
        nats -= math.log(probabilities[token])
        correct += int(probabilities.argmax() == token)
    return nats, correct


def test_a_score_is_the_sum_by_hand(model: Transformer, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT)
    assert len(ids) % 16  # the last window is short
    nats, correct = by_hand(model.eval(), ids, tokenizer.end_of_text)
    result = score(model, tokenizer, TEXT)
    assert result.nats == pytest.approx(nats, rel=1e-5)
    assert result.correct == correct
    assert result.tokens == len(ids)
    assert result.bytes == len(TEXT.encode())


def test_the_conversions_are_their_formulas() -> None:
    result = Score(nats=120.0, tokens=40, bytes=100, correct=10)
    assert result.nats_per_token == 3.0
    assert result.perplexity == pytest.approx(np.exp(3.0))
    assert result.bits_per_byte == pytest.approx(np.log2(np.exp(120.0)) / 100)
    assert result.accuracy == 0.25
    assert Score(1e6, 1, 1, 0).perplexity == math.inf
    assert math.isnan(Score(1.0, 1, 0, 0).bits_per_byte)


def test_a_uniform_model_needs_the_logarithm_of_its_vocabulary(tokenizer: Tokenizer) -> None:
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=8,
        num_layers=1,
        num_heads=1,
        context_length=8,
        tie_embeddings=False,
    )
    result = score(Transformer(config), tokenizer, TEXT)  # a fresh untied head is zero
    assert result.perplexity == pytest.approx(tokenizer.vocab_size, rel=1e-5)
    assert result.bits_per_byte == pytest.approx(math.log2(tokenizer.vocab_size) * result.tokens / len(TEXT.encode()))


@pytest.mark.parametrize("batch_size", [1, 2, 7])
@pytest.mark.parametrize("stride", [None, 16, 5])
def test_the_batch_size_changes_nothing(
    model: Transformer, tokenizer: Tokenizer, batch_size: int, stride: int | None
) -> None:
    one = score(model, tokenizer, TEXT, stride=stride, batch_size=1)
    many = score(model, tokenizer, TEXT, stride=stride, batch_size=batch_size)
    default = score(model, tokenizer, TEXT, stride=stride)
    for other in (many, default):
        assert other.nats == pytest.approx(one.nats, rel=1e-5)
        assert (other.tokens, other.bytes) == (one.tokens, one.bytes)


def test_a_stride_of_one_sees_the_full_context(model: Transformer, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT)
    model.eval()
    nats = 0.0
    for at in range(len(ids)):
        seen = ([tokenizer.end_of_text, *ids])[max(0, at - 15) : at + 1]
        with torch.no_grad():
            nats -= float(model(torch.tensor([seen]))[0, -1].double().log_softmax(-1)[ids[at]])
    assert score(model, tokenizer, TEXT, stride=1).nats == pytest.approx(nats, rel=1e-5)


def test_texts_are_scored_apart_and_add_up(model: Transformer, tokenizer: Tokenizer) -> None:
    texts = [TEXT, "short", "é", ""]
    apart = [score(model, tokenizer, text) for text in texts if text]
    together = score(model, tokenizer, texts)
    assert together.nats == pytest.approx(sum(one.nats for one in apart))
    assert together.tokens == sum(one.tokens for one in apart)
    assert together.bytes == sum(len(text.encode()) for text in texts)
    assert together == apart[0] + apart[1] + apart[2]


def test_a_split_counts_its_ends_as_tokens_without_bytes(model: Transformer, tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode("One text."), tokenizer.end_of_text, *tokenizer.encode("Two."), tokenizer.end_of_text]

    class Row:
        num_tokens = len(ids)
        end_of_text = tokenizer.end_of_text

        def tokens(self, start: int, stop: int) -> np.ndarray:
            return np.array(ids[start:stop])

    result = score_split(model, tokenizer, Row())
    assert result.tokens == len(ids)
    assert result.bytes == len(b"One text.Two.")
    nats, _ = by_hand(model.eval(), ids, tokenizer.end_of_text)
    assert result.nats == pytest.approx(nats, rel=1e-5)
    assert score_batches(model, tokenizer, evaluation_batches(Row(), 16, 2)).nats == pytest.approx(nats, rel=1e-5)


def test_the_model_is_left_as_it_was(model: Transformer, tokenizer: Tokenizer) -> None:
    for training in (True, False):
        model.train(training)
        score(model, tokenizer, TEXT)
        assert model.training is training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_dropout_does_not_touch_a_score(tokenizer: Tokenizer) -> None:
    torch.manual_seed(1)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_layers=1, num_heads=2, context_length=16, dropout=0.5
    )
    model = Transformer(config).train()
    assert score(model, tokenizer, TEXT) == score(model, tokenizer, TEXT)


def test_nothing_to_score_is_refused(model: Transformer, tokenizer: Tokenizer) -> None:
    with pytest.raises(QuireError, match="no text to score"):
        score(model, tokenizer, ["", ""])
    with pytest.raises(QuireError, match="no token to score"):
        score_batches(model, tokenizer, [Batch(np.zeros((1, 2), dtype=np.int64), np.full((1, 2), -100))])
    for stride in (0, 17):
        with pytest.raises(UsageError, match="between 1 and the context length, 16"):
            score(model, tokenizer, TEXT, stride=stride)
