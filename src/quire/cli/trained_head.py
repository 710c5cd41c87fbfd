"""`quire learn attention --run`: where a head of a trained model looks, computed by hand with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quire.errors import UsageError

if TYPE_CHECKING:
    from quire.scratch.explain import Explanation

MOST_TOKENS = 24  # columns of a table that is still readable


def attention_of_run(run: Path, text: str, layer: int, head: int) -> Explanation:
    """Return the attention weights of one head of a trained model over the tokens of a text.

    Args:
        run: a run, or any Hugging Face folder of its layout.
        text: not empty.
        layer: number of the block, from 0.
        head: number of the head in it, from 0.

    Raises:
        UsageError: there is no such layer or head, or the text is too long.
    """
    from quire.interop.huggingface import load_model_folder
    from quire.scratch import explain
    from quire.scratch.explain.merges import show
    from quire.scratch.transformer import Transformer, TransformerConfig

    model, tokenizer = load_model_folder(run)
    config = model.config
    for name, number, count in (("--layer", layer, config.num_layers), ("--head", head, config.num_heads)):
        if not 0 <= number < count:
            raise UsageError(f"{number} is not from 0 to {count - 1}", where=name)
    ids = tokenizer.encode(text)
    most = min(MOST_TOKENS, config.context_length)
    if len(ids) > most:
        raise UsageError(f"{len(ids)} tokens; at most {most} can be shown", where="TEXT")
    names = TransformerConfig.__dataclass_fields__.keys()
    shape = TransformerConfig(**{name: getattr(config, name) for name in names})
    # In float64: the explanation is to show the arithmetic of the weights, not the rounding of a GPU.
    weights = {
        name: value.double().numpy() for name, value in model.state_dict().items() if name in shape.weight_shapes()
    }
    _, kept = Transformer(shape, weights).forward([ids])
    attended = kept.blocks[layer].attention.attend
    return explain.attention_weights(
        [show(tokenizer.token_bytes(id)) for id in ids],
        attended.weights[0, head],
        attended.scores[0, head],
        title=f"Where head {head} of block {layer} looks",
        note=f"The weights of the model in {run.name}, computed in float64.",
    )
