"""Attention worked out: queries, keys, values, scores, mask, softmax row by row, and what each token gathers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.attention import AttendKept, SelfAttentionKept, self_attention
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
from quire.scratch.explain.expressions import Negative, Symbol
from quire.scratch.explain.neurons import vector
from quire.scratch.explain.normalizations import root_mean_square
from quire.scratch.explain.notation import exp, matrix, number, over, power, root, symbol, times, total
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.positions import THETA
from quire.scratch.explain.products import dot, last_row, product_of, settled, tidy
from quire.scratch.normalization import NormKept
from quire.scratch.positions import rotary_angles
from quire.scratch.projection import ProjectKept, project

Array = NDArray[np.float64]
PLAIN = NumberForm()
SMALL = 4  # tokens up to which each score is written out


def attention(
    x: ArrayLike,
    q_proj: ArrayLike,
    k_proj: ArrayLike,
    v_proj: ArrayLike,
    o_proj: ArrayLike | None = None,
    *,
    num_heads: int = 1,
    num_kv_heads: int | None = None,
    rotary: bool = True,
    theta: float = 10000.0,
    names: Sequence[str] | None = None,
    title: str | None = None,
    note: str | None = None,
) -> Explanation:
    """Work out causal self-attention with all its matrices.

    Args:
        x: a row for each token (T, D).
        q_proj: matrix of the queries (H K, D), a row for each output, as weights are stored.
        k_proj: of the keys (G K, D).
        v_proj: of the values (G K, D).
        o_proj: output matrix (D, H K); None is the identity.
        num_heads: H.
        num_kv_heads: G, divides H; None is as many as heads.
        rotary: whether queries and keys are turned by their position.
        theta: base of the rotary wavelengths.
        names: the tokens (T).
        title: of the explanation.
        note: a sentence that stands before the first step's matrices, such as where the numbers come from.

    Raises:
        ValueError: the shapes do not fit.
    """
    rows = np.asarray(x, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"x must be a row for each token, (tokens, width); its shape is {rows.shape}")
    T, _ = rows.shape
    groups = num_heads if num_kv_heads is None else num_kv_heads
    if num_heads < 1 or groups < 1 or num_heads % groups:
        raise ValueError(f"{groups} key and value heads cannot serve {num_heads} query heads: they must divide them")
    weights = {
        f"{name}.weight": np.asarray(value, dtype=np.float64)
        for name, value in (("q_proj", q_proj), ("k_proj", k_proj), ("v_proj", v_proj))
    }
    width = weights["q_proj.weight"].shape[0]
    weights["o_proj.weight"] = np.eye(width) if o_proj is None else np.asarray(o_proj, dtype=np.float64)
    if width % (2 * num_heads):
        raise ValueError(f"{width} numbers cannot be cut into {num_heads} heads of an even width")
    K = width // num_heads
    angles = rotary_angles(np.arange(T), K, theta) if rotary else np.zeros((T, K // 2))
    y, kept = self_attention(rows[None], weights, angles, num_heads=num_heads, num_kv_heads=groups)
    label = [f"token {i}" for i in range(1, T + 1)] if names is None else list(names)
    if len(label) != T:
        raise ValueError(f"{len(label)} names for {T} tokens")
    steps = [_inputs(rows, label, note), *attention_steps(kept, y[0], rotary=rotary, output=o_proj is not None)]
    Q, K_, V = (projected(part)[0] for part in (kept.q_proj, kept.k_proj, kept.v_proj))
    result = {
        "tokens": label,
        "x": rows,
        "Q": Q,
        "K": K_,
        "V": V,
        "q": kept.attend.q[0],
        "k": kept.attend.k[0],
        "v": kept.attend.v[0],
        "scores": kept.attend.scores[0],
        "weights": kept.attend.weights[0],
        "y": y[0],
    }
    heads = f"{num_heads} head{'' if num_heads == 1 else 's'}"
    return Explanation(title or f"Attention of {T} tokens, {heads}", tuple(steps), result)


def _inputs(rows: Array, label: list[str], note: str | None) -> Step:
    shown = [[str(i), Code(name), vector(row)] for i, (name, row) in enumerate(zip(label, rows, strict=True), 1)]
    lines: list[Equation | Sentence | Table] = [say(note)] if note else []
    return step("The tokens, each a row of X", *lines, table(["", "token", "row"], shown))


def projected(kept: ProjectKept) -> Array:
    """Return what a projection gave, from what it kept."""
    return project(*kept)[0]


def attention_steps(
    kept: SelfAttentionKept,
    y: Array,
    *,
    rotary: bool = True,
    output: bool = True,
    letter: str = "X",
    norm_eps: float = 1e-6,
) -> list[Step]:
    """Return the steps of self-attention from what it kept.

    Args:
        kept: as `quire.scratch.attention.self_attention` gave it for one row of tokens; with more keys than queries,
            the first keys came from a cache.
        y: what it returned (T, D).
        rotary: whether queries and keys were turned.
        output: whether there is an output matrix to be shown.
        letter: of the rows that go in.
        norm_eps: what was added to the mean square in the norm of queries and keys, where there is one.
    """
    q, k, v = kept.attend.q[0], kept.attend.k[0], kept.attend.v[0]  # (H, T, K), (G, S, K) twice
    heads, groups, first = len(q), len(k), k.shape[1] - q.shape[1]
    steps = [_projections(kept, letter)]
    if kept.q_norm is not None and kept.k_norm is not None:
        steps.append(_normed(kept.q_norm, kept.k_norm, norm_eps, first))
    if rotary:
        steps.append(_turned(q, k[:, first:], kept.angles, first))
    elif heads > 1:
        steps.append(_cut(q, k, heads, groups))
    if first:
        steps.append(_joined(k, v, first, "'" if rotary else ""))
    elif groups > 1:
        values = [equation(_letter("V", group, groups), matrix(v[group])) for group in range(groups)]
        steps.append(step("The values, cut into heads", *values))
    for head in range(heads):
        steps += _head(head, kept.attend, rotary)
    steps.append(_merged(kept.o_proj.x[0], kept.o_proj.weight, y, output, heads))
    return steps


def _projections(kept: SelfAttentionKept, source: str) -> Step:
    lines: list[Equation | Sentence | Table] = [say("What each token asks for, what it offers, and what it gives:")]
    for letter, part in zip("QKV", (kept.q_proj, kept.k_proj, kept.v_proj), strict=True):
        weight = Symbol(f"W_{letter}"), part.weight.T
        lines.append(product_of(symbol(letter), (symbol(source), part.x[0]), weight, projected(part)[0]))
    return step("Queries, keys and values", *lines)


def _normed(q_norm: NormKept, k_norm: NormKept, eps: float, first: int) -> Step:
    """Show queries (H, T, K) and keys (G, T, K) after their norm."""
    lines: list[Equation | Sentence | Table] = [
        say("Each query and each key is divided by its root mean square: no score becomes large by length alone.")
    ]
    for letter, norm in (("Q", q_norm), ("K", k_norm)):
        values, before = (norm.normalised * norm.weight)[0], (norm.normalised / norm.scale)[0]
        count, tokens = values.shape[:2]
        lines.append(
            say(
                f"The {'queries' if letter == 'Q' else 'keys'}; r is what that of token {first + tokens} is divided by:"
            )
        )
        for head in range(count):
            name = Symbol("r", (head + 1,) if count > 1 else ())
            lines.append(root_mean_square(name, before[head, -1], eps))
            lines.append(equation(_letter(letter, head, count), matrix(values[head])))
    return step("The norm of queries and keys, head by head", *lines)


def _joined(k: Array, v: Array, first: int, mark: str) -> Step:
    """Show keys and values (G, S, K) of which the first ones were read from a cache."""
    read = f"Row{'s 1 to' if first > 1 else ''} {first}"
    lines: list[Equation | Sentence | Table] = [
        say(f"{read} {'are' if first > 1 else 'is'} read from the cache; only what is below was computed now:")
    ]
    for group in range(len(k)):
        lines.append(equation(_letter(f"K{mark}", group, len(k)), matrix(k[group])))
        lines.append(equation(_letter("V", group, len(k)), matrix(v[group])))
    return step("Keys and values, with those of the cache", *lines)


def _turned(q: Array, k: Array, angles: Array, first: int) -> Step:
    """Show queries (H, T, K) and keys (G, T, K) after the rotation by angles (T, K/2), from position `first` on."""
    heads, groups = len(q), len(k)
    phi = symbol("φ", tex=r"\varphi")
    lines: list[Equation | Sentence | Table] = [
        say("The token at position p turns pair i of its query and key (both count from 0) by this angle:"),
        equation(phi, times(symbol("p"), power(THETA, Negative(over(times(2, symbol("i")), symbol("K")))))),
        say("The angles, a row for each token and a column for each pair:")
        if not first
        else say(f"The token stands at position {first}, since {first} stand before it. A column for each pair:"),
        equation(phi, matrix(angles)),
        say("Queries and keys, turned:"),
    ]
    lines += [equation(_letter("Q'", head, heads), matrix(q[head])) for head in range(heads)]
    lines += [equation(_letter("K'", head, groups), matrix(k[head])) for head in range(groups)]
    return step("Turned by their position", *lines)


def _cut(q: Array, k: Array, heads: int, groups: int) -> Step:
    """Show queries and keys cut into heads, where no rotation does so."""
    lines = [equation(_letter("Q", head, heads), matrix(q[head])) for head in range(heads)]
    lines += [equation(_letter("K", head, groups), matrix(k[head])) for head in range(groups)]
    return step("Cut into heads", *lines)


def _letter(name: str, head: int, heads: int) -> Symbol:
    return Symbol(name) if heads == 1 else Symbol(name, (head + 1,))


def _head(head: int, kept: AttendKept, rotary: bool) -> list[Step]:
    """Scores, mask, softmax and output of one head."""
    heads, groups = kept.q.shape[1], kept.k.shape[1]
    group = head // (heads // groups)
    q, k, v = kept.q[0, head], kept.k[0, group], kept.v[0, group]  # (T, K)
    scores, weights = kept.scores[0, head], kept.weights[0, head]  # (T, T)
    T, K = q.shape
    first = k.shape[0] - T  # keys of a cache, before those of these tokens
    mark = "'" if rotary else ""
    Q, K_, V = _letter(f"Q{mark}", head, heads), _letter(f"K{mark}", group, groups), _letter("V", group, groups)
    S, P, out = (_letter(name, head, heads) for name in "SPO")
    of = f"Head {head + 1}: " if heads > 1 else ""
    inner = K_.latex(PLAIN)
    braced = f"{{{inner}}}" if mark and K_.indices else inner  # a prime is a superscript: a second one needs braces
    transposed = Symbol(f"{K_.text(PLAIN)}ᵀ", (), f"{braced}^{{\\top}}")
    products = tidy(q @ k.T, q, k.T)
    shared = []
    if groups < heads:
        shared = [
            say(f"{heads // groups} query heads share each key and value head; this one reads number {group + 1}.")
        ]
    written: list[Equation | Sentence | Table] = []
    if T <= SMALL:
        written = [
            dot(Symbol("s", (first + t + 1, u + 1)), q[t].tolist(), k[u].tolist(), float(products[t, u]))
            for t in range(T)
            for u in range(first + t + 1)
        ]
    scaled = np.where(np.isinf(scores), scores, tidy(scores * math.sqrt(K), q, k.T) / math.sqrt(K))
    steps = [
        step(
            of + "scores" if of else "Scores: each query times each key",
            *shared,
            product_of(S, (Q, q), (transposed, k.T), products),
            *written,
        ),
        step(
            of + "scaled and masked" if of else "Scaled and masked",
            say(
                "Divided by the root of the width of a head, ",
                equation(root(K), number(math.sqrt(K))),
                ". A token sees itself and what is before it; the rest is -∞, which softmax makes 0."
                if T > 1 or not first
                else ". The token sees all that is before it and itself: nothing is masked.",
            ),
            equation(S, matrix(scaled)),
        ),
        step(
            of + "softmax" if of else "Softmax, row by row",
            *_softmax_rows(scaled, weights),
            equation(P, matrix(weights)),
        ),
    ]
    last = [
        dot(Symbol("o", (first + T, j + 1)), weights[T - 1].tolist(), v[:, j].tolist(), float((weights @ v)[T - 1, j]))
        for j in range(K)
    ]
    steps.append(
        step(
            of + "what each token gathers" if of else "What each token gathers",
            product_of(out, (P, weights), (V, v), weights @ v),
            last_row(first, T),
            *last,
        )
    )
    return steps


def _softmax_rows(scores: Array, weights: Array) -> list[Equation | Sentence | Table]:
    """Write out the softmax of each row (T, S); the first S - T keys stand before the first token."""
    first = scores.shape[1] - scores.shape[0]
    lines: list[Equation | Sentence | Table] = []
    if not first:
        alone = equation(Symbol("p", (1, 1)), number(weights[0, 0]))
        lines.append(say("The first token sees only itself: its weight is ", alone, "."))
    for t in range(0 if first else 1, len(scores)):
        seen = first + t + 1
        row = scores[t, :seen]
        powers = np.exp(row - row.max())
        below = total(*(exp(number(settled(s - row.max(), [s, row.max()]))) for s in row.tolist()))
        lines.append(say(f"Token {seen}, the largest score taken off first:"))
        lines.append(equation(Symbol("sum", (seen,), r"\text{sum}"), below, total(*powers), number(powers.sum())))
        lines += [
            equation(Symbol("p", (seen, u + 1)), over(powers[u], powers.sum()), number(weights[t, u]))
            for u in range(seen)
        ]
    return lines


def _merged(gathered: Array, weight: Array, y: Array, given: bool, heads: int) -> Step:
    """gathered (T, H K), weight (D, H K), y (T, D)."""
    if not given:
        return step(
            "The output", *([say("The heads side by side:")] if heads > 1 else []), equation(symbol("Y"), matrix(y))
        )
    side = "The heads side by side, " if heads > 1 else ""
    letter = Symbol("W_O")
    heading = side + "times the output matrix" if side else "Times the output matrix"
    return step(heading, product_of(symbol("Y"), (symbol("O"), gathered), (letter, weight.T), y))


def attention_weights(
    names: Sequence[str],
    weights: ArrayLike,
    scores: ArrayLike | None = None,
    *,
    title: str | None = None,
    note: str = "",
) -> Explanation:
    """Show which tokens a head looks at: its weights over the tokens of a text, a row for each query.

    Args:
        names: the tokens (T).
        weights: of one head (T, T), each row summing to 1, 0 above the diagonal.
        scores: the scaled scores of that head (T, T); with them the softmax of the last row is worked out.
        title: of the explanation.
        note: where the numbers come from.

    Raises:
        ValueError: the shapes do not fit.
    """
    P = np.asarray(weights, dtype=np.float64)
    T = len(names)
    if P.shape != (T, T):
        raise ValueError(f"{T} tokens need weights of shape ({T}, {T}), not {P.shape}")
    lines: list[Equation | Sentence | Table] = [say(note)] if note else []
    rows = [[Code(name), *(number(P[t, u]) if u <= t else "" for u in range(T))] for t, name in enumerate(names)]
    steps = [
        step(
            "The weights: the token of the row looks at that of the column",
            *lines,
            table(["", *map(Code, names)], rows),
        )
    ]
    most = [[Code(names[t]), Code(names[int(P[t].argmax())]), number(float(P[t].max()))] for t in range(T)]
    steps.append(step("What each token looks at most", table(["token", "looks at", "weight"], most)))
    if scores is not None:
        S = np.asarray(scores, dtype=np.float64)
        lines = _softmax_rows(S[:, :], P)
        begin = (
            next(
                i
                for i, line in enumerate(lines)
                if isinstance(line, Sentence) and line.text(PLAIN).startswith(f"Token {T},")
            )
            if T > 1
            else 0
        )
        steps.append(step("The softmax of the last row", *lines[begin:]))
    return Explanation(title or "The weights of a head", tuple(steps), {"tokens": list(names), "weights": P})
