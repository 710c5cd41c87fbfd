"""RMSNorm and LayerNorm of one row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch import normalization as norms
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Step, Table, equation, say, step
from quire.scratch.explain.expressions import Expression, Symbol
from quire.scratch.explain.neurons import vector
from quire.scratch.explain.notation import counted, matrix, minus, number, over, power, root, symbol, times, total
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.products import last_row, settled

Array = NDArray[np.float64]
EPS = symbol("ε", tex=r"\varepsilon")


def rms_norm(x: ArrayLike, weight: ArrayLike | None = None, eps: float = 1e-6) -> Explanation:
    """Work out the RMSNorm of a row.

    Args:
        x: (D,).
        weight: (D,); None is all ones, as before training.
        eps: added to the mean square, under the root.

    Raises:
        ValueError: x is no row of finite numbers, or the weight is not as long.

    Source: Zhang and Sennrich 2019, section 4.
    """
    row = _row(x)
    scale = np.ones_like(row) if weight is None else np.asarray(weight, dtype=np.float64)
    y, kept = norms.rms_norm(row, scale, eps)
    steps = [_mean_square("The mean square", "s", row), _root("s", float(np.mean(row**2)), eps)]
    steps.append(_scaled("Divide each by it", row, kept.normalised, np.sqrt(np.mean(row**2) + eps)))
    steps += _weighted(kept.normalised, y, None if weight is None else scale, None)
    result = {"x": row, "weight": scale, "eps": eps, "normalised": kept.normalised, "y": y}
    return Explanation(f"RMSNorm of {counted(row.size, 'number')}", tuple(steps), result)


def layer_norm(
    x: ArrayLike, weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: float = 1e-5
) -> Explanation:
    """Work out the LayerNorm of a row.

    Args:
        x: (D,).
        weight: (D,); None is all ones.
        bias: (D,); None is all zeros.
        eps: added to the variance, under the root.

    Raises:
        ValueError: x is no row of finite numbers, or weight or bias is not as long.

    Source: Ba, Kiros and Hinton 2016, section 3.
    """
    row = _row(x)
    scale = np.ones_like(row) if weight is None else np.asarray(weight, dtype=np.float64)
    shift = np.zeros_like(row) if bias is None else np.asarray(bias, dtype=np.float64)
    y, kept = norms.layer_norm(row, scale, shift, eps)
    mean = float(np.mean(row))
    centred = [settled(value - mean, [value, mean]) for value in row.tolist()]
    off = [
        equation(Symbol("c", (i,)), minus(value, mean), number(low))
        for i, (value, low) in enumerate(zip(row.tolist(), centred, strict=True), 1)
    ]
    variance = float(np.mean(np.square(centred)))
    steps = [
        step(
            "The mean",
            equation(symbol("μ", tex=r"\mu"), over(total(*row), row.size), number(settled(mean, row.tolist()))),
        ),
        step("Take it off", *off),
        _mean_square("The mean square of what is left, the variance", "s", np.array(centred)),
        _root("s", variance, eps),
        _scaled("Divide each by it", np.array(centred), kept.normalised, np.sqrt(variance + eps)),
        *_weighted(kept.normalised, y, None if weight is None else scale, None if bias is None else shift),
    ]
    result = {"x": row, "weight": scale, "bias": shift, "eps": eps, "mean": mean, "variance": variance}
    result |= {"normalised": kept.normalised, "y": y}
    return Explanation(f"LayerNorm of {counted(row.size, 'number')}", tuple(steps), result)


def normalization(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    kind: str = "rms",
    eps: float = 1e-6,
) -> Explanation:
    """Work out the norm `kind`, rms or layer, of a row; see `rms_norm` and `layer_norm`."""
    if kind == "layer":
        return layer_norm(x, weight, bias, eps)
    if kind != "rms":
        raise ValueError(f"{kind!r} is no norm; there are rms, layer")
    if bias is not None:
        raise ValueError("RMSNorm has no bias")
    return rms_norm(x, weight, eps)


def root_mean_square(name: Symbol, row: Array, eps: float) -> Equation:
    """Return the equation of the root of the mean square of a row, eps added: what RMSNorm divides by."""
    mean = over(total(*(power(settled(value, [value]), 2) for value in row.tolist())), row.size)
    return equation(name, root(total(mean, eps)), number(float(np.sqrt(np.mean(row**2) + eps))))


def rms_norm_rows(x: Array, kept: norms.NormKept, eps: float, *, letters: tuple[str, str], first: int = 0) -> Step:
    """Return the step that norms each row of the residual stream.

    Args:
        x: the rows (T, D).
        kept: of their norm, (1, T, D).
        eps: added to the mean square.
        letters: of the rows before and after.
        first: tokens before the first row.
    """
    normalised = kept.normalised[0]
    scales = 1 / kept.scale[0, :, 0]  # (T,)
    lines: list[Equation | Sentence | Table] = [
        say(f"The root mean square of each row, with {NumberForm().write(eps).text} under the root:"),
        *(root_mean_square(Symbol("r", (t,)), row, eps) for t, row in enumerate(x, first + 1)),
        say("Each row divided by it:"),
        equation(symbol(letters[1]), matrix(normalised)),
        last_row(first, len(x)),
    ]
    lines += [
        equation(Symbol("n", (i,)), over(settled(value, [value]), float(scales[-1])), number(small))
        for i, (value, small) in enumerate(zip(x[-1].tolist(), normalised[-1].tolist(), strict=True), 1)
    ]
    if not np.all(kept.weight == 1):
        lines.append(say("And each column times its learned weight:"))
        weights = [[number(weight) for weight in kept.weight]]
        lines.append(equation(symbol("w"), matrix(weights)))
        lines.append(equation(symbol(letters[1]), matrix(normalised * kept.weight)))
    return step(f"The norm of {letters[0]}, token by token", *lines)


def _row(x: ArrayLike) -> Array:
    row = np.asarray(x, dtype=np.float64)
    if row.ndim != 1 or not row.size or not np.isfinite(row).all():
        raise ValueError(f"a row of finite numbers is needed; the shape is {row.shape}")
    return row


def _mean_square(heading: str, name: str, row: Array) -> Step:
    squares: Expression = total(*(power(value, 2) for value in row))
    return step(
        heading,
        equation(symbol(name), over(squares, row.size), over(total(*(row**2)), row.size), number(np.mean(row**2))),
    )


def _root(name: str, square: float, eps: float) -> Step:
    inner = total(symbol(name), EPS)
    lines = [equation(symbol("r"), root(inner), root(total(square, eps)), number(np.sqrt(square + eps)))]
    return step("Its root, with ε under it so that a row of zeros does not divide by 0", *lines)


def _scaled(heading: str, row: Array, normalised: Array, size: float) -> Step:
    if size == 0:
        raise ValueError("a row of zeros needs an eps above 0")
    lines: list[Equation] = [
        equation(Symbol("n", (i,)), over(value, size), number(small))
        for i, (value, small) in enumerate(zip(row.tolist(), normalised.tolist(), strict=True), 1)
    ]
    return step(heading, *lines)


def _weighted(normalised: Array, y: Array, weight: Array | None, bias: Array | None) -> list[Step]:
    if weight is None and bias is None:
        text = "The learned weights are 1 before training and change nothing: "
        return [step("The learned weights", say(text, equation(symbol("y"), vector(y)), "."))]
    lines = []
    for i, (n, out) in enumerate(zip(normalised.tolist(), y.tolist(), strict=True)):
        product: Expression = times(n, 1.0 if weight is None else float(weight[i]))
        whole = product if bias is None else total(product, float(bias[i]))
        terms = [n * (1.0 if weight is None else float(weight[i])), 0.0 if bias is None else float(bias[i])]
        lines.append(equation(Symbol("y", (i + 1,)), whole, number(settled(out, terms))))
    return [step("Times the learned weights" + ("" if bias is None else ", plus the learned biases"), *lines)]
