"""Sums of products, the arithmetic that everything else consists of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quire.scratch.explain.explanation import Equation, Sentence, equation, say
from quire.scratch.explain.expressions import Expression, Symbol
from quire.scratch.explain.notation import matmul, matrix, number, times, total

Array = NDArray[np.float64]
LETTERS = 8  # products up to which a sum is also written in letters


def settled(value: float, terms: Sequence[float]) -> float:
    """Return `value`, the sum of `terms`, without the digits that are only what rounding left: 1.1 - 1 is 0.1."""
    noise = 4e-16 * (len(terms) + 1) * sum(map(abs, terms))
    return float(value) if noise < 1e-300 else round(float(value), -math.floor(math.log10(noise)) - 1) + 0.0


def dot(
    name: Expression,
    left: Sequence[float],
    right: Sequence[float],
    value: float,
    *,
    letters: tuple[Sequence[Symbol], Sequence[Symbol]] | None = None,
    bias: float | None = None,
    bias_letter: Symbol | None = None,
) -> Equation:
    """Return the equation name = sum of left_i x right_i (+ bias) = ... = value.

    Args:
        name: what the sum is.
        left: the first factors.
        right: the second factors, as many.
        value: the sum, as the computation gave it.
        letters: symbols of the factors.
        bias: what is added at the end.
        bias_letter: its symbol.
    """
    products = [float(a) * float(b) for a, b in zip(left, right, strict=True)]
    after = [] if bias is None else [float(bias)]
    sides: list[Expression] = [name]
    if letters is not None and len(products) <= LETTERS:
        named = [times(a, b) for a, b in zip(*letters, strict=True)]
        sides.append(total(*named, *([] if bias_letter is None else [bias_letter])))
    sides.append(total(*(times(a, b) for a, b in zip(left, right, strict=True)), *after))
    if len(products) + len(after) > 1:
        sides.append(total(*(settled(product, [product]) for product in products), *after))
    sides.append(number(settled(value, products + after)))
    return equation(*sides)


def shown_sum(name: Expression, terms: Sequence[float], value: float) -> Equation:
    """Return name = term + term + ... = value; one term alone is not repeated."""
    if len(terms) == 1:
        return equation(name, number(settled(value, terms)))
    return equation(name, total(*terms), number(settled(value, terms)))


def product_of(name: Symbol, first: tuple[Symbol, Array], second: tuple[Symbol, Array], value: Array) -> Equation:
    """Return the matrix equation name = first x second = [..] x [..] = value.

    Args:
        name: what the product is.
        first: letter and matrix (n, k).
        second: letter and matrix (k, m).
        value: the product (n, m), as the computation gave it.
    """
    shown = tidy(value, first[1], second[1])
    return equation(name, matmul(first[0], second[0]), matmul(matrix(first[1]), matrix(second[1])), matrix(shown))


def tidy(value: Array, left: Array, right: Array, bias: Array | None = None) -> Array:
    """Return left @ right (+ bias), given as `value`, each number `settled`."""
    sizes = np.broadcast_to(np.abs(left) @ np.abs(right) + (0.0 if bias is None else np.abs(bias)), value.shape)
    noise = [settled(number, [size] * left.shape[-1]) for number, size in zip(value.flat, sizes.flat, strict=True)]
    return np.array(noise).reshape(value.shape)


def letters(name: str, rows: int, columns: int, tex: str = "") -> list[list[Symbol]]:
    """Return the symbols name₁₁, name₁₂, ... of a matrix."""
    return [[Symbol(name, (row, column), tex) for column in range(1, columns + 1)] for row in range(1, rows + 1)]


def last_row(first: int, rows: int) -> Sentence:
    """Return the sentence before the last of `rows` rows is written out, where `first` tokens stand before them."""
    return say("Written out:" if rows == 1 else f"The last row, of token {first + rows}, written out:")


def shape_sentence(*named: tuple[str, Array]) -> Sentence:
    """Return a sentence that says how many rows and columns each matrix has."""
    told = [
        f"{name} has {_count(array.shape[0], 'row')} and {_count(array.shape[1], 'column')}" for name, array in named
    ]
    return say("; ".join(told) + ".")


def _count(many: int, noun: str) -> str:
    return f"{many} {noun}{'' if many == 1 else 's'}"
