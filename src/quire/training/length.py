"""How many steps a run by the clock takes: measured while it goes on, and settled once it was interrupted.

The first steps compile or warm up, so the clock is looked at after a few of them, and then every few seconds. Where
the end would miss the budget by more than the tolerance, the length is revised: the schedule goes on from where it is
to the new end, so the decay is always completed. Near the end the tolerance is a part of the few steps that are left:
a machine that changes its speed late is still met.
"""

from __future__ import annotations

from quire.training.checkpoint import TrainingState
from quire.training.distributed import Ranks
from quire.training.pace import Pace
from quire.training.schedule import Schedule

FIRST_REVISION_STEPS = 8
SLOW_STEPS = 3
REVISION_SECONDS = 5.0
REVISION_SHARE = 0.04  # of the budget: a machine that gets twice as slow right after a look is noticed in time
REVISION_TOLERANCE = 0.02


class RunLength:
    """Keeps the length of a run to its time.

    Args:
        minutes: the budget; None: the number of steps stays as it is.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self.settled = minutes is None
        self.revised_at = 0.0
        self.interval = REVISION_SECONDS if minutes is None else min(REVISION_SECONDS, REVISION_SHARE * minutes * 60)

    def settle(self, state: TrainingState) -> None:
        """The run was interrupted: the length it had stays, so that the same checkpoint always gives the same weights.

        Only where it was not yet measured is it still an estimate.
        """
        self.settled = self.settled or len(state.knots) > 1 or state.step >= FIRST_REVISION_STEPS

    def revise_together(self, state: TrainingState, pace: Pace, schedule: Schedule, ranks: Ranks) -> None:
        """Revise the length on all of several ranks, by the clock of rank 0; arguments as for `revise`."""
        before = schedule.knots
        if ranks.first:
            self.revise(state, pace, schedule)
        if ranks.count == 1:
            return
        seconds, total, revised = ranks.share(state.seconds, schedule.total_steps, schedule.knots is not before)
        state.seconds = seconds
        if revised and not ranks.first:
            schedule.revise(state.step, int(total))
            state.total_steps, state.knots = schedule.total_steps, schedule.knots

    def revise(self, state: TrainingState, pace: Pace, schedule: Schedule) -> None:
        """After a step: where it is time to, set the end of `schedule` and of `state` to where the budget ends."""
        first = state.step == FIRST_REVISION_STEPS
        late = pace.steps >= SLOW_STEPS and state.seconds - self.revised_at > self.interval
        if self.minutes is None or self.settled or not (first or late):
            return
        self.revised_at = state.seconds
        left = self.minutes * 60 - state.seconds
        total = max(state.step + 1, state.step + int(left / pace.seconds_per_step()))
        if first or abs(total - schedule.total_steps) > REVISION_TOLERANCE * (total - state.step) + 1:
            schedule.revise(state.step, total)
            state.total_steps, state.knots = total, schedule.knots
