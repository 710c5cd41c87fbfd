"""Weights as the kernels read them: panels of 32 outputs, [panel][inputs][32], next to each other in memory."""

from __future__ import annotations

import contextlib
import mmap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from quire.inference.native.kernels import FLOAT32
from quire.inference.native.vectors import PANEL

ALIGNMENT = 64  # bytes of a cache line, and of a vector
HUGE = 2 << 20  # bytes of a huge page: one look-up of an address for 512 usual pages


def aligned(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[np.generic]:
    """Return zeros that begin at a multiple of 64 bytes; many of them lie in huge pages, where the system has those."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    alignment = HUGE if size > HUGE else ALIGNMENT
    room = np.frombuffer(_pages(size + alignment), np.uint8) if size > HUGE else np.zeros(size + alignment, np.uint8)
    start = -room.ctypes.data % alignment
    return room[start : start + size].view(dtype).reshape(shape)


def _pages(size: int) -> mmap.mmap:
    pages = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


@dataclass(frozen=True, slots=True)
class Panels:
    """A matrix for the kernels.

    Attributes:
        kind: FLOAT32, INT8 or INT4.
        inputs: how many numbers a row of it multiplies.
        values: [panels][inputs][32], in 4 bits [panels][inputs / 2][32].
        scales: [panels][32], in 4 bits [panels][inputs / 32][32]; None in float32.
    """

    kind: int
    inputs: int
    values: npt.NDArray[np.generic]
    scales: npt.NDArray[np.generic] | None

    def described(self) -> list[int]:
        """Return the six numbers by which the kernels know a matrix."""
        scales = 0 if self.scales is None else self.scales.ctypes.data
        panels = self.values.shape[0]
        return [self.values.ctypes.data, scales, self.kind, self.inputs, panels, self.values.nbytes // panels]

    @property
    def nbytes(self) -> int:
        """Return the bytes that one product reads."""
        return self.values.nbytes + (0 if self.scales is None else self.scales.nbytes)


def pack(*modules: nn.Module, alternate: bool = False) -> Panels:
    """Return the weights of modules that read the same rows as one matrix.

    Args:
        modules: `nn.Linear` or `nn.Embedding`, of weights (outputs, inputs).
        alternate: whether their panels take turns, or follow after each other.
    """
    weights = [module.weight.detach().to("cpu", torch.float32).numpy() for module in modules]
    if alternate:
        parts = [_paneled(weight) for weight in weights]
        return Panels(FLOAT32, weights[0].shape[1], _interleave(parts), None)
    return Panels(FLOAT32, weights[0].shape[1], _paneled(np.concatenate(weights)), None)


def _paneled(weight: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return [panels][columns][32] of (outputs, columns); outputs that fill up the last panel are zeros."""
    outputs, columns = weight.shape
    panels = -(-outputs // PANEL)
    result = aligned((panels, columns, PANEL), weight.dtype)
    whole = outputs // PANEL
    result[:whole] = weight[: whole * PANEL].reshape(whole, PANEL, columns).transpose(0, 2, 1)
    if outputs % PANEL:
        result[whole, :, : outputs % PANEL] = weight[whole * PANEL :].T
    return result


def _interleave(parts: list[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    panels, *rest = parts[0].shape
    result = aligned((panels * len(parts), *rest), parts[0].dtype)
    for number, part in enumerate(parts):
        result[number :: len(parts)] = part
    return result
