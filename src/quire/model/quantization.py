"""Smaller weights: each matrix as integers of 8 or 4 bits and the scales that turn them back into numbers.

- int8: one scale for each output channel, that is for each row of the matrix.
- int4: one scale for each group of 32 numbers in a row; two integers to a byte.
- The table of tokens, embedding and head, is int8 in both kinds (docs/decisions.md, 2026-11-28).
- Norm weights stay float32: they are few.

What is here computes with the weights turned back into float32. It is the plain way, which faster ones must agree with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import nn

from quire.errors import QuireError, UsageError

if TYPE_CHECKING:
    from quire.model.transformer import Transformer

Kind = Literal["int8", "int4"]
KINDS: tuple[Kind, ...] = ("int8", "int4")
GROUP = 32
"""Numbers of a row that share a scale in int4."""


def quantize_int8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the integers (O, I), int8 from -127 to 127, and the scales (O,), float32, of a matrix.

    The number of largest size in a row becomes 127 or -127. A row of zeros has the scale 0.

    Args:
        weight: the matrix (O, I), float32, finite.

    Raises:
        QuireError: a number is infinite or none.
    """
    _check_finite(weight)
    scales = weight.abs().amax(1) / 127  # (O,)
    values = torch.round(weight / _divisor(scales)[:, None]).clamp_(-127, 127)  # half to even
    return values.to(torch.int8), scales


