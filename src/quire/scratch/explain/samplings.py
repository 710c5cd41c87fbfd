"""From scores to the distribution that the next token is drawn from, each cut shown token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations
from quire.scratch import sampling as stages
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
from quire.scratch.explain.expressions import Expression, Symbol
from quire.scratch.explain.notation import number, over, symbol, times, total
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.shares import softmax_steps

Array = NDArray[np.float64]


def sampling(
    logits: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seen: Iterable[int] = (),
    uniform: float | None = None,
) -> Explanation:
    """Work out what each setting does to the distribution of the next token, in the order in which they apply.

    Args:
        logits: scores of the model (V,), finite.
        names: the tokens (V).
        temperature: 0 takes the likeliest token.
        top_k: keep so many; 0 keeps all.
        top_p: keep the likeliest up to this mass.
        min_p: keep what has at least this share of the likeliest.
        repetition_penalty: positive; over 1 makes tokens of `seen` less likely.
        seen: ids of the tokens so far.
        uniform: a random number of [0, 1) with which a token is drawn.

    Raises:
        ValueError: a number is out of range.
    """
    row = np.array(logits, dtype=np.float64)
    if row.ndim != 1 or not row.size or not np.isfinite(row).all():
        raise ValueError(f"a row of finite scores is needed; its shape is {row.shape}")
    label = [str(i) for i in range(row.size)] if names is None else list(names)
    if len(label) != row.size:
        raise ValueError(f"{len(label)} names for {row.size} scores")
    before = sorted(set(seen))
    settings: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
    }
    whole = stages.distribution(row, **settings, seen=before)
    steps = [
        step("The scores", table(["token", "score"], [[Code(a), number(b)] for a, b in zip(label, row, strict=True)]))
    ]
    now = stages.penalise_repetition(row, before, repetition_penalty)
    if repetition_penalty != 1:
        steps.append(_penalty(row, now, before, repetition_penalty, label))
    scaled = stages.apply_temperature(now, temperature)
    steps += _temperature(now, scaled, temperature)
    counts = {"tokens": row.size}
    kept = scaled
    if temperature > 0:
        for name, cut, explain in (
            ("top_k", stages.keep_top_k(kept, top_k), _top_k),
            ("top_p", None, _top_p),
            ("min_p", None, _min_p),
        ):
            after = (
                cut
                if cut is not None
                else (stages.keep_top_p(kept, top_p) if name == "top_p" else stages.keep_min_p(kept, min_p))
            )
            if settings[name] != {"top_k": 0, "top_p": 1.0, "min_p": 0.0}[name]:
                steps.append(explain(kept, after, settings[name], label))
            counts[f"after_{name}"] = int(np.isfinite(after).sum())
            kept = after
    steps.append(_left(kept, whole, label))
    result: dict[str, Any] = {"tokens": label, "logits": row, **settings, "counts": counts, "probabilities": whole}
    if uniform is not None:
        chosen = stages.draw(whole, uniform)
        steps.append(_drawn(whole, uniform, chosen, label))
        result |= {"uniform": uniform, "drawn": chosen, "drawn_token": label[chosen]}
    return Explanation("The distribution of the next token", tuple(steps), result)


def _order(row: Array) -> list[int]:
    """The tokens that are still in, likeliest first."""
    return [int(i) for i in np.argsort(-row, kind="stable") if np.isfinite(row[i])]


def _penalty(row: Array, after: Array, seen: list[int], penalty: float, label: list[str]) -> Step:
    lines: list[Equation | Sentence | Table] = [
        say("Of tokens that were there before, a score above 0 is divided by the penalty, another multiplied:")
    ]
    for token in seen:
        value = float(row[token])
        sides: Expression = over(value, penalty) if value > 0 else times(value, penalty)
        lines.append(say(Code(label[token]), ": ", equation(sides, number(after[token]))))
    return step(f"Repetition penalty {_text(penalty)}", *lines)


def _text(value: float) -> str:
    return NumberForm().write(value).text


def _temperature(row: Array, scaled: Array, temperature: float) -> list[Step]:
    if temperature == 0:
        text = "At temperature 0 nothing is drawn: the likeliest token has the whole mass, of several the first."
        return [step("Temperature 0", say(text))]
    steps = []
    if temperature != 1:
        lines = [
            equation(over(Symbol("z", (i,)), symbol("T")), over(value, temperature), number(value / temperature))
            for i, value in enumerate(row.tolist(), 1)
        ]
        steps.append(step(f"Divide by the temperature T = {_text(temperature)}", *lines))
    divided = row / temperature
    if np.isfinite(divided).all():
        return steps + softmax_steps(divided, activations.softmax(scaled))
    return steps


def _top_k(row: Array, after: Array, k: int, label: list[str]) -> Step:
    shares = activations.softmax(row)
    rows = [
        [str(place), Code(label[i]), number(shares[i]), "kept" if np.isfinite(after[i]) else "out"]
        for place, i in enumerate(_order(row), 1)
    ]
    ties = int(np.isfinite(after).sum()) - min(k, row.size)
    lines: list[Equation | Sentence | Table] = [table(["place", "token", "share", ""], rows)]
    if ties > 0:
        lines.append(say(f"More than {k} are kept: the last of them is tied with {ties} more."))
    return step(f"Top-k: keep the {k} likeliest", *lines)


def _top_p(row: Array, after: Array, p: float, label: list[str]) -> Step:
    shares = activations.softmax(row)
    rows, mass = [], 0.0
    ordered = _order(row)
    sums = np.cumsum([shares[i] for i in ordered])
    for i, upto in zip(ordered, sums, strict=True):
        rows.append(
            [Code(label[i]), number(shares[i]), number(mass), number(upto), "kept" if np.isfinite(after[i]) else "out"]
        )
        mass = float(upto)
    return step(
        f"Top-p: keep the likeliest until their mass reaches {_text(p)}",
        say(f"Shares of what is still in. A token is kept while the mass before it is below {_text(p)}."),
        table(["token", "share", "mass before", "mass with it", ""], rows),
    )


def _min_p(row: Array, after: Array, p: float, label: list[str]) -> Step:
    shares = activations.softmax(row)
    top = float(shares.max())
    rows = [[Code(label[i]), number(shares[i]), "kept" if np.isfinite(after[i]) else "out"] for i in _order(row)]
    return step(
        f"Min-p: keep what has at least {_text(p)} of the share of the likeliest",
        equation(symbol("limit", tex=r"\text{limit}"), times(p, top), number(p * top)),
        table(["token", "share", ""], rows),
    )


def _left(kept: Array, whole: Array, label: list[str]) -> Step:
    rows = [[Code(label[i]), number(whole[i])] for i in range(len(label))]
    lines: list[Equation | Sentence | Table] = []
    left = [float(value) for value in whole if value > 0]
    out = int((~np.isfinite(kept)).sum())
    if out:
        lines.append(say("What is left shares the whole again: softmax over the tokens that are kept."))
    lines.append(table(["token", "probability"], rows))
    if len(left) > 1:
        lines.append(say("Together they make ", equation(total(*left), number(1)), "."))
    return step("The distribution that is drawn from", *lines)


def _drawn(whole: Array, uniform: float, chosen: int, label: list[str]) -> Step:
    rows = [
        [Code(label[i]), number(whole[i]), number(upto), "drawn" if i == chosen else ""]
        for i, upto in enumerate(np.cumsum(whole))
    ]
    return step(
        f"Draw with the random number {_text(uniform)}",
        say("The token is taken at which the running sum first passes the random number."),
        table(["token", "probability", "running sum", ""], rows),
    )
