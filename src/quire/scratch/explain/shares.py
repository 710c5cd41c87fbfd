"""Softmax: scores become shares that sum to 1, sharper or flatter by the temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import activations
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Step, Table, equation, say, step, table
from quire.scratch.explain.expressions import Symbol
from quire.scratch.explain.notation import counted, exp, minus, number, over, symbol, total
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.products import settled

Array = NDArray[np.float64]


def softmax(
    scores: ArrayLike, *, temperature: float = 1.0, names: Sequence[str] | None = None, title: str | None = None
) -> Explanation:
    """Work out the softmax of scores: divided by the temperature, the largest taken off, exponentials, sum, shares.

    Args:
        scores: z (V,), finite.
        temperature: positive; below 1 the largest share grows, above 1 the shares come nearer to each other.
        names: what each score stands for (V).
        title: of the explanation.

    Raises:
        ValueError: no scores, one that is not finite, or a temperature that is not positive.
    """
    z = np.asarray(scores, dtype=np.float64)
    if z.ndim != 1 or not z.size:
        raise ValueError(f"scores must be a row of at least one number; they have the shape {z.shape}")
    if not np.isfinite(z).all():
        place = int(np.flatnonzero(~np.isfinite(z))[0])
        raise ValueError(f"score {place + 1} is {z[place]}; it must be a finite number")
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature is {temperature}; it must be above 0")
    if names is not None and len(names) != z.size:
        raise ValueError(f"{len(names)} names for {z.size} scores")
    with np.errstate(over="ignore"):
        scaled = z / temperature
    if not np.isfinite(scaled).all():
        raise ValueError(f"temperature {temperature} is too small: a score divided by it is too large for a number")
    shares = activations.softmax(scaled)
    steps: list[Step] = []
    if temperature != 1:
        divided = [
            equation(over(symbol("z", i), symbol("T")), over(one, temperature), number(after))
            for i, (one, after) in enumerate(zip(z, scaled, strict=True), 1)
        ]
        steps.append(step(f"Divide by the temperature T = {NumberForm().write(temperature).text}", *divided))
    steps += softmax_steps(scaled, shares)
    heads = ["", "score", "share"] if names is None else ["", "", "score", "share"]
    rows = [
        [str(i), *([] if names is None else [names[i - 1]]), number(one), number(share)]
        for i, (one, share) in enumerate(zip(z, shares, strict=True), 1)
    ]
    steps.append(step("The shares", table(heads, rows), _check(shares)))
    top = scaled - scaled.max()
    result = {
        "scores": z,
        "temperature": float(temperature),
        "scaled": scaled,
        "exponentials": np.exp(top),
        "sum": float(np.exp(top).sum()),
        "shares": shares,
    }
    return Explanation(title or f"Softmax of {counted(z.size, 'score')}", tuple(steps), result)


def softmax_steps(scaled: Array, shares: Array) -> list[Step]:
    """Return the steps from scores to shares: the largest off, exponentials, their sum, the quotients."""
    top = float(scaled.max())
    lowered = scaled - top
    powers = np.exp(lowered)
    total_of = float(powers.sum())
    less = [
        equation(minus(one, top), number(settled(after, [one, top])))
        for one, after in zip(scaled, lowered, strict=True)
    ]
    raised = [
        equation(Symbol("E", (i,)), exp(number(low)), number(p))
        for i, (low, p) in enumerate(zip(lowered, powers, strict=True), 1)
    ]
    quotients = [
        equation(Symbol("p", (i,)), over(p, total_of), number(share))
        for i, (p, share) in enumerate(zip(powers, shares, strict=True), 1)
    ]
    return [
        step(
            "Take off the largest",
            say(
                "It changes no share, and no exponential can become too large: the largest is ",
                equation(exp(0), number(1)),
                ".",
            ),
            *less,
        ),
        step("The exponentials", *raised),
        step("Their sum", equation(symbol("sum", tex=r"\text{sum}"), total(*powers), number(total_of))),
        step("Divide each by the sum", *quotients),
    ]


def _check(shares: Array) -> Equation | Sentence | Table:
    if len(shares) == 1:
        return say("A score alone has the whole share.")
    return say("Together they make ", equation(total(*shares), number(1)), ".")
