"""Reading order of the lines of a PDF page: the order of the file, mended where the page contradicts it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from quire.documents.formats.pdf_lines import TextLine
from quire.documents.layout import Box, in_columns

# One line stands above another if it ends at most this many line heights below where that begins (the ink of close
# lines touches), and begins this many above it (the limit of a sum stands less above its line) ...
_TOUCH = 0.25
_MIN_ABOVE = 1.0

# ... and shares this much of the width of the narrower.
_MIN_SHARED = 0.2

# Lines that begin at one place end where four fifths of them end or before; one that is longer by up to this share is
# overfull, and where it reaches into the next column it has nothing to say of the lines there.
_MIN_ALIKE = 5
_MAX_OVERFULL = 0.3

# Columns written row by row, as the text layers of scanners are: this many lines stand beside the one before them, and
# they make up this share of the page; both are this many line heights long, which cells of tables seldom are.
_MIN_PAIRS = 6
_MIN_PAIRED = 0.3
_MIN_LENGTH = 6.0

_MAX_INTERLEAVED = 500

# More lines are a drawing or a map, whose labels have no order.
_MAX_LINES = 2000


def in_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return `lines`, as they come in the file, in reading order.

    The file has the order in which its author's program wrote, and that knows columns, cells and captions better than
    their places tell; but some programs write titles, tables, heads or feet last or first. So a line moves only where
    the file reads it after something that stands below it, directly or with other lines between them: then it goes,
    with the lines that follow it in the file as far as they fit there, before the first such line. Before that, columns
    that were written row by row are put one after the other.
    """
    if not 1 < len(lines) <= _MAX_LINES:
        return list(lines)
    height = median([line.bottom - line.top for line in lines])
    if height <= 0:
        return list(lines)
    if len(lines) <= _MAX_INTERLEAVED and _is_interleaved(lines, height):
        boxes = [Box(line.left, line.top, line.right, line.bottom) for line in lines]
        columns = in_columns(boxes)
        lines = lines if columns is None else [lines[number] for number in columns]
    if not _goes_up(lines, height):
        return list(lines)
    downwards = sorted(range(len(lines)), key=lambda number: lines[number].top)
    below = _below([lines[number] for number in downwards], height)
    ranks = sorted(range(len(lines)), key=downwards.__getitem__)  # by the file, where from the top each line stands
    return [lines[downwards[rank]] for rank in _mended(ranks, below)]


def _is_interleaved(lines: Sequence[TextLine], height: float) -> bool:
    """Whether the file goes from left to right and back all over the page, over pieces as long as lines of text."""
    shortest = _MIN_LENGTH * height
    pairs = 0
    for line, after in itertools.pairwise(lines):
        if after.left >= line.right and abs(after.top - line.top) < height:
            pairs += line.right - line.left > shortest and after.right - after.left > shortest
    return pairs >= _MIN_PAIRS and pairs >= _MIN_PAIRED * len(lines)


def _goes_up(lines: Sequence[TextLine], height: float) -> bool:
    """Whether any line stands above one that comes before it in the file."""
    lowest = lines[0].top
    for line in lines:
        if line.top < lowest - _MIN_ABOVE * height:
            return True
        lowest = max(lowest, line.top)
    return False


def _below(lines: Sequence[TextLine], height: float) -> list[int]:
    """Return for each of `lines`, sorted by their tops, the set of those below it, as bits.

    A line that does not run the way of the page has no place in it and keeps the one it has in the file.
    """
    import numpy as np

    rights = _rights(lines, height)
    left, top, right, bottom = np.array(
        [(line.left, line.top, right, line.bottom) for line, right in zip(lines, rights, strict=True)]
    ).T
    shared = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    narrower = np.minimum((right - left)[:, None], right - left)
    over = shared > _MIN_SHARED * narrower
    higher = (bottom[:, None] <= top + _TOUCH * height) & (top[:, None] <= top - _MIN_ABOVE * height)
    upright = np.array([line.upright for line in lines])
    packed = np.packbits(higher & over & upright & upright[:, None], axis=1, bitorder="little")
    sets = [int.from_bytes(row.tobytes(), "little") for row in packed]
    for number in range(len(sets) - 1, -1, -1):  # what is below something below it is below it too
        found, rest = sets[number], sets[number]
        while rest:
            nearest = (rest & -rest).bit_length() - 1
            found |= sets[nearest]
            rest &= ~(sets[nearest] | 1 << nearest)
        sets[number] = found
    return sets


def _rights(lines: Sequence[TextLine], height: float) -> list[float]:
    """Return where each line ends, those that are overfull where the others of their column end."""
    alike: dict[int, list[float]] = defaultdict(list)
    for line in lines:
        alike[round(line.left / height)].append(line.right)
    usual = {left: sorted(rights)[len(rights) * 4 // 5] for left, rights in alike.items() if len(rights) >= _MIN_ALIKE}
    rights = []
    for line in lines:
        end = usual.get(round(line.left / height), line.right)
        overfull = 0 < line.right - end < _MAX_OVERFULL * (end - line.left)
        rights.append(end if overfull else line.right)
    return rights


def _mended(lines: Sequence[int], below: Sequence[int]) -> list[int]:
    """Return `lines` in order; `below` has the set of lines below each."""
    order: list[int] = []
    place = 0  # where the next line of the file goes if it fits
    before = 0  # the lines before that place
    for line in lines:
        if before & below[line] or any(below[other] >> line & 1 for other in order[place:]):
            place = _place(order, line, below, place)
            before = sum(1 << other for other in order[:place])
        order.insert(place, line)
        place += 1
        before |= 1 << line
    return order


def _place(order: Sequence[int], line: int, below: Sequence[int], usual: int) -> int:
    """Return where a line goes: before the first line below it, else after the last above it."""
    for place, other in enumerate(order):
        if below[line] >> other & 1:
            return place
    for place in range(len(order), 0, -1):
        if below[order[place - 1]] >> line & 1:
            return place
    return usual
