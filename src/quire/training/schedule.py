"""The learning rate over a run: warmup, plateau, decay; and a length that may be revised, on record.

With a plateau (`decay_fraction` below 1) this is the schedule called stable-then-decay, WSD or trapezoid: until the
decay begins, nothing depends on how long the run will be. Without one (`decay_fraction` 1) it is the classical linear
or cosine schedule. `shape` is the form of the decay in either.

Source: Loshchilov and Hutter 2017 (arXiv:1608.03983) for the cosine; Hu et al. 2024, "MiniCPM" (arXiv:2404.06395) for
WSD; Hägele et al. 2024 (arXiv:2405.18392) for the decay by one minus a square root.

A run of N steps has a *progress* from 0 to 1. Where only a time is given, N is an estimate. Each revision of it
adds a knot (step, progress): before the knot nothing changes, after it progress goes in a straight line to 1 at the
new last step. The knots are saved with the run, so the learning rate of a step is a function of the step and the
knots alone, and a resumed run takes the same steps at the same rates.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from quire.settings import Settings


class ScheduleSettings(Settings):
    """How the learning rate goes over a run."""

    shape: Literal["linear", "cosine", "sqrt"] = "linear"
    """The form of the decay: a straight line, half a cosine, or one minus a square root, which falls steeply first."""
    warmup_steps: int = Field(20, ge=0)
    """Steps over which the learning rate rises in a straight line from 0 to its peak."""
    decay_fraction: float = Field(0.6, ge=0, le=1)
    """The last part of the run in which the rate decays, after a plateau (stable-then-decay); 1 has no plateau."""
    final_fraction: float = Field(0.0, ge=0, le=1)
    """The learning rate at the end, as a part of the peak."""


@dataclass
class Schedule:
    """The multiplier of the learning rate, step by step.

    Args:
        settings: the form.
        total_steps: how many steps the run has.
        knots: (step, progress) of each revision so far.
    """

    settings: ScheduleSettings
    total_steps: int
    knots: list[tuple[int, float]] = field(default_factory=lambda: [(0, 0.0)])

    def progress(self, step: int) -> float:
        """Return the part of the run that is done before `step` (0-based), from 0 to 1."""
        knots = [*self.knots, (self.total_steps, 1.0)]
        for (start, low), (end, high) in itertools.pairwise(knots):
            if step < end or end == self.total_steps:
                span = max(1, end - start)
                return min(1.0, low + (high - low) * (step - start) / span)
        return 1.0

    def multiplier(self, step: int) -> float:
        """Return the factor on the peak learning rate that `step` (0-based) is taken with."""
        s = self.settings
        warm = min(1.0, (step + 1) / s.warmup_steps) if s.warmup_steps else 1.0
        if s.decay_fraction == 0:
            return warm
        # Progress at the middle of the step: the last step still moves, the first is not at the very peak of the line.
        here = min(1.0, (self.progress(step) + self.progress(step + 1)) / 2)
        # 0 at the start of the decay, 1 at the end
        decayed = max(0.0, (here - (1 - s.decay_fraction)) / s.decay_fraction)
        if s.shape == "linear":
            falling = 1 - decayed
        elif s.shape == "cosine":
            falling = 0.5 * (1 + math.cos(math.pi * decayed))
        else:
            falling = 1 - math.sqrt(decayed)
        return warm * (s.final_fraction + (1 - s.final_fraction) * falling)

    def revise(self, step: int, total_steps: int) -> None:
        """From `step` on, aim at `total_steps` as the end; the multiplier up to `step` stays as it was.

        Raises:
            ValueError: the new end is not after `step`.
        """
        if total_steps <= step:
            raise ValueError(f"a run at step {step} cannot be made to end at step {total_steps}")
        if step == 0:
            self.knots = [(0, 0.0)]
        else:
            at = self.progress(step)
            self.knots = [knot for knot in self.knots if knot[0] < step] + [(step, at)]
        self.total_steps = total_steps
