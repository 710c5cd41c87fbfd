"""Rotary positions: the angle between a query and a key tells how far apart they are."""

from __future__ import annotations

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
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin
