"""The shape of a model of so many parameters, for runs larger than those that `quire train` plans by the minute."""

from __future__ import annotations

import math

from quire.errors import UsageError
from quire.model.config import ModelConfig
from quire.model.size import count_parameters, parts
from quire.settings import build

LARGEST_VOCABULARY = 32_768
SMALLEST_VOCABULARY = 512
# A table of embeddings may take so large a part of the parameters: GPT-2's smallest gives it 31 %.
TABLE_SHARE = 0.35
# Width divided by the number of blocks is 64 at 100M parameters, as in GPT-2 and GPT-3's smallest, and 128 at 7B, as
# in GPT-3's 6.7B and Llama's 7B; in between it grows as a power. Above and below it goes on, within these bounds.
ASPECT, ASPECT_PARAMETERS, ASPECT_GROWTH = 64.0, 1e8, 0.16
ASPECTS = (24.0, 144.0)
# From so many parameters on the head has a table of its own, as in Qwen3's 8B and Llama's 7B.
UNTIED_PARAMETERS = 6e9
# From so many parameters on eight heads at most make keys and values, as in Qwen3.
GROUPED_PARAMETERS = 5e8
MOST_KV_HEADS = 8
# Up to a width of so much, widths are multiples of so much; above it of 1,024.
WIDTH_STEPS = ((256, 32), (768, 64), (1280, 128), (2048, 256), (8192, 512))
# Context lengths up to so many parameters; above them the last.
CONTEXTS = ((3e6, 256), (3e7, 512), (3e8, 1024), (5e9, 2048))
LONGEST_CONTEXT = 4096
SMALLEST, LARGEST = 30_000, 10**13


def shape_for(
    parameters: float, *, tokens: float | None = None, vocab_size: int | None = None, context: int | None = None
) -> ModelConfig:
    """Return a Qwen3-layout model of about so many parameters, embeddings included.

    Args:
        parameters: how many are wanted.
        tokens: training tokens, which bound the vocabulary; None: plenty.
        vocab_size: the size of the vocabulary; None chooses a power of two from 512 to 32,768.
        context: the context length; None chooses 256 to 4,096.

    Raises:
        UsageError: so few parameters, or so many, make no model, or the vocabulary alone has more.
    """
    if not SMALLEST <= parameters <= LARGEST:
        raise UsageError(f"{parameters:,.0f} parameters: {SMALLEST:,} to {LARGEST:,} make a model", where="--params")
    context = context or next((length for most, length in CONTEXTS if parameters < most), LONGEST_CONTEXT)
    if vocab_size is not None:
        found = _nearest(parameters, vocab_size, context)
    else:
        size = LARGEST_VOCABULARY
        if tokens is not None:  # half the square root of the bytes, as quire's plan of a run
            size = min(size, max(SMALLEST_VOCABULARY, 1 << (round(math.log2(max(4.0, 4 * tokens)) / 2) - 1)))
        found = _nearest(parameters, size, context)
        while size > SMALLEST_VOCABULARY and (found is None or _table_share(found) > TABLE_SHARE):
            size //= 2
            found = _nearest(parameters, size, context)
    if found is None:
        raise UsageError(
            f"no model of {parameters:,.0f} parameters has a vocabulary of {vocab_size or SMALLEST_VOCABULARY:,}",
            where="--params",
            hint="Ask for a smaller --vocab or more parameters",
        )
    return found


def _table_share(config: ModelConfig) -> float:
    return parts(config, 1)[0].parameters / count_parameters(config)


def _nearest(parameters: float, vocab_size: int, context: int) -> ModelConfig | None:
    """Return the shape whose parameters and proportions are nearest to what is wanted."""
    wanted = min(ASPECTS[1], max(ASPECTS[0], ASPECT * (parameters / ASPECT_PARAMETERS) ** ASPECT_GROWTH))
    best: tuple[float, ModelConfig] | None = None
    for width in _widths(parameters):
        tables = (1 if parameters < UNTIED_PARAMETERS else 2) * vocab_size * width
        block = count_parameters(_config(parameters, vocab_size, context, width, 1)) - tables
        about = (parameters - tables) / block
        for layers in {max(1, math.floor(about)), max(1, math.ceil(about))}:
            config = _config(parameters, vocab_size, context, width, layers)
            off = abs(math.log(count_parameters(config) / parameters))
            # A tenth off in the number of parameters is as bad as proportions off by a factor of two.
            badness = off / 0.1 + abs(math.log2(width / layers / wanted))
            if off < 0.25 and (best is None or badness < best[0]):
                best = (badness, config)
    return best[1] if best else None


def _widths(parameters: float) -> range:
    # About (parameters * aspect / 12)^(1/3); steps that keep the matrices of large models well divisible.
    about = (parameters * ASPECT / 12) ** (1 / 3)
    step = next((step for below, step in WIDTH_STEPS if about < below), 1024)
    return range(step, max(2 * step, int(3 * about)), step)


def _config(parameters: float, vocab_size: int, context: int, width: int, layers: int) -> ModelConfig:
    head = 32 if width <= 256 else 64 if width < 1280 else 128
    heads = max(1, width // head)
    grouped = parameters >= GROUPED_PARAMETERS
    kv_heads = max(n for n in range(1, MOST_KV_HEADS + 1) if heads % n == 0) if grouped else heads
    unit = 32 if width < 768 else 128
    return build(
        ModelConfig,
        {
            "vocab_size": vocab_size,
            "hidden_size": width,
            "num_layers": layers,
            "num_heads": heads,
            "num_kv_heads": kv_heads,
            "head_dim": head,
            "intermediate_size": -(-8 * width // (3 * unit)) * unit,
            "context_length": context,
            "tie_embeddings": parameters < UNTIED_PARAMETERS,
        },
    )
