"""Reading order of the lines of a PDF page: the order of the file, mended where the page contradicts it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

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

# Lines of running text end where the others of their column do, those of cells and fields of forms at any place: of the
# long lines that begin at one place, those that have this share of the usual length ...
_FULL = 0.85

# ... are more than this share of all. Of generated pages it was 0.65 to 0.91 in columns of text, even or ragged, and
# 0.21 to 0.57 in tables and forms.
_MIN_FULL = 0.6

# Lines stand beside each other if they share this much of the height of the lower.
_MIN_BESIDE = 0.5

# Lines follow one that is moved if each stands at most this many line heights below the one before it.
_MAX_FOLLOWING = 2.5

# Where the file goes straight up so often, from one line to the next, its order is one of drawing.
_MIN_UPWARDS = 3

# The foot of a page is at most so many line heights high, and the gap above it higher than this many. Where it is
# written before what stands above it, and that is this share of the page, it goes behind the whole page.
_MAX_FOOT = 5.0
_MIN_FOOT_GAP = 1.2
_MIN_OVER_FOOT = 0.5

# Columns are looked for among at most so many lines: the time for it grows with their square.
_MAX_IN_COLUMNS = 500

# More lines are a drawing or a map, whose labels have no order.
_MAX_LINES = 2000


def in_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return `lines`, as they come in the file, in reading order.

    The file has the order in which its author's program wrote, and that knows columns, cells and captions better than
    their places tell; but some programs write titles, tables, heads or feet last or first. So a line moves only where
    the file reads it after something that stands below it, directly or with other lines between them: before each line
    goes everything that stands above it. With that go the lines that follow it closely in the file, and what the file
    has before it to its left, so that no column overtakes the one before it. Where columns were written row by row, or
    the file goes upwards again and again, they are put one after the other before that; a page of cells, as of forms
    and tables, is then read row by row.
    """
    if not 1 < len(lines) <= _MAX_LINES:
        return list(lines)
    height = median([line.bottom - line.top for line in lines])
    if height <= 0:
        return list(lines)
    if _is_interleaved(lines, height) and _is_running_text(lines, height):
        lines = _by_columns(lines)
    if not _goes_up(lines, height):
        return list(lines)
    above, left = _demands(lines, height)
    if sum(above[number - 1] >> number & 1 for number in range(1, len(lines))) >= _MIN_UPWARDS:
        lines = _by_columns(lines) if _is_running_text(lines, height) else _by_rows(lines)
        above, left = _demands(lines, height)
    order = _mended(lines, above, left, height)
    if not _is_downwards(order, above):  # a circle of lines that demand each other
        order = _mended(lines, above, [0] * len(lines), height)
    return [lines[number] for number in order]


def _by_columns(lines: Sequence[TextLine]) -> Sequence[TextLine]:
    """Return `lines` column by column where they stand in columns, each column in their order."""
    if len(lines) > _MAX_IN_COLUMNS:
        return lines
    columns = in_columns([Box(line.left, line.top, line.right, line.bottom) for line in lines])
    return lines if columns is None else [lines[number] for number in columns]


