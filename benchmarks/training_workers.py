"""The processes of the contenders of benchmarks/training_peers.py, and where they run."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from answering import Answering
from quire.files import write_text
from quire.model.config import ModelConfig
from quire.training.machine import Machine
from training_task import Task

WORKER = Path(__file__).with_name("training_contender.py")


class Worker(Answering):
    """A contender's process.

    Args:
        python: the interpreter.
        task: what it has to do.
        environment: variables to set for it.
    """

    def __init__(self, python: str, task: Task, environment: Mapping[str, str]) -> None:
        folder = Path(task.out)
        folder.mkdir(parents=True)
        write_text(folder / "task.json", json.dumps(asdict(task)))
        command = [python, str(WORKER), str(folder / "task.json")]
        super().__init__(command, {**os.environ, **environment}, folder / "log.txt")

    def take(self, steps: int) -> tuple[float, float]:
        """Return the seconds that so many steps took, by the clock and of processors."""
        answer = self.answer_to(str(steps))
        return float(answer["seconds"]), float(answer["processor_seconds"])

    def finish(self) -> dict[str, Any]:
        """Return the closing answer."""
        answer: dict[str, Any] = self.answer_to("")
        return answer


@dataclass(frozen=True)
class Field:
    """What all contenders have in common.

    Args:
        machine: the machine.
        pythons: interpreter by contender, where it is not this one.
        folder: for what is written on the way.
        learning_rate: the peak of the peers' AdamW.
    """

    machine: Machine
    pythons: Mapping[str, str]
    folder: Path
    learning_rate: float

    def python(self, key: str) -> str:
        """Return the interpreter of a contender."""
        return self.pythons.get(key, sys.executable)

    def worker(self, key: str, tokens: Path, shape: ModelConfig, what: Mapping[str, Any], fresh: bool) -> Worker:
        """Start a contender's process."""
        names = ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim")
        names += ("intermediate_size", "context_length", "rope_theta")
        out = self.folder / f"{key}-{len(list(self.folder.iterdir()))}"
        values = {"contender": key, "tokens": str(tokens), "out": str(out), "device": self.machine.device}
        values["learning_rate"] = self.learning_rate
        task = Task(**values, shape={name: getattr(shape, name) for name in names}, began=time.time(), **what)
        # One GPU for everyone, where a Trainer by itself would take all that it sees.
        environment = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]}
        if fresh:  # what earlier runs compiled is not used against the clock: compiling is part of the time
            environment["TORCHINDUCTOR_CACHE_DIR"] = f"{out}-compiled"
        return Worker(self.python(key), task, environment)
