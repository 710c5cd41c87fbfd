"""How well a model predicts text: nats a token, bits a byte, perplexity, and how often its first guess is right.

With p(t) the probability the model gave to a token that then came, over N tokens that stand for M bytes of UTF-8:

- `nats` = -sum ln p(t); nats per token = nats / N; perplexity = exp(nats / N)
- bits per byte = nats / (M ln 2), which does not depend on the tokenizer: the figure to compare models by
- accuracy = the share of tokens to which the model gave the highest probability of all
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from quire.errors import QuireError, UsageError
from quire.model.transformer import Transformer
from quire.tokens.batches import IGNORED, Batch, TokenRow, evaluation_batches
from quire.tokens.tokenizer import Tokenizer

# The logits of a batch, (B, T, V) in float32, are kept under this many bytes: larger batches were no faster on a CPU.
_LOGITS_BYTES = {"cpu": 64 << 20}
_LOGITS_BYTES_ELSEWHERE = 1 << 30


@dataclass(frozen=True)
class Score:
    """What a model made of some text.

    Attributes:
        nats: the sum of -ln p over all tokens scored.
        tokens: how many tokens were scored.
        bytes: the UTF-8 bytes they stand for; an end-of-text counts as a token of no bytes.
        correct: how many of them the model held most likely.
    """

    nats: float
    tokens: int
    bytes: int
    correct: int

    @property
    def nats_per_token(self) -> float:
        """The mean loss: cross-entropy in nats."""
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        """How many bits a byte of the text would cost if it were compressed with this model."""
        return self.nats / (self.bytes * math.log(2)) if self.bytes else math.nan

    @property
    def perplexity(self) -> float:
        """Among how many equally likely tokens the model chose, so to say; inf where it is beyond a float."""
        return math.exp(self.nats_per_token) if self.nats_per_token < 709 else math.inf

    @property
    def accuracy(self) -> float:
        """The share of tokens that the model held most likely, 0 to 1."""
        return self.correct / self.tokens

    def __add__(self, other: Score) -> Score:
        """Return the score of both texts together."""
        return Score(
            self.nats + other.nats, self.tokens + other.tokens, self.bytes + other.bytes, self.correct + other.correct
        )


def score(
    model: Transformer,
    tokenizer: Tokenizer,
    texts: str | Sequence[str],
    *,
    stride: int | None = None,
    batch_size: int | None = None,
) -> Score:
    """Score texts, each by itself: predicted from an end-of-text before it and from its own tokens alone.

    The end of a text is not scored, as the text may be an excerpt.

    Args:
        model: on any device; its mode, training or not, is given back as it was.
        tokenizer: the model's.
        texts: one or more, not all empty.
        stride: see `quire.tokens.batches.evaluation_batches`; a smaller one gives tokens more context.
        batch_size: rows at once; by default as many as memory is well used by.

    Raises:
        QuireError: there is no text to score.
        UsageError: the stride is not between 1 and the model's context length.
    """
    encoded = tokenizer.encode_batch([texts] if isinstance(texts, str) else list(texts))
    rows = [_Row(np.array(ids, dtype=np.int64), tokenizer.end_of_text) for ids in encoded if ids]
    if not rows:
        raise QuireError("there is no text to score")
    scores = [score_split(model, tokenizer, row, stride=stride, batch_size=batch_size) for row in rows]
    return sum(scores[1:], scores[0])


def score_split(
    model: Transformer,
    tokenizer: Tokenizer,
    split: TokenRow,
    *,
    stride: int | None = None,
    batch_size: int | None = None,
) -> Score:
    """Score every token of a split, end-of-texts included, in windows of the model's context length.

    Arguments and errors are those of `score`.
    """
    context = min(model.config.context_length, max(split.num_tokens, stride or 1))
    if stride is not None and stride > context:
        raise UsageError(f"stride = {stride}: it must be between 1 and the context length, {context}")
    if batch_size is None:
        device = next(model.parameters()).device.type
        row_bytes = 4 * context * model.config.vocab_size
        batch_size = min(256, max(1, _LOGITS_BYTES.get(device, _LOGITS_BYTES_ELSEWHERE) // row_bytes))
        batch_size = min(batch_size, -(-split.num_tokens // (stride or context)))
    return score_batches(model, tokenizer, evaluation_batches(split, context, batch_size, stride))


def score_batches(model: Transformer, tokenizer: Tokenizer, batches: Iterable[Batch]) -> Score:
    """Score the targets of `batches`, of which there must be one at least.

    Raises:
        QuireError: there is no target.
    """
    device = next(model.parameters()).device
    lengths = tokenizer.token_lengths()  # (V,)
    nats, tokens, num_bytes, correct = 0.0, 0, 0, 0
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                inputs = torch.from_numpy(batch.inputs).to(device)  # (B, T)
                targets = torch.from_numpy(batch.targets).to(device)  # (B, T)
                scored = targets != IGNORED
                logits = model(inputs)[scored].float()  # (targets, V)
                targets = targets[scored]
                each = F.cross_entropy(logits, targets, reduction="none")
                # Summed in float64: a million losses in float32 would lose the last digits that are printed.
                nats += float(each.cpu().double().sum())
                correct += int((logits.argmax(-1) == targets).sum())
                tokens += len(targets)
                num_bytes += int(lengths[batch.targets[batch.targets != IGNORED]].sum())
    finally:
        model.train(was_training)
    if not tokens:
        raise QuireError("there is no token to score")
    return Score(nats, tokens, num_bytes, correct)


@dataclass(frozen=True)
class _Row:
    ids: np.ndarray[Any, np.dtype[np.int64]]
    end_of_text: int

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    def tokens(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        return self.ids[start:stop]
