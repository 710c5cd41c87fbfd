"""A pass forward and back as one CUDA graph: its kernels are recorded once, and started together from then on.

A small model on a large GPU spends its time in starting kernels, hundreds a pass at some microseconds each, while the
GPU waits. A graph starts all of them at once. What it reads and writes must stay where it was when it was recorded: the
windows are copied to the graph's own place, and gradients are added into tensors that are never given back. Dropout
draws from the generator of the GPU as it does without a graph, so that its state says all that a resumed run needs.

Source: PyTorch's notes on CUDA graphs (pytorch.org/docs/stable/notes/cuda.html).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quire.training.compiled import Loss
from quire.training.memory import is_out_of_memory
from quire.training.precision import MixedPrecision

WARM_UP = 3
"""Passes before the recording: libraries are set up in them, and compiled code is compiled."""


@dataclass(frozen=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    x: Tensor  # (b, T)
    y: Tensor  # (b, T)
    share: Tensor  # 1 / targets of the whole batch
    loss: Tensor


class Passes:
    """Forward and backward passes over micro-batches, as graphs where that is wanted and works.

    Args:
        loss: the model's summed loss.
        parameters: what gradients are added up for.
        precision: the number format of the passes.
        rows: windows of a micro-batch that is worth a graph; others, such as the last and smaller ones, go without.
        graphs: record on a CUDA device; False takes every pass by itself.
        note: is told once where recording fails; the passes then go on without.
    """

    def __init__(
        self,
        loss: Loss,
        parameters: Sequence[nn.Parameter],
        precision: MixedPrecision,
        *,
        graphs: bool,
        note: Callable[[str], None],
    ) -> None:
        self.loss, self.parameters, self.precision, self.note = loss, list(parameters), precision, note
        self.graphs = graphs and all(p.device.type == "cuda" for p in self.parameters)
        self._recorded: dict[torch.Size, _Recorded] = {}

    def run(self, x: Tensor, y: Tensor, targets: int, *, often: bool = True) -> Tensor:
        """Add the gradients of the loss over a micro-batch, divided by `targets`; return its summed loss, detached.

        Args:
            x: token ids (b, T).
            y: the tokens to predict (b, T).
            targets: how many of them the whole batch has.
            often: whether passes of this shape come again and again; others are not recorded.
        """
        if self.graphs and often:
            recorded = self._recorded.get(x.shape) or self._record(x, y, targets)
            if recorded is not None:
                recorded.x.copy_(x, non_blocking=True)
                recorded.y.copy_(y, non_blocking=True)
                recorded.share.fill_(1 / targets)
                recorded.graph.replay()
                return recorded.loss.clone()
        return self._pass(x, y, 1 / targets)

    def zero_gradients(self) -> None:
        """Forget the gradients; those that graphs add to stay where they are."""
        if self.graphs and self._recorded:
            torch._foreach_zero_([p.grad for p in self.parameters if p.grad is not None])
        else:
            for parameter in self.parameters:
                parameter.grad = None

    def _pass(self, x: Tensor, y: Tensor, share: Tensor | float) -> Tensor:
        with self.precision.autocast():
            loss = self.loss(x, y)
        self.precision.backward(loss * share)
        return loss.detach()

    def _record(self, x: Tensor, y: Tensor, targets: int) -> _Recorded | None:
        """Record the pass over micro-batches of this shape; None where that cannot be done."""
        device = x.device
        x, y = x.clone(), y.clone()
        share = torch.full((), 1 / targets, device=device)
        before = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        generator = torch.cuda.get_rng_state(device)
        try:
            for parameter in self.parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self._pass(x, y, share)
            torch.cuda.current_stream(device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                loss = self._pass(x, y, share)
            self._recorded[x.shape] = _Recorded(graph, x, y, share, loss)
        except RuntimeError as error:
            self._recorded.clear()
            if is_out_of_memory(error):
                raise
            if error.__context__ is not None and is_out_of_memory(
                error.__context__
            ):  # ending the recording failed, too
                raise error.__context__ from None
            self.graphs = False
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.note(f"passes could not be recorded as a CUDA graph, going on without: {reason}")
        finally:
            torch.cuda.set_rng_state(generator, device)  # the passes of the warm-up count for nothing, ...
            for parameter, gradient in zip(self.parameters, before, strict=True):  # ... nor do their gradients
                if parameter.grad is not None:
                    parameter.grad.zero_() if gradient is None else parameter.grad.copy_(gradient)
        return self._recorded.get(x.shape)
