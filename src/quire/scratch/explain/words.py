"""Attention and a whole transformer over the words of a text, with small random numbers in place of learned ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quire.scratch.embedding import embed
from quire.scratch.explain.attentions import attention
from quire.scratch.explain.caches import cached_step
from quire.scratch.explain.explanation import Explanation
from quire.scratch.explain.transformers import transformer
from quire.scratch.transformer import EMBEDDING, Transformer, TransformerConfig

Array = NDArray[np.float64]


def attention_of_words(
    words: Sequence[str],
    *,
    width: int = 4,
    num_heads: int = 1,
    num_kv_heads: int | None = None,
    seed: int = 0,
    rotary: bool = True,
) -> Explanation:
    """Work out attention over words whose embeddings and weights are random numbers of one decimal.

    Args:
        words: the tokens; the same word has the same embedding.
        width: D; each head is D / H wide, which must be even.
        num_heads: H.
        num_kv_heads: G, divides H; None is as many as heads.
        seed: of the random numbers.
        rotary: whether queries and keys are turned by their position.

    Raises:
        ValueError: there is no word, or the numbers do not fit one another.
    """
    if not words:
        raise ValueError("there is no word")
    groups = num_heads if num_kv_heads is None else num_kv_heads
    _fitting(width, num_heads, groups)
    generator = np.random.default_rng(seed)
    vocabulary = list(dict.fromkeys(words))
    table = _decimals(generator, len(vocabulary), width, 1.0)  # (V, D)
    x, _ = embed([vocabulary.index(word) for word in words], table)  # (T, D)
    shared = width // num_heads * groups
    queries, keys, values, output = (
        _decimals(generator, rows, width, width**-0.5) for rows in (width, shared, shared, width)
    )
    return attention(
        x,
        queries,
        keys,
        values,
        output,
        num_heads=num_heads,
        num_kv_heads=groups,
        rotary=rotary,
        names=words,
        note=f"Embeddings and weights are random numbers (seed {seed}), not learned ones: the arithmetic is that of a "
        "model, what the words look at means nothing.",
    )


def transformer_of_words(
    words: Sequence[str],
    *,
    width: int = 4,
    num_layers: int = 1,
    num_heads: int = 2,
    num_kv_heads: int | None = None,
    hidden: int = 4,
    qk_norm: bool = False,
    seed: int = 0,
    cached: bool = False,
) -> Explanation:
    """Work out a transformer over words, whose weights are random numbers of one decimal.

    Args:
        words: the tokens; the different ones are the vocabulary. The last is what should come next.
        width: D.
        num_layers: number of blocks.
        num_heads: H; each head is D / H wide, which must be even.
        num_kv_heads: G, divides H; None is as many as heads.
        hidden: F, width inside the feed-forward part.
        qk_norm: whether queries and keys are normalised per head.
        seed: of the random numbers.
        cached: work out the step of generation that reads the last word, with the cache of those before.

    Raises:
        ValueError: there are not at least two words, or the numbers do not fit one another.
    """
    if len(words) < 2:
        raise ValueError(
            "at least two words are needed: " + ("one to be read before" if cached else "the last is the target")
        )
    _fitting(width, num_heads, num_heads if num_kv_heads is None else num_kv_heads)
    vocabulary = list(dict.fromkeys(words))
    config = TransformerConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads or num_heads,
        intermediate_size=hidden,
        context_length=len(words),
        qk_norm=qk_norm,
    )
    generator = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    for name, shape in config.weight_shapes().items():
        if len(shape) == 1:
            weights[name] = np.ones(shape)
        else:
            size = 1.0 if name == EMBEDDING else shape[1] ** -0.5
            weights[name] = _decimals(generator, shape[0], shape[1], size)
    model = Transformer(config, weights)
    ids = [vocabulary.index(word) for word in words]
    note = (
        f"All weights are random numbers (seed {seed}), not learned ones: the arithmetic is that of a model, "
        "its prediction means nothing."
    )
    if cached:
        return cached_step(model, ids, names=vocabulary, note=note)
    return transformer(model, ids[:-1], ids[-1], names=vocabulary, note=note)


def _fitting(width: int, heads: int, groups: int) -> None:
    if heads < 1 or width < 2 or width % (2 * heads):
        raise ValueError(
            f"a width of {width} cannot be cut into {heads} head{'' if heads == 1 else 's'} of an even width"
        )
    if groups < 1 or heads % groups:
        raise ValueError(
            f"{heads} query heads cannot be shared out over {groups} key and value heads: {groups} must divide them"
        )


def _decimals(generator: np.random.Generator, rows: int, columns: int, size: float) -> Array:
    """Random numbers with one decimal; 0.0 added turns -0 into 0."""
    return np.round(generator.standard_normal((rows, columns)) * size, 1) + 0.0
