"""metrics.jsonl: one JSON object a line for every log step, evaluation and event of a run."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from quire.errors import FormatError
from quire.files import explain_os_error, write_text

Record = dict[str, Any]


def metrics_path(run: Path) -> Path:
    """Return where the metrics of `run` lie."""
    return run / "quire" / "metrics.jsonl"


def read_metrics(run: Path, *, lenient: bool = False) -> list[Record]:
    """Return the records of a run in order; a last line that was cut off by a kill is left out.

    Args:
        run: the run folder.
        lenient: leave out every line that is no record.

    Raises:
        FormatError: there are no metrics, or a line before the last is no record.
    """
    path = metrics_path(run)
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise FormatError("no metrics here", where=path, hint="Is this a run folder that `quire train` made?") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            record = error
        if isinstance(record, dict):
            records.append(record)
        elif number < len(lines) and not lenient:
            what = f"is not JSON: {record}" if isinstance(record, ValueError) else "is no record of a run"
            raise FormatError(f"line {number} {what}", where=path, hint="Delete this line; resuming leaves it out too")
    return records


def truncate_metrics(run: Path, step: int, returns: int = 0) -> None:
    """Forget the records after `step`, and of more than `returns` returns: a resumed run writes them again."""
    if metrics_path(run).exists():
        records = read_metrics(run, lenient=True)
        kept = [r for r in records if r.get("step", 0) <= step and r.get("returns", 0) <= returns]
        write_text(metrics_path(run), "".join(json.dumps(record) + "\n" for record in kept))


class MetricsWriter:
    """Appends records to the metrics of a run; each line reaches the system before the call returns.

    Raises:
        QuireError: the disk is full or the folder cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self.path = metrics_path(run)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def write(self, record: Record) -> None:
        """Append one record."""
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def close(self) -> None:
        """Close the file, with everything on the disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        finally:
            with contextlib.suppress(OSError):  # told above; closing tries to write once more
                self._file.close()
