"""The memory that training needs on each GPU: weights, gradients, optimizer, activations, logits; whole or sharded.

What is counted are the tensors that quire's own training keeps: weights, gradients and optimizer state in float32,
16-bit copies of the matrices for the products, and for the backward pass what each operation of a block saves. Measured
against the tensors that autograd really saves in tests/training/test_footprint.py. Compiled code keeps less, since it
computes cheap things twice; what the allocator wastes comes on top (`USABLE` of layout.py leaves room for it).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from quire.model.config import ModelConfig
from quire.model.size import LONGEST_KEPT, count_parameters, parts, query_blocks

OptimizerKind = Literal["muon", "adamw"]
# Copies of a group of matrices that are alive at once while Muon orthogonalizes them: gradients looked ahead, their
# stack, and in the iteration the matrix, its multiple, the product and their sum.
MUON_COPIES = 6
FLOAT, HALF = 4, 2  # bytes
# The loss holds logits whole up to so many bytes in float32, and else a chunk of so many: quire.model.loss, which is
# not imported because it needs torch (tests/training/test_footprint.py holds the two to each other).
WHOLE_LOGITS = {"cuda": 2 << 30, "cpu": 4 << 20}
LOGITS_CHUNK = {"cuda": 512 << 20, "cpu": 4 << 20}


@dataclass(frozen=True)
class Memory:
    """Bytes on each GPU.

    Attributes:
        weights: the float32 weights, or this GPU's shard of them.
        copies: the matrices in 16 bits, from the forward to the end of the backward pass.
        gradients: float32.
        optimizer: the running means that the optimizer keeps.
        gathered: sharded training: whole weights and gradients of the blocks at work, gathered for the moment.
        activations: what the blocks keep for the backward pass.
        logits: scores of the vocabulary, their probabilities and their gradient, whole or chunk by chunk.
        update: what the optimizer needs while it takes its step; the activations are gone by then.
    """

    weights: float
    copies: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float
    logits: float
    update: float

    @property
    def state(self) -> float:
        """What stays from step to step, and the gradients."""
        return self.weights + self.gradients + self.optimizer

    @property
    def total(self) -> float:
        """The most that is held at once: in the middle of the passes, or in the optimizer's step."""
        return self.state + max(self.copies + self.gathered + self.activations + self.logits, self.update)

    def to_json(self) -> dict[str, float]:
        """Return all parts and their peak, in bytes."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"total": self.total}


def block_parameters(config: ModelConfig) -> int:
    """Return the parameters of one block."""
    blocks = count_parameters(config) - table_parameters(config) - config.hidden_size  # the last norm
    return blocks // config.num_layers


def matrix_parameters(config: ModelConfig) -> int:
    """Return the parameters in the matrices of all blocks, those that Muon moves."""
    named = {part.name: part.parameters for part in parts(config, 1)}
    return named["attention projections"] + named["feed-forward"]


def table_parameters(config: ModelConfig) -> int:
    """Return the parameters of embedding and head together; one table counts once."""
    named = {part.name: part.parameters for part in parts(config, 1)}
    return named["embedding"] + named["head"]


def block_activations(config: ModelConfig, precision: str, *, device: str = "cuda") -> int:
    """Return the bytes a token that one block keeps for its backward pass.

    Args:
        config: the model's shape, with width D, heads of H K numbers, keys and values of G K, feed-forward width F.
        precision: "float32", "bfloat16" or "float16".
        device: "cuda" or "cpu".
    """
    D, F, H = config.hidden_size, config.intermediate_size, config.num_heads
    queries, keys = H * config.head_dim, config.num_kv_heads * config.head_dim
    rows = 2 + (H + config.num_kv_heads if config.qk_norm else 0)  # one number for each row that is normalised
    # The stream before each of the two norms, and one number a head from attention.
    kept = FLOAT * (2 * D + rows + H)
    if precision == "float32":
        kept += FLOAT * 2 * D  # the normalised stream, which q, k and v, and gate and up, share
        kept += FLOAT * ((queries + keys) if config.qk_norm else 0)  # before their norms
        kept += FLOAT * (2 * queries + 2 * keys)  # q, k, v and what was gathered
        kept += FLOAT * 4 * F  # gate, its silu, up and the product
    else:
        kept += HALF * 5 * D  # the normalised stream, rounded once for each matrix that reads it
        kept += FLOAT * ((queries + keys) if config.qk_norm else 0)
        kept += HALF * (2 * queries + 2 * keys)
        kept += HALF * 4 * F
    if device == "cpu" and precision != "float32" and config.context_length <= LONGEST_KEPT:
        # Attention keeps shares instead of a number a row, and keys and values once for each head that reads them.
        each = HALF if precision == "bfloat16" else FLOAT
        pairs = sum((end - start) * end for start, end in query_blocks(config.context_length)) / config.context_length
        kept += each * (round(H * pairs) + 3 * queries) - FLOAT * H - HALF * (queries + 2 * keys)
    if config.qk_norm and device == "cuda":
        # Heads that a fused norm has written lie one after another, so what they gather is copied to lie in rows.
        kept += (FLOAT if precision == "float32" else HALF) * queries
    return kept


def logits_bytes(config: ModelConfig, tokens: int, device: str = "cuda") -> int:
    """Return the bytes that head and loss hold at their peak.

    Whole, three rows of V numbers a token: the scores, their probabilities, the gradient. In chunks, two for each
    token of a chunk, and the gradients of what the head read and of its table, each before and after it is scaled.

    Args:
        config: the model's shape, with vocabulary V and width D.
        tokens: of one pass.
        device: "cuda" or "cpu"; chunks are smaller on a CPU.
    """
    V, D = config.vocab_size, config.hidden_size
    if FLOAT * V * tokens <= WHOLE_LOGITS[device]:
        return 3 * FLOAT * V * tokens
    chunk = max(1, LOGITS_CHUNK[device] // (FLOAT * V))
    tables, streams = 2 * FLOAT * V * D, 2 * FLOAT * tokens * D
    return max(2 * FLOAT * V * chunk + tables + streams // 2, tables + streams)


def memory(
    config: ModelConfig,
    micro_batch: int,
    *,
    device: str = "cuda",
    precision: str = "bfloat16",
    optimizer: OptimizerKind = "muon",
    checkpointing: bool = False,
    shards: int = 1,
) -> Memory:
    """Return the memory of each GPU.

    Args:
        config: the model's shape.
        micro_batch: windows of the context length in one pass.
        device: "cuda" or "cpu".
        precision: of the matrix products.
        optimizer: "muon" (the matrices of blocks; AdamW for the rest) or "adamw".
        checkpointing: keep only each block's input, and compute the rest again in the backward pass.
        shards: GPUs over which weights, gradients and optimizer state are spread; 1 keeps them whole.

    Source: Rajbhandari et al. 2020, "ZeRO"; Korthikanti et al. 2022, "Reducing activation recomputation".
    """
    tokens = micro_batch * config.context_length
    parameters, matrices = count_parameters(config), matrix_parameters(config)
    tables, block = table_parameters(config), block_parameters(config)
    half = precision != "float32"
    momenta = FLOAT * (matrices + 2 * (parameters - matrices)) if optimizer == "muon" else 2 * FLOAT * parameters
    widest = 2 * config.num_layers * config.hidden_size * config.intermediate_size  # gate and up have one shape
    update = MUON_COPIES * FLOAT * widest if optimizer == "muon" else 0
    gathered = 0.0
    if shards > 1:
        size = HALF if half else FLOAT
        # The block at work and the next one, embedding and head all along; a block's gradient before it is spread.
        gathered = size * (2 * block + tables) + (size + FLOAT) * block
    each = block_activations(config, precision, device=device)
    kept = config.num_layers * each
    if checkpointing:
        kept = config.num_layers * FLOAT * config.hidden_size + each
    return Memory(
        weights=FLOAT * parameters / shards,
        copies=HALF * (matrices + config.vocab_size * config.hidden_size) if half and shards == 1 else 0,
        gradients=FLOAT * parameters / shards,
        optimizer=momenta / shards,
        gathered=gathered,
        activations=tokens * (kept + (FLOAT + HALF) * config.hidden_size),
        logits=logits_bytes(config, tokens, device),
        update=update / shards,
    )
