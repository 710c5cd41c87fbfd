"""The checkpoints of a run that goes on: when one is written, which stay, and to which the run can go back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from quire.errors import QuireError
from quire.training.checkpoint import (
    TrainingState,
    checkpoint_folder,
    forget_checkpoints,
    latest_checkpoint,
    load_checkpoint,
    newest_whole,
    prune_checkpoints,
    save_checkpoint,
)
from quire.training.config import TrainingSettings
from quire.training.distributed import Ranks
from quire.training.optimizer import Optimizer
from quire.training.precision import MixedPrecision

# What a return to an earlier checkpoint leaves as it is: the clock, the length of the schedule, the best model, counts.
NOT_TURNED_BACK = ("seconds", "total_steps", "knots", "best_loss", "best_step", "worse", "skipped", "micro_batch_size")


class Saves:
    """Writes and loads the checkpoints of one run.

    Args:
        run: the run folder.
        settings: how often, and how many to keep.
        model: whose weights are saved and loaded.
        optimizer: the model's.
        precision: the number format, whose scale is saved as well.
        ranks: the processes that train together; all call the same methods.
        clock: returns the seconds of training so far.
        note: is called with what a reader of the log should know.
    """

    def __init__(
        self,
        run: Path,
        settings: TrainingSettings,
        model: nn.Module,
        optimizer: Optimizer,
        precision: MixedPrecision,
        ranks: Ranks,
        *,
        clock: Callable[[], float],
        note: Callable[[str], None],
    ) -> None:
        self._run, self._settings, self._ranks = run, settings, ranks
        self._parts = (model, optimizer, precision, ranks)
        self._clock, self._note = clock, note
        self._step = -1  # that the newest checkpoint is of
        self._at = 0.0  # seconds of training when it was written

    def begin(self, seconds: float) -> None:
        """Count the seconds to the next checkpoint from here."""
        self._at = seconds

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint of this moment, unless it is there, and delete the oldest.

        Raises:
            QuireError: it cannot be written.
        """
        if self._step != state.step:
            save_checkpoint(self._run, state, *self._parts)
            self._ranks.lead(lambda: prune_checkpoints(self._run, self._settings.keep_checkpoints, state.anchors))
            self._step = state.step
        self._at = self._clock()

    def save_anchor(self, state: TrainingState) -> None:
        """Write a checkpoint that the run may go back to.

        Which these are follows from the steps alone. Those written because of the clock or of Ctrl-C are not among
        them, or an interrupted run could go back to another place than one that was not.
        """
        state.anchors = [*state.anchors, state.step][-2:]
        self.save(state)

    def after_step(self, state: TrainingState) -> None:
        """Write a checkpoint where it is time for one."""
        if state.step % self._settings.checkpoint_interval == 0 and not state.skipped_in_a_row:
            if self._step != state.step:
                self.save_anchor(state)
        elif self._ranks.share(self._clock() - self._at)[0] > self._settings.checkpoint_seconds:
            self.save(state)

    def load_newest(self) -> tuple[TrainingState, Path]:
        """Load the newest whole checkpoint; return its state, and its folder.

        Raises:
            FormatError: there is none.
        """
        folder, problems = self._ranks.lead(lambda: latest_checkpoint(self._run))
        return self._load(folder, problems), folder

    def go_back(self, left: TrainingState, trouble: str) -> TrainingState:
        """Load the last checkpoint from before the trouble, lower the learning rates, and return the state from there.

        If it does not help, the next return takes the checkpoint before that: weights may go wrong some steps before
        it shows.

        Args:
            left: the state that the run is in.
            trouble: what is wrong, for messages.

        Raises:
            QuireError: the run went back as often as it may, or has nothing to go back to.
        """
        t = self._settings
        hint = "Lower the learning rates (--set optimizer.matrix_learning_rate=…) or train in float32"
        if left.returns >= t.max_returns:
            text = f"{trouble}; {left.returns} returns to earlier checkpoints did not help"
            raise QuireError(text, where=f"step {left.step}", hint=hint)
        anchors = [checkpoint_folder(self._run, step) for step in reversed(left.anchors)]
        folder, problems = self._ranks.lead(lambda: newest_whole(anchors))
        if folder is None:
            self._tell_damaged(problems)
            raise QuireError(
                f"{trouble}, and there is no checkpoint to go back to", where=f"step {left.step}", hint=hint
            )
        state = self._load(folder, problems)
        for name in NOT_TURNED_BACK:
            setattr(state, name, getattr(left, name))
        state.returns, state.rate_factor = left.returns + 1, left.rate_factor * t.return_rate
        # It has just failed to carry the run; with another one before it, that one is next.
        state.anchors = [step for step in left.anchors if step < state.step] or [state.step]
        self._ranks.lead(lambda: forget_checkpoints(self._run, state.step))
        return state

    def _load(self, folder: Path, problems: list[str]) -> TrainingState:
        self._tell_damaged(problems)
        state = load_checkpoint(folder, *self._parts)
        self._step = state.step
        return state

    def _tell_damaged(self, problems: list[str]) -> None:
        for problem in problems:
            self._note(f"a damaged checkpoint was passed over: {problem}")
