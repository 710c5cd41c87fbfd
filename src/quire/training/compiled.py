"""The compiled loss: an acceleration, never a condition."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quire.model.loss import rows_at_once
from quire.model.transformer import Transformer
from quire.training.memory import is_out_of_memory

Loss = Callable[[Tensor, Tensor], Tensor]
"""(tokens (B, T), targets (B, T)) -> the cross-entropy summed over the targets."""


class CompiledLoss:
    """A model's loss, compiled at its first call; where that fails, the loss as it is.

    On a CPU, a loss that is taken in chunks is left out: its operations are large, nothing is gained between them, and
    unrolled over its chunks it is half of all code at 10M parameters.

    The pass backward is compiled when it is first taken, outside of this: whoever takes it tells `gave_up` what failed.

    Args:
        model: is compiled in the number format of its first call.
        note: is told once where compiling fails.
    """

    def __init__(self, model: Transformer, note: Callable[[str], None]) -> None:
        self.model, self.note = model, note
        self.works: bool | None = None
        self._whole: Loss = torch.compile(model.loss, dynamic=False)
        self._hidden: Callable[[Tensor], Tensor] = torch.compile(model.hidden, dynamic=False)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the cross-entropy summed over the targets; shapes as `Loss` has them."""
        if self.works is not False:
            try:
                value = self._compiled(x, y)
                self.works = True
                return value
            except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
                # Until it has worked once, whatever fails is the compiler's doing.
                if is_out_of_memory(error) or (self.works and not _is_of_compiler(error)):
                    raise
                self._give_up(error)
        return self.model.loss(x, y)

    def _compiled(self, x: Tensor, y: Tensor) -> Tensor:
        count, device = x.numel(), x.device.type
        if device != "cpu" or rows_at_once(count, self.model.config.vocab_size, device) >= count:
            return self._whole(x, y)
        return self.model.loss_of(self._hidden(x), y)

    def gave_up(self, error: BaseException) -> bool:
        """Whether `error` is the compiler's: then the loss is not compiled any more, and the pass can be repeated."""
        if self.works is False or not _is_of_compiler(error):
            return False
        self._give_up(error)
        return True

    def _give_up(self, error: BaseException) -> None:
        self.works = False
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("backend=")]
        reason = lines[0] if lines else type(error).__name__
        self.note(f"torch.compile failed, going on without it: {reason}")


def _is_of_compiler(error: BaseException) -> bool:
    return isinstance(error, torch._dynamo.exc.TorchDynamoException)


def compile_loss(model: Transformer, note: Callable[[str], None]) -> CompiledLoss:
    """Return the model's loss, compiled at its first call; where that fails, `note` is told and it stays as it is."""
    return CompiledLoss(model, note)
