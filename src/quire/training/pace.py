"""How long a training step of a given model takes on this machine."""

from __future__ import annotations

import time

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
