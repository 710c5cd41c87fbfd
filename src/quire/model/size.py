"""How large a model is and how much it computes, from its shape alone."""

from __future__ import annotations

from dataclasses import dataclass

from quire.model.config import ModelConfig

LONGEST_KEPT = 512
"""Tokens of context up to which training in 16 bits on a CPU keeps the shares of attention, one for each pair."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a model, all layers together."""

    name: str
    parameters: int
    flops: int  # of matrix products, per token, forward


def parts(config: ModelConfig, context: int) -> list[Part]:
    """Return the parameters and the forward FLOPs per token of each part, in rows of `context` tokens.

    A product with a matrix of n numbers is n multiplications and n additions a token: 2n FLOPs. Attention adds,
    per layer, the scores and the gathering, 2 H K FLOPs for each token of the row: as always in such figures the
    half that the causal mask makes unnecessary is counted. Norms, activations and softmax are not counted; they
    are well under 1 % of the arithmetic.

    Args:
        config: the model's shape.
        context: tokens a row, T.
    """
    D, F, L = config.hidden_size, config.intermediate_size, config.num_layers
    queries, keys = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    projections = D * (2 * queries + 2 * keys)  # q and o, k and v
    table = config.vocab_size * D
    norms = L * (2 * D + (2 * config.head_dim if config.qk_norm else 0)) + D
    return [
        Part("embedding", table, 0),
        Part("attention projections", L * projections, L * 2 * projections),
        Part("attention scores", 0, L * 4 * queries * context),
        Part("feed-forward", L * 3 * D * F, L * 6 * D * F),
        Part("norms", norms, 0),
        Part("head", 0 if config.tie_embeddings else table, 2 * table),
    ]


def count_parameters(config: ModelConfig) -> int:
    """Return how many numbers training decides; a tied head counts once."""
    return sum(part.parameters for part in parts(config, 1))


def count_flops(config: ModelConfig, context: int, *, training: bool = False) -> int:
    """Return the matrix-product FLOPs per token in rows of `context` tokens.

    Args:
        config: the model's shape.
        context: tokens a row.
        training: forward and backward, which is three times the forward: each product has one gradient for
            either of its factors.
    """
    return sum(part.flops for part in parts(config, context)) * (3 if training else 1)


def reading_flops(config: ModelConfig, tokens: int, before: int = 0) -> int:
    """Return the matrix-product FLOPs of reading `tokens` after `before` others that the cache holds.

    Each token sees those before it and itself, and the head scores the last one alone, as in writing.
    """
    each = {part.name: part.flops for part in parts(config, 1)}
    head, scores = each.pop("head"), each.pop("attention scores")  # scores: for each token that is seen
    seen = tokens * before + tokens * (tokens + 1) // 2
    return tokens * sum(each.values()) + scores * seen + head


def cache_bytes(config: ModelConfig, number: int = 4, lanes: int = 1) -> int:
    """Return the bytes of keys and values that the cache holds of a token.

    Args:
        config: the model's shape.
        number: bytes of a number.
        lanes: rows of values are filled up to a multiple of so many numbers.
    """
    values = -(-config.head_dim // lanes) * lanes
    return number * config.num_layers * config.num_kv_heads * (config.head_dim + values)


def size_table(config: ModelConfig, context: int | None = None) -> str:
    """Return the parts as a table of text, with their sums, in rows of `context` tokens (default: the whole)."""
    context = config.context_length if context is None else context
    rows = parts(config, context)
    rows.append(Part("sum", sum(part.parameters for part in rows), sum(part.flops for part in rows)))
    lines = [f"{'part':<22} {'parameters':>14} {'FLOPs a token':>16}"]
    lines += [f"{part.name:<22} {part.parameters:>14,} {part.flops:>16,}" for part in rows]
    lines.append(f"forward, rows of {context} tokens; training is 3 x: {3 * rows[-1].flops:,} FLOPs a token")
    return "\n".join(lines)


def query_blocks(context: int) -> list[tuple[int, int]]:
    """Return where the blocks of queries begin and end that are multiplied with all keys up to their own end.

    Products of one block of T x T would compute the half that causality hides, many small ones do not reach the
    processor's rate: there are four blocks, or two of at least 32 tokens.
    """
    size = max(1, -(-context // 4), min(64, -(-context // 2)))
    return [(start, min(start + size, context)) for start in range(0, context, size)]
