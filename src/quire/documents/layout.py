"""Reading order of the pieces of a page: columns before rows."""

from __future__ import annotations

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


# A gutter is this many line heights wide at least; between words it is 0.3, in justified text up to 1.
_MIN_GUTTER = 1.0

# Rows on each side of a gutter, at least: fewer are a caption, or a number beside a heading.
_MIN_ROWS = 3

# Headings and wide figures may cross a gutter, but no more of the lines than this.
_MAX_CROSSING = 0.25

# A column's lines are this share of the column's width, at their median: the cells of a table are narrower, and a
# table is read row by row.
_MIN_FILL = 0.5

# Rows further apart than this many usual distances belong to different paragraphs.
_PARAGRAPH_GAP = 1.6


def in_reading_order(boxes: Sequence[Box]) -> list[list[int]]:
    """Return the indices of `boxes` row by row as one reads them; an empty row stands between paragraphs.

    A page is cut at its best gutter, the widest vertical strip that few boxes cross. What crosses it (a title, a wide
    figure's caption) divides the page into bands; in each band everything left of the gutter is read before anything
    right of it. The parts are cut again until no gutter is left.
    """
    rows: list[list[int]] = []
    for block in _blocks(boxes, list(range(len(boxes)))):
        if rows:
            rows.append([])
        rows.extend(_rows(boxes, block))
    return rows


def _blocks(boxes: Sequence[Box], members: list[int]) -> list[list[int]]:
    gutter = _best_gutter(boxes, members)
    if gutter is None:
        return [members]
    crossing = sorted((i for i in members if _crosses(boxes[i], gutter)), key=lambda i: boxes[i].top)
    blocks: list[list[int]] = []
    rest = sorted((i for i in members if not _crosses(boxes[i], gutter)), key=lambda i: _middle(boxes[i]))
    for divider in [*crossing, None]:
        above = [i for i in rest if divider is None or _middle(boxes[i]) < _middle(boxes[divider])]
        rest = rest[len(above) :]
        left = [i for i in above if boxes[i].right <= gutter]
        right = [i for i in above if boxes[i].right > gutter]
        blocks.extend(block for side in (left, right) if side for block in _blocks(boxes, side))
        if divider is not None:
            # Dividers that follow each other without a column between them are one block.
            if above or not blocks or blocks[-1][-1] not in crossing:
                blocks.append([divider])
            else:
                blocks[-1].append(divider)
    return blocks


def _best_gutter(boxes: Sequence[Box], members: list[int]) -> float | None:
    """Return the x of the widest gutter of `members`, or None if they stand in one column."""
    if len(members) < 2 * _MIN_ROWS:
        return None
    height = median(boxes[i].height for i in members)
    best: tuple[float, float] | None = None
    # A gutter ends where some box begins; it begins at the nearest right edge before that, the crossing boxes apart.
    for right in sorted({boxes[i].left for i in members}):
        before = [i for i in members if boxes[i].right <= right]
        after = [i for i in members if boxes[i].left >= right]
        crossing = len(members) - len(before) - len(after)
        if crossing > _MAX_CROSSING * len(members) or not before:
            continue
        width = right - max(boxes[i].right for i in before)
        if width < _MIN_GUTTER * height or not (_is_column(boxes, before) and _is_column(boxes, after)):
            continue
        if _shared_height(boxes, before, after) < _MIN_ROWS * height:
            continue
        if best is None or width > best[0]:
            best = (width, right - width / 2)
    return None if best is None else best[1]


def _is_column(boxes: Sequence[Box], members: list[int]) -> bool:
    rows = _rows(boxes, members)
    if sum(bool(row) for row in rows) < _MIN_ROWS:
        return False
    width = max(boxes[i].right for i in members) - min(boxes[i].left for i in members)
    filled = median(sum(boxes[i].width for i in row) for row in rows if row)
    return filled >= _MIN_FILL * width


def _shared_height(boxes: Sequence[Box], before: list[int], after: list[int]) -> float:
    top = max(min(boxes[i].top for i in side) for side in (before, after))
    bottom = min(max(boxes[i].bottom for i in side) for side in (before, after))
    return bottom - top


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


def _crosses(box: Box, x: float) -> bool:
    return box.left < x < box.right


def _middle(box: Box) -> float:
    return (box.top + box.bottom) / 2
