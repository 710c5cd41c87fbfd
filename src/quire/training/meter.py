"""What a run makes of its machine: the share of its matrix-product rate, and the memory in use."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped,unused-ignore]
import torch

from quire.model.size import count_flops
from quire.training.config import RunConfig
from quire.training.machine import FORMATS, product_rate


@dataclass(frozen=True)
class Meter:
    """Measures a run against its machine.

    Args:
        device: a torch device.
        flops_per_token: FLOPs of matrix products, forward and backward, that a token costs.
        flops_per_second: what the machine reaches in bare matrix products in the run's number format; 0 where it has
            none.
    """

    device: str
    flops_per_token: float
    flops_per_second: float

    @classmethod
    def of(cls, config: RunConfig, processes: int = 1) -> Meter:
        """Measure the products of the machine that `config` trains on, in half a second, once in a process.

        Args:
            config: the run's.
            processes: how many train together, each on a device like this one.
        """
        t = config.training
        rate = measured_rate(t.device, t.precision, torch.get_num_threads())
        flops = count_flops(config.model, config.model.context_length, training=True)
        return cls(t.device, flops, rate * processes)

    def share(self, tokens_per_second: float) -> float | None:
        """Return the FLOPs of training a second over those of bare matrix products; None where they are not known.

        On a GPU that is the model FLOPs utilisation (MFU) against the measured rate, not the one of a data sheet.
        """
        if not self.flops_per_second:
            return None
        return tokens_per_second * self.flops_per_token / self.flops_per_second

    def memory_bytes(self) -> int:
        """Return the memory in use: what torch holds of a GPU's, or of a CPU's what this process does."""
        kind = torch.device(self.device).type
        if kind == "cuda":
            return int(torch.cuda.memory_reserved(self.device))
        if kind == "mps":
            return int(torch.mps.driver_allocated_memory())
        return int(psutil.Process().memory_info().rss)


@functools.lru_cache
def measured_rate(device: str, precision: str, threads: int) -> float:
    """Return the FLOP/s of matrix products in `precision` on `device`; no random number of the run is used up.

    Args:
        device: a torch device.
        precision: "float32", "bfloat16" or "float16".
        threads: what torch uses on a CPU, so that another number of them is measured again.
    """
    with torch.random.fork_rng([torch.device(device)] if device.startswith("cuda") else []):
        # The better of two: what others take of a busy machine makes a rate too low, and the share too high.
        return max(product_rate(device, FORMATS[precision]) for _ in range(2)) * 1e9