def dequantize_int8(values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Return the matrix (O, I) that the integers `values` (O, I) and the `scales` (O,) stand for."""
    return values.to(scales.dtype).mul_(scales[:, None])


def quantize_int4(weight: torch.Tensor, group: int = GROUP) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the integers, two to a byte, (O, G group / 2) uint8, and the scales (O, G), float32, of a matrix.

    The G groups of a row begin at its first number; the last is filled up with zeros. The number of largest size in a
    group becomes -8 exactly, so a scale has the opposite sign of that number, and all 16 integers are used: -8 to 7.
    Numbers beyond 7.5 on the other side are cut to 7. Byte j of a group holds integer j in its low half and integer
    j + group / 2 in its high half, each plus 8. A group of zeros has the scale 0.

    Args:
        weight: the matrix (O, I), float32, finite.
        group: how many numbers share a scale, even.

    Raises:
        QuireError: a number is infinite or none.

    Source: the format q4_0 of llama.cpp, but for scales of 32 bits, and halves that are rounded to even.
    """
    _check_finite(weight)
    if group < 2 or group % 2:
        raise ValueError(f"a group of {group}: it must be even, and 2 at least")
    filled = F.pad(weight, (0, -weight.shape[1] % group))
    grouped = filled.view(len(weight), -1, group)  # (O, G, group)
    extremes = grouped.gather(2, grouped.abs().argmax(2, keepdim=True))  # (O, G, 1)
    scales = extremes / -8
    values = torch.round(grouped / _divisor(scales)).clamp_(-8, 7)
    low, high = (values.to(torch.int16) + 8).to(torch.uint8).chunk(2, 2)  # (O, G, group / 2) each
    return (low | high << 4).flatten(1), scales.squeeze(2) + 0.0  # + 0.0: no negative zero


def dequantize_int4(values: torch.Tensor, scales: torch.Tensor, columns: int) -> torch.Tensor:
    """Return the matrix (O, I) that integers and scales stand for.

    Args:
        values: two integers to a byte, (O, G group / 2).
        scales: (O, G).
        columns: I, without what the last group was filled up with.
    """
    paired = values.view(*scales.shape, -1)  # (O, G, group / 2)
    numbers = torch.cat((paired & 15, paired >> 4), 2).to(scales.dtype).sub_(8)  # (O, G, group)
    return numbers.mul_(scales[:, :, None]).flatten(1)[:, :columns]


class QuantizedTable(nn.Module):
    """A matrix (O, I) as integers and scales.

    Args:
        rows: O.
        columns: I.
        kind: "int8" or "int4".
        group: numbers that share a scale in int4.
    """

    values: torch.Tensor
    scales: torch.Tensor

    def __init__(self, rows: int, columns: int, kind: Kind, group: int = GROUP) -> None:
        super().__init__()
        self.rows, self.columns, self.kind, self.group = rows, columns, kind, group
        if kind == "int8":
            values, scales = torch.zeros(rows, columns, dtype=torch.int8), torch.zeros(rows)
        else:
            groups = -(-columns // group)
            values = torch.full((rows, groups * group // 2), 0x88, dtype=torch.uint8)
            scales = torch.zeros(rows, groups)
        self.register_buffer("values", values)
        self.register_buffer("scales", scales)

    def fill(self, weight: torch.Tensor) -> None:
        """Hold `weight` (O, I) from now on, on its device. Raises `QuireError` where a number of it is not finite."""
        numbers = weight.detach().float()
        self.values, self.scales = quantize_int8(numbers) if self.kind == "int8" else quantize_int4(numbers, self.group)

    @property
    def weight(self) -> torch.Tensor:
        """The matrix (O, I) in float32, made anew each time."""
        return self._dequantize(self.values, self.scales)

    def _dequantize(self, values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        return dequantize_int8(values, scales) if self.kind == "int8" else dequantize_int4(values, scales, self.columns)

    def extra_repr(self) -> str:
        """Return what `print` shows of it."""
        return f"{self.rows}, {self.columns}, {self.kind}"


class QuantizedLinear(QuantizedTable):
    """A product with a matrix of integers; takes the place of `nn.Linear` without a bias."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` (..., I) times the transposed matrix, (..., O)."""
        # torch's own `_weight_int8pack_mm` is off by 0.5 % in bfloat16 and, for 64 rows, 20 times as slow in float32.
        return F.linear(x, self.weight)


class QuantizedEmbedding(QuantizedTable):
    """Rows of a matrix of integers; takes the place of `nn.Embedding`."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the rows (..., I) of `tokens` (...); only they are turned back into float32."""
        picked = tokens.flatten()
        rows = self._dequantize(self.values[picked], self.scales[picked])
        return rows.view(*tokens.shape, self.columns)


def quantize(model: Transformer, kind: Kind) -> Transformer:
    """Replace the matrices of `model` by integers, in place; it cannot be trained any more.

    Args:
        model: with float32 weights.
        kind: "int8", or "int4", where the table of tokens is int8 nevertheless.

    Raises:
        UsageError: the kind is unknown, or the model has integers already.
        QuireError: a weight is infinite or none; the model is as it was.
    """
    _check_kind(kind)
    if model.weights_kind != "float32":
        raise UsageError(
            f"the weights are {model.weights_kind} already",
            hint="What was rounded away does not come back: begin from the run in float32",
        )
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise QuireError(f"{name} holds a number that is infinite or none (NaN)")
    _replace(model, kind, lambda table, weight: table.fill(weight))
    return model.eval()


def make_room(model: Transformer, kind: Kind) -> Transformer:
    """Replace the matrices of `model` by zeros in `kind`, in place, for a file's integers to be copied into."""
    _check_kind(kind)
    _replace(model, kind, lambda table, weight: None)
    return model.eval()


def load_weights(model: Transformer, kind: str | None) -> Transformer:
    """Give `model`, as it was read from a folder, the kind of weights that was asked for.

    Args:
        model: in float32 or of integers already.
        kind: "float32", "int8" or "int4"; None leaves the weights as the folder has them.

    Raises:
        UsageError: the kind is unknown, or the model has integers of another.
        QuireError: a weight is infinite or none.
    """
    if kind is None or kind == model.weights_kind:
        return model
    if kind == "float32":
        raise UsageError(
            f"the weights are {model.weights_kind}, and what was rounded away does not come back",
            hint="Use the run in float32 that they were made from",
        )
    return quantize(model, kind)  # type: ignore[arg-type]  # checked there


def num_bytes(model: nn.Module) -> int:
    """Return how many bytes the weights of `model` take, scales included; a tied table counts once."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def _replace(model: Transformer, kind: Kind, fill: Callable[[QuantizedTable, torch.Tensor], None]) -> None:
    table = model.model.embed_tokens
    embedding = QuantizedEmbedding(table.num_embeddings, table.embedding_dim, "int8")
    fill(embedding, table.weight)
    model.model.embed_tokens = embedding  # type: ignore[assignment]  # same calls
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                head = parent is model
                linear = QuantizedLinear(child.out_features, child.in_features, "int8" if head else kind)
                fill(linear, child.weight)
                setattr(parent, name, linear)
    model.requires_grad_(False)
    model.weights_kind = kind


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UsageError(f"weights = {kind!r}: known are float32, {', '.join(KINDS)}")


def _check_finite(weight: torch.Tensor) -> None:
    if not bool(torch.isfinite(weight).all()):
        raise QuireError("the matrix holds a number that is infinite or none (NaN)")


def _divisor(scales: torch.Tensor) -> torch.Tensor:
    # Where a scale is 0 all numbers are, or are too small for a scale in float32: they become 0.
    return torch.where(scales == 0, torch.ones_like(scales), scales)
