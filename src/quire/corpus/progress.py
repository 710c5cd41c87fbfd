"""How far an ingestion is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Step:
    """How far an ingestion is.

    Args:
        stage: what it does.
        files: files done in this stage.
        total_files: files to do, or None while they are still being found.
        bytes: bytes of the files done.
        total_bytes: bytes of the files to do, or None.
        known: files that did not need reading, because an earlier run has read them.
        failed: files that failed in this stage.
        source: the file that was done last.
    """

    stage: Literal["finding", "reading", "writing"]
    files: int = 0
    total_files: int | None = None
    bytes: int = 0
    total_bytes: int | None = None
    known: int = 0
    failed: int = 0
    source: str = ""


Progress = Callable[[Step], None]
