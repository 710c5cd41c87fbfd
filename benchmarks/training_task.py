"""What a contender of benchmarks/training_peers.py is asked to do, when it has to stop, and how it is scored.

Either the parent commands steps, a number a line on the standard input, and is answered with the seconds they took; or
there is a time, and the contender trains until it is over. A peer's environment need not have quire: nothing here does.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Logits = Callable[[Tensor], Tensor]
"""Tokens (B, T) -> scores (B, T, V)."""

IGNORED = -100
SCORED_AT_ONCE = 16
"""Windows in a pass of the closing score."""


@dataclass(frozen=True)
class Task:
    """What a contender has to do.

    Args:
        contender: a key of `training_contender.LOOPS`.
        tokens: the folder of token shards that quire made; the others read the same files.
        out: a folder for what is written on the way.
        shape: vocab_size, hidden_size, num_layers, num_heads, num_kv_heads, head_dim, intermediate_size and
            context_length of the model, and rope_theta.
        batch: windows in a step.
        learning_rate: the peak of the Trainer's and litgpt's AdamW.
        precision: "float32" or "bfloat16".
        compiled: whether torch.compile is used.
        device: "cpu" or "cuda".
        seconds: wall clock of the process from its start on; None: steps are taken when commanded.
        began: when the process was started, in seconds since the epoch.
    """

    contender: str
    tokens: str
    out: str
    shape: dict[str, Any]
    batch: int
    learning_rate: float
    precision: str
    compiled: bool
    device: str
    seconds: float | None
    began: float

    def row(self, split: str) -> np.ndarray:
        """Return the tokens of "train" or "validation", as they are stored."""
        shards = self.index["splits"][split]["shards"]
        return np.concatenate([np.load(Path(self.tokens) / shard["file"]) for shard in shards])

    @property
    def index(self) -> dict[str, Any]:
        """What the folder of tokens says of itself."""
        return json.loads((Path(self.tokens) / "index.json").read_text("utf-8"))


class Ended(BaseException):
    """Training is over. No Exception, so that no loop takes it for a fault that it should survive."""


class OnCommand:
    """Is called before each step: waits for a command to take some, and tells how long the last ones took.

    The seconds are those of the clock, and those in which processors worked for this process.
    """

    def __init__(self, task: Task, answers: TextIO) -> None:
        self.device, self.answers = task.device, answers
        self.left, self.taking, self.taken = 0, False, 0
        self.began = self.busy = 0.0

    def __call__(self) -> None:
        if not self.left:
            self._now()
            if self.taking:
                seconds, busy = time.perf_counter() - self.began, time.process_time() - self.busy
                answer(self.answers, {"seconds": seconds, "processor_seconds": busy})
            command = sys.stdin.readline()
            if not command.strip():
                raise Ended
            self.left, self.taking = int(command), True
            self.began, self.busy = time.perf_counter(), time.process_time()
        self.left -= 1
        self.taken += 1

    def share(self) -> float:
        """Return the part of the run that is done: steps on command are those of the middle of one."""
        return 0.5

    def _now(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


class UntilTime:
    """Is called before each step: ends training when the time is over."""

    def __init__(self, task: Task) -> None:
        self.device, self.end = task.device, task.began + float(task.seconds or 0)
        self.taken = -1
        self.first = 0.0

    def __call__(self) -> None:
        self.taken += 1
        if self.device == "cuda" and self.taken % 8 == 0:  # else steps would be queued past the end
            torch.cuda.synchronize()
        if time.time() >= self.end:
            raise Ended
        if self.taken <= 1:
            self.first = time.time()

    def share(self) -> float:
        """Return the part of the time that is over, from the first step's end on: that step also compiles."""
        return 0.0 if self.taken < 1 else min(1.0, (time.time() - self.first) / max(1e-9, self.end - self.first))


def answer(answers: TextIO, what: dict[str, Any]) -> None:
    """Send an answer to the parent."""
    answers.write(json.dumps(what) + "\n")
    answers.flush()


@torch.no_grad()
def score(logits_of: Logits, row: np.ndarray, end_of_text: int, context: int, device: str) -> float:
    """Return the nats that all tokens of `row` cost, in windows of the model's context, in float32.

    Each token is a target once; the first of all is predicted from an end-of-text, as quire does it.
    """
    targets = row.astype(np.int64)
    inputs = np.concatenate([[end_of_text], targets[:-1]])
    missing = -len(targets) % context
    inputs = np.pad(inputs, (0, missing), constant_values=end_of_text).reshape(-1, context)
    targets = np.pad(targets, (0, missing), constant_values=IGNORED).reshape(-1, context)
    nats = 0.0
    for start in range(0, len(inputs), SCORED_AT_ONCE):
        x = torch.from_numpy(inputs[start : start + SCORED_AT_ONCE]).to(device)  # (B, T)
        y = torch.from_numpy(targets[start : start + SCORED_AT_ONCE]).to(device)  # (B, T)
        logits = logits_of(x).flatten(0, 1).float()  # (B T, V)
        each = F.cross_entropy(logits, y.flatten(), ignore_index=IGNORED, reduction="none")
        nats += float(each.double().sum())
    return nats


def peak_memory(device: str) -> dict[str, int]:
    """Return the most bytes this process had in memory, and of a GPU those that torch held for it."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
        peak = int(status.partition("VmHWM:")[2].split()[0]) << 10
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # not Linux
    gpu = {"gpu_bytes": torch.cuda.max_memory_reserved()} if device == "cuda" else {}
    return {"resident_bytes": peak, **gpu}
