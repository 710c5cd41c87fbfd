"""Positions: the waves that are added to embeddings, and the rotation of queries and keys."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import positions
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Table, equation, say, step, table
from quire.scratch.explain.expressions import Negative, Symbol
from quire.scratch.explain.neurons import vector
from quire.scratch.explain.notation import call, minus, number, over, power, symbol, times, total
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.products import dot, settled

Array = NDArray[np.float64]
THETA = symbol("θ", tex=r"\theta")


def _angle(name: Symbol, position: float, pair: int, width: int, theta: float, angle: float) -> Equation:
    """angle = p × θ^(-2i/K) with numbers."""
    exponent = Negative(over(2 * pair, width)) if pair else number(0)
    return equation(name, times(position, power(theta, exponent)), number(angle))


def sinusoidal(position: int, width: int, theta: float = 10000.0) -> Explanation:
    """Work out the wave that is added to the embedding of a token.

    Args:
        position: of the token, from 0.
        width: D, even.
        theta: base of the wavelengths.

    Raises:
        ValueError: the position is negative, the width is odd, or theta is not positive.

    Source: Vaswani et al. 2017, section 3.5.
    """
    if position < 0:
        raise ValueError(f"the position is {position}; it must be 0 or more")
    wave = positions.sinusoidal(position + 1, width, theta)[position]  # (D,)
    angles = positions.rotary_angles([position], width, theta)[0]  # (D/2,)
    told = [
        _angle(Symbol("φ", (i + 1,), r"\varphi"), position, i, width, theta, angle) for i, angle in enumerate(angles)
    ]
    waves: list[Equation | Sentence | Table] = []
    for i, angle in enumerate(angles):
        waves.append(equation(Symbol("p", (2 * i + 1,)), call("sin", angle), number(wave[2 * i])))
        waves.append(equation(Symbol("p", (2 * i + 2,)), call("cos", angle), number(wave[2 * i + 1])))
    steps = (
        step(
            "An angle for each pair of columns",
            say("The position times θ to a power that falls from pair to pair, so that each turns more slowly:"),
            *told,
        ),
        step(
            "Its sine and its cosine",
            *waves,
            say("They are added to the embedding: ", equation(symbol("p"), vector(wave)), "."),
        ),
    )
    result = {"position": position, "width": width, "theta": theta, "angles": angles, "wave": wave}
    return Explanation(f"The wave of position {position}, {width} numbers wide", steps, result)


def rotary(x: ArrayLike, position: float, theta: float = 10000.0, *, name: str = "x") -> Explanation:
    """Work out how a query or key is turned at a position.

    Args:
        x: a query or a key of one head (K,), K even; pair i is (x[i], x[i + K/2]).
        position: of its token.
        theta: base of the wavelengths.
        name: the letter it is given.

    Raises:
        ValueError: x is no row of an even number of finite numbers, or theta is not positive.

    Source: Su et al. 2021, section 3.2.
    """
    row = _even_row(x)
    half = row.size // 2
    angles = positions.rotary_angles([position], row.size, theta)  # (1, K/2)
    turned = positions.rotate(row[None, :], angles)[0]  # (K,)
    first: list[Equation | Sentence | Table] = [
        say("Pair i is made of number i and number i + K/2. Pair 1 turns by 1 radian a token, the others more slowly.")
    ]
    first += [
        _angle(Symbol("φ", (i + 1,), r"\varphi"), position, i, row.size, theta, angle)
        for i, angle in enumerate(angles[0])
    ]
    waves: list[Equation | Sentence | Table] = []
    lines: list[Equation | Sentence | Table] = []
    for i, angle in enumerate(angles[0].tolist()):
        a, b = float(row[i]), float(row[i + half])
        cos, sin = math.cos(angle), math.sin(angle)
        waves.append(equation(call("cos", angle), number(cos)))
        waves.append(equation(call("sin", angle), number(sin)))
        lines.append(
            equation(
                Symbol(f"{name}'", (i + 1,)),
                minus(times(a, cos), times(b, sin)),
                number(settled(turned[i], [a * cos, b * sin])),
            )
        )
        lines.append(
            equation(
                Symbol(f"{name}'", (i + half + 1,)),
                total(times(b, cos), times(a, sin)),
                number(settled(turned[i + half], [b * cos, a * sin])),
            )
        )
    length, after = float(np.linalg.norm(row)), float(np.linalg.norm(turned))
    steps = (
        step("The angle of each pair", *first),
        step("Cosine and sine", *waves),
        step("Each pair (a, b) becomes (a cos - b sin, b cos + a sin)", *lines),
        step(
            "What came of it",
            table(
                ["", "numbers", "length"],
                [["before", vector(row), number(length)], ["after", vector(turned), number(after)]],
            ),
            say("A rotation changes no length."),
        ),
    )
    result = {"x": row, "position": position, "theta": theta, "angles": angles[0], "rotated": turned}
    return Explanation(f"Rotary position {NumberForm().write(position).text}", steps, result)


def rotary_distance(
    query: ArrayLike, key: ArrayLike, pairs: ArrayLike = ((5, 3), (95, 93)), theta: float = 10000.0
) -> Explanation:
    """Show that the product of a turned query and a turned key depends on their distance alone.

    Args:
        query: (K,), K even.
        key: (K,).
        pairs: positions of query and key to compare, (n, 2).
        theta: base of the wavelengths.

    Raises:
        ValueError: query and key are no rows of as many numbers, or theta is not positive.
    """
    q, k = _even_row(query), _even_row(key)
    if q.size != k.size:
        raise ValueError(f"the query has {q.size} numbers and the key {k.size}: they must have as many")
    steps, told = [], []
    for at_query, at_key in np.asarray(pairs, dtype=np.float64).tolist():
        turned_q = positions.rotate(q[None, :], positions.rotary_angles([at_query], q.size, theta))[0]
        turned_k = positions.rotate(k[None, :], positions.rotary_angles([at_key], k.size, theta))[0]
        product = float(turned_q @ turned_k)
        told.append({"query_at": at_query, "key_at": at_key, "product": product})
        places = f"{NumberForm().write(at_query).text} and {NumberForm().write(at_key).text}"
        steps.append(
            step(
                f"Query at position {places.replace(' and ', ', key at ')}",
                equation(symbol("q'"), vector(turned_q)),
                equation(symbol("k'"), vector(turned_k)),
                dot(symbol("q' k'", tex="q' \\cdot k'"), turned_q.tolist(), turned_k.tolist(), product),
            )
        )
    return Explanation("The distance decides", tuple(steps), {"query": q, "key": k, "products": told})


def _even_row(x: ArrayLike) -> Array:
    row = np.asarray(x, dtype=np.float64)
    if row.ndim != 1 or row.size < 2 or row.size % 2:
        raise ValueError(
            f"a row of an even number of numbers is needed, since pairs are turned; its shape is {row.shape}"
        )
    if not np.isfinite(row).all():
        raise ValueError("the numbers to turn must be finite")
    return row
