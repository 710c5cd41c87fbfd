"""The transformer: tokens in, a score for every possible next token out.

- decoder only, pre-norm, no biases anywhere
- RMSNorm with weights, rotary positions, per-head norm of queries and keys, grouped-query attention, SwiGLU
- tied or untied head
- parameters are named as in Hugging Face's Qwen3ForCausalLM, so a state dict is one of its checkpoints
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from quire.errors import UsageError
from quire.model.block import Block
from quire.model.cache import KVCache
from quire.model.config import ModelConfig
from quire.model.loss import summed_cross_entropy
from quire.model.normalization import RMSNorm
from quire.model.rotary import rotary_tables
from quire.model.size import count_flops, count_parameters


class Transformer(nn.Module):
    """A decoder-only transformer in the layout of Qwen3, with float32 weights, freshly initialised.

    Args:
        config: its shape.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    activation_checkpointing: bool = False
    """Whether training keeps only what goes into each block and computes the rest a second time on the way back."""
    weights_kind: str = "float32"
    """"int8" or "int4" once `quire.model.quantization.quantize` has replaced the matrices."""

    mapped: bool = False
    """Whether weights are still in the file that they were read from; see `quire.model.folder.keep_in_memory`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Body(config)
        if not config.tie_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        cos, sin = rotary_tables(config.context_length, config.head_dim, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)  # (context, K)
        self.register_buffer("sin", sin, persistent=False)
        initialise(self)

    def forward(
        self, tokens: torch.Tensor, *, cache: KVCache | None = None, positions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the logits (B, T, V): at each token, a score for every token that may come next.

        Args:
            tokens: token ids (B, T), int64.
            cache: what the rows have read before; the tokens are added to it. None: the tokens are the whole.
            positions: position of each token, (T) or (B, T); by default they go on after the cache, or from 0.

        Raises:
            ValueError: the tokens do not fit the context or the cache.
        """
        return self.head(self.hidden(tokens, cache=cache, positions=positions))

    def hidden(
        self, tokens: torch.Tensor, *, cache: KVCache | None = None, positions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the normalised residual stream (B, T, D) after the last block; arguments as for `forward`."""
        length = tokens.shape[1]
        if length > self.config.context_length:
            raise ValueError(f"{length} tokens are more than the context of {self.config.context_length}")
        placement = None
        if cache is not None:
            placement = cache.place(length, positions)
            positions = placement.positions
        if positions is None:
            start = placement.start if placement is not None and placement.start is not None else 0
            cos, sin = self.cos[start : start + length], self.sin[start : start + length]  # (T, K)
        else:
            cos, sin = self.cos[positions], self.sin[positions]  # (T, K) or (B, T, K)
            if cos.dim() == 3:
                cos, sin = cos[:, None], sin[:, None]  # (B, 1, T, K)
        x = self.model.embed_tokens(tokens)  # (B, T, D)
        x = F.dropout(x, self.config.dropout, self.training)
        for layer, block in enumerate(self.model.layers):
            if self.activation_checkpointing and torch.is_grad_enabled() and placement is None:
                # Dropout draws the same numbers again: the state of the generators is kept with the block's input.
                x = checkpoint(block, x, cos, sin, layer, None, use_reentrant=False)
            else:
                x = block(x, cos, sin, layer, placement)
        if cache is not None and placement is not None:
            cache.lengths = placement.ends
        return self.model.norm(x)  # type: ignore[no-any-return]

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits (..., V) of `hidden` (..., D)."""
        return F.linear(hidden, self.head_weight)

    @property
    def head_weight(self) -> torch.Tensor:
        """The table (V, D) that scores the next token: the embedding where tied."""
        return self.model.embed_tokens.weight if self.config.tie_embeddings else self.lm_head.weight

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy summed over all targets, in nats, as a float32 scalar.

        A sum and not a mean: micro-batches add up to the big batch exactly, and whoever knows the number of
        targets divides.

        Args:
            tokens: token ids (B, T).
            targets: the token that follows each of them (B, T); -100 where nothing is to be predicted.
        """
        return self.loss_of(self.hidden(tokens), targets)

    def loss_of(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return what `loss` does, of the residual stream (B, T, D) that `hidden` has returned."""
        return summed_cross_entropy(hidden.flatten(0, 1), self.head_weight, targets.flatten())

    def train(self, mode: bool = True) -> Transformer:
        """Switch dropout on or off. Raises `UsageError` for a model of integers, which has nothing to be trained."""
        if mode and self.weights_kind != "float32":
            hint = "Train the run in float32, and make its weights smaller afterwards"
            raise UsageError(f"a model with {self.weights_kind} weights cannot be trained", hint=hint)
        return super().train(mode)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Transformer:
        # Every move and conversion of a module comes through here. Going from float32 to float64, the parameters stay
        # what they are, but the tables were rounded from exact angles: they are made anew in the wider type, so that
        # a model in float64 is exact throughout.
        before = self.cos.dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if before != torch.float64 and self.cos.dtype == torch.float64:
            config, device = self.config, self.cos.device
            tables = rotary_tables(config.context_length, config.head_dim, config.rope_theta, torch.float64)
            self.cos, self.sin = (table.to(device) for table in tables)
        return self

    def num_parameters(self) -> int:
        """Return how many numbers training decides; a tied head counts once."""
        return count_parameters(self.config)

    def flops_per_token(self, context: int, *, training: bool = False) -> int:
        """Return the matrix-product FLOPs per token in rows of `context` tokens, forward or forward and backward."""
        return count_flops(self.config, context, training=training)


class Body(nn.Module):
    """Everything but the head; it holds the parts, and gives their names the prefix that Hugging Face's have."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)


@torch.no_grad()
def initialise(model: Transformer) -> None:
    """Give every parameter its value before training, drawn from torch's global generator.

    - Embedding: normal with `initializer_range`. The first norm makes its scale nearly irrelevant to what the
      blocks see, but the scale is that of the logits where the head is tied: 0.02 sqrt(D) is well under 1, so the
      first loss is close to log V, that of knowing nothing.
    - Matrices that read the stream: normal with 1 / sqrt(fan-in), which keeps rows of unit size at unit size.
    - Matrices that write to the stream (o_proj, down_proj): zero. Every block starts as the identity, the signal
      and its gradient pass through any depth unchanged, and each block grows as far as it is of use.
    - An untied head: zero, so that the first loss is exactly log V.
    - Norm weights: one.
    """
    nn.init.normal_(model.model.embed_tokens.weight, std=model.config.initializer_range)
    if not model.config.tie_embeddings:
        nn.init.zeros_(model.lm_head.weight)
    for name, parameter in model.model.layers.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            nn.init.zeros_(parameter)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        else:
            nn.init.ones_(parameter)
    nn.init.ones_(model.model.norm.weight)
