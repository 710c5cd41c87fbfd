"""Schedules: the learning rate as a function of the step.

Steps are counted from 0 to `steps` - 1. For the first `warmup` of them the rate rises in a line, at step s it is
peak (s + 1) / warmup; then the progress t = (s + 1 - warmup) / (steps - warmup) goes from 0 to 1.
"""

from __future__ import annotations

import math


def constant(step: int, steps: int, peak: float, warmup: int = 0) -> float:
    """Return `peak`, after the warmup.

    Args:
        step: from 0 to steps - 1.
        steps: how many there are.
        peak: the highest rate.
        warmup: steps of rise, fewer than `steps`.

    Raises:
        ValueError: step, warmup or a rate is out of range.
    """
    return peak * _rise(step, steps, warmup, peak)


def linear(step: int, steps: int, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Return final + (peak - final) (1 - t): a straight line down to `final` at the last step.

    Args:
        step: from 0 to steps - 1.
        steps: how many there are.
        peak: the highest rate.
        warmup: steps of rise, fewer than `steps`.
        final: the rate of the last step.

    Raises:
        ValueError: step, warmup or a rate is out of range.
    """
    rise = _rise(step, steps, warmup, peak, final)
    return peak * rise if rise < 1 else final + (peak - final) * (1 - _progress(step, steps, warmup))


def cosine(step: int, steps: int, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Return final + (peak - final) (1 + cos(pi t)) / 2: slow, then fast, then slow down to `final`.

    Arguments and errors are those of `linear`.

    Source: Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts.
    """
    rise = _rise(step, steps, warmup, peak, final)
    if rise < 1:
        return peak * rise
    return final + (peak - final) * (1 + math.cos(math.pi * _progress(step, steps, warmup))) / 2


SCHEDULES = {"constant": constant, "linear": linear, "cosine": cosine}
"""Every schedule by its name."""


def _rise(step: int, steps: int, warmup: int, *rates: float) -> float:
    if not all(0 <= rate < math.inf for rate in rates):
        raise ValueError(f"a learning rate must be 0 or more, not {min(rates)}")
    if not 0 <= step < steps:
        raise ValueError(f"step {step} is not among the {steps} steps from 0 to {steps - 1}")
    if not 0 <= warmup < steps:
        raise ValueError(f"a warmup of {warmup} steps does not fit into {steps}")
    return 1.0 if step >= warmup else (step + 1) / warmup


def _progress(step: int, steps: int, warmup: int) -> float:
    return (step + 1 - warmup) / (steps - warmup)
