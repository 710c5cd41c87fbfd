"""A whole transformer from tokens to the scores of the next one, and to its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations, losses
from quire.scratch.explain.embeddings import embedding
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
from quire.scratch.explain.losses import LOSS, logarithm
from quire.scratch.explain.normalizations import rms_norm_rows
from quire.scratch.explain.notation import call, number, symbol
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.products import dot, last_row, product_of
from quire.scratch.explain.shares import softmax_steps
from quire.scratch.explain.transformer_blocks import block_steps, headed, streams, values
from quire.scratch.transformer import Transformer, TransformerKept

Array = NDArray[np.float64]
MANY = 8  # tokens of the vocabulary up to which each score is written out


def transformer(
    model: Transformer,
    tokens: ArrayLike,
    target: int | None = None,
    *,
    names: Sequence[str] | None = None,
    note: str = "",
) -> Explanation:
    """Work out a whole forward pass: embedding, blocks, final norm, scores, softmax, and the loss of a target.

    Args:
        model: a small one; every number of it is printed.
        tokens: ids (T,).
        target: the token that should come next; None leaves the loss out.
        names: what each token of the vocabulary is (V).
        note: a sentence about where the numbers come from.

    Raises:
        ValueError: a token or the target is not in the vocabulary, the tokens do not fit the context, or there are not
            as many names as tokens in the vocabulary.
    """
    ids = _ids(tokens)
    label = labels(model, names)
    logits, kept = model.forward(ids[None])  # (1, T, V)
    looked = embedding(ids, model.parameters["model.embed_tokens.weight"], names=label)
    begin = looked.steps[0]
    steps = [
        step(begin.heading, *([say(note)] if note else []), *begin.lines),
        looked.steps[1],
        *stack_steps(model, looked.result["x"], kept),
        *head_steps(model, kept, logits[0], label),
    ]
    last = logits[0, -1]
    shares = activations.softmax(last)
    asked = say(f"Softmax makes shares of the scores after token {ids.size}, ", Code(label[int(ids[-1])]), ".")
    first, *rest = softmax_steps(last, shares)
    steps += [step(first.heading, asked, *first.lines), *rest]
    rows = [[Code(name), number(z), number(p)] for name, z, p in zip(label, last, shares, strict=True)]
    likeliest = int(shares.argmax())
    steps.append(
        step(
            "What comes next",
            table(["token", "score", "share"], rows),
            say("The likeliest is ", Code(label[likeliest]), "."),
        )
    )
    result: dict[str, Any] = {"tokens": ids, "names": label, "x": looked.result["x"], "blocks": []}
    result["blocks"] = [values(one) for one in kept.blocks]
    result |= {"normed": kept.head.x[0], "logits": logits[0], "shares": shares, "likeliest": likeliest}
    if target is not None:
        loss, _ = losses.cross_entropy(last[None], np.array([target]))
        steps.append(_loss(shares, target, loss, label))
        result |= {"target": target, "loss": loss}
    shape = model.config
    blocks = f"{shape.num_layers} block{'' if shape.num_layers == 1 else 's'}"
    return Explanation(f"A transformer with {blocks}, from tokens to scores", tuple(steps), result)


def _ids(tokens: ArrayLike) -> NDArray[np.integer]:
    ids = np.asarray(tokens)
    if ids.ndim != 1 or not ids.size:
        raise ValueError(f"tokens must be a row of at least one id; their shape is {ids.shape}")
    return ids


def labels(model: Transformer, names: Sequence[str] | None) -> list[str]:
    """Return a name for each token of the vocabulary. Raises ValueError where there are not as many."""
    label = [str(i) for i in range(model.config.vocab_size)] if names is None else list(names)
    if len(label) != model.config.vocab_size:
        raise ValueError(f"{len(label)} names for a vocabulary of {model.config.vocab_size}")
    return label


def stack_steps(model: Transformer, x: Array, kept: TransformerKept) -> list[Step]:
    """Return the steps of all blocks, from the embedded rows x (T, D) on."""
    steps = []
    for count, one in enumerate(kept.blocks, 1):
        within = f"Block {count}" if len(kept.blocks) > 1 else ""
        if count > 1:
            told = say(f"The stream that block {count - 1} gave is the X of block {count}.")
            parts = block_steps(x, one, model.config)
            parts[0] = step(parts[0].heading, told, *parts[0].lines)
            steps += [headed(within, part) for part in parts]
        else:
            steps += block_steps(x, one, model.config, within)
        x = streams(x, one)[1]
    return steps


def head_steps(model: Transformer, kept: TransformerKept, logits: Array, label: Sequence[str]) -> list[Step]:
    """Return the steps from the stream after the last block to the scores (T, V)."""
    attended = kept.blocks[-1].attention.attend
    first = attended.k.shape[2] - attended.q.shape[2]
    x = kept.norm.normalised[0] / kept.norm.scale[0]  # (T, D)
    normed, weight = kept.head.x[0], kept.head.weight
    tied = model.config.tie_embeddings
    letter = Symbol("Eᵀ", (), r"E^{\top}") if tied else Symbol("W_head", (), r"W_{\text{head}}")
    told = (
        "The table of the embeddings, lying on its side, scores them: a token whose row points where the stream points "
        "gets a high score."
        if tied
        else "A matrix of its own scores them: a column for each token of the vocabulary."
    )
    lines: list[Equation | Sentence | Table] = [
        say(told),
        product_of(symbol("Z"), (symbol("N''"), normed), (letter, weight.T), logits),
    ]
    if len(label) <= MANY:
        lines.append(last_row(first, len(normed)))
        lines += [
            dot(Symbol("z", (i,)), normed[-1].tolist(), row.tolist(), float(z))
            for i, (row, z) in enumerate(zip(weight, logits[-1], strict=True), 1)
        ]
    return [
        rms_norm_rows(x, kept.norm, model.config.norm_eps, letters=("X''", "N''"), first=first),
        step("The scores of every token that may come next", *lines),
    ]


def _loss(shares: Array, target: int, loss: float, label: Sequence[str]) -> Step:
    got = float(shares[target])
    size = len(label)
    return step(
        "The loss",
        say("Right would have been ", Code(label[target]), f". It got the share {NumberForm().write(got).text}:"),
        equation(LOSS, *logarithm(got), number(loss)),
        say(
            f"A model that gives all {size} tokens the same share has the loss ",
            equation(call("ln", size), number(float(np.log(size)))),
            ".",
        ),
    )
