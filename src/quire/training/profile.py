"""Where the time of a training step goes: its parts, its operators, and a trace that a browser opens.

The steps are taken by a trainer of their own before the run begins, so that measuring changes nothing in the run. They
are timed first without the profiler, which slows them down, and then a few are traced.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from quire.files import explain_os_error, write_text
from quire.tokens.dataset import TokenDataset
from quire.training.config import RunConfig
from quire.training.determinism import deterministic_kernels
from quire.training.memory import release_memory
from quire.training.metrics import Record
from quire.training.trainer import Trainer

WARM_UP = 3  # the first steps compile, and fill caches
TIMED_STEPS = 10
TIMED_SECONDS = 10.0  # as many of them as begin in this time, at least one
TRACED_STEPS = 2
TRACED_PASSES = 4  # micro-batches of a traced step: what bounds the size of the trace
OPERATORS = 12
PARTS = ("loader", "forward", "backward", "clipping", "optimizer", "other")
MARK = "quire: "


@dataclass(frozen=True)
class Operator:
    """An operator of the traced steps.

    Args:
        name: as PyTorch calls it.
        share: of the time of all operators, without what they call.
        calls: in a step.
    """

    name: str
    share: float
    calls: float


@dataclass(frozen=True)
class Profile:
    """Where the time of a step goes.

    Args:
        trace: the trace: JSON as Chrome and Perfetto read it, compressed.
        table: the file with `lines`.
        steps: how many were timed.
        seconds: of one of them.
        parts: seconds of each of its parts, by name; they add up to `seconds`.
        operators: those that take the most time, first the longest.
    """

    trace: Path
    table: Path
    steps: int
    seconds: float
    parts: dict[str, float]
    operators: tuple[Operator, ...]

    def lines(self) -> list[str]:
        """Return the profile as lines of text."""
        lines = [f"A step takes {1000 * self.seconds:,.1f} ms, the mean of {self.steps}:"]
        for name, seconds in self.parts.items():
            lines.append(f"  {name:<10} {1000 * seconds:>10,.2f} ms {seconds / self.seconds:>7.1%}")
        lines.append("Its operators, the longest first, without what they call:")
        lines += [
            f"  {_short(operator.name):<46} {operator.share:>7.1%} {operator.calls:>8,.0f} calls"
            for operator in self.operators
        ]
        size = self.trace.stat().st_size / 1e6 if self.trace.exists() else 0.0
        lines.append(f"Trace: {self.trace} ({size:.1f} MB); open it in chrome://tracing or https://ui.perfetto.dev")
        return lines


def profile_folder(run: Path) -> Path:
    """Return where the profile of `run` lies."""
    return run / "quire" / "profile"


def profile_steps(
    run: Path, config: RunConfig, data: TokenDataset, listener: Callable[[Record], None] | None = None
) -> Profile:
    """Time and trace steps of the run that `config` describes, and write the trace and a table to RUN/quire/profile.

    Args:
        run: the run folder; nothing else in it is touched.
        config: the run's.
        data: token shards.
        listener: is called with the notes of the trainer.

    Raises:
        QuireError: the files cannot be written.
    """
    folder = profile_folder(run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    # Parts of a pass that is recorded as one graph cannot be timed one by one.
    config = config.model_copy(update={"training": config.training.model_copy(update={"cuda_graphs": False})})
    trainer = Trainer(run, config, data, listener)
    clock = _Clock(trainer.device)
    clock.attach(trainer)
    trainer.model.train()
    with deterministic_kernels(trainer.device, wanted=config.training.deterministic):
        for _ in range(WARM_UP):
            trainer.step()
        steps, seconds = _timed(trainer, clock)
        parts = {name: clock.seconds[name] / steps for name in PARTS[:-1]}
        profiler = _traced(trainer, clock)
    device = trainer.device
    del trainer
    release_memory(device)
    parts["other"] = max(0.0, seconds - sum(parts.values()))
    profile = Profile(
        _write_trace(profiler, folder),
        folder / "profile.txt",
        steps,
        sum(parts.values()),
        parts,
        _operators(profiler, device),
    )
    write_text(profile.table, "\n".join(profile.lines()) + "\n")
    return profile


class _Clock:
    """Takes the time of the parts of a trainer's step, and marks them in a trace."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.passes: int | None = None  # micro-batches of a step; None: all

    def attach(self, trainer: Trainer) -> None:
        """Put the clock around the parts of `trainer`, of this one object alone."""
        load = trainer.batches.next_batch

        def next_batch() -> Any:
            batch = load()
            if self.passes is None:
                return batch
            rows = self.passes * trainer.micro_batch_size
            return dataclasses.replace(batch, inputs=batch.inputs[:rows], targets=batch.targets[:rows])

        for owner, name, part, function in (
            (trainer.batches, "next_batch", "loader", next_batch),
            (trainer, "summed_loss", "forward", trainer.summed_loss),
            (trainer.precision, "backward", "backward", trainer.precision.backward),
            (trainer, "_clip", "clipping", trainer._clip),
            (trainer.optimizer, "step", "optimizer", trainer.optimizer.step),
        ):
            setattr(owner, name, self._around(part, function))

    def _around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*words: Any) -> Any:
            with self._part(part), torch.profiler.record_function(MARK + part):
                return function(*words)

        return measured

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        began = self.now()
        yield
        self.seconds[name] += self.now() - began

    def now(self) -> float:
        """Return the time when all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()


def _timed(trainer: Trainer, clock: _Clock) -> tuple[int, float]:
    clock.seconds.clear()
    began, steps = clock.now(), 0
    while steps < TIMED_STEPS and (not steps or clock.now() - began < TIMED_SECONDS):
        trainer.step()
        steps += 1
    return steps, (clock.now() - began) / steps


def _traced(trainer: Trainer, clock: _Clock) -> Any:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if trainer.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    clock.passes = TRACED_PASSES
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it tells stderr that it starts and stops
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(TRACED_STEPS):
            with torch.profiler.record_function(f"{MARK}step"):
                trainer.step()
    return profiler


def _operators(profiler: Any, device: torch.device) -> tuple[Operator, ...]:
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    rows = [(row.key, float(getattr(row, key)), row.count) for row in profiler.key_averages()]
    # What is left of a mark, of a step or of the waiting for the device is no operator's.
    rows = [row for row in rows if row[1] > 0 and not row[0].startswith((MARK, "ProfilerStep", "cudaDevice"))]
    whole = sum(time for _, time, _ in rows) or 1.0
    rows.sort(key=lambda row: -row[1])
    return tuple(Operator(name, time / whole, count / TRACED_STEPS) for name, time, count in rows[:OPERATORS])


def _write_trace(profiler: Any, folder: Path) -> Path:
    path = folder / "trace.json.gz"
    plain = folder / ".trace.json"
    try:
        profiler.export_chrome_trace(str(plain))
        with plain.open("rb") as source, gzip.open(folder / ".trace.json.gz", "wb") as packed:
            while block := source.read(1 << 20):
                packed.write(block)
        os.replace(folder / ".trace.json.gz", path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        plain.unlink(missing_ok=True)
    return path


def _short(name: str) -> str:
    return name if len(name) <= 46 else f"{name[:45]}…"
