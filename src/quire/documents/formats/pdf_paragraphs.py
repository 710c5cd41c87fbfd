"""Lines of a PDF page in reading order to its text: cells to rows, lines to paragraphs."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from quire.documents.formats.pdf_lines import HYPHENATED, TextLine

# Distances in line heights: the ink of a line of Latin letters is 0.7 to 0.9 of the size of its type, a space between
# words 0.3 to 0.7 of that ink, and the gap between cells more than all of it.
_NO_SPACE = 0.15
_CELL = 1.2
_INDENT = 0.7

# Lines further apart than this many usual distances belong to different paragraphs.
_PARAGRAPH_GAP = 1.5

# Lines are one running text if this share of them, but for the last, has no room for the word that begins the next;
# verse, lists and code have at most a line or two that are as long as the longest.
_MIN_FULL = 0.5

# ... or if this many lines of the page end where its longest do: they are justified.
_MIN_JUSTIFIED = 5
_SAME_EDGE = 0.25

_MIN_ALIGNED = 0.6

# So few lines by themselves must be this long to be one text: names, addresses and code are shorter.
_FEW = 3
_MIN_PAIR = 15.0

# Narrower blocks are cells: the columns of newspapers hold 25 letters, about fifteen line heights.
_MIN_COLUMN = 10.0

# In type of one width: a line of so many letters says how wide they are, else they are this much of the size of the
# type (Courier), and no line begins further to the right than so many.
_MEASURABLE = 8
_LETTER = 0.6
_MAX_INDENT = 80

# Lines of one text differ in size by at most this much.
_SAME_SIZE = 0.1

_BULLET = re.compile(r"(?:[•‣▪▫■□●○◦–—*·\ue000-\uf8ff]|-|\(?[0-9ivx]{1,3}[.)]|\(?[a-zA-Z][.)]|\[\d+\])\s")
_LEADERS = re.compile(r"(?:\. ?){4}|…\s*\d+$|\.{4}")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff60\u3001-\u3003\u3008-\u301f]")
_ENDED = re.compile(r"[.!?:;。！？][\"'”’)\]]*$")


@dataclass(slots=True, eq=False)
class _Row:
    """What stands side by side, read from left to right."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    as_is: bool  # code or cells: never part of a paragraph
    fixed_pitch: bool = False
    close: bool = False  # to the row above
    indent: str = ""


def text_of(lines: Sequence[TextLine], *, rejoin: bool = True) -> str:
    """Return the text of `lines`, which are in reading order.

    Lines side by side become one, with a tab where the gap is as wide as between cells. Lines of running text are
    joined to paragraphs by a space (none between Chinese or Japanese characters), and a word hyphenated at the end of a
    line with its rest by `HYPHENATED`. A wider distance than usual, or a jump elsewhere, leaves a blank line. Lines in
    type of one width are never joined, and begin with as many spaces as fit to their left.

    Args:
        lines: in reading order.
        rejoin: with False each line stays one, but for words that are hyphenated.
    """
    if not rejoin:
        return _joined([part for line in lines for part in (line.text, "" if line.text[-1] == HYPHENATED else "\n")])
    rows = _rows(lines)
    if not rows:
        return ""
    _indent(rows)
    height = median([row.bottom - row.top for row in rows])
    steps = [b.bottom - a.bottom for a, b in itertools.pairwise(rows)]
    usual = median([step for step in steps if 0.5 * height < step < 3 * height] or [1.5 * height])
    blocks: list[list[_Row]] = [[rows[0]]]
    right = rows[0].right
    for row, step in zip(rows[1:], steps, strict=True):
        above = blocks[-1][-1]
        right = max(right, above.right) if len(blocks[-1]) > 1 else above.right
        shared = min(right, row.right) > max(above.left, row.left)  # the last line of a paragraph may be very short
        same_size = abs(above.size - row.size) <= _SAME_SIZE * max(above.size, row.size)
        shared = shared or (above.fixed_pitch and row.fixed_pitch)  # "else:" stands left of what is above it
        row.close = shared and 0.3 * height < step <= _PARAGRAPH_GAP * usual
        if row.close and same_size and row.fixed_pitch == above.fixed_pitch:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    blocks = _sentences_whole(blocks)
    height = max(height, 1e-3)
    edges = Counter(round(row.right / (_SAME_EDGE * height)) for row in rows)
    parts: list[str] = []
    for number, block in enumerate(blocks):
        if number:
            parts.append(_between_blocks(blocks[number - 1], block, parts[-1]))
        _write(block, height, edges, parts)
    return _joined(parts)


def _sentences_whole(blocks: list[list[_Row]]) -> list[list[_Row]]:
    """Return `blocks` with the notes at the foot of a column behind the paragraph that they cut in two."""
    ordered = list(blocks)
    for number in range(len(ordered) - 2):
        body, end = ordered[number], number + 1
        while end < len(ordered) and _is_note(ordered[end], body):
            end += 1
        if end == number + 1 or end == len(ordered) or not _goes_on(body, ordered[end], ordered[number + 1]):
            continue
        rest = ordered[end]
        cut = next((n for n in range(1, len(rest)) if _is_new_paragraph(rest[n - 1], rest[n])), len(rest))
        parts = [rest[:cut], *ordered[number + 1 : end], *([rest[cut:]] if cut < len(rest) else [])]
        if cut < len(rest):
            rest[cut].close = False
        ordered[number + 1 : end + 1] = parts
    return ordered


def _is_note(block: Sequence[_Row], body: Sequence[_Row]) -> bool:
    """Whether a block stands in smaller type below another, in its column."""
    if block[0].size >= (1 - _SAME_SIZE / 2) * body[-1].size or block[0].top <= body[-1].bottom:
        return False
    return block[0].left < max(row.right for row in body) and block[0].right > min(row.left for row in body)


def _goes_on(body: Sequence[_Row], block: Sequence[_Row], note: Sequence[_Row]) -> bool:
    """Whether the last sentence of `body` ends in `block`, which begins the column beside it, above its note."""
    first, last = block[0], body[-1]
    beside = first.left > max(row.right for row in body) and first.bottom < note[0].top
    same_size = abs(first.size - last.size) <= _SAME_SIZE * last.size
    if len(body) < _FEW or not beside or not same_size or last.as_is:
        return False
    return first.text[0].islower() and (last.text[-1] == HYPHENATED or not _ENDED.search(last.text))


def _is_new_paragraph(before: _Row, row: _Row) -> bool:
    indent = row.left - before.left
    short = before.right < row.right - _INDENT * (row.bottom - row.top)
    return _ENDED.search(before.text) is not None and (short or indent > _INDENT * (row.bottom - row.top))


def _joined(parts: list[str]) -> str:
    text = "".join(parts)
    # What looked hyphenated but has nothing to go on with ends in a plain hyphen.
    return re.sub(f"{HYPHENATED}(?!\\w)", "-", text) if HYPHENATED in text else text


def _rows(lines: Sequence[TextLine]) -> list[_Row]:
    rows: list[_Row] = []
    for line in lines:
        text = line.text
        if text[-1] == "\u00ad":
            text = text[:-1] + HYPHENATED
        if rows and line.upright and _beside(rows[-1], line):
            row = rows[-1]
            gap = (line.left - row.right) / max(line.bottom - line.top, row.bottom - row.top, 1e-6)
            cell = gap > _CELL and not _BULLET.fullmatch(f"{row.text} ")
            row.as_is = row.as_is or cell
            if row.text.endswith(HYPHENATED):  # the line of a cell, whose next line is not this
                row.text = row.text[:-1] + "-"
            row.text += ("\t" if cell else " " if gap > _NO_SPACE or text[0].isspace() else "") + text.lstrip()
            row.right = max(row.right, line.right)
            row.top, row.bottom = min(row.top, line.top), max(row.bottom, line.bottom)
        else:
            as_is = line.fixed_pitch or not line.upright
            fixed = line.fixed_pitch and line.upright
            rows.append(_Row(text, line.left, line.top, line.right, line.bottom, line.size, as_is, fixed))
    return rows


def _indent(rows: Sequence[_Row]) -> None:
    """Give rows of type of one width, as code is set in, the spaces that PDFium leaves out or that never were."""
    run: list[_Row] = []
    for row in [*rows, None]:
        if run and (row is None or not row.fixed_pitch or row.top < run[-1].top):  # the next column begins
            left = min(each.left for each in run)
            widths = [(each.right - each.left) / len(each.text) for each in run if len(each.text) >= _MEASURABLE]
            # Several spaces may count as one, so the narrowest letters are the right ones.
            width = min(widths, default=_LETTER * run[0].size)
            for each in run:
                count = (each.left - left) / width if width > 0 else 0.0
                each.indent = " " * round(min(count, _MAX_INDENT))
            run = []
        if row is not None and row.fixed_pitch:
            run.append(row)


