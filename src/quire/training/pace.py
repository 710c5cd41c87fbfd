"""How long training steps take: of a model that is only planned, and of a run that is going on."""

from __future__ import annotations

import statistics
import time
from collections import deque

import torch

from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.training.optimizer import Optimizer, OptimizerSettings
from quire.training.precision import MixedPrecision

LIMIT = 3.0
"""Seconds after which no further step is timed."""


def time_step(config: ModelConfig, rows: int, precision: str, device: str, *, steps: int = 4) -> float:
    """Return the seconds of one training step, not compiled: the median of `steps`, or of as many as `LIMIT` allows.

    Args:
        config: the model's shape.
        rows: windows of the model's context length, of random tokens.
        precision: "float32", "bfloat16" or "float16".
        device: a torch device.
        steps: steps to time after a first one that does not count.
    """
    with torch.random.fork_rng([torch.device(device)] if device.startswith("cuda") else []):
        model = Transformer(config).to(device)
        tokens = torch.randint(config.vocab_size, (rows, config.context_length), device=device)
    optimizer = Optimizer(model, OptimizerSettings())
    mixed = MixedPrecision(precision, torch.device(device).type)
    times: list[float] = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        with mixed.autocast():
            loss = model.loss(tokens, tokens) / tokens.numel()
        mixed.backward(loss)
        mixed.unscale(optimizer.parts)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mixed.update()
        optimizer.zero_grad()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
        if sum(times) > LIMIT:
            break
    return statistics.median(times[1:] or times)


class Pace:
    """Sums since the last line of metrics, and how long a step takes."""

    def __init__(self) -> None:
        self.targets, self.norm = 0, 0.0
        self.stepping = 0.0  # seconds in steps since the last line of metrics
        self.durations: deque[float] = deque(maxlen=21)
        self.steps = 0
        self.aside = 0.0  # seconds in this process beside steps: evaluations, samples, saves, metrics
        self.mark = 0.0

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

    def restart(self) -> None:
        """A line of metrics was written."""
        self.targets, self.stepping = 0, 0.0

    def seconds_per_step(self) -> float:
        """Return the median of the last steps (the first one may compile) and their share of what is aside."""
        return statistics.median(self.durations) + self.aside / self.steps
