"""Steps that would do harm: which are not taken, and when a run goes back to an earlier checkpoint.

Two kinds of steps are not taken. Where loss or gradient are not finite, nothing could be learned. And a *spike* is a
loss or a gradient far from what the last `HISTORY` taken steps had: one bad batch, or weights that have just been moved
too far. Skipping costs a batch; following it can cost the run (Chowdhery et al. 2022, PaLM, section 5.1: restarting
from before a spike got over it). Until there is a history of that length nothing is a spike, so the steep beginning
of a run never is.

What it decides by is in the training state: a resumed run decides alike.
"""

from __future__ import annotations

import math
import statistics

from quire.training.checkpoint import TrainingState
from quire.training.config import TrainingSettings

HISTORY = 64
"""Taken steps whose losses and gradient norms are remembered."""
LEAST_DEVIATION = 0.05
"""The deviation of the losses is taken to be at least this part of their median: large batches hardly vary."""


def judge(settings: TrainingSettings, state: TrainingState, loss: float, norm: float) -> str | None:
    """Return why a step must not be taken; None where it may.

    Args:
        settings: `spike_factor` and `spike_deviations`.
        state: with the losses and norms of the last steps.
        loss: the batch's mean loss, nats a target.
        norm: the norm of its gradient before clipping.
    """
    if not math.isfinite(loss):
        return f"its loss is {loss}"
    if not math.isfinite(norm):
        return f"its gradient's norm is {norm}"
    if len(state.norms) < HISTORY:
        return None
    usual = statistics.median(state.norms)
    if settings.spike_factor and norm > settings.spike_factor * usual:
        return f"its gradient's norm {norm:.3g} is {norm / usual:.0f} times the usual {usual:.3g}"
    usual = statistics.median(state.losses)
    deviation = max(statistics.pstdev(state.losses), LEAST_DEVIATION * usual)
    if settings.spike_deviations and loss > usual + settings.spike_deviations * deviation:
        return f"its loss {loss:.3g} is {(loss - usual) / deviation:.0f} deviations above the usual {usual:.3g}"
    return None


def remember(state: TrainingState, loss: float, norm: float) -> None:
    """Add a taken step to the history."""
    state.losses = [*state.losses, loss][-HISTORY:]
    state.norms = [*state.norms, norm][-HISTORY:]