def _beside(row: _Row, line: TextLine) -> bool:
    """Whether `line` goes on to the right of `row`."""
    lower = min(line.bottom - line.top, row.bottom - row.top)
    overlap = min(line.bottom, row.bottom) - max(line.top, row.top)
    return overlap > 0.5 * lower and line.left > row.right - 0.5 * lower


def _write(block: Sequence[_Row], height: float, edges: Counter[int], parts: list[str]) -> None:
    """Add the text of a block to `parts`; `edges` has how many rows of the page end at each of its right edges."""
    right = max(row.right for row in block)
    full = [_is_full(row, after, right) for row, after in itertools.pairwise(block)]
    flows = right - min(row.left for row in block) >= _MIN_COLUMN * height
    if sum(full) < _MIN_FULL * len(full):
        edge = round(right / (_SAME_EDGE * height))
        flows = flows and edges[edge - 1] + edges[edge] + edges[edge + 1] >= _MIN_JUSTIFIED
        full = [right - row.right <= 2 * _SAME_EDGE * height for row in block]
    if len(block) <= _FEW:
        flows = flows and right - block[0].left >= _MIN_PAIR * height
    if len(block) > 2:
        flows = flows and _is_aligned(block, height)
    parts.append(_with_indent(block[0], parts))
    first = True  # the row before is the first of its paragraph
    for number in range(1, len(block)):
        before, row = block[number - 1], block[number]
        runs_on = flows and full[number - 1] and _runs_on(before, row, height, first)
        first = not runs_on
        parts.append(_between(before, row, parts[-1], runs_on))
        parts.append(_with_indent(row, parts))


def _with_indent(row: _Row, parts: Sequence[str]) -> str:
    return row.text if parts and not parts[-1].endswith("\n") else row.indent + row.text


def _is_aligned(block: Sequence[_Row], height: float) -> bool:
    """Whether most lines begin right below or above the beginning of another: centred lines do not."""
    lefts = sorted([row.left for row in block])
    close = [after - before <= _SAME_EDGE * height for before, after in itertools.pairwise(lefts)]
    return sum(map(max, [*close, False], [False, *close])) >= _MIN_ALIGNED * len(block)


def _is_full(row: _Row, after: _Row, right: float) -> bool:
    """Whether the first word of the row `after` would not have fitted behind `row`."""
    word = after.text.split(None, 1)[0]
    # With a space before it, and a letter for what letters differ in width.
    width = (after.right - after.left) * (len(word) + 2) / max(len(after.text), 1)
    if len(word) > 20 and _UNSPACED.search(word):
        width = row.bottom - row.top
    return row.right + width > right


def _runs_on(before: _Row, row: _Row, height: float, first: bool) -> bool:
    if before.as_is or row.as_is or _BULLET.match(row.text) or _LEADERS.search(before.text):
        return False
    indent = (row.left - before.left) / height
    if indent > _INDENT:  # the first line of a paragraph, unless the one before is an item, with its text hanging
        return first and _BULLET.match(before.text) is not None
    return indent > -_INDENT or first  # further left than a second line: the next item of a list with hanging text


def _between(before: _Row, row: _Row, text: str, runs_on: bool) -> str:
    """Return what stands between two rows of a block; `text` is that of the first, without its hyphen from now on."""
    if text.endswith(HYPHENATED) and row.text[0].isalnum():
        return ""
    if not runs_on:
        return "\n"
    if text[-1] in "-\u2010" and text[-2:-1].isalpha() and row.text[0].isalpha():
        return ""
    return "" if _UNSPACED.match(text[-1]) and _UNSPACED.match(row.text) else " "


def _between_blocks(before: Sequence[_Row], after: Sequence[_Row], text: str) -> str:
    """Return what stands between two blocks: nothing or a space where a sentence goes on in the next column."""
    row, last = after[0], before[-1]
    if text.endswith(HYPHENATED) and row.text[0].isalnum():
        return ""
    elsewhere = row.bottom < last.top
    if row.close:
        return "\n"
    if elsewhere and len(before) > 2 and row.text[0].islower() and not _ENDED.search(text) and not last.as_is:
        return " "
    return "\n\n"
