"""The plan of a run on several ranks: together they are one faster machine, and each takes its share of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quire.errors import UsageError
from quire.training.config import RunConfig
from quire.training.distributed import Ranks
from quire.training.draft import Reasons
from quire.training.machine import Machine


def check_shard(given: Mapping[str, Any], ranks: Ranks) -> None:
    """Raise `UsageError` where one process was told to share the model."""
    if ranks.count == 1 and given.get("training", {}).get("shard"):
        hint = "torchrun --nproc-per-node N -m quire train ... --shard; or --no-shard, where run.toml says so"
        raise UsageError("one process has nobody to share the model with", where="--shard", hint=hint)


def check_profile(wanted: bool, ranks: Ranks) -> None:
    """Raise `UsageError` where several processes were told to measure where the time of a step goes."""
    if wanted and ranks.count > 1:
        hint = "Start it without torchrun: a process by itself takes the same steps, without the messages"
        raise UsageError("one process is measured, and these are several", where="--profile", hint=hint)


def of_all(machine: Machine, ranks: Ranks) -> Machine:
    """Return what all ranks can do together.

    Args:
        machine: as rank 0 measured it, with its share of the cores.
        ranks: assumed to be alike. The time of messages between them is left out: a run by the clock measures its
            real pace, and takes the steps that fit.

    Returns:
        A machine of the sum of their rates, and the memory of one, since that limits a micro-batch.
    """
    if ranks.count == 1:
        return machine
    on_cpu = machine.device == "cpu"
    return replace(
        machine,
        processor=f"{ranks.count} processes, each on {machine.processor}",
        memory_bytes=machine.memory_bytes // ranks.local_count if on_cpu else machine.memory_bytes,
        gflops={name: rate * ranks.count for name, rate in machine.gflops.items()},
    )


def for_ranks(config: RunConfig, reasons: Reasons, given: Mapping[str, Any], ranks: Ranks) -> tuple[RunConfig, Reasons]:
    """Round the batch up to a whole number of windows for each rank, unless the user set it."""
    chosen = given.get("training", {})
    if ranks.count == 1 or "batch_size" in chosen:
        return config, reasons
    each = -(-config.training.batch_size // ranks.count)
    update = {"batch_size": each * ranks.count}
    reasons = {**reasons}
    if update["batch_size"] != config.training.batch_size:
        reasons["training.batch_size"] += f"; {each} for each of {ranks.count} processes"
    if "micro_batch_size" not in chosen and config.training.micro_batch_size > each:
        update["micro_batch_size"] = each
        reasons["training.micro_batch_size"] = "a process's whole share of the batch at once"
    return config.model_copy(update={"training": config.training.model_copy(update=update)}), reasons
