"""Looking at a model while it trains: its loss on the validation text, without touching the training itself."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import torch

from quire.evaluation import Score, score_batches
from quire.model.transformer import Transformer
from quire.tokens.batches import Batch, evaluation_batches
from quire.tokens.dataset import TokenDataset
from quire.training.distributed import ALONE, Ranks
from quire.training.precision import MixedPrecision


@contextlib.contextmanager
def quietly(model: Transformer) -> Iterator[None]:
    """Evaluation mode, without gradients, and without touching the random numbers that training will draw."""
    device = model.cos.device
    # A sharded model gathers its weights into buffers that training uses again: they must not be of inference mode.
    ungraded = torch.no_grad() if hasattr(model, "unshard") else torch.inference_mode()
    with torch.random.fork_rng([device] if device.type == "cuda" else []), ungraded:
        model.eval()
        try:
            yield
        finally:
            model.train()


def validate(
    model: Transformer,
    data: TokenDataset,
    precision: MixedPrecision,
    rows: int,
    tokens: int | None = None,
    ranks: Ranks = ALONE,
) -> tuple[float, float]:
    """Return the validation loss in nats a token, and in bits per byte of text.

    Args:
        model: is back in training mode afterwards.
        data: its validation split is scored.
        precision: the number format to score in.
        rows: windows at once.
        tokens: about how many tokens to use, taken evenly from the whole; None uses all.
        ranks: who takes part: each scores its share, and all get the score of the whole.
    """
    batches = list_evenly(
        evaluation_batches(data.validation, model.config.context_length, rows), data.validation.num_tokens, tokens
    )
    with quietly(model), precision.autocast():
        score = _score_shares(model, data, batches, ranks)
    return score.nats_per_token, score.bits_per_byte


def _score_shares(model: Transformer, data: TokenDataset, batches: Iterator[Batch], ranks: Ranks) -> Score:
    """Score every W-th of `batches` on this rank; return the score of all, with the same bits on every rank."""
    if ranks.count == 1:
        return score_batches(model, data.tokenizer, batches)
    mine: list[Score] = []
    while turn := list(itertools.islice(batches, ranks.count)):
        # A sharded model needs all ranks in each pass: those that have no batch left go over the first one for nothing.
        score = score_batches(model, data.tokenizer, [turn[ranks.rank if ranks.rank < len(turn) else 0]])
        mine += [score] if ranks.rank < len(turn) else []
    parts = ranks.gather(lambda: mine)
    scores = [score for part in parts for score in part]
    return sum(scores[1:], scores[0])


def list_evenly(batches: Iterator[Batch], available: int, wanted: int | None) -> Iterator[Batch]:
    """Yield about `wanted` tokens' worth of `batches`, every k-th one; all of them where `wanted` is None."""
    every = 1 if wanted is None else max(1, round(available / wanted))
    for number, batch in enumerate(batches):
        if number % every == 0:
            yield batch
