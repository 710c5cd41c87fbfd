"""The memory of a run on this machine: predicted before it, measured after it, and what to do when it runs out."""

from __future__ import annotations

import gc

import torch

from quire.errors import QuireError

# What torch says on a CPU, on Apple's GPU, and in libraries that it calls; on CUDA it raises a type of its own.
_SAYS = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that memory ran out, of a GPU or of the machine."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _SAYS)


def release_memory(device: torch.device) -> None:
    """Give back what is not used any more, so that smaller pieces fit where a large one did not."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def halve_micro_batch(rows: int, where: str, reason: str) -> int:
    """Return half of `rows` windows, which did not fit the memory.

    Args:
        rows: windows of the pass.
        where: the step, for the message.
        reason: what the allocator said.

    Raises:
        QuireError: one window alone does not fit.
    """
    if rows == 1:
        raise QuireError(
            f"one window alone does not fit the memory: {reason}",
            where=where,
            hint="Set training.activation_checkpointing=true, or train a smaller model or one with a shorter context",
        )
    return rows // 2
