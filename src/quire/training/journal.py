"""What a run tells while it goes on: lines of metrics, samples, and records for whoever listens."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from quire.errors import QuireError
from quire.tokens.dataset import TokenDataset
from quire.training.checkpoint import TrainingState
from quire.training.config import TrainingSettings
from quire.training.metrics import MetricsWriter, Record, metrics_path, truncate_metrics
from quire.training.pace import Pace
from quire.training.samples import SampleWriter

Listener = Callable[[Record], None]


class Journal:
    """The records of one run.

    Args:
        run: the run folder.
        data: the text that prompts of samples are taken from.
        settings: those of the samples.
        listener: is called with every record.
        kept: False tells and writes nothing: another process of the run does.
    """

    def __init__(
        self,
        run: Path,
        data: TokenDataset,
        settings: TrainingSettings,
        listener: Listener | None,
        *,
        kept: bool = True,
    ) -> None:
        self.kept = kept
        self.run_folder = run
        self.data = data
        self.listener = listener if listener and kept else (lambda record: None)
        self.samples = SampleWriter(run, data, settings)
        self.metrics: MetricsWriter | None = None

    def open(self, step: int, returns: int = 0) -> None:
        """Write on behind the records of `step`: later ones are of steps that will be taken again.

        Args:
            step: the last step whose records stay; -1 begins anew.
            returns: how often the run has gone back to an earlier checkpoint.
        """
        self.close()
        if not self.kept:
            return
        truncate_metrics(self.run_folder, step, returns)
        self.samples.forget_after(step)
        self.metrics = MetricsWriter(self.run_folder)

    def close(self) -> None:
        """Put everything on the disk."""
        if self.metrics is not None:
            self.metrics.close()
            self.metrics = None

    def write(self, record: Record) -> None:
        """Append `record` to the metrics and tell it."""
        if self.metrics is not None:
            self.metrics.write(record)
        self.listener(record)

    def note(self, step: int, text: str) -> None:
        """Tell a sentence, which is not among the metrics."""
        self.listener({"kind": "note", "step": step, "text": text})

    def check_folder(self) -> None:
        """Raise `QuireError` where the run folder is gone: what is open is still written, to no place on the disk."""
        if self.kept and not metrics_path(self.run_folder).exists():
            raise QuireError(
                "the run folder was deleted or moved while the run was going on",
                where=self.run_folder,
                hint="Start the run again, or move the folder back and go on with --resume",
            )

    def steps_taken(self, state: TrainingState, pace: Pace, learning_rate: float) -> None:
        """Write a line for the steps since the last one, and begin new sums."""
        split = self.data.train
        # Where none of them was taken there is no loss to tell.
        loss = state.pending_loss / state.pending_targets if state.pending_targets else math.nan
        record = {
            "kind": "train",
            "step": state.step,
            "tokens": state.tokens,
            "seconds": round(state.seconds, 3),
            "epoch": round(state.tokens / max(1, split.num_tokens), 4),
            "loss": loss,
            "bits_per_byte": loss / math.log(2) * split.num_tokens / max(1, split.num_bytes),
            "lr": learning_rate,
            "grad_norm": pace.norm,
            **pace.figures(),
            "total_steps": state.total_steps,
        }
        if state.skipped:
            record["skipped"] = state.skipped
        pace.restart()
        state.pending_loss, state.pending_targets = 0.0, 0
        self.write(record)
