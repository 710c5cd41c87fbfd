"""Whether a run is compiled: only where the time it has earns back what compiling takes on this machine."""

from __future__ import annotations

from collections.abc import Callable

from quire.settings import build
from quire.training.compilation import Forecast, History
from quire.training.config import RunConfig
from quire.training.draft import Draft
from quire.training.machine import Machine

Follow = Callable[[Draft, Forecast | None], None]
"""Chooses all that depends on whether the model is compiled, given what is expected of that; None where it is not."""

# What a plan is tried with to learn what would be compiled: steps, and with them dropout, follow from the gain.
TRIED = Forecast(5.0, 1.3, "")
LACKING = {
    "cpu": "no C++ compiler with Python's headers was found",
    "cuda": "no Triton with a C compiler and Python's headers was found, or the GPU is too old for it",
}


def plan_compile(
    draft: Draft, machine: Machine, seconds: float | None, history: History, follow: Follow
) -> Forecast | None:
    """Choose `training.compile`, and return what is expected of it; None where the run is not compiled.

    Args:
        draft: with the model and the number format chosen.
        machine: what was found of it.
        seconds: that the run has; None where it has a number of steps.
        history: what compiling took on this machine.
        follow: makes the rest of the plan, on a copy of the draft.
    """
    device = str(draft.values["training"]["device"])
    forecast = None
    if machine.compiler is not None and device != "mps":
        tried = Draft(draft.values)
        tried.choose("training.compile", True, "")
        follow(tried, TRIED)
        forecast = history.forecast(build(RunConfig, tried.values, where="plan"))
    value, reason = _decide(forecast, seconds, device)
    compiled = draft.choose("training.compile", value, reason)
    return (forecast or TRIED) if compiled else None


def _decide(forecast: Forecast | None, seconds: float | None, device: str) -> tuple[bool, str]:
    if forecast is None:
        return False, LACKING.get(device.partition(":")[0], "not on this device")
    pays = forecast.earned_back_after
    if seconds is None:
        return False, "no time was given, so whether compiling is earned back is not known"
    if seconds >= pays:
        return True, f"{forecast.reason}; earned back after {pays:.0f} s"
    if forecast.gain <= 1:
        return False, f"it gains nothing: {forecast.reason}"
    return False, f"{forecast.reason}; earned back only after {pays:.0f} s"
