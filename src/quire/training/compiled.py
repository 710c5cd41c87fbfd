"""The compiled loss: an acceleration, never a condition."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quire.model.transformer import Transformer
from quire.training.memory import is_out_of_memory

Loss = Callable[[Tensor, Tensor], Tensor]
"""(tokens (B, T), targets (B, T)) -> the cross-entropy summed over the targets."""


def compile_loss(model: Transformer, note: Callable[[str], None]) -> Loss:
    """Return the model's loss, compiled at its first call; where that fails, `note` is told and it stays as it is."""
    compiled = torch.compile(model.loss, dynamic=False)
    works: bool | None = None

    def loss(x: Tensor, y: Tensor) -> Tensor:
        nonlocal works
        if works is not False:
            try:
                value: Tensor = compiled(x, y)
                works = True
                return value
            except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
                if works or is_out_of_memory(error):
                    raise
                works = False
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                note(f"torch.compile failed, going on without it: {reason}")
        return model.loss(x, y)

    return loss
