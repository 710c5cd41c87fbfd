"""How many steps a run by the clock takes: measured while it goes on, and settled once it was interrupted.

The first steps compile or warm up, so the clock is looked at after a few of them, and then every few seconds. Where
the end would miss the budget by more than the tolerance, the length is revised: the schedule goes on from where it is
to the new end, so the decay is always completed. Near the end the tolerance is a part of the few steps that are left:
a machine that changes its speed late is still met.
"""

from __future__ import annotations

from quire.training.checkpoint import TrainingState
from quire.training.distributed import Ranks
from quire.training.pace import FEW_STEPS, Pace
from quire.training.schedule import Schedule

FIRST_REVISION_STEPS = 8
SLOW_STEPS = 3
LAST_STEPS = 2  # before a run ends, it is made sure that its time is over
REVISION_SECONDS = 5.0
REVISION_SHARE = 0.04  # of the budget: a machine that gets twice as slow right after a look is noticed in time
REVISION_TOLERANCE = 0.02


def steps_for(epochs: float | None, train_tokens: int, step_tokens: int) -> int | None:
    """Return how many steps of `step_tokens` tokens see a text of `train_tokens` `epochs` times; None of None."""
    return None if epochs is None else max(1, int(epochs * train_tokens / step_tokens))


class RunLength:
    """Keeps the length of a run to its time.

    Args:
        minutes: the budget; None: the number of steps stays as it is.
        most_steps: the run is never made longer than so many steps; None: only the budget ends it.
    """

    def __init__(self, minutes: float | None, most_steps: int | None = None) -> None:
        self.minutes = minutes
        self.most_steps = most_steps if most_steps is not None else 1 << 62
        self.settled = minutes is None
        self.revised_at = 0.0
        self.interval = REVISION_SECONDS if minutes is None else min(REVISION_SECONDS, REVISION_SHARE * minutes * 60)

    def begin(self, state: TrainingState, schedule: Schedule) -> None:
        """Before the first step: let the estimate not end the run before the clock was looked at in its first half."""
        if self.minutes is None or state.step > 0:
            return
        total = min(max(schedule.total_steps, 2 * FIRST_REVISION_STEPS), self.most_steps)
        if total != schedule.total_steps:
            schedule.revise(0, total)
            state.total_steps = schedule.total_steps

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
        ending = 0 < schedule.total_steps - state.step <= LAST_STEPS
        if self.minutes is None or self.settled or not (first or late or ending) or state.step >= self.most_steps:
            return
        self.revised_at = state.seconds
        left = self.minutes * 60 - state.seconds
        # While all steps so far may have been slow ones, the next is looked at before it is the last.
        least = 2 if pace.steps < FEW_STEPS and left > 0 else 1
        total = state.step + max(least, int(left / pace.seconds_per_step()))
        total = max(min(total, self.most_steps), state.step + 1)
        # A bound is met exactly: a run one step short of it would end before its time for no reason.
        tolerance = 0 if total == self.most_steps else REVISION_TOLERANCE * (total - state.step) + 1
        if first or abs(total - schedule.total_steps) > tolerance:
            schedule.revise(state.step, total)
            state.total_steps, state.knots = total, schedule.knots
