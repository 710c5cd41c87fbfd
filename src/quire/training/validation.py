"""Looking at a model while it trains: its loss on the validation text, without touching the training itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from quire.evaluation import score_batches
from quire.model.transformer import Transformer
from quire.tokens.batches import Batch, evaluation_batches
from quire.tokens.dataset import TokenDataset
from quire.training.precision import MixedPrecision


@contextlib.contextmanager
def quietly(model: Transformer) -> Iterator[None]:
    """Evaluation mode, without gradients, and without touching the random numbers that training will draw."""
    device = model.cos.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.inference_mode():
        model.eval()
        try:
            yield
        finally:
            model.train()


def validate(
    model: Transformer, data: TokenDataset, precision: MixedPrecision, rows: int, tokens: int | None = None
) -> tuple[float, float]:
    """Return the validation loss in nats a token, and in bits per byte of text.

    Args:
        model: is back in training mode afterwards.
        data: its validation split is scored.
        precision: the number format to score in.
        rows: windows at once.
        tokens: about how many tokens to use, taken evenly from the whole; None uses all.
    """
    batches = list_evenly(
        evaluation_batches(data.validation, model.config.context_length, rows), data.validation.num_tokens, tokens
    )
    with quietly(model), precision.autocast():
        score = score_batches(model, data.tokenizer, batches)
    return score.nats_per_token, score.bits_per_byte


def list_evenly(batches: Iterator[Batch], available: int, wanted: int | None) -> Iterator[Batch]:
    """Yield about `wanted` tokens' worth of `batches`, every k-th one; all of them where `wanted` is None."""
    every = 1 if wanted is None else max(1, round(available / wanted))
    for number, batch in enumerate(batches):
        if number % every == 0:
            yield batch
