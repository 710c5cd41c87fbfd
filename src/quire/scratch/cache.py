"""The keys and values of tokens already read, and a count of the work that keeping them saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from quire.scratch.transformer import TransformerConfig, TransformerKept

Array = NDArray[np.float64]


class KVCache:
    """Room for the keys and values of `batch_size` rows of up to `capacity` tokens, all rows equally long.

    A token's keys and values depend on the tokens before it and on no later one, so they are computed once. Of a new
    token, only its own are missing.

    Args:
        config: the model's shape.
        batch_size: B, number of rows.
        capacity: S, number of tokens that fit in a row; the model's context where None.

    Raises:
        ValueError: the capacity is over the model's context.
    """

    def __init__(self, config: TransformerConfig, batch_size: int = 1, capacity: int | None = None) -> None:
        capacity = config.context_length if capacity is None else capacity
        if not 1 <= capacity <= config.context_length:
            raise ValueError(f"capacity must be 1 to {config.context_length} (the model's context), not {capacity}")
        shape = (config.num_layers, batch_size, config.num_kv_heads, capacity, config.head_dim)
        self.keys = np.zeros(shape)  # (layers, B, G, S, K)
        self.values = np.zeros(shape)
        self.length = 0
        """Number of tokens read so far: the position of the next one."""

    @property
    def capacity(self) -> int:
        """Number of tokens that fit in a row."""
        return self.keys.shape[3]

    def store(self, layer: int, keys: Array, values: Array) -> tuple[Array, Array]:
        """Write the keys and values (B, G, T, K) of the next T tokens; return all so far with them, (B, G, S, K).

        The tokens count as read only when `advance` is called, after the last layer.

        Raises:
            ValueError: they do not fit, or are not of this cache's rows, heads and width.
        """
        stop = self.length + keys.shape[2]
        expected = (*self.keys.shape[1:3], keys.shape[2], self.keys.shape[4])
        if keys.shape != expected or values.shape != expected:
            raise ValueError(f"keys {keys.shape} and values {values.shape} must be {expected} for this cache")
        if stop > self.capacity:
            raise ValueError(f"tokens up to position {stop - 1} do not fit a cache of {self.capacity}")
        self.keys[layer, :, :, self.length : stop] = keys
        self.values[layer, :, :, self.length : stop] = values
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]

    def advance(self, num_tokens: int) -> None:
        """Count the next `num_tokens` of every row as read."""
        self.length += num_tokens


@dataclass
class Work:
    """How much forward passes computed, counted on the arrays that they made."""

    keys_and_values: int = 0
    """Pairs of a key and a value row computed, one a token and layer (all heads together)."""
    scores: int = 0
    """Products of a query with a key, one a pair and query head; those behind the mask are computed too."""
    multiplications: int = 0
    """Multiplications of all matrix products: projections, scores, weighted sums and head."""

    def add(self, kept: TransformerKept) -> None:
        """Add what one forward pass computed, from what it kept."""
        matrices = [kept.head]
        for block in kept.blocks:
            attention = block.attention
            matrices += [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
            matrices += [block.mlp.gate, block.mlp.up, block.mlp.down]
            scores, width = attention.attend.scores.size, attention.attend.q.shape[-1]
            self.keys_and_values += attention.k_proj.x.shape[0] * attention.k_proj.x.shape[1]
            self.scores += scores
            self.multiplications += 2 * scores * width  # q k^T, and weights times values
        self.multiplications += sum(kept.x.size * len(kept.weight) for kept in matrices)