def _by_rows(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return `lines` row by row, each from left to right; one that does not run the way of the page keeps its place."""
    rows: list[list[TextLine]] = []
    for line in sorted((line for line in lines if line.upright), key=lambda line: line.top):
        if rows and _are_beside(rows[-1][0], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    ordered = (line for row in rows for line in sorted(row, key=lambda line: line.left))
    return [next(ordered) if line.upright else line for line in lines]


def _are_beside(line: TextLine, other: TextLine) -> bool:
    shared = min(line.bottom, other.bottom) - max(line.top, other.top)
    return shared > _MIN_BESIDE * min(line.bottom - line.top, other.bottom - other.top)


def _is_running_text(lines: Sequence[TextLine], height: float) -> bool:
    """Whether most of the long lines that begin at one place end where the others do."""
    alike: dict[int, list[float]] = defaultdict(list)
    for line in lines:
        if line.right - line.left > _MIN_LENGTH * height:
            alike[round(line.left / height)].append(line.right - line.left)
    full = long = 0
    for lengths in alike.values():
        if len(lengths) >= _MIN_ALIKE:
            usual = sorted(lengths)[len(lengths) * 4 // 5]
            full += sum(length >= _FULL * usual for length in lengths)
            long += len(lengths)
    return full > _MIN_FULL * long


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
        if line.top <= lowest - _MIN_ABOVE * height:
            return True
        lowest = max(lowest, line.top)
    return False


def _demands(lines: Sequence[TextLine], height: float) -> tuple[list[int], list[int]]:
    """Return for each line the sets, as bits, of those above it and of those left of it that the file has before it.

    A line that does not run the way of the page has no place in it and keeps the one it has in the file.
    """
    import numpy as np

    rights = _rights(lines, height)
    left, top, right, bottom = np.array(
        [(line.left, line.top, right, line.bottom) for line, right in zip(lines, rights, strict=True)]
    ).T
    upright = np.array([line.upright for line in lines])
    both = upright & upright[:, None]
    shared = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    over = shared > _MIN_SHARED * np.minimum((right - left)[:, None], right - left)
    lower = (bottom <= top[:, None] + _TOUCH * height) & (top <= top[:, None] - _MIN_ABOVE * height)
    above = _sets(lower & over & both)
    for number in sorted(range(len(lines)), key=lambda number: lines[number].top):
        found, rest = above[number], above[number]
        while rest:  # what is above something above it is above it too
            other = rest.bit_length() - 1
            found |= above[other]
            rest &= ~(above[other] | 1 << other)
        above[number] = found
    beside = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    beside = beside > _MIN_BESIDE * np.minimum((bottom - top)[:, None], bottom - top)
    return above, _sets(np.tril(beside & (right <= left[:, None]) & both))


def _sets(relation: Any) -> list[int]:
    """Return the rows of a square matrix of truths as bits."""
    import numpy as np

    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(relation, axis=1, bitorder="little")]


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


def _mended(lines: Sequence[TextLine], above: Sequence[int], left: Sequence[int], height: float) -> list[int]:
    """Return the numbers of the lines in order: that of the file, but before each line what it demands."""
    pairs = enumerate(itertools.pairwise(lines), start=1)
    close = sum(1 << number for number, (line, after) in pairs if _is_close(line, after, height))
    foot = _foot(lines, height)
    order: list[int] = []
    done = 0
    for first in range(len(lines)):
        if done >> first & 1:
            continue
        begun = 1 << first
        demanded = _demanded(first, above, left, close, done)
        if lines[first].top >= foot and demanded.bit_count() >= _MIN_OVER_FOOT * len(lines):
            demanded |= sum(1 << number for number, line in enumerate(lines) if line.top < foot) & ~done
        stack = [(first, demanded)]
        while stack:
            line, rest = stack.pop()
            rest &= ~(done | begun)
            if not rest:
                order.append(line)
                done |= 1 << line
                continue
            nearest = rest & -rest
            stack.append((line, rest ^ nearest))
            begun |= nearest
            number = nearest.bit_length() - 1
            stack.append((number, _demanded(number, above, left, close, done)))
    return order


def _foot(lines: Sequence[TextLine], height: float) -> float:
    """Return the top of the last few rows of the page if nothing stands beside the gap above them."""
    bottom = max(line.bottom for line in lines)
    top = bottom
    for line in sorted(lines, key=lambda line: -line.bottom):
        if top - line.bottom > _MIN_FOOT_GAP * height:
            return top
        top = min(top, line.top)
        if bottom - top > _MAX_FOOT * height:
            break
    return bottom


def _demanded(line: int, above: Sequence[int], left: Sequence[int], close: int, done: int) -> int:
    """Return what `line` demands, what that demands, and what follows that closely in the file, but for what is done.

    Lines follow only where all of them up to a gap fit: where each demands nothing else that is still to come.
    """
    found = 0
    rest = above[line] & ~done
    while rest:
        found |= rest
        more = 0
        while rest:
            other = rest.bit_length() - 1
            rest ^= 1 << other
            if left[other]:
                more |= left[other]
                for beside in _bits(left[other] & ~(found | done)):
                    more |= above[beside]
        rest = more & ~(found | done)
    for other in _bits(found & close >> 1):  # those whose next line is close
        number = other + 1
        while close >> number & ~found >> number & 1:
            number += 1
        followers = (1 << number) - (1 << other + 1)
        # What goes on below the last of them is a column of its own, and not cut.
        if not followers or (number < len(above) and above[number] >> (number - 1) & ~found >> number & 1):
            continue
        known = found | done | followers
        if all(not (above[follower] | left[follower]) & ~known for follower in _bits(followers)):
            found = known & ~done
    return found & ~(1 << line)


def _bits(number: int) -> Iterator[int]:
    """Yield the places of the bits that are set, the lowest first."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _is_close(line: TextLine, after: TextLine, height: float) -> bool:
    """Whether `after` goes on where `line` ends: beside it, below it, or in the next column."""
    if min(line.bottom, after.bottom) - max(line.top, after.top) > _MIN_BESIDE * height:
        return True
    if after.left >= line.right and after.top < line.top:
        return True
    return -_TOUCH * height <= after.top - line.bottom < _MAX_FOLLOWING * height


def _is_downwards(order: Sequence[int], above: Sequence[int]) -> bool:
    """Whether no line comes before one above it."""
    done = 0
    for line in order:
        if above[line] & ~done:
            return False
        done |= 1 << line
    return True
