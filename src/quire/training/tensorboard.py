"""TensorBoard events of a run, for those who watch their runs there: what metrics.jsonl holds, and the samples.

They are written by tensorboardX, which brings what quire has already but for itself (0.7 MB); TensorBoard, which shows
them, can live anywhere: `tensorboard --logdir runs`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from quire.errors import UsageError
from quire.training.config import RunConfig
from quire.training.metrics import Record

Listener = Callable[[Record], None]

TAGS = {
    "train": {
        "loss": "loss/train",
        "bits_per_byte": "bits_per_byte/train",
        "lr": "optimizer/learning_rate",
        "grad_norm": "optimizer/gradient_norm",
        "skipped": "optimizer/skipped_steps",
        "epoch": "data/epoch",
        "tokens_per_second": "speed/tokens_per_second",
        "share": "speed/share_of_matrix_products",
        "loader_share": "speed/loader_share",
        "memory_bytes": "machine/memory_bytes",
    },
    "validation": {"loss": "loss/validation", "bits_per_byte": "bits_per_byte/validation"},
}
"""By kind of record, the values that are written and the names they have in TensorBoard."""


def check_tensorboard(wanted: bool) -> None:
    """Raise `UsageError` where events are wanted and what writes them is not installed."""
    if wanted and importlib.util.find_spec("tensorboardX") is None:
        raise UsageError(
            "TensorBoard events need tensorboardX, which is not installed",
            where="training.tensorboard",
            hint="pip install 'quire[tensorboard]'",
        )


@contextlib.contextmanager
def with_events(run: Path, config: RunConfig, listener: Listener, *, resumed: bool) -> Iterator[Listener]:
    """Yield a listener that also writes events to RUN/quire/tensorboard, where the configuration wants them."""
    if not config.training.tensorboard:
        yield listener
        return
    check_tensorboard(True)
    events = Events(run, resumed=resumed)

    def tell(record: Record) -> None:
        events.write(record)
        listener(record)

    try:
        yield tell
    finally:
        events.close()


class Events:
    """Writes the records of a run as events.

    Args:
        run: the run folder.
        resumed: the first record's step and those after it take the place of what an earlier process wrote of them.
    """

    def __init__(self, run: Path, *, resumed: bool) -> None:
        self.folder = run / "quire" / "tensorboard"
        self.resumed = resumed
        self._writer: Any = None

    def write(self, record: Record) -> None:
        """Write what TensorBoard can show of `record`."""
        kind = record["kind"]
        if kind == "return":
            # The run has gone back to a checkpoint: the steps since then are taken, and shown, anew.
            self.close()
            self.resumed = True
        if kind not in TAGS and kind != "sample":
            return
        writer = self._open(record)
        if kind == "sample":
            writer.add_text("sample", record["text"], record["step"])
            return
        for key, tag in TAGS[kind].items():
            value = record.get(key)
            if isinstance(value, (int, float)) and math.isfinite(value):
                writer.add_scalar(tag, value, record["step"])
        writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, record: Record) -> Any:
        if self._writer is None:
            from tensorboardX.writer import SummaryWriter

            purge = record["step"] if self.resumed else None
            # TensorBoard reads files by name, which holds the second of their making and no more.
            number = len(list(self.folder.glob("events.*")))
            self._writer = SummaryWriter(str(self.folder), purge_step=purge, filename_suffix=f".{number:04}")
        return self._writer
