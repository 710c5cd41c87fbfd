"""Optimizers on one weight, step by step: gradient descent, momentum, AdamW."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quire.scratch import optimizers
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Table, equation, say, step
from quire.scratch.explain.notation import minus, number, over, power, root, symbol, times, total
from quire.scratch.explain.numbers import NumberForm
from quire.scratch.explain.products import settled

W, V, G = symbol("w"), symbol("v"), symbol("g")
RATE = symbol("η", tex=r"\eta")


def _gradients(gradients: Sequence[float], weight: float) -> list[float]:
    values = [float(value) for value in gradients]
    if not values:
        raise ValueError("there must be at least one gradient, one for each step")
    if not np.isfinite([weight, *values]).all():
        raise ValueError("the weight and its gradients must be finite numbers")
    return values


def sgd(weight: float, gradients: Sequence[float], learning_rate: float) -> Explanation:
    """Work out steps of gradient descent on one weight.

    Args:
        weight: where it begins.
        gradients: one for each step.
        learning_rate: positive.

    Raises:
        ValueError: no gradients, a number that is not finite, or a learning rate that is not positive.
    """
    values = _gradients(gradients, weight)
    optimizer = optimizers.SGD(learning_rate)
    w = np.array([float(weight)])
    steps, told = [], []
    for count, g in enumerate(values, 1):
        before = float(w[0])
        optimizer.step({"w": w}, {"w": np.array([g])})
        after = settled(float(w[0]), [before, learning_rate * g])
        line = equation(W, "←", minus(W, times(RATE, G)), minus(before, times(learning_rate, g)), number(after))
        steps.append(step(f"Step {count}, gradient {_text(g)}", line))
        told.append({"gradient": g, "weight": float(w[0])})
    return Explanation("Gradient descent on one weight", tuple(steps), {"weight": weight, "steps": told})


def momentum(weight: float, gradients: Sequence[float], learning_rate: float, momentum: float = 0.9) -> Explanation:
    """Work out steps of gradient descent with momentum on one weight.

    Args:
        weight: where it begins.
        gradients: one for each step.
        learning_rate: positive.
        momentum: from 0 to below 1.

    Raises:
        ValueError: no gradients, or a number out of range.
    """
    values = _gradients(gradients, weight)
    optimizer = optimizers.Momentum(learning_rate, momentum)
    w = np.array([float(weight)])
    beta = symbol("β", tex=r"\beta")
    steps, told, velocity = [], [], 0.0
    for count, g in enumerate(values, 1):
        before, speed = float(w[0]), velocity
        optimizer.step({"w": w}, {"w": np.array([g])})
        velocity = float(optimizer.velocity["w"][0])
        lines = (
            equation(
                V,
                "←",
                total(times(beta, V), G),
                total(times(momentum, speed), g),
                number(settled(velocity, [momentum * speed, g])),
            ),
            equation(
                W,
                "←",
                minus(W, times(RATE, V)),
                minus(before, times(learning_rate, settled(velocity, [momentum * speed, g]))),
                number(settled(float(w[0]), [before, learning_rate * velocity])),
            ),
        )
        steps.append(step(f"Step {count}, gradient {_text(g)}", *lines))
        told.append({"gradient": g, "velocity": velocity, "weight": float(w[0])})
    return Explanation("Momentum on one weight", tuple(steps), {"weight": weight, "steps": told})


def adamw(
    weight: float,
    gradients: Sequence[float],
    learning_rate: float = 0.1,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> Explanation:
    """Work out steps of AdamW on one weight: both means, their correction, the decay, the step.

    Args:
        weight: where it begins.
        gradients: one for each step.
        learning_rate: positive.
        betas: how much of the old means stays.
        eps: against division by 0.
        weight_decay: from 0 on.

    Raises:
        ValueError: no gradients, or a number out of range.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """
    values = _gradients(gradients, weight)
    optimizer = optimizers.AdamW(learning_rate, betas, eps, weight_decay)
    w = np.array([float(weight)])
    first, second = betas
    m = v = 0.0
    steps, told = [], []
    for t, g in enumerate(values, 1):
        before, old_m, old_v = float(w[0]), m, v
        optimizer.step({"w": w}, {"w": np.array([g])})
        m, v = float(optimizer.mean["w"][0]), float(optimizer.mean_square["w"][0])
        mean, square = m / (1 - first**t), v / (1 - second**t)
        decayed = before - learning_rate * weight_decay * before
        mhat, vhat = symbol("m̂", tex=r"\hat{m}"), symbol("v̂", tex=r"\hat{v}")
        lines: list[Equation | Sentence | Table] = [
            say("The mean of the gradients, and that of their squares:"),
            equation(
                symbol("m"),
                "←",
                total(times(first, old_m), times(minus(1, first), g)),
                total(first * old_m, (1 - first) * g),
                number(m),
            ),
            equation(
                symbol("v"),
                "←",
                total(times(second, old_v), times(minus(1, second), power(g, 2))),
                total(second * old_v, (1 - second) * g**2),
                number(v),
            ),
            say("Both began at 0, which still pulls them down; dividing takes that out:"),
            equation(mhat, over(m, minus(1, power(first, t))), over(m, 1 - first**t), number(mean)),
            equation(vhat, over(v, minus(1, power(second, t))), over(v, 1 - second**t), number(square)),
        ]
        if weight_decay:
            lines += [
                say("The weight decays, whatever its gradient:"),
                equation(W, "←", minus(before, times(learning_rate, weight_decay, before)), number(decayed)),
            ]
        lines += [
            say("And it goes a step, about as long as the learning rate, against the mean gradient:"),
            equation(
                W,
                "←",
                minus(decayed, times(learning_rate, over(mean, total(root(square), eps)))),
                number(settled(float(w[0]), [decayed, learning_rate])),
            ),
        ]
        steps.append(step(f"Step {t}, gradient {_text(g)}", *lines))
        told.append(
            {"gradient": g, "m": m, "v": v, "m_hat": mean, "v_hat": square, "decayed": decayed, "weight": float(w[0])}
        )
    result = {
        "weight": weight,
        "learning_rate": learning_rate,
        "betas": list(betas),
        "eps": eps,
        "weight_decay": weight_decay,
        "steps": told,
    }
    return Explanation("AdamW on one weight", tuple(steps), result)


def _text(value: float) -> str:

    return NumberForm().write(value).text
