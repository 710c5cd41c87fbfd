"""The shape of a planned model: the largest that the time and the text carry, and what follows from its width."""

from __future__ import annotations

from dataclasses import dataclass

from quire.errors import UsageError
from quire.model.config import ModelConfig
from quire.model.size import count_flops, count_parameters
from quire.settings import build
from quire.training.draft import Draft

# Width and number of blocks, small to large; heads are 32 wide up to width 256, 64 above.
SHAPES = (
    (64, 3),
    (96, 3),
    (128, 4),
    (160, 4),
    (192, 5),
    (224, 6),
    (256, 6),
    (320, 7),
    (384, 8),
    (512, 8),
    (640, 10),
    (768, 12),
    (1024, 16),
)
# A model may have so many parameters for each byte of distinct text. The sweep's best ones on 0.3 and 1 MB have 1.8 and
# 3.5; with 11 and more, they learned the text by heart before they had learned from it (docs/decisions.md).
PARAMETERS_PER_BYTE = 4.0


@dataclass(frozen=True)
class Sizes:
    """What the plan needs to know of the tokens.

    Args:
        train_tokens: tokens in one epoch.
        train_bytes: bytes of text in them.
        validation_tokens: tokens to validate on.
        vocab_size: the tokenizer's.
    """

    train_tokens: int
    train_bytes: int
    validation_tokens: int
    vocab_size: int


def config_flops(config: ModelConfig) -> int:
    """Return the training FLOPs a token of a model at its full context."""
    return count_flops(config, config.context_length, training=True)


def choose_shape(sizes: Sizes, flops: float) -> tuple[tuple[int, int], str]:
    """Return (width, blocks) of the largest model that sees enough tokens in the time, and why.

    Args:
        sizes: token counts.
        flops: what the machine computes in the time.
    """
    ratio = tokens_per_parameter(flops)
    best, reason = SHAPES[0], "the smallest shape: the time or the corpus carries no larger one"
    for width, blocks in SHAPES:
        config = build(
            ModelConfig,
            {
                "vocab_size": sizes.vocab_size,
                "hidden_size": width,
                "num_layers": blocks,
                "num_heads": heads_for(width),
                "context_length": context_for(width),
            },
        )
        parameters = count_parameters(config)
        tokens = flops / config_flops(config)
        if tokens < ratio * parameters or parameters > PARAMETERS_PER_BYTE * sizes.train_bytes:
            break
        best = (width, blocks)
        reason = (
            f"{flops:.2g} FLOPs in the time train {parameters:,} parameters on {tokens:,.0f} tokens"
            f" (at least {ratio:.1f} a parameter wanted)"
        )
    return best, reason


def tokens_per_parameter(flops: float) -> float:
    """Return how many tokens a parameter should see with so much computation: 2 for a minute, 20 on large machines.

    Chinchilla's 20 (Hoffmann et al. 2022) holds at 1e18 FLOPs and more. In minutes, larger models win: 2 tokens for
    each of 0.87M parameters are what docs/benchmarks.md reports for tinyshakespeare. Between the two: interpolated.
    """
    return float(min(20.0, max(2.0, 2.0 * (flops / 1e13) ** 0.2)))


def head_width(width: int) -> int:
    """Return the width of an attention head for a model of this width."""
    return 32 if width <= 256 else 64


def heads_for(width: int) -> int:
    """Return the number of heads: the most of at least `head_width` that divide the width into even numbers, else 1."""
    most = max(1, width // head_width(width))
    return next((heads for heads in range(most, 1, -1) if width % (2 * heads) == 0), 1)


def context_for(width: int) -> int:
    """Return the context length for a model of this width: small models gain little from far tokens."""
    return 128 if width < 160 else 256 if width < 384 else 512 if width < 768 else 1024


def model_config(draft: Draft, shape: tuple[int, int], sizes: Sizes, why: str, *, commit: bool) -> ModelConfig:
    """Return the model of a shape (width, blocks), or of what the user set in its place.

    Args:
        draft: what was set.
        shape: width and number of blocks.
        sizes: token counts.
        why: the reason for the shape.
        commit: the model is the planned one: write it into the draft.

    Raises:
        UsageError: what was set is out of bounds, or too small a vocabulary for the tokens.
    """
    target = draft if commit else Draft({k: v for k, v in draft.values.items() if k in ("model", "training")})
    width = target.choose("model.hidden_size", shape[0], why)
    target.choose("model.num_layers", shape[1], f"goes with width {width}")
    target.choose("model.vocab_size", sizes.vocab_size, "the tokenizer's")
    fitting = heads_for(width)
    heads = target.choose("model.num_heads", fitting, f"heads of {width // fitting} numbers each")
    target.choose("model.num_kv_heads", heads, "one for each query head: a small model's cache is small anyway")
    target.choose("model.context_length", context_for(width), "longer for wider models, which have use for it")
    target.choose(
        "model.tie_embeddings", True, "one table for embedding and head: fewer parameters to learn from little"
    )
    config = build(ModelConfig, target.values["model"], where="model")
    if config.vocab_size < sizes.vocab_size:
        raise UsageError(
            f"{config.vocab_size:,} are fewer than the tokenizer has: {sizes.vocab_size:,}",
            where="model.vocab_size",
            hint="Leave it out, or set tokens.vocab_size, which it follows",
        )
    for name in ("head_dim", "intermediate_size"):
        target.choose(f"model.{name}", getattr(config, name), "follows from the width")
    return config
