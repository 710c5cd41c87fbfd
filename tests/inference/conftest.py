from collections.abc import Callable

import pytest
import torch

from quire.inference.language import Backend, LanguageModel
from quire.inference.settings import InferenceSettings
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer


@pytest.fixture
def make_language() -> Callable[..., LanguageModel]:
    """Make a small random model that writes bytes, with clear preferences."""

    def make(
        context_length: int = 64,
        seed: int = 0,
        end_of_text: float | None = None,
        settings: InferenceSettings | None = None,
        backend: Backend = "torch",
    ) -> LanguageModel:
        tokenizer = Tokenizer.byte()
        config = ModelConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            num_kv_heads=2,
            head_dim=8,
            intermediate_size=48,
            context_length=context_length,
            tie_embeddings=False,
        )
        model = Transformer(config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                middle = 1.0 if parameter.dim() == 1 else 0.0
                parameter.copy_(middle + 0.3 * torch.randn(parameter.shape, generator=generator))
            # Mostly printable text; the end comes when the test wants it.
            weights = model.head_weight
            weights[128:] *= 0.1
            weights[256:] = 0
            if end_of_text is not None:  # about as likely as a letter, and as that one where it is 1
                weights[tokenizer.end_of_text] = weights[65] * end_of_text
        return LanguageModel(model, tokenizer, settings, backend=backend)

    return make
