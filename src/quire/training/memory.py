"""The memory of a run on this machine: predicted before it, measured after it, and what to do when it runs out."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
from pathlib import Path

import torch

from quire.errors import QuireError
from quire.model.config import ModelConfig
from quire.training.config import RunConfig
from quire.training.footprint import OptimizerKind, memory

# What torch says on a CPU, on Apple's GPU, and in libraries that it calls; on CUDA it raises a type of its own.
_SAYS = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")

# What `quire train` holds before it holds a model, Python and its libraries with what reading, tokenizing and planning
# left behind (550 MiB were seen with the example library), or a context of CUDA with its libraries.
PROCESS_BYTES = {"cpu": 550 << 20, "cuda": 600 << 20}
# What the C library keeps of memory that was freed, as a part of what is in use: 1.27 to 1.44 were measured with glibc
# (benchmarks/training_memory.py).
# Compiled code plans its memory, and needs as much less as the compiler needs more.
HELD = 1.4
# With activation checkpointing it would be 2.4 to 3.4, and the most of what that saves be lost. Pieces from this size
# on are then given back at once, which costs time: 10M parameters needed 0.9 GB in place of 2.3, and 12.9 processor
# seconds a step in place of 7.9 (docs/training.md).
GIVEN_BACK_BYTES = 4 << 20
_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
USABLE = {"cpu": 0.6, "cuda": 0.85}
"""The part of the memory that a run is planned to fill: other programs have theirs, and an allocator wastes some."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that memory ran out, of a GPU or of the machine."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _SAYS)


def give_back_large_pieces() -> bool:
    """Let the C library return large freed pieces to the system at once; return whether it can be told to (glibc)."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, GIVEN_BACK_BYTES))
    except (OSError, AttributeError, TypeError):
        return False


def release_memory(device: torch.device) -> None:
    """Give back what is not used any more, so that smaller pieces fit where a large one did not."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def out_of_memory_among(rank: int, rows: int, reason: str) -> QuireError:
    """Return the error of one of several processes; it cannot lower its micro-batch while the others are in theirs.

    Args:
        rank: the process.
        rows: windows of the pass.
        reason: what the allocator said.
    """
    return QuireError(
        f"memory ran out in process {rank}, with {rows} windows in one pass: {reason}",
        hint="Set training.micro_batch_size lower (run.toml of a run to resume holds it), or share the model: --shard",
    )


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


def predict_memory(
    model: ModelConfig,
    rows: int,
    *,
    device: str,
    precision: str,
    optimizer: OptimizerKind,
    checkpointing: bool = False,
    compiled: bool = False,
    process: int | None = None,
) -> int:
    """Return the bytes that training holds at its peak, the process itself included.

    Args:
        model: the shape.
        rows: windows in one pass.
        device: a torch device.
        precision: "float32", "bfloat16" or "float16".
        optimizer: "muon" or "adamw".
        checkpointing: whether activations are computed a second time instead of kept.
        compiled: whether torch.compile is used.
        process: bytes that the process holds before the model; None = `PROCESS_BYTES`.
    """
    kind = "cuda" if device.startswith("cuda") else "cpu"
    tensors = memory(model, rows, device=kind, precision=precision, optimizer=optimizer, checkpointing=checkpointing)
    held = HELD if kind == "cpu" and not checkpointing and not compiled else 1.0
    return int((PROCESS_BYTES[kind] if process is None else process) + held * tensors.total)


def predict_run_memory(config: RunConfig) -> int:
    """Return `predict_memory` of a run as it is configured."""
    t = config.training
    return predict_memory(
        config.model,
        min(t.micro_batch_size, t.batch_size),
        device=t.device,
        precision=t.precision,
        optimizer=config.optimizer.kind,
        checkpointing=t.activation_checkpointing,
        compiled=t.compile,
    )


def count_peak_from_here(device: str) -> None:
    """Let `peak_memory` leave out what was before, such as reading documents, where the system can (Linux, CUDA)."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", "ascii")  # proc(5)


def peak_memory(device: str) -> int:
    """Return the most bytes that were in use: of a GPU what torch held, of a CPU what this process did."""
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_reserved(device)) + PROCESS_BYTES["cuda"]
    try:
        status = Path("/proc/self/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) << 10
    except (OSError, IndexError, ValueError):
        # Not Linux. Bytes on macOS, where the manual says so; this count also has what a parent held before it forked.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_words(predicted: int, available: int) -> str:
    """Return for instance "needs about 0.9 of 24.0 GB"."""
    return f"needs about {predicted / 1e9:.1f} of {available / 1e9:.1f} GB"


def memory_account(config: RunConfig, peak: int) -> str:
    """Return what was used beside what was predicted, for instance "1.1 GB at most while training, 1.0 predicted".

    Args:
        config: the run.
        peak: the most bytes that its training had in use.
    """
    return f"{peak / 1e9:.1f} GB at most while training, {predict_run_memory(config) / 1e9:.1f} predicted"
