"""Embedding: looking up the row of a token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from quire.scratch.embedding import embed
from quire.scratch.explain.explanation import Code, Explanation, equation, say, step, table
from quire.scratch.explain.neurons import vector
from quire.scratch.explain.notation import matmul, matrix, symbol


def embedding(tokens: ArrayLike, table_of_rows: ArrayLike, *, names: Sequence[str] | None = None) -> Explanation:
    """Work out an embedding: each token picks its row of the table, which is a product with a row of zeros and a one.

    Args:
        tokens: ids (T,).
        table_of_rows: a row of D numbers for each token (V, D).
        names: what each id stands for (V).

    Raises:
        ValueError: a token has no row in the table, or there are not as many names as rows.
    """
    rows = np.asarray(table_of_rows, dtype=np.float64)
    ids = np.asarray(tokens)
    if ids.ndim != 1 or not ids.size:
        raise ValueError(f"tokens must be a row of at least one id; their shape is {ids.shape}")
    x, _ = embed(ids, rows)  # (T, D)
    if names is not None and len(names) != len(rows):
        raise ValueError(f"{len(names)} names for {len(rows)} rows")
    label = [str(i) for i in range(len(rows))] if names is None else list(names)
    one_hot = np.zeros((1, len(rows)))
    one_hot[0, int(ids[0])] = 1
    whole = [[str(i), Code(label[i]), vector(row)] for i, row in enumerate(rows)]
    looked = [[Code(label[int(i)]), str(int(i)), vector(row)] for i, row in zip(ids, x, strict=True)]
    steps = (
        step("The table: a row for each token", table(["id", "token", "row"], whole)),
        step("Each token of the text picks its row", table(["token", "id", "row"], looked)),
        step(
            "The same as a product",
            say("A row that is 1 at the token and 0 elsewhere, times the table, is that row. For the first token:"),
            equation(matmul(symbol("e"), symbol("E")), matmul(matrix(one_hot), matrix(rows)), matrix(x[:1])),
        ),
    )
    return Explanation(f"The embedding of {ids.size} tokens", steps, {"tokens": ids, "table": rows, "x": x})
