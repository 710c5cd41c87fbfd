"""The whole transformer by hand: tokens in, a score for every possible next token out, and every gradient back.

- decoder only, pre-norm, no biases: the layout and the weight names of `quire.model.transformer`, so that a state dict
  of one is the weights of the other
- RMSNorm, rotary positions, per-head norm of queries and keys, grouped-query attention, SwiGLU, tied or untied head
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quire.scratch.attention import SelfAttentionKept, self_attention, self_attention_backward
from quire.scratch.cache import KVCache, Work
from quire.scratch.embedding import EmbedKept, embed, embed_backward
from quire.scratch.feedforward import SwiGLUKept, swiglu, swiglu_backward
from quire.scratch.losses import cross_entropy
from quire.scratch.normalization import NormKept, rms_norm, rms_norm_backward
from quire.scratch.positions import rotary_angles
from quire.scratch.projection import ProjectKept, project, project_backward
from quire.scratch.sampling import distribution, draw

Array = NDArray[np.float64]

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
HEAD = "lm_head.weight"


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a transformer; names, defaults and meaning are those of `quire.model.config.ModelConfig`.

    Raises:
        ValueError: a number is out of bounds, or numbers do not fit one another.
    """

    vocab_size: int
    """V, number of different tokens."""
    hidden_size: int
    """D, width of the residual stream."""
    num_layers: int
    """Number of blocks."""
    num_heads: int
    """H, number of query heads."""
    context_length: int
    """Number of tokens the model can see at once."""
    num_kv_heads: int = 0
    """G, number of key and value heads, divides H; 0 stands for as many as query heads."""
    head_dim: int = 0
    """K, width of a head, even; 0 stands for hidden_size / num_heads."""
    intermediate_size: int = 0
    """F, width inside the feed-forward part; 0 stands for 8/3 of hidden_size, rounded up to a multiple of 32."""
    rope_theta: float = 10000.0
    """Base of the rotary wavelengths."""
    norm_eps: float = 1e-6
    """Added to the mean square before its root."""
    tie_embeddings: bool = True
    """Whether the head is the embedding table itself."""
    qk_norm: bool = True
    """Whether queries and keys are normalised per head."""
    initializer_range: float = 0.02
    """Standard deviation of the embedding table before training."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "context_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("num_kv_heads", "head_dim", "intermediate_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 1 or more, or 0 for its default, not {getattr(self, name)}")
        for name in ("rope_theta", "norm_eps", "initializer_range"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not self.head_dim and self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_heads ({self.num_heads}) where head_dim "
                f"is not given"
            )
        derived = {
            "num_kv_heads": self.num_heads,
            "head_dim": self.hidden_size // self.num_heads,
            "intermediate_size": -(-8 * self.hidden_size // (3 * 32)) * 32,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, getattr(self, name) or value)
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads ({self.num_heads}) must be a multiple of num_kv_heads ({self.num_kv_heads})")
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even, because rotary positions turn pairs, not {self.head_dim}")

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the name and the shape of every weight, matrices as (outputs, inputs)."""
        D, F, K = self.hidden_size, self.intermediate_size, self.head_dim
        queries, keys = self.num_heads * K, self.num_kv_heads * K
        block: dict[str, tuple[int, ...]] = {
            "input_layernorm.weight": (D,),
            "self_attn.q_proj.weight": (queries, D),
            "self_attn.k_proj.weight": (keys, D),
            "self_attn.v_proj.weight": (keys, D),
            "self_attn.o_proj.weight": (D, queries),
        }
        if self.qk_norm:
            block |= {"self_attn.q_norm.weight": (K,), "self_attn.k_norm.weight": (K,)}
        block |= {
            "post_attention_layernorm.weight": (D,),
            "mlp.gate_proj.weight": (F, D),
            "mlp.up_proj.weight": (F, D),
            "mlp.down_proj.weight": (D, F),
        }
        shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (self.vocab_size, D)}
        for layer in range(self.num_layers):
            shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in block.items()}
        shapes[FINAL_NORM] = (D,)
        if not self.tie_embeddings:
            shapes[HEAD] = (self.vocab_size, D)
        return shapes


class BlockKept(NamedTuple):
    """What `block_backward` needs."""

    input_norm: NormKept
    attention: SelfAttentionKept
    post_norm: NormKept
    mlp: SwiGLUKept


