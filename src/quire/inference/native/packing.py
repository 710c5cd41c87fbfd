"""Weights as the kernels read them: panels of 32 outputs, [panel][inputs][32], next to each other in memory."""

from __future__ import annotations

import contextlib
import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from quire.inference.native.vectors import FLOAT32, INT4, INT8, PANEL

Array = npt.NDArray[Any]
ALIGNMENT = 64  # bytes of a cache line, and of a vector
HUGE = 2 << 20  # bytes of a huge page: one look-up of an address for 512 usual pages


def aligned(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
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
    values: Array
    scales: Array | None

    def described(self) -> list[int]:
        """Return the six numbers by which the kernels know a matrix."""
        scales = 0 if self.scales is None else self.scales.ctypes.data
        panels = self.values.shape[0]
        return [self.values.ctypes.data, scales, self.kind, self.inputs, panels, self.values.nbytes // panels]

    @property
    def nbytes(self) -> int:
        """Return the bytes that one product reads."""
        return self.values.nbytes + (0 if self.scales is None else self.scales.nbytes)


def pack(*modules: Any, alternate: bool = False) -> Panels:
    """Return the weights of modules that read the same rows as one matrix.

    Args:
        modules: `nn.Linear`, `nn.Embedding` or their quantized kinds, of weights (outputs, inputs), all of one kind.
        alternate: whether their panels take turns, or follow after each other.
    """
    kind = getattr(modules[0], "kind", "float32")
    if kind == "float32":
        tables = [_numbers(module.weight) for module in modules]
        return Panels(FLOAT32, tables[0].shape[1], _together(tables, alternate), None)
    values = [_numbers(module.values) for module in modules]
    scales = [_numbers(module.scales) for module in modules]
    if kind == "int8":
        own = [scale[:, None] for scale in scales]
        return Panels(INT8, values[0].shape[1], _together(values, alternate), _together(own, alternate))
    return Panels(INT4, 2 * values[0].shape[1], _together(values, alternate), _together(scales, alternate))


def _numbers(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().numpy()


def _together(parts: list[Array], alternate: bool) -> Array:
    """Return the panels of matrices with as many columns, one matrix after the other or taking turns."""
    if not alternate:
        return _paneled(parts[0] if len(parts) == 1 else np.concatenate(parts))
    paneled = [_paneled(part) for part in parts]
    panels, *rest = paneled[0].shape
    result = aligned((panels * len(parts), *rest), parts[0].dtype)
    for number, part in enumerate(paneled):
        result[number :: len(parts)] = part
    return result


def _paneled(weight: Array) -> Array:
    """Return [panels][columns][32] of (outputs, columns); outputs that fill up the last panel are zeros."""
    outputs, columns = weight.shape
    panels = -(-outputs // PANEL)
    result = aligned((panels, columns, PANEL), weight.dtype)
    whole = outputs // PANEL
    result[:whole] = weight[: whole * PANEL].reshape(whole, PANEL, columns).transpose(0, 2, 1)
    if outputs % PANEL:
        result[whole, :, : outputs % PANEL] = weight[whole * PANEL :].T
    return result
