from collections.abc import Callable

import pytest
import torch

from quire.model.config import ModelConfig
from quire.model.transformer import Transformer


@pytest.fixture
def make_model() -> Callable[..., Transformer]:
    """Make a small model whose every parameter matters: nothing is zero or one as before training."""

    def make(seed: int = 0, **changes: object) -> Transformer:
        shape = {"vocab_size": 61, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2}
        shape |= {"head_dim": 8, "intermediate_size": 48, "context_length": 24}
        model = Transformer(ModelConfig.model_validate(shape | changes))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                middle = 1.0 if parameter.dim() == 1 else 0.0
                parameter.copy_(middle + 0.2 * torch.randn(parameter.shape, generator=generator))
        return model.eval()

    return make