def block(
    x: Array,
    weights: Mapping[str, Array],
    config: TransformerConfig,
    angles: Array,
    cache: KVCache | None = None,
    layer: int = 0,
) -> tuple[Array, BlockKept]:
    """Return the residual stream (B, T, D) after x + attention(norm(x)), then x + feedforward(norm(x)).

    Args:
        x: the residual stream (B, T, D).
        weights: those of one block, by the names that `TransformerConfig.weight_shapes` has after the layer's number.
        config: the model's shape.
        angles: the rotary angles of the tokens (T, K/2).
        cache: see `self_attention`.
        layer: likewise.

    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture" (pre-norm).
    """
    normed, input_norm = rms_norm(x, weights["input_layernorm.weight"], config.norm_eps)
    gathered, attention = self_attention(
        normed,
        within(weights, "self_attn."),
        angles,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        norm_eps=config.norm_eps,
        cache=cache,
        layer=layer,
    )
    x = x + gathered  # (B, T, D)
    normed, post_norm = rms_norm(x, weights["post_attention_layernorm.weight"], config.norm_eps)
    update, mlp = swiglu(normed, *(weights[f"mlp.{name}_proj.weight"] for name in ("gate", "up", "down")))
    return x + update, BlockKept(input_norm, attention, post_norm, mlp)


def block_backward(dx: Array, kept: BlockKept) -> tuple[Array, dict[str, Array]]:
    """Return the gradient of the stream (B, T, D) before the block, and of each weight by its name.

    y = x + f(norm(x)) has the gradient dx = dy + (what comes back through f and norm): the sum sends dy both ways.
    So the gradient reaches the first block by a way without a single matrix, however many blocks there are.
    """
    gradients: dict[str, Array] = {}
    dnormed, dgate, dup, ddown = swiglu_backward(dx, kept.mlp)
    gradients |= {"mlp.gate_proj.weight": dgate, "mlp.up_proj.weight": dup, "mlp.down_proj.weight": ddown}
    dbranch, gradients["post_attention_layernorm.weight"] = rms_norm_backward(dnormed, kept.post_norm)
    dx = dx + dbranch
    dnormed, attention = self_attention_backward(dx, kept.attention)
    gradients |= {f"self_attn.{name}": gradient for name, gradient in attention.items()}
    dbranch, gradients["input_layernorm.weight"] = rms_norm_backward(dnormed, kept.input_norm)
    return dx + dbranch, gradients


class TransformerKept(NamedTuple):
    """What `Transformer.backward` needs."""

    embedding: EmbedKept
    blocks: list[BlockKept]
    norm: NormKept
    head: ProjectKept


