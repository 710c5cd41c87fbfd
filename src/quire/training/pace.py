"""How long training steps take: of a model that is only planned, and of a run that is going on."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.training.compiled import Loss
from quire.training.determinism import deterministic_kernels
from quire.training.graphed import Passes
from quire.training.meter import Meter
from quire.training.optimizer import Optimizer, OptimizerSettings
from quire.training.precision import MixedPrecision

LIMIT = 3.0
"""Seconds after which no further step is timed."""
FEW_STEPS = 8
"""So many steps of a run are too few for their median to say how long a step takes."""


def time_step(
    config: ModelConfig,
    rows: int,
    precision: str,
    device: str,
    *,
    steps: int = 4,
    optimizer_settings: OptimizerSettings | None = None,
) -> float:
    """Return the seconds of one training step, not compiled: the median of `steps`, or of as many as `LIMIT` allows.

    On a CUDA device the pass is recorded and started as one graph, and kernels add in a fixed order, as in a run.

    Args:
        config: the model's shape.
        rows: windows of the model's context length, of random tokens.
        precision: "float32", "bfloat16" or "float16".
        device: a torch device.
        steps: steps to time after a first one that does not count.
        optimizer_settings: what moves the weights; None = the defaults.
    """
    with torch.random.fork_rng([torch.device(device)] if device.startswith("cuda") else []):
        model = Transformer(config).to(device)
        tokens = torch.randint(config.vocab_size, (rows, config.context_length), device=device)
    optimizer = Optimizer(model, optimizer_settings or OptimizerSettings())
    mixed = MixedPrecision(precision, torch.device(device).type)
    passes = Passes(model.loss, list(model.parameters()), mixed, graphs=True, note=lambda text: None)
    times: list[float] = []
    with deterministic_kernels(torch.device(device), wanted=True):
        for _ in range(steps + 1):
            began = time.perf_counter()
            plain_step(passes, model, optimizer, mixed, tokens)
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
            if len(times) > 1 and sum(times) > LIMIT:
                break
    return statistics.median(times[1:] or times)


def plain_step(
    passes: Passes | Loss, model: Transformer, optimizer: Optimizer, mixed: MixedPrecision, tokens: Tensor
) -> None:
    """Take one whole training step as a run does, without what a run keeps beside it: what is to be timed.

    Args:
        passes: of the model, forward and back; or its loss alone, compiled or not.
        model: what learns.
        optimizer: the model's.
        mixed: the number format.
        tokens: token ids (B, T), which are foretold from themselves.
    """
    if not isinstance(passes, Passes):
        passes = Passes(passes, list(model.parameters()), mixed, graphs=False, note=lambda text: None)
    passes.run(tokens, tokens, tokens.numel())
    mixed.unscale(optimizer.parts)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    mixed.update()
    passes.zero_gradients()


class Pace:
    """Sums since the last line of metrics, and how long a step takes.

    Args:
        meter: measures the run against its machine; None leaves those figures out.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self.meter = meter
        self.targets, self.norm = 0, 0.0
        self.stepping = 0.0  # seconds in steps since the last line of metrics
        self.waiting = 0.0  # those of them in which a step waited for its batch
        self.durations: deque[float] = deque(maxlen=21)
        self.steps = 0
        self.aside = 0.0  # seconds in this process beside steps: evaluations, samples, saves, metrics
        self.mark = 0.0

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """A step waits for its batch while the block runs."""
        began = time.perf_counter()
        yield
        self.waiting += time.perf_counter() - began

    def stepped(self, now: float) -> None:
        """A step has just ended: it took the time since `looked`."""
        self.stepping += now - self.mark
        self.durations.append(now - self.mark)
        self.steps += 1
        self.mark = now

    def looked(self, now: float) -> None:
        """What comes after a step has just ended."""
        if self.steps:
            self.aside += now - self.mark
        self.mark = now

    def figures(self) -> dict[str, Any]:
        """Return how fast the run is since the last line of metrics.

        Returns:
            `tokens_per_second`; `loader_share`, the part of the steps' time in which they waited for a batch; `share`
            of the machine's matrix-product rate, where that is known; and `memory_bytes` in use.
        """
        speed = self.targets / max(1e-9, self.stepping)
        figures = {"tokens_per_second": speed, "loader_share": round(self.waiting / max(1e-9, self.stepping), 6)}
        if self.meter is not None:
            share = self.meter.share(speed)
            figures |= {} if share is None else {"share": round(share, 4)}
            figures["memory_bytes"] = self.meter.memory_bytes()
        return figures

    def restart(self) -> None:
        """A line of metrics was written."""
        self.targets, self.stepping, self.waiting = 0, 0.0, 0.0

    def seconds_per_step(self) -> float:
        """Return the median of the last steps and their share of what is aside.

        Of the first few, it is the shortest: the others may have compiled, or set libraries up.
        """
        usual = min if self.steps < FEW_STEPS else statistics.median
        return float(usual(self.durations)) + self.aside / self.steps
