"""A step of generation with the cache: what is read from it, what is computed anew, and what that saves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.cache import KVCache, Work
from quire.scratch.explain.attentions import PLAIN
from quire.scratch.explain.explanation import (
    Code,
    Equation,
    Explanation,
    Sentence,
    Step,
    Table,
    equation,
    say,
    step,
    table,
)
from quire.scratch.explain.expressions import Symbol
from quire.scratch.explain.notation import matrix, number, times
from quire.scratch.explain.transformer_blocks import tokens_step
from quire.scratch.explain.transformers import head_steps, labels, stack_steps
from quire.scratch.transformer import Transformer, TransformerConfig

Array = NDArray[np.float64]


def cached_step(
    model: Transformer, tokens: ArrayLike, *, names: Sequence[str] | None = None, note: str = ""
) -> Explanation:
    """Work out the step that reads the last token, with the keys and values of those before in a cache.

    Args:
        model: a small one; every number of the step is printed.
        tokens: ids (T,), at least two: those in the cache and the new one.
        names: what each token of the vocabulary is (V).
        note: a sentence about where the numbers come from.

    Raises:
        ValueError: there are fewer than two tokens, one is not in the vocabulary, they do not fit the context, or there
            are not as many names as tokens in the vocabulary.
    """
    ids = np.asarray(tokens)
    if ids.ndim != 1 or ids.size < 2:
        raise ValueError(f"tokens must be a row of at least two ids; their shape is {ids.shape}")
    label = labels(model, names)
    whole, all_again = model.forward(ids[None])  # (1, T, V)
    cache = KVCache(model.config, capacity=ids.size)
    model.forward(ids[None, :-1], cache)
    first = cache.length
    keys, values = cache.keys[:, 0, :, :first].copy(), cache.values[:, 0, :, :first].copy()  # (layers, G, T - 1, K)
    logits, kept = model.forward(ids[None, -1:], cache)  # (1, 1, V)
    x = model.parameters["model.embed_tokens.weight"][ids[-1:]]  # (1, D)
    steps = [
        _read([label[int(i)] for i in ids[:-1]], keys, values, note),
        tokens_step("The new token is looked up", [label[int(ids[-1])]], x, first),
        *stack_steps(model, x, kept),
        *head_steps(model, kept, logits[0], label),
    ]
    rows = [
        [Code(name), number(one), number(other)]
        for name, one, other in zip(label, logits[0, -1], whole[0, -1], strict=True)
    ]
    steps.append(
        step(
            "The same scores as without a cache",
            say(f"The last row of scores where all {ids.size} tokens are read again, beside that of this step:"),
            table(["token", "with the cache", "all again"], rows),
        )
    )
    with_cache, without = Work(), Work()
    with_cache.add(kept)
    without.add(all_again)
    steps.append(_saved(model.config, ids.size, with_cache, without))
    result = {
        "tokens": ids,
        "names": label,
        "keys_read": keys,
        "values_read": values,
        "logits": logits[0, -1],
        "logits_without_cache": whole[0, -1],
        "work": vars(with_cache),
        "work_without_cache": vars(without),
    }
    return Explanation(f"Token {ids.size} with the cache of those before", tuple(steps), result)


def _read(before: list[str], keys: Array, values: Array, note: str) -> Step:
    """Show the cached keys and values (layers, G, T - 1, K)."""
    held = f"{len(before)} token{'' if len(before) == 1 else 's'}"
    lines: list[Equation | Sentence | Table] = [say(note)] if note else []
    lines += [
        table(["", "token"], [[str(count), Code(name)] for count, name in enumerate(before, 1)]),
        say(
            f"Of the {held} before, the cache holds the keys, already turned by their position, and the values. "
            "Nothing else of them is needed: a token sees only what is before it, so nothing that comes later changes "
            "them."
        ),
    ]
    many, groups = keys.shape[:2]
    for layer in range(many):
        if many > 1:
            lines.append(say(f"Block {layer + 1}:"))
        for group in range(groups):
            index = () if groups == 1 else (group + 1,)
            lines.append(equation(Symbol("K'", index), matrix(keys[layer, group])))
            lines.append(equation(Symbol("V", index), matrix(values[layer, group])))
    return step("What is read from the cache", *lines)


def _saved(config: TransformerConfig, length: int, with_cache: Work, without: Work) -> Step:
    layers, heads = config.num_layers, config.num_heads
    pairs = (
        equation(times(layers, 1), number(with_cache.keys_and_values)),
        equation(times(layers, length), number(without.keys_and_values)),
    )
    scores = (
        equation(times(layers, heads, 1, length), number(with_cache.scores)),
        equation(times(layers, heads, length, length), number(without.scores)),
    )
    products = number(with_cache.multiplications), number(without.multiplications)
    share = with_cache.multiplications / without.multiplications
    return step(
        "What was computed",
        table(
            ["", "with the cache", "all again"],
            [
                ["pairs of key and value: blocks × new tokens", *pairs],
                ["scores: blocks × heads × new tokens × tokens seen", *scores],
                ["multiplications of all matrix products", *products],
            ],
        ),
        say(f"With the cache it is {PLAIN.write(share).text} of the work."),
    )
