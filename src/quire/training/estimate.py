"""What a run would take before it is begun: arithmetic, memory, time, cost and traffic on GPUs that may not be here.

Everything follows from the shape of the model, the number of tokens and the data sheet of the GPU, but for two figures
that only a run can tell and that are therefore assumed and said: which share of the peak training reaches (MFU), and
which share of a link's rate its messages reach.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from quire.errors import UsageError
from quire.model.config import ModelConfig
from quire.model.size import count_flops, count_parameters
from quire.training.footprint import OptimizerKind, memory
from quire.training.gpus import CPU, Gpu
from quire.training.layout import USABLE, Layout, lay_out

# Published: 0.46 for PaLM 540B on TPU v4 (Chowdhery et al. 2022), 0.38 to 0.43 for Llama 3 405B on 8,192 to 16,384 H100
# (Llama team 2024, table 4); both count the arithmetic as quire.model.size does.
DEFAULT_MFU = 0.40
MFU_SOURCE = "published runs: PaLM 46 %, Llama 3 405B 38 to 43 %"
# quire's own steps of 3M and 10M parameters on two cores, compiled, of the float32 rate (docs/benchmarks.md).
CPU_MFU = 0.48
CPU_MFU_SOURCE = "quire compiled, 3M parameters, on two cores (docs/benchmarks.md)"
# GPT-3's batch in tokens (Brown et al. 2020, table 2.1): 0.5M at 125M parameters, 1M at 1.3B, 2M at 6.7B and 13B.
BATCH_TOKENS, BATCH_PARAMETERS, BATCH_GROWTH = 2**19, 125e6, 1 / 3
LARGEST_BATCH = 2**22
FEWEST_STEPS = 2000
CHINCHILLA = 20.0  # tokens a parameter; Hoffmann et al. 2022
MOST_GPUS = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes:
        model: the shape.
        parameters: how many numbers are trained.
        tokens: how many are trained on.
        flops_per_token: forward and backward.
        gpu: the kind of processor.
        gpus: how many in all.
        nodes: in how many machines.
        mfu: share of the peak that the model's arithmetic reaches, assumed.
        mfu_source: why so much.
        price: dollars for an hour of one GPU.
        price_assumed: whether that is the table's assumption and not the user's figure.
        optimizer: "muon" or "adamw".
        batch: windows of the context length in one step, over all GPUs.
        layouts: the ways it could be laid out.
        chosen: the fastest of those that fit, or None.
        gpus_needed: where none fits: how many of these GPUs it takes; None where no number is enough.
    """

    model: ModelConfig
    parameters: int
    tokens: int
    flops_per_token: int
    gpu: Gpu
    gpus: int
    nodes: int
    mfu: float
    mfu_source: str
    price: float
    price_assumed: bool
    optimizer: OptimizerKind
    batch: int
    layouts: tuple[Layout, ...]
    chosen: Layout | None
    gpus_needed: int | None

    @property
    def flops(self) -> int:
        """Of the whole run."""
        return self.flops_per_token * self.tokens

    @property
    def batch_tokens(self) -> int:
        """Tokens in one step, over all GPUs."""
        return self.batch * self.model.context_length

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return -(-self.tokens // self.batch_tokens)

    @property
    def seconds(self) -> float | None:
        """Training time; None where nothing fits."""
        return None if self.chosen is None else self.chosen.step_seconds * self.tokens / self.batch_tokens

    @property
    def gpu_hours(self) -> float | None:
        """GPUs times hours."""
        return None if self.seconds is None else self.seconds / 3600 * self.gpus

    @property
    def cost(self) -> float | None:
        """In dollars."""
        return None if self.gpu_hours is None else self.gpu_hours * self.price

    @property
    def kilowatt_hours(self) -> float | None:
        """Of the GPUs alone, at their power limit."""
        return None if self.gpu_hours is None else self.gpu_hours * self.gpu.watts / 1000

    @property
    def tokens_per_second(self) -> float | None:
        """Over all GPUs."""
        return None if self.seconds is None else self.tokens / self.seconds

    @property
    def tokens_per_parameter(self) -> float:
        """Chinchilla's figure of merit."""
        return self.tokens / self.parameters

    @property
    def optimal(self) -> tuple[float, float]:
        """Parameters and tokens that Chinchilla's rule gives for the same arithmetic, 6 N D with D = 20 N."""
        parameters = math.sqrt(6 * self.parameters * self.tokens / (6 * CHINCHILLA))
        return parameters, CHINCHILLA * parameters

    @property
    def token_bytes(self) -> int:
        """Disk space of the token shards."""
        return self.tokens * (2 if self.model.vocab_size <= 2**16 else 4)

    @property
    def checkpoint_bytes(self) -> float:
        """Disk space of one checkpoint: weights and optimizer state."""
        whole = memory(self.model, 1, optimizer=self.optimizer)
        return whole.weights + whole.optimizer

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; sizes in bytes, times in seconds."""
        layouts = [
            {
                **{key: value for key, value in asdict(one).items() if key != "memory"},
                "memory": one.memory.to_json(),
                "step_seconds": one.step_seconds,
            }
            for one in self.layouts
        ]
        return {
            "model": self.model.model_dump(),
            "parameters": self.parameters,
            "tokens": self.tokens,
            "flops_per_token": self.flops_per_token,
            "flops": self.flops,
            "gpu": asdict(self.gpu),
            "gpus": self.gpus,
            "nodes": self.nodes,
            "mfu": self.mfu,
            "mfu_source": self.mfu_source,
            "optimizer": self.optimizer,
            "batch_size": self.batch,
            "batch_tokens": self.batch_tokens,
            "steps": self.steps,
            "layouts": layouts,
            "chosen": None if self.chosen is None else self.layouts.index(self.chosen),
            "gpus_needed": self.gpus_needed,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
            "gpu_hours": self.gpu_hours,
            "price": self.price,
            "price_assumed": self.price_assumed,
            "cost": self.cost,
            "kilowatt_hours": self.kilowatt_hours,
            "tokens_per_parameter": self.tokens_per_parameter,
            "chinchilla": {"parameters": self.optimal[0], "tokens": self.optimal[1]},
            "token_bytes": self.token_bytes,
            "checkpoint_bytes": self.checkpoint_bytes,
            "command": None if self.chosen is None else command(self),
        }


def estimate(
    model: ModelConfig,
    tokens: int,
    gpu: Gpu,
    *,
    gpus: int = 1,
    nodes: int = 1,
    mfu: float | None = None,
    price: float | None = None,
    batch_tokens: int | None = None,
    optimizer: OptimizerKind = "muon",
) -> Estimate:
    """Return what it takes to train `model` on `tokens` tokens.

    Args:
        model: the shape; windows are of its context length.
        tokens: training tokens.
        gpu: the kind of processor, from `find_gpu`.
        gpus: GPUs in each node.
        nodes: machines.
        mfu: share of the peak that the model's arithmetic reaches; None takes a published one.
        price: dollars for an hour of one GPU; None takes the table's assumption.
        batch_tokens: tokens in a step over all GPUs; None takes GPT-3's, growing with the cube root of the parameters.
        optimizer: "muon" or "adamw"; it decides the memory.

    Raises:
        UsageError: a number is out of bounds.
    """
    _check(tokens, gpus, nodes, mfu, price, batch_tokens, gpu)
    total, parameters = gpus * nodes, count_parameters(model)
    wanted = batch_tokens or _batch_tokens(parameters, tokens)
    rows = max(1, round(wanted / (model.context_length * total)))  # of each GPU
    share = mfu if mfu is not None else CPU_MFU if gpu.key == CPU else DEFAULT_MFU
    assumed = CPU_MFU_SOURCE if gpu.key == CPU else MFU_SOURCE
    layouts = [
        lay_out(model, gpu, gpus, nodes, rows, share, optimizer, shard=shard, checkpointing=checkpointing)
        for shard in ((False, True) if total > 1 else (False,))
        for checkpointing in (False, True)
    ]
    fitting = [one for one in layouts if one.fits]
    return Estimate(
        model=model,
        parameters=parameters,
        tokens=tokens,
        flops_per_token=count_flops(model, model.context_length, training=True),
        gpu=gpu,
        gpus=total,
        nodes=nodes,
        mfu=share,
        mfu_source=assumed if mfu is None else "given",
        price=gpu.price if price is None else price,
        price_assumed=price is None,
        optimizer=optimizer,
        batch=rows * total,
        layouts=tuple(layouts),
        chosen=min(fitting, key=lambda one: one.step_seconds) if fitting else None,
        gpus_needed=None if fitting else _needed(model, gpu, optimizer),
    )


def _check(
    tokens: int, gpus: int, nodes: int, mfu: float | None, price: float | None, batch: int | None, gpu: Gpu
) -> None:
    for name, value, least, most in (
        ("--tokens", tokens, 1, 10**16),
        ("--gpus", gpus, 1, 1024),
        ("--nodes", nodes, 1, MOST_GPUS),
        ("--batch", batch, 1, 10**10),
    ):
        if value is not None and not least <= value <= most:
            raise UsageError(f"{value:,} is not between {least:,} and {most:,}", where=name)
    if mfu is not None and not 0 < mfu <= 1:
        raise UsageError(f"{mfu} is not a share of the peak above 0, at most 1", where="--mfu")
    if price is not None and not 0 <= price < math.inf:
        raise UsageError(f"{price} is no price", where="--price")
    if gpu.key == CPU and gpus * nodes > 1:
        raise UsageError("the processor measured here is one: give no number of them", where="--gpus")


def _batch_tokens(parameters: int, tokens: int) -> int:
    usual = min(LARGEST_BATCH, BATCH_TOKENS * (parameters / BATCH_PARAMETERS) ** BATCH_GROWTH)
    # A power of two, which as many GPUs as usual divide.
    return int(1 << round(math.log2(max(1.0, min(usual, tokens / FEWEST_STEPS)))))


def _needed(model: ModelConfig, gpu: Gpu, optimizer: OptimizerKind) -> int | None:
    """Return the smallest power of two of GPUs over whose shards one window fits, or None."""
    shards = 1
    while shards <= MOST_GPUS:
        least = memory(model, 1, precision=gpu.precision, optimizer=optimizer, checkpointing=True, shards=shards)
        if least.total <= gpu.memory * USABLE:
            return shards
        shards *= 2
    return None


def command(plan: Estimate) -> str:
    """Return the command that trains so: the shape, the batch and how it is spread."""
    chosen, model = plan.chosen, plan.model
    if chosen is None:
        raise UsageError("this model does not fit these GPUs, so there is no command to train it with")
    per_node = plan.gpus // plan.nodes
    lines = []
    if plan.nodes > 1:  # the same on each node
        rendezvous = "--rdzv-backend c10d --rdzv-endpoint FIRST_NODE:29500"
        lines.append(f"torchrun --nnodes {plan.nodes} --nproc-per-node {per_node} {rendezvous}")
    elif plan.gpus > 1:
        lines.append(f"torchrun --nproc-per-node {per_node}")
    start = "  -m quire" if lines else "quire"
    shard = " --shard" if chosen.strategy == "FSDP2" else ""
    lines.append(f"{start} train CORPUS --out RUN --steps {plan.steps}{shard}")
    values = {
        "tokens.vocab_size": model.vocab_size,
        "model.hidden_size": model.hidden_size,
        "model.num_layers": model.num_layers,
        "model.num_heads": model.num_heads,
        "model.num_kv_heads": model.num_kv_heads,
        "model.head_dim": model.head_dim,
        "model.intermediate_size": model.intermediate_size,
        "model.context_length": model.context_length,
        "model.tie_embeddings": str(model.tie_embeddings).lower(),
        "training.batch_size": plan.batch,
        "training.micro_batch_size": chosen.micro_batch,
        "training.precision": plan.gpu.precision,
        "training.compile": "true",
        "optimizer.kind": plan.optimizer,
    }
    if chosen.checkpointing:
        values["training.activation_checkpointing"] = "true"
    return " \\\n".join([*lines, *(f"  --set {key}={value}" for key, value in values.items())])
