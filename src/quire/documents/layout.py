"""Reading order of the pieces of a page: columns before rows."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle on a page; x grows to the right, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


# Edges are this many line heights uncertain: recognition draws its boxes around letters loosely, and a ragged or an
# overhanging line may stand a little into the gutter.
_TOLERANCE = 0.5

# Rows on each side of a gutter, at least: fewer are a caption, or a number beside a heading.
_MIN_ROWS = 3

# Of the boxes to the right of a gutter this share begins right at it, at least.
_MIN_ALIGNED = 0.15

# Headings and wide figures may cross a gutter, but no more of the boxes than this.
_MAX_CROSSING = 0.25

# The cells of a table are read row by row. They are told from the lines of a column by their length, which is at its
# median this many line heights. The lines fill this share of the column's width; beside a picture they fill half of it.
_MIN_LINE = 6.0
_MIN_FILL = 0.4

# Rows further apart than this many usual distances belong to different paragraphs.
_PARAGRAPH_GAP = 1.6


@dataclass(frozen=True, slots=True)
class _Cut:
    """Boxes to the left and to the right of a gutter, and those that cross it."""

    left: list[int]
    right: list[int]
    crossing: list[int]


def in_reading_order(boxes: Sequence[Box]) -> list[list[int]]:
    """Return the indices of `boxes` row by row as one reads them; an empty row stands between paragraphs.

    A part of the page is cut at its best gutter: an x at which many boxes begin, before which many end, and which
    few cross. A box that crosses with nothing beside it (a title) divides the part into bands; in each band everything
    left of the gutter is read before anything right of it, and what stands in the gutter itself (a caption between
    columns) after both. Both sides are cut again until no gutter is left.
    """
    rows: list[list[int]] = []
    for block in _blocks(boxes, list(range(len(boxes)))):
        if rows:
            rows.append([])
        rows.extend(_rows(boxes, block))
    return rows


def in_columns(boxes: Sequence[Box]) -> list[int] | None:
    """Return the indices of `boxes` column by column, each column in the given order; None where there is but one."""
    blocks = _blocks(boxes, list(range(len(boxes))))
    return None if len(blocks) < 2 else [i for block in blocks for i in sorted(block)]


def _blocks(boxes: Sequence[Box], members: list[int]) -> list[list[int]]:
    """Return `members` as blocks of one column each, in the order they are read."""
    cut = _best_cut(boxes, members)
    if cut is None:
        return [members] if members else []
    beside = cut.left + cut.right
    dividers = [i for i in cut.crossing if not any(_same_row(boxes[i], boxes[j]) for j in beside)]
    # Everything else goes into the band above the first divider that stands below it.
    dividers.sort(key=lambda i: _middle(boxes[i]))
    limits = [_middle(boxes[i]) for i in dividers]
    bands = [_Cut([], [], []) for _ in range(len(dividers) + 1)]
    for side in ("left", "right", "crossing"):
        for i in getattr(cut, side):
            if i not in dividers:
                getattr(bands[bisect.bisect(limits, _middle(boxes[i]))], side).append(i)
    blocks: list[list[int]] = []
    heading: list[int] = []  # dividers with no column between them are one block
    for divider, band in itertools.zip_longest(dividers, bands):
        columns = [*_blocks(boxes, band.left), *_blocks(boxes, band.right), *_blocks(boxes, band.crossing)]
        if columns and heading:
            blocks.append(heading)
            heading = []
        blocks.extend(columns)
        if divider is not None:
            heading.append(divider)
    return [*blocks, heading] if heading else blocks


def _best_cut(boxes: Sequence[Box], members: list[int]) -> _Cut | None:
    """Return the cut of `members` at their clearest gutter, or None if they stand in one column."""
    if len(members) < 2 * _MIN_ROWS:
        return None
    tolerance = _TOLERANCE * median(boxes[i].height for i in members)
    best: tuple[int, _Cut] | None = None
    for x in sorted({boxes[i].left for i in members}):
        right = [i for i in members if boxes[i].left >= x - tolerance]
        left = [i for i in members if boxes[i].left < x - tolerance and boxes[i].right <= x + tolerance]
        aligned = sum(1 for i in right if boxes[i].left <= x + tolerance)
        crossing = len(members) - len(left) - len(right)
        if aligned < max(_MIN_ROWS, _MIN_ALIGNED * len(right)) or crossing > _MAX_CROSSING * len(members):
            continue
        clearness = aligned - 2 * crossing
        if best is not None and clearness <= best[0]:
            continue
        if _is_column(boxes, left) and _is_column(boxes, right) and _stand_beside(boxes, left, right):
            sides = {*left, *right}
            best = (clearness, _Cut(left, right, [i for i in members if i not in sides]))
    return None if best is None else best[1]


def _is_column(boxes: Sequence[Box], members: list[int]) -> bool:
    rows = [row for row in _rows(boxes, members) if row]
    if len(rows) < _MIN_ROWS:
        return False
    width = max(boxes[i].right for i in members) - min(boxes[i].left for i in members)
    filled = median(sum(boxes[i].width for i in row) for row in rows)
    longest = median(max(boxes[i].width for i in row) for row in rows)
    return filled >= _MIN_FILL * width and longest >= _MIN_LINE * median(boxes[i].height for i in members)


def _stand_beside(boxes: Sequence[Box], left: list[int], right: list[int]) -> bool:
    """Whether the two sides share at least the height of a few rows."""
    top = max(min(boxes[i].top for i in side) for side in (left, right))
    bottom = min(max(boxes[i].bottom for i in side) for side in (left, right))
    return bottom - top >= _MIN_ROWS * median(boxes[i].height for i in left + right)


def _rows(boxes: Sequence[Box], members: Sequence[int]) -> list[list[int]]:
    """Return `members` as rows from top to bottom, each from left to right, with an empty row between paragraphs."""
    rows: list[list[int]] = []
    for i in sorted(members, key=lambda i: _middle(boxes[i])):
        if rows and any(_same_row(boxes[i], boxes[j]) for j in rows[-1]):
            rows[-1].append(i)
        else:
            rows.append([i])
    if len(rows) < 2:
        return [sorted(row, key=lambda i: boxes[i].left) for row in rows]
    middles = [median(_middle(boxes[i]) for i in row) for row in rows]
    steps = [after - before for before, after in itertools.pairwise(middles)]
    usual = median(steps)
    spaced = [sorted(rows[0], key=lambda i: boxes[i].left)]
    for row, step in zip(rows[1:], steps, strict=True):
        if step > _PARAGRAPH_GAP * usual:
            spaced.append([])
        spaced.append(sorted(row, key=lambda i: boxes[i].left))
    return spaced


def _same_row(a: Box, b: Box) -> bool:
    overlap = min(a.bottom, b.bottom) - max(a.top, b.top)
    return overlap > 0.5 * min(a.height, b.height)


def _middle(box: Box) -> float:
    return (box.top + box.bottom) / 2
