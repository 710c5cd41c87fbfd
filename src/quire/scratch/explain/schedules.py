"""Learning-rate schedules at given steps: the warmup, the progress, the rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quire.scratch import schedules
from quire.scratch.explain.explanation import Equation, Explanation, Sentence, Step, Table, equation, say, step, table
from quire.scratch.explain.expressions import Expression
from quire.scratch.explain.notation import call, minus, number, over, power, symbol, times, total
from quire.scratch.explain.products import settled

RATE = symbol("η", tex=r"\eta")
PEAK = symbol("peak", tex=r"\text{peak}")
FINAL = symbol("final", tex=r"\text{final}")
WARMUP = symbol("warmup", tex=r"\text{warmup}")
STEPS = symbol("steps", tex=r"\text{steps}")
S, T, PART, PI = symbol("s"), symbol("t"), symbol("p"), symbol("π", tex=r"\pi")
CANCELS = 0.005  # part of the height below which 1 + cos(π t) loses the digits that are printed


def schedule(
    name: str,
    at: int | Sequence[int],
    steps: int,
    peak: float,
    warmup: int = 0,
    final: float = 0.0,
) -> Explanation:
    """Work out the learning rate of a schedule at given steps.

    Args:
        name: constant, linear or cosine.
        at: a step from 0 to steps - 1, or several.
        steps: how many there are.
        peak: the highest rate, finite and positive.
        warmup: steps of rise, fewer than `steps`.
        final: the rate of the last step, from 0 to `peak`; a constant one has none.

    Raises:
        ValueError: there is no such schedule, no step is asked for, or a number is out of range.

    Source: Loshchilov and Hutter 2017, "SGDR", equation 5 (cosine, without restarts).
    """
    if name not in schedules.SCHEDULES:
        raise ValueError(f"{name!r} is no schedule; there are {', '.join(schedules.SCHEDULES)}")
    asked = [at] if isinstance(at, int) else list(at)
    if not asked:
        raise ValueError("no step is asked for")
    if not 0 < peak < math.inf:
        raise ValueError(f"peak is {peak}; it must be above 0")
    if not 0 <= final <= peak:
        raise ValueError(f"final is {final}; it must be from 0 to the peak, {peak}")
    if name == "constant" and final:
        raise ValueError("a constant schedule has no final rate: it stays at its peak")
    rates = [_rate(name, s, steps, peak, warmup, final) for s in asked]
    parts = [_formula(name, warmup)]
    parts += [
        step(f"Step {s}", *_worked(name, s, steps, peak, warmup, final, rate))
        for s, rate in zip(asked, rates, strict=True)
    ]
    if len(asked) > 1:
        rows = [[str(s), number(rate), number(rate / peak)] for s, rate in zip(asked, rates, strict=True)]
        parts.append(step("Side by side", table(["step", "rate", "part of the peak"], rows)))
    result = {
        "schedule": name,
        "steps": steps,
        "peak": peak,
        "warmup": warmup,
        "final": final,
        "at": asked,
        "rates": rates,
    }
    return Explanation(f"The {name} schedule over {steps} step{'' if steps == 1 else 's'}", tuple(parts), result)


def _rate(name: str, s: int, steps: int, peak: float, warmup: int, final: float) -> float:
    if name == "constant":
        return schedules.constant(s, steps, peak, warmup)
    return schedules.SCHEDULES[name](s, steps, peak, warmup, final)  # type: ignore[call-arg]


def _formula(name: str, warmup: int) -> Step:
    """Show the formulas in letters."""
    lines: list[Equation | Sentence | Table] = []
    if warmup:
        lines += [
            say(
                f"For the first {warmup} step{'' if warmup == 1 else 's'} the rate rises in a line; steps are counted "
                "from 0, so the last of them has the peak:"
            ),
            equation(RATE, over(times(PEAK, total(S, 1)), WARMUP)),
        ]
    then = "After that" if warmup else "In all steps"
    if name == "constant":
        lines += [say(f"{then} it stays there:" if warmup else "It is the same in all steps:"), equation(RATE, PEAK)]
        return step("The formula", *lines)
    progress = over(minus(total(S, 1), WARMUP), minus(STEPS, WARMUP)) if warmup else over(total(S, 1), STEPS)
    way = (
        "the rate falls in a straight line with the progress t, which is 1 at the last step:"
        if name == "linear"
        else "the rate falls with the progress t along half a wave of the cosine, slowly, then fast, then slowly:"
    )
    lines += [
        say(f"{then} {way}"),
        equation(T, progress),
        say("Of the height between peak and final rate the part p is left:"),
        equation(PART, _left(name, T)),
        equation(RATE, total(FINAL, times(minus(PEAK, FINAL), PART))),
    ]
    return step("The formula", *lines)


def _left(name: str, t: Expression) -> Expression:
    """The part of the height between final rate and peak that is left at the progress t."""
    if name == "linear":
        return minus(1, t)
    return over(total(1, call("cos", times(PI, t))), 2)


def _worked(
    name: str, s: int, steps: int, peak: float, warmup: int, final: float, rate: float
) -> list[Equation | Sentence | Table]:
    if s < warmup:
        rise = over(times(peak, total(s, 1)), warmup), over(times(peak, s + 1), warmup)
        return [say("It is one of the warmup:"), equation(RATE, *rise, number(rate))]
    if name == "constant":
        return [equation(RATE, PEAK, number(rate))]
    t = (s + 1 - warmup) / (steps - warmup)
    inner = minus(total(s, 1), warmup) if warmup else total(s, 1)
    below = minus(steps, warmup) if warmup else number(steps)
    lines: list[Equation | Sentence | Table] = [
        equation(T, over(inner, below), over(s + 1 - warmup, steps - warmup), number(t))
    ]
    if name == "linear":
        part = settled(1 - t, [1, t])
        lines.append(equation(PART, minus(1, t), number(part)))
    else:
        part = (1 + math.cos(math.pi * t)) / 2
        lines += _half_wave(t, part)
    fall: Expression = times(settled(peak - final, [peak, final]), part)
    lines.append(equation(RATE, total(final, fall) if final else fall, number(rate)))
    return lines


def _half_wave(t: float, part: float) -> list[Equation | Sentence | Table]:
    """p = (1 + cos(π t)) / 2, and where both terms nearly cancel the same by half of the angle that is left."""
    if 0 < t < 1 and part < CANCELS:
        rest = settled(1 - t, [1, t])
        sine = math.sin(math.pi * rest / 2)
        return [
            say(
                "So near to the end 1 and the cosine almost cancel. The same number, without a difference of nearly "
                "equal ones:"
            ),
            equation(PART, power(call("sin", over(times(PI, minus(1, T)), 2)), 2)),
            equation(call("sin", over(times(PI, rest), 2)), call("sin", math.pi * rest / 2), number(sine)),
            equation(PART, power(sine, 2), number(part)),
        ]
    cosine = math.cos(math.pi * t)
    if abs(cosine) < 1e-15:
        cosine = 0.0  # of a right angle, but for the rounding of π
    return [
        equation(call("cos", times(PI, t)), call("cos", math.pi * t), number(cosine)),
        equation(PART, over(total(1, cosine), 2), number(part)),
    ]
