"""Mixed precision: which number format the matrix products run in, and the loss scale that float16 needs.

Weights, gradients, optimizer state, norms, softmax and the loss stay in float32 in every mode. Source: Micikevicius
et al. 2018 (arXiv:1710.03740).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

import torch

from quire.errors import UsageError

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class MixedPrecision:
    """Autocast and, for float16, a gradient scaler.

    Args:
        precision: "float32" (no autocast), "bfloat16" or "float16".
        device: a torch device type: "cpu", "cuda" or "mps".
        initial_scale: the first loss scale of float16.

    Raises:
        UsageError: the precision is not one of the three, or the device cannot do it.
    """

    def __init__(self, precision: str, device: str, *, initial_scale: float = 2.0**16) -> None:
        if precision not in DTYPES:
            raise UsageError(f"unknown precision {precision!r}, known: {', '.join(DTYPES)}", where="training.precision")
        if device == "cuda" and precision == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UsageError("this GPU has no bfloat16", where="training.precision", hint="Choose float16 or float32")
        self.precision = precision
        self.device = device
        self.scaler = torch.amp.GradScaler(device, init_scale=initial_scale, enabled=precision == "float16")

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which a forward pass runs."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, dtype=DTYPES[self.precision])

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of `loss` (scaled, in float16) to the parameters'."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Divide the gradients that `optimizers` hold by the loss scale, so that they are the true ones."""
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)

    def update(self) -> None:
        """Adapt the loss scale: halve it where `unscale` met a non-finite gradient, double it after many good steps."""
        self.scaler.update()

    def state(self) -> dict[str, float]:
        """Return the loss scale and how many good steps it has stood: what a resumed run needs."""
        return dict(self.scaler.state_dict())

    def load_state(self, state: dict[str, float]) -> None:
        """Take back what `state` gave."""
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state)
