"""A block of the transformer: norm, attention, residual sum, norm, feed-forward part, residual sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import transformer as model
from quire.scratch.explain.attentions import attention_steps, projected
from quire.scratch.explain.explanation import Code, Explanation, Step, equation, say, step, table
from quire.scratch.explain.feedforwards import swiglu_steps
from quire.scratch.explain.neurons import vector
from quire.scratch.explain.normalizations import rms_norm_rows
from quire.scratch.explain.notation import matrix, symbol, total
from quire.scratch.explain.products import settled
from quire.scratch.positions import rotary_angles

Array = NDArray[np.float64]


def block(
    x: ArrayLike,
    weights: Mapping[str, ArrayLike],
    config: model.TransformerConfig,
    *,
    names: Sequence[str] | None = None,
) -> Explanation:
    """Work out a block: what each token gathers from those before it, and what it makes of that.

    Args:
        x: the residual stream, a row for each token (T, D).
        weights: of the block, by the names that `TransformerConfig.weight_shapes` has after the layer's number.
        config: the model's shape.
        names: the tokens (T).

    Raises:
        ValueError: a weight is missing, not one of a block, or of another shape, or the shapes do not fit.

    Source: Xiong et al. 2020 (pre-norm).
    """
    rows = np.asarray(x, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != config.hidden_size or not len(rows):
        raise ValueError(f"x must be (tokens, {config.hidden_size}); its shape is {rows.shape}")
    arrays = _checked(weights, config)
    label = [f"token {t}" for t in range(1, len(rows) + 1)] if names is None else list(names)
    if len(label) != len(rows):
        raise ValueError(f"{len(label)} names for {len(rows)} tokens")
    angles = rotary_angles(np.arange(len(rows)), config.head_dim, config.rope_theta)  # (T, K/2)
    y, kept = model.block(rows[None], arrays, config, angles)
    steps = [tokens_step("The residual stream, a row for each token", label, rows), *block_steps(rows, kept, config)]
    return Explanation(f"A block over {_tokens(len(rows))}", tuple(steps), {"x": rows, **values(kept), "y": y[0]})


def _checked(weights: Mapping[str, ArrayLike], config: model.TransformerConfig) -> dict[str, Array]:
    prefix = "model.layers.0."
    shapes = {name[len(prefix) :]: shape for name, shape in config.weight_shapes().items() if name.startswith(prefix)}
    if weights.keys() != shapes.keys():
        missing, extra = sorted(shapes.keys() - weights.keys()), sorted(weights.keys() - shapes.keys())
        raise ValueError(f"the weights do not fit a block: missing {missing}, not of a block {extra}")
    arrays = {name: np.asarray(weight, dtype=np.float64) for name, weight in weights.items()}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} must be {shape}, not {arrays[name].shape}")
    return arrays


def tokens_step(heading: str, names: Sequence[str], rows: Array, first: int = 0) -> Step:
    """Return a step that shows the tokens with their rows (T, D)."""
    shown = [
        [str(t), Code(name), vector(row)] for t, (name, row) in enumerate(zip(names, rows, strict=True), first + 1)
    ]
    return step(heading, table(["", "token", "row of X"], shown))


def block_steps(x: Array, kept: model.BlockKept, config: model.TransformerConfig, within: str = "") -> list[Step]:
    """Return the steps of a block from what it kept.

    Args:
        x: the residual stream before it (T, D).
        kept: as `quire.scratch.transformer.block` gave it for one text.
        config: the model's shape.
        within: what stands before each heading, such as the number of the block.
    """
    middle, after = streams(x, kept)
    gathered, update = projected(kept.attention.o_proj)[0], projected(kept.mlp.down)[0]
    attended = kept.attention.attend
    first = attended.k.shape[2] - attended.q.shape[2]
    eps = config.norm_eps
    steps = [
        rms_norm_rows(x, kept.input_norm, eps, letters=("X", "N"), first=first),
        *attention_steps(kept.attention, gathered, letter="N", norm_eps=eps),
        _residual(
            "X'", ("X", x), ("Y", gathered), middle, "Each token keeps what it was and adds what it has gathered:"
        ),
        rms_norm_rows(middle, kept.post_norm, eps, letters=("X'", "N'"), first=first),
        *swiglu_steps(kept.mlp, "N'", first=first),
        _residual("X''", ("X'", middle), ("M", update), after, "And what it made of that is added too:"),
    ]
    return [headed(within, each) for each in steps]


def headed(within: str, part: Step) -> Step:
    """Return a step whose heading says where it belongs: "Block 1: the output"."""
    return step(f"{within}: {part.heading[0].lower()}{part.heading[1:]}", *part.lines) if within else part


def streams(x: Array, kept: model.BlockKept) -> tuple[Array, Array]:
    """Return the residual stream (T, D) after the attention and after the feed-forward part."""
    middle = x + projected(kept.attention.o_proj)[0]
    return middle, middle + projected(kept.mlp.down)[0]


def values(kept: model.BlockKept) -> dict[str, Any]:
    """Return the numbers of a block by name, for one text."""
    attended = kept.attention.attend
    return {
        "normed": kept.attention.q_proj.x[0],
        "q": attended.q[0],
        "k": attended.k[0],
        "v": attended.v[0],
        "scores": attended.scores[0],
        "weights": attended.weights[0],
        "gathered": projected(kept.attention.o_proj)[0],
        "normed_again": kept.mlp.gate.x[0],
        "gates": kept.mlp.a[0],
        "passing": kept.mlp.u[0],
        "hidden": kept.mlp.down.x[0],
        "update": projected(kept.mlp.down)[0],
    }


def _residual(name: str, stream: tuple[str, Array], added: tuple[str, Array], after: Array, told: str) -> Step:
    pairs = zip(after.flat, stream[1].flat, added[1].flat, strict=True)
    shown = np.array([settled(value, [a, b]) for value, a, b in pairs]).reshape(after.shape)
    letters = total(symbol(stream[0]), symbol(added[0]))
    return step(
        "The residual sum",
        say(told),
        equation(symbol(name), letters, total(matrix(stream[1]), matrix(added[1])), matrix(shown)),
    )


def _tokens(many: int) -> str:
    return f"{many} token{'' if many == 1 else 's'}"
