"""Embedding: a token is looked up as a row of a table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Tokens = NDArray[np.integer]


class EmbedKept(NamedTuple):
    """What `embed_backward` needs."""

    tokens: Tokens  # (B, T)
    vocab_size: int  # V


def embed(tokens: ArrayLike, table: ArrayLike) -> tuple[Array, EmbedKept]:
    """Return the row of `table` for each token, (B, T, D).

    It is the product of a one-hot row (1 at the token, 0 elsewhere) with the table, without the products by 0.

    Args:
        tokens: token ids (B, T), whole numbers of 0 to V - 1; any other number of dimensions does as well.
        table: a row of D numbers for each token, (V, D).

    Raises:
        ValueError: a token is no whole number, or has no row in the table.
    """
    ids, table = np.asarray(tokens), np.asarray(table, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"the table must be (vocabulary, width), not {table.shape}")
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"token ids must be whole numbers, not {ids.dtype}")
    outside = np.argwhere((ids < 0) | (ids >= len(table)))
    if len(outside):
        place = tuple(int(i) for i in outside[0])
        raise ValueError(
            f"token {ids[place]} at {place} is not in the vocabulary of {len(table)} (0 to {len(table) - 1})"
        )
    return table[ids], EmbedKept(ids, len(table))


def embed_backward(dx: Array, kept: EmbedKept) -> Array:
    """Return dtable (V, D).

    x[b, t] = table[tokens[b, t]], so a row of the table collects the gradient of every place that looked it up:

        dtable[v] = sum of dx[b, t] over all b, t with tokens[b, t] = v

    and a token that does not occur has a gradient of zero.
    """
    dtable = np.zeros((kept.vocab_size, dx.shape[-1]))
    np.add.at(dtable, kept.tokens, dx)  # unlike dtable[tokens] += dx, this adds again for a token that comes again
    return dtable
