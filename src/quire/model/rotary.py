"""Rotary positions: the angle between a query and a key tells how far apart they are."""

from __future__ import annotations

from typing import Any

import torch


def rotary_tables(
    context_length: int, head_dim: int, theta: float, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cosines and sines (context_length, K) that turn each pair of numbers at each position.

    Pair i is (x[i], x[i + K/2]); at position p it turns by p * theta^(-2i/K) radians. The first pair turns one
    radian a token, the last one slowly, so near and far distances both have a pair that resolves them.

    Args:
        context_length: number of positions, from 0.
        head_dim: K, even.
        theta: base of the wavelengths.
        dtype: what the tables are rounded to.

    Source: Su et al. 2021, "RoFormer", section 3.2; the pairing is that of Hugging Face's models.
    """
    # In float64, then rounded once: float32 powers are off by 1e-7 relative, which position 10,000 makes 1e-3 radian.
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim  # (K/2)
    angles = torch.outer(torch.arange(context_length, dtype=torch.float64), theta**-exponents)  # (T, K/2)
    both = torch.cat((angles, angles), dim=-1)  # (T, K)
    return both.cos().to(dtype), both.sin().to(dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn each pair (a, b) of `x` (B, H, T, K) into (a cos - b sin, b cos + a sin).

    Args:
        x: queries or keys.
        cos: cosines (T, K), or (B, 1, T, K) where the rows stand at different positions.
        sin: sines, likewise.
    """
    if x.device.type == "cpu" and x.requires_grad and not torch.compiler.is_compiling():
        return Rotation.apply(x, cos, sin)  # type: ignore[no-any-return, no-untyped-call]
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Rotation(torch.autograd.Function):
    """`rotate` with its derivative, the turn back, for training on a CPU without the compiler.

    Operation by operation it makes eleven tensors on the way there and back; in place, two (docs/decisions.md).
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Return `x` (B, H, T, K), turned; the arguments are those of `rotate`."""
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Return the gradient of x: `gradient`, turned the other way."""
        cos, sin = ctx.saved_tensors
        return _turn(gradient, cos, -sin), None, None


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, dim=-1)
    turned = x * cos
    first, second = turned.chunk(2, dim=-1)
    sin = sin[..., : a.shape[-1]]  # both halves of the table are the same
    first.addcmul_(b, sin, value=-1)
    second.addcmul_(a, sin)
    return turned
