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


def time_step(config: ModelConfig, rows: int, precision: str, device: str, *, steps: int = 4) -> float:
    """Return the seconds of one training step (the median of `steps`) on random tokens, without compiling.

    Args:
        config: the model's shape.
        rows: windows of the model's context length.
        precision: "float32", "bfloat16" or "float16".
        device: a torch device.
    """
    with torch.random.fork_rng([torch.device(device)] if device.startswith("cuda") else []):
        model = Transformer(config).to(device)
        tokens = torch.randint(config.vocab_size, (rows, config.context_length), device=device)
    optimizer = Optimizer(model, OptimizerSettings())
    mixed = MixedPrecision(precision, torch.device(device).type)
    times = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        with mixed.autocast():
            loss = model.loss(tokens, tokens) / tokens.numel()
        mixed.backward(loss)
        mixed.unscale(optimizer.parts)
        optimizer.step()
        mixed.update()
        optimizer.zero_grad()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[steps // 2]


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
