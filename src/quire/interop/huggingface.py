"""Whole Hugging Face folders - model, tokenizer, how to generate - that transformers and vLLM open unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from quire.errors import FormatError
from quire.files import write_text
from quire.inference.sampling import SamplingSettings
from quire.model.folder import read_model, write_model
from quire.model.transformer import Transformer
from quire.settings import default_of
from quire.tokens.tokenizer import Tokenizer

GENERATION_FILE = "generation_config.json"


def save_model_folder(folder: Path, model: Transformer, tokenizer: Tokenizer) -> None:
    """Write model and tokenizer as a folder that `transformers.AutoModelForCausalLM` opens unchanged.

    Each file is whole or as it was before; other files in the folder stay. The weights come last, so a folder that
    has them has everything.

    Args:
        folder: made where it is missing.
        model: in training or not; its state is not changed.
        tokenizer: the one the model was trained with.

    Raises:
        QuireError: the folder cannot be written.
        FormatError: the tokenizer has more tokens than the model.
    """
    folder = Path(folder)
    _check_vocabulary(folder, model, tokenizer)
    generation = {
        "bos_token_id": tokenizer.end_of_text,
        "eos_token_id": tokenizer.end_of_text,
        "pad_token_id": tokenizer.end_of_text,
        "do_sample": True,
        **{name: default_of(SamplingSettings, name) for name in ("temperature", "top_k", "top_p")},
    }
    tokenizer.save(folder)
    write_text(folder / GENERATION_FILE, json.dumps(generation, indent=2) + "\n")
    write_model(folder, model, tokenizer.end_of_text)


def load_model_folder(folder: Path, device: torch.device | str = "cpu") -> tuple[Transformer, Tokenizer]:
    """Read the model (float32, `eval` mode) and the tokenizer of a folder, ours or another's.

    Args:
        folder: a run, or any folder of the Qwen3 or Llama layout with a byte-level BPE tokenizer.
        device: where the weights go.

    Raises:
        FormatError: see `read_model` and `Tokenizer.load`; or the tokenizer has more tokens than the model.
    """
    folder = Path(folder)
    model, tokenizer = read_model(folder, device), Tokenizer.load(folder)
    _check_vocabulary(folder, model, tokenizer)
    return model, tokenizer


def _check_vocabulary(folder: Path, model: Transformer, tokenizer: Tokenizer) -> None:
    if tokenizer.vocab_size > model.config.vocab_size:
        raise FormatError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model only {model.config.vocab_size}",
            where=folder,
        )
