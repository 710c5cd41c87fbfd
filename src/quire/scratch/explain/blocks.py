"""Text of several lines, set side by side: how a matrix stands in an equation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Text of several lines, of which `base` stands on the line of what is beside it."""

    lines: tuple[str, ...]
    base: int = 0

    @property
    def width(self) -> int:
        return max(map(len, self.lines))


def beside(blocks: Sequence[Block]) -> Block:
    """Return the blocks set side by side, their base lines on one line."""
    above = max(block.base for block in blocks)
    height = above + max(len(block.lines) - block.base for block in blocks)
    rows = [""] * height
    for block in blocks:
        first = above - block.base
        for row in range(height):
            inside = first <= row < first + len(block.lines)
            rows[row] += (block.lines[row - first] if inside else "").ljust(block.width)
    return Block(tuple(row.rstrip() if number != above else row for number, row in enumerate(rows)), above)