class Transformer:
    """A decoder-only transformer in the layout of Qwen3, in float64.

    Args:
        config: its shape.
        weights: every weight by its name, as `config.weight_shapes()` lists them; they are copied.

    Attributes:
        parameters: the weights by name; an optimizer changes them in place.

    Raises:
        ValueError: a weight is missing, not one of the model's, or of another shape.
    """

    def __init__(self, config: TransformerConfig, weights: Mapping[str, ArrayLike]) -> None:
        shapes = config.weight_shapes()
        if weights.keys() != shapes.keys():
            missing, extra = sorted(shapes.keys() - weights.keys()), sorted(weights.keys() - shapes.keys())
            raise ValueError(f"the weights do not fit the shape: missing {missing}, not of this model {extra}")
        self.config = config
        self.parameters: dict[str, Array] = {}
        for name, shape in shapes.items():
            values = np.asarray(weights[name]).astype(np.float64)  # a copy
            if values.shape != shape:
                raise ValueError(f"{name} must be {shape}, not {values.shape}")
            self.parameters[name] = values

    @classmethod
    def random(cls, config: TransformerConfig, seed: int = 0) -> Transformer:
        """Return a model before training, with weights of the same distributions as `quire.model` draws.

        Matrices that read the stream: normal with 1 / sqrt(inputs). Those that write to it and an untied head: zero,
        so that every block starts as the identity. The embedding: normal with `initializer_range`. Norms: one.

        Args:
            config: its shape.
            seed: of the random numbers; the same seed gives the same weights.
        """
        generator = np.random.default_rng(seed)
        weights: dict[str, Array] = {}
        for name, shape in config.weight_shapes().items():
            if len(shape) == 1:
                weights[name] = np.ones(shape)
            elif name == EMBEDDING:
                weights[name] = generator.normal(0.0, config.initializer_range, shape)
            elif name == HEAD or name.endswith(("o_proj.weight", "down_proj.weight")):
                weights[name] = np.zeros(shape)
            else:
                weights[name] = generator.normal(0.0, shape[1] ** -0.5, shape)
        return cls(config, weights)

    def forward(self, tokens: ArrayLike, cache: KVCache | None = None) -> tuple[Array, TransformerKept]:
        """Return the logits (B, T, V), at each token a score for every token that may come next, and what was kept.

        Args:
            tokens: token ids (B, T).
            cache: what the rows have read before; the tokens are added to it. None: the tokens are the whole.

        Raises:
            ValueError: a token is not in the vocabulary, or the tokens do not fit the context or the cache.
        """
        ids = np.asarray(tokens)
        first = 0 if cache is None else cache.length
        if ids.ndim != 2 or not ids.size:
            raise ValueError(f"tokens must be (rows, tokens) and at least one, not of shape {ids.shape}")
        stop = first + ids.shape[1]
        if stop > self.config.context_length:
            raise ValueError(f"{stop} tokens are more than the context of {self.config.context_length}")
        x, embedding = embed(ids, self.parameters[EMBEDDING])  # (B, T, D)
        angles = rotary_angles(np.arange(first, stop), self.config.head_dim, self.config.rope_theta)  # (T, K/2)
        blocks = []
        for layer in range(self.config.num_layers):
            weights = within(self.parameters, f"model.layers.{layer}.")
            x, kept = block(x, weights, self.config, angles, cache, layer)
            blocks.append(kept)
        if cache is not None:
            cache.advance(ids.shape[1])
        x, norm = rms_norm(x, self.parameters[FINAL_NORM], self.config.norm_eps)
        logits, head = project(x, self.parameters[EMBEDDING if self.config.tie_embeddings else HEAD])  # (B, T, V)
        return logits, TransformerKept(embedding, blocks, norm, head)

    def backward(self, dlogits: Array, kept: TransformerKept) -> dict[str, Array]:
        """Return the gradient of every weight, by its name, given that of the logits (B, T, V).

        A tied table is used twice, to look tokens up and to score them: its gradient is the sum of the two.

        Raises:
            ValueError: the forward read tokens from a cache.
        """
        gradients: dict[str, Array] = {}
        dx, dhead = project_backward(dlogits, kept.head)
        dx, gradients[FINAL_NORM] = rms_norm_backward(dx, kept.norm)
        for layer in reversed(range(self.config.num_layers)):
            dx, parts = block_backward(dx, kept.blocks[layer])
            gradients |= {f"model.layers.{layer}.{name}": gradient for name, gradient in parts.items()}
        gradients[EMBEDDING] = embed_backward(dx, kept.embedding)
        if self.config.tie_embeddings:
            gradients[EMBEDDING] += dhead
        else:
            gradients[HEAD] = dhead
        return gradients

    def loss(self, tokens: ArrayLike, targets: ArrayLike) -> tuple[float, dict[str, Array]]:
        """Return the mean cross-entropy in nats over all targets, and its gradient for every weight.

        Args:
            tokens: token ids (B, T).
            targets: the token that follows each of them (B, T).

        Raises:
            ValueError: a token or target is not in the vocabulary, or the shapes differ.
        """
        logits, kept = self.forward(tokens)
        loss, dlogits = cross_entropy(logits, targets)
        return loss, self.backward(dlogits, kept)

    def generate(
        self,
        prompt: Sequence[int],
        count: int,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        stop: int | None = None,
        cache: bool = True,
        work: Work | None = None,
    ) -> list[int]:
        """Return up to `count` tokens that go on after `prompt`; as it stands, always the likeliest one.

        Args:
            prompt: at least one token id.
            count: most tokens to write; with the prompt they must fit the context.
            temperature: this and the next four are those of `quire.scratch.sampling.distribution`.
            top_k: see there.
            top_p: see there.
            min_p: see there.
            repetition_penalty: see there.
            seed: of the random numbers that tokens are drawn with.
            stop: a token that ends the text and is no part of it.
            cache: keep keys and values of what was read; without, every step reads everything again.
            work: counts what the steps compute.

        Raises:
            ValueError: the prompt is empty, a token is not in the vocabulary, a setting is out of bounds, or the text
                does not fit the context.
        """
        tokens = list(prompt)
        if not tokens or count < 0:
            raise ValueError(f"a prompt of at least 1 token and a count of 0 or more are needed: {tokens}, {count}")
        longest = len(tokens) + count
        if longest > self.config.context_length:
            raise ValueError(
                f"a prompt of {len(tokens)} and {count} more tokens do not fit the context of "
                f"{self.config.context_length}"
            )
        past = KVCache(self.config, capacity=longest) if cache else None
        generator = np.random.default_rng(seed)
        while len(tokens) < longest:
            unread = tokens if past is None else tokens[past.length :]
            logits, kept = self.forward([unread], past)  # (1, T, V)
            if work is not None:
                work.add(kept)
            probabilities = distribution(
                logits[0, -1],
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                min_p=min_p,
                repetition_penalty=repetition_penalty,
                seen=tokens,
            )
            token = draw(probabilities, generator.random())
            if token == stop:
                break
            tokens.append(token)
        return tokens[len(prompt) :]


def within(weights: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return the weights whose names begin with `prefix`, by the rest of their names: the arrays themselves."""
    return {name[len(prefix) :]: weight for name, weight in weights.items() if name.startswith(prefix)}
