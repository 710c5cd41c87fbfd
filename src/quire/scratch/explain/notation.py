"""Short ways to write expressions: `total(times(a, b), c)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from quire.scratch.explain.expressions import (
    Euler,
    Expression,
    Negative,
    Number,
    Power,
    Product,
    Quotient,
    Root,
    Sum,
    Symbol,
)
from quire.scratch.explain.functions import Call
from quire.scratch.explain.matrices import Matrix


def number(value: Any) -> Expression:
    """Return `value` as an expression; expressions stay what they are."""
    return value if isinstance(value, Expression) else Number(float(value))


def symbol(name: str, *indices: int, tex: str = "") -> Symbol:
    """Return the letter `name` with indices that count from 1."""
    return Symbol(name, indices, tex)


def total(*terms: Any) -> Expression:
    """Return the sum of numbers or expressions; one alone is itself."""
    return number(terms[0]) if len(terms) == 1 else Sum(tuple(number(term) for term in terms))


def times(*factors: Any) -> Expression:
    """Return the product of numbers or expressions."""
    return Product(tuple(number(factor) for factor in factors))


def matmul(*factors: Expression) -> Expression:
    """Return the product of matrices or of their letters."""
    return Product(factors, matrices=True)


def over(above: Any, below: Any) -> Quotient:
    """Return the fraction `above / below`."""
    return Quotient(number(above), number(below))


def minus(first: Any, *others: Any) -> Sum:
    """Return `first - other - ...`."""
    return Sum((number(first), *(Negative(number(other)) for other in others)))


def power(base: Any, exponent: Any) -> Power:
    """Return `base` to the power `exponent`."""
    return Power(number(base), number(exponent))


def exp(exponent: Any) -> Power:
    """Return e to the power `exponent`."""
    return Power(Euler(), number(exponent))


def root(inner: Any) -> Root:
    """Return the square root of `inner`."""
    return Root(number(inner))


def call(name: str, *arguments: Any) -> Call:
    """Return the function `name` of `arguments`."""
    return Call(name, tuple(number(argument) for argument in arguments))


def matrix(values: Any) -> Matrix:
    """Return a matrix expression of a 2-D array, or of rows of expressions; a 1-D one becomes a row."""
    if isinstance(values, np.ndarray):
        values = np.atleast_2d(values).tolist()
    return Matrix(tuple(tuple(number(entry) for entry in row) for row in values))


def counted(count: int, noun: str) -> str:
    """Return "1 word", "2 words"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
