"""How a training step is laid out over GPUs: what fits, in how many passes, and what they must send each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quire.model.config import ModelConfig
from quire.model.size import count_flops, count_parameters, parts
from quire.training.footprint import HALF, Memory, OptimizerKind, memory
from quire.training.gpus import CPU, Gpu

# NCCL's all-reduce of large messages is reported at 0.75 to 0.85 of a link's data-sheet rate.
LINK_SHARE = 0.75
# Of the memory that the data sheet names; the rest is for CUDA, NCCL and what the allocator cannot use.
USABLE = 0.95
BACKWARD = 2 / 3  # of the arithmetic of a step
# Passes of more tokens are no faster: their products have long filled the GPU.
MOST_TOKENS_AT_ONCE = 2**16


@dataclass(frozen=True)
class Layout:
    """One way to lay the training out over the GPUs.

    Attributes:
        strategy: "one GPU" ("one process" on a CPU), "DDP" or "FSDP2".
        checkpointing: whether blocks are computed again in the backward pass instead of kept.
        micro_batch: windows on each GPU in one pass; 1 where not even that fits.
        accumulation: passes whose gradients add up to a step.
        memory: on each GPU.
        fits: whether that is within the usable memory.
        compute_seconds: arithmetic of one step.
        traffic: bytes that each GPU sends in one step.
        traffic_seconds: how long the links need for them.
        exposed_seconds: what of it cannot happen while the GPUs compute.
    """

    strategy: str
    checkpointing: bool
    micro_batch: int
    accumulation: int
    memory: Memory
    fits: bool
    compute_seconds: float
    traffic: float
    traffic_seconds: float
    exposed_seconds: float

    @property
    def step_seconds(self) -> float:
        """How long a step takes."""
        return self.compute_seconds + self.exposed_seconds

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.strategy + (", checkpointing" if self.checkpointing else "")


def lay_out(
    model: ModelConfig,
    gpu: Gpu,
    gpus: int,
    nodes: int,
    rows: int,
    mfu: float,
    optimizer: OptimizerKind,
    *,
    shard: bool,
    checkpointing: bool,
) -> Layout:
    """Return how a step goes over `gpus` GPUs in each of `nodes` nodes.

    Args:
        model: the shape.
        gpu: the kind of processor.
        gpus: in each node.
        nodes: machines.
        rows: windows of each GPU in one step.
        mfu: share of the peak that the model's arithmetic reaches.
        optimizer: "muon" or "adamw".
        shard: FSDP2, and not whole copies.
        checkpointing: compute blocks again in the backward pass.
    """
    total = gpus * nodes

    def needed(micro: int) -> Memory:
        return memory(
            model,
            micro,
            device="cpu" if gpu.key == CPU else "cuda",
            precision=gpu.precision,
            optimizer=optimizer,
            checkpointing=checkpointing,
            shards=total if shard else 1,
        )

    useful = min(rows, max(1, MOST_TOKENS_AT_ONCE // model.context_length))
    most = _most_windows(needed, useful, gpu.memory * USABLE)
    accumulation = _passes(rows, max(1, most))
    micro = -(-rows // accumulation)
    step_tokens = rows * model.context_length
    compute = step_tokens * count_flops(model, model.context_length, training=True) / (gpu.flops * mfu)
    if checkpointing:
        forward = sum(part.flops for part in parts(model, model.context_length) if part.name != "head")
        compute += step_tokens * forward / (gpu.flops * mfu)
    traffic = step_traffic(model, total, accumulation, shard=shard, half=gpu.precision != "float32")
    seconds = traffic / (link_rate(gpu, gpus, nodes) * LINK_SHARE)
    # Gradients of all ranks are added while the last pass goes backward; shards are gathered during all passes.
    hidden = compute if shard else compute / accumulation * BACKWARD
    strategy = "FSDP2" if shard else "DDP" if total > 1 else "one process" if gpu.key == CPU else "one GPU"
    return Layout(
        strategy,
        checkpointing,
        micro,
        accumulation,
        needed(micro),
        most > 0,
        compute,
        traffic,
        seconds,
        max(0.0, seconds - hidden),
    )


def _passes(rows: int, most: int) -> int:
    """Return in how many passes `rows` windows go, at most `most` at once; of one size unless that is twice as many."""
    fewest = -(-rows // most)
    return next((passes for passes in range(fewest, 2 * fewest) if rows % passes == 0), fewest)


def _most_windows(needed: Callable[[int], Memory], rows: int, usable: float) -> int:
    """Return how many windows fit at once, at most `rows`; 0 where not one does."""
    low, high = 0, rows
    while low < high:
        middle = (low + high + 1) // 2
        if needed(middle).total <= usable:
            low = middle
        else:
            high = middle - 1
    return low


def step_traffic(model: ModelConfig, gpus: int, accumulation: int, *, shard: bool, half: bool = True) -> float:
    """Return the bytes that each GPU sends in one step, by rings.

    Over G GPUs, an all-reduce of n bytes sends 2 n (G - 1) / G from each, a gathering or a scattering half of that.
    DDP adds up the float32 gradients once a step. FSDP2 gathers the weights for the forward and again for the backward
    pass, and scatters the float32 sums of gradients, in every pass.

    Args:
        model: the shape.
        gpus: GPUs in all, G.
        accumulation: passes in a step.
        shard: FSDP2 and not DDP.
        half: whether gathered weights are in 16 bits.
    """
    parameters, part = count_parameters(model), (gpus - 1) / gpus
    if not shard:
        return 2 * part * 4 * parameters
    return part * (2 * (HALF if half else 4) + 4) * parameters * accumulation


def link_rate(gpu: Gpu, gpus: int, nodes: int) -> float:
    """Return the bytes a second that each GPU sends in rings over all GPUs, by the data sheets.

    Between nodes there are as many rings as GPUs in a node, which share its network; each carries a part of the data.
    """
    if nodes == 1:
        return gpu.link
    # With fewer GPUs than a node usually has, it has fewer ports too.
    network = gpu.network * min(1.0, gpus / gpu.per_node)
    return min(gpu.link, network) if gpus > 1 else network
