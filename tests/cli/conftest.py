"""Small models for the commands that write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Make a run with a context of so many tokens that writes lower-case letters and spaces at random."""
    made: dict[int, Path] = {}

    def make(context: int) -> Path:
        if context not in made:
            tokenizer = Tokenizer.byte()
            shape = {"vocab_size": tokenizer.vocab_size, "hidden_size": 32, "num_layers": 1, "num_heads": 2}
            torch.manual_seed(0)
            model = Transformer(
                ModelConfig.model_validate(shape | {"context_length": context, "tie_embeddings": False})
            )
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() == 2:
                        parameter.normal_(std=0.3)
                letters = torch.zeros(tokenizer.vocab_size, dtype=torch.bool)
                letters[list(b" abcdefghijklmnopqrstuvwxyz")] = True
                model.head_weight[~letters] = 0
                model.head_weight[letters] *= 2
            made[context] = tmp_path_factory.mktemp("writing") / "run"
            save_model_folder(made[context], model, tokenizer)
        return made[context]

    return make
