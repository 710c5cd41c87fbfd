"""Attention over the words of a text, with small random numbers in place of learned ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quire.scratch.embedding import embed
from quire.scratch.explain.attentions import attention
from quire.scratch.explain.explanation import Explanation

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
    if num_heads < 1 or width < 2 or width % (2 * num_heads):
        raise ValueError(
            f"a width of {width} cannot be cut into {num_heads} head{'' if num_heads == 1 else 's'} of an even width"
        )
    if groups < 1 or num_heads % groups:
        raise ValueError(
            f"{num_heads} query heads cannot be shared out over {groups} key and value heads: {groups} must divide them"
        )
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


def _decimals(generator: np.random.Generator, rows: int, columns: int, size: float) -> Array:
    """Random numbers with one decimal; 0.0 added turns -0 into 0."""
    return np.round(generator.standard_normal((rows, columns)) * size, 1) + 0.0
