"""The lines of a PDF page as PDFium finds them, and where each stands."""

from __future__ import annotations

import ctypes
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from quire.documents.formats.pdf_glyphs import Edit, edits_of, raw_pdfium
from quire.documents.formats.pdf_symbols import with_symbols

HYPHENATED = "\ufffe"
"""Ends a line whose last word goes on in the next one; PDFium writes it for a hyphen at the end of a line."""

_ENDS = re.compile("(\r\n|\ufffe)")

# Text that leans more than this many quarter turns (9 degrees) is a watermark or a label in a drawing.
_MAX_LEAN = 0.1
_LEANING = -1

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe]")

# A gap of this many line heights of ink parts cells or columns: 1.5 times the size of the type, where a space between
# words is 0.25 to 0.6 of it, and the space behind "Table 1." up to 1.3.
_CELL_GAP = 1.8

# Where a line has more than one, gaps of this many line heights do: a word space stretched so far stands alone, and one
# of a typewriter face is 0.9 wide.
_CELL_GAPS = 1.2

# The ink of a line of Latin letters is this much of the size of the type as a rule, and a line without ascenders has
# about two thirds of that. Sizes that say more are those of a font that is scaled by the page.
_INK = 0.75
_MAX_INK = 1.6

# A piece that begins this many line heights left of the one before it is on a line of another column: PDFium takes the
# lines of columns that are written row by row for one line where they do not stand at quite the same height.
_STEP_BACK = 6.0

# A line of more pieces than this is not cut: it is set letter by letter.
_MAX_RECTS = 100

# The box of a piece is that of its first character but for rounding.
_EXACT = 0.01

_LEADERS = re.compile(r"(?:[.·] ?){4}|…")

# PDFium does not flag the fonts of every PDF reader, which need not be in the file.
_FIXED_PITCH = re.compile(rb"Courier|Mono(?!t)|Consola|Typewriter|Menlo|CMTT")
_BOLD = re.compile(rb"Bold|Black|Heavy|Demi|CMBX|SFBX|CMSSBX")
_FONT_NAME = 64  # bytes of a font's name that are looked at

_Rect = tuple[float, float, float, float]  # left, top, right, bottom, as PDFium counts: y grows upwards
_Style = tuple[int, float, bool, bool]  # turn, size, fixed pitch, bold
_Found = tuple[str, int, list[_Rect], _Style]  # text, place, rectangles, style


@dataclass(slots=True, eq=False)
class TextLine:
    """A line, turned so that it is read from left to right and the next one stands below it.

    Args:
        text: without white space at its end; `HYPHENATED` ends it where its last word goes on.
        left, top, right, bottom: of its ink, in points; y grows downwards. On a page in a right-to-left script x is
            mirrored, so that there too a line begins at its left.
        size: of its type, as its font is scaled; it says something only beside that of another line.
        fixed_pitch: whether its letters are all of one width.
        upright: whether it runs the same way as most of the page.
        place: index of its first character in the page's text as PDFium gives it.
        bold: whether it begins in bold type.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    fixed_pitch: bool
    upright: bool
    place: int
    bold: bool = False


def lines_of(handle: Any, text: str) -> list[TextLine]:
    """Return the lines of `text`, all that PDFium gives for the text page `handle`, in PDFium's order.

    What PDFium gives as one line is cut where a gap is as wide as between cells of a table or columns.
    """
    pdfium = raw_pdfium()
    count_rects, get_rect = pdfium.FPDFText_CountRects, pdfium.FPDFText_GetRect
    char_index, char_angle = pdfium.FPDFText_GetCharIndexFromTextIndex, pdfium.FPDFText_GetCharAngle
    font_size = pdfium.FPDFText_GetFontSize
    font = _Fonts(handle).at
    left, top, right, bottom = (ctypes.c_double() for _ in range(4))
    text = with_symbols(handle, text)
    edits = edits_of(handle, text)
    found: list[_Found] = []
    turns = Counter[int]()
    place = 0
    parts = _ENDS.split(text)
    parts.append("")
    for part, end in zip(parts[::2], parts[1::2], strict=True):
        said = part.rstrip()
        if said:
            start = char_index(handle, place)
            first = start + len(part) - len(part.lstrip())
            last = start + len(said) - 1
            fixed, bold = font(first)
            fixed = fixed and font(last)[0]
            begin = place
            if fixed:  # it begins where its ink does, however much white space PDFium puts before it
                begin, start, said = place + first - start, first, said.lstrip()
            rects = []
            for number in range(count_rects(handle, start, len(said))):
                get_rect(handle, number, left, top, right, bottom)
                rects.append((left.value, top.value, right.value, bottom.value))
            rects = rects or [_loose_rect(handle, first, last)]
            angle = char_angle(handle, first)
            turn = _turn(angle) if angle else 0
            if fixed and turn == 0:
                rects = _full_width(rects, _loose_rect(handle, first, last))
            turns[turn] += len(said)
            style = (turn, font_size(handle, first), fixed, bold)
            gaps = _gaps(said, rects, style[1]) if turn == 0 and len(rects) > 1 else []
            if gaps:
                lefts = [(rects[n][0], rects[n][0] < rects[n - 1][0]) for n in gaps]
                cuts = _cuts(handle, said, start, lefts)
                # The dots of a table of contents lead from one piece to the next.
                parted = [cut for cut in zip(cuts, gaps, strict=False) if not _LEADERS.match(said, cut[0])]
                cuts, gaps = [cut for cut, _ in parted], [gap for _, gap in parted]
            if gaps:
                found.extend(_cells(said, begin, cuts, rects, gaps, style, edits))
            else:
                said = _edited(said, begin, edits) if edits and edits[0][0] < begin + len(said) else said
                found.append((said, begin, rects, style))
            if end == HYPHENATED:
                found[-1] = (found[-1][0] + HYPHENATED, *found[-1][1:])
        place += len(part) + len(end)
    if not found:
        return []
    usual = max(turns, key=lambda turn: (turn != _LEANING, turns[turn]))
    mirrored = _RIGHT_TO_LEFT.search(text) is not None and 2 * len(_RIGHT_TO_LEFT.findall(text)) > len(text)
    return [
        _line(said, place, _box(rects, usual, mirrored), style, style[0] == usual)
        for said, place, rects, style in found
    ]


class _Fonts:
    """The fonts of a page's characters; what is asked of PDFium is written to one place again and again."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._info = raw_pdfium().FPDFText_GetFontInfo
        self._flags, self._name = ctypes.c_int(), ctypes.create_string_buffer(_FONT_NAME)
        self._known: dict[bytes, tuple[bool, bool]] = {}  # by name

    def at(self, place: int) -> tuple[bool, bool]:
        """Whether a character is set in a font whose letters are all of one width, and whether in a bold one."""
        self._flags.value = 0
        size = self._info(self._handle, place, self._name, _FONT_NAME, self._flags)
        name = self._name.raw[:size] if size <= _FONT_NAME else b""  # a longer name is not written
        known = self._known.get(name)
        if known is None:
            known = _FIXED_PITCH.search(name) is not None, _BOLD.search(name) is not None
            self._known[name] = known
        return (True, known[1]) if self._flags.value & 1 else known


def _full_width(rects: list[_Rect], loose: _Rect) -> list[_Rect]:
    """Return the rectangles of a line's ink with the room that its first and last letters have beside theirs."""
    rects[0] = (min(rects[0][0], loose[0]), *rects[0][1:])
    rects[-1] = (*rects[-1][:2], max(rects[-1][2], loose[2]), rects[-1][3])
    return rects


def _loose_rect(handle: Any, first: int, last: int) -> _Rect:
    """Return the rectangle of a line without ink, as invisible text may be, by the widths of its characters."""
    pdfium = raw_pdfium()
    box, end = pdfium.FS_RECTF(), pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(handle, first, box)
    pdfium.FPDFText_GetLooseCharBox(handle, last, end)
    return min(box.left, end.left), max(box.top, end.top), max(box.right, end.right), min(box.bottom, end.bottom)


def _cells(
    said: str,
    place: int,
    cuts: list[int],
    rects: list[_Rect],
    gaps: list[int],
    style: _Style,
    edits: list[Edit],
) -> Iterator[_Found]:
    """Yield the cells of a line that is cut at places of its text and between the rectangles of the same number."""
    for begin, end, first, last in zip([0, *cuts], [*cuts, len(said)], [0, *gaps], [*gaps, len(rects)], strict=True):
        cell = said[begin:end].rstrip()
        cell = _edited(cell, place + begin, edits) if edits and edits[0][0] < place + begin + len(cell) else cell
        if cell:  # a blank may stand before the first cell
            yield cell, place + begin, rects[first:last], style


def _gaps(said: str, rects: list[_Rect], size: float) -> list[int]:
    """Return the numbers of the rectangles that begin behind a gap as wide as between cells, or far back."""
    gaps = [after[0] - before[2] for before, after in itertools.pairwise(rects)]
    back = []
    if min(gaps) < 0:
        steps = enumerate(itertools.pairwise(rects), start=1)
        back = [number for number, (before, after) in steps if after[2] < before[0] and _is_far(before, after)]
        if back and _RIGHT_TO_LEFT.search(said):
            back = []
    if len(rects) > _MAX_RECTS and not back:
        return []
    height = sorted([rect[1] - rect[3] for rect in rects])[len(rects) // 2]
    height = max(height, min(_INK * size, _MAX_INK * height))
    if max(gaps) <= _CELL_GAPS * height:
        return back
    cells = [number for number, gap in enumerate(gaps, start=1) if gap > _CELL_GAPS * height > 0]
    if len(cells) == 1:
        cells = [number for number in cells if gaps[number - 1] > _CELL_GAP * height]
    return sorted([*cells, *back]) if back else cells


def _is_far(before: _Rect, after: _Rect) -> bool:
    """Whether a piece begins so far left of the one before it that it belongs to another column."""
    return before[0] - after[0] > _STEP_BACK * (before[1] - before[3]) > 0


def _cuts(handle: Any, said: str, start: int, lefts: list[tuple[float, bool]]) -> list[int]:
    """Return the places in `said` of the first characters of the pieces that begin at each of `lefts`.

    Behind a gap that is the first character so far to the right, behind a step back the first at the very place.
    """
    pdfium = raw_pdfium()
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    cuts: list[int] = []
    place = 0
    for limit, back in lefts:
        while (place := said.find(" ", place) + 1) > 0:
            pdfium.FPDFText_GetCharBox(handle, start + place, left, right, bottom, top)
            if said[place].isspace() or left.value < limit - _EXACT:
                continue
            if not back or left.value < limit + _EXACT:
                cuts.append(place)
                break
        else:
            return []
    return cuts


def _turn(angle: float) -> int:
    quarters = -angle * 2 / math.pi  # PDFium counts clockwise
    if not math.isfinite(quarters):
        return _LEANING
    whole = round(quarters)
    return whole % 4 if abs(quarters - whole) < _MAX_LEAN else _LEANING


def _edited(said: str, place: int, edits: list[Edit]) -> str:
    """Return `said`, which begins at `place`, with its edits, and take them off `edits`."""
    done = []
    until = place
    while edits and edits[0][0] < place + len(said):
        start, end, new = edits.pop(0)
        done.append(said[until - place : start - place])
        done.append(new)
        until = end
    return "".join(done) + said[until - place :]


def _box(rects: list[_Rect], usual: int, mirrored: bool) -> _Rect:
    """Return left, top, right and bottom of a line on a page that runs in the `usual` turn; y grows downwards."""
    if len(rects) == 1:
        left, top, right, bottom = rects[0]
    else:
        lefts, tops, rights, bottoms = zip(*rects, strict=True)
        left, top, right, bottom = min(lefts), max(tops), max(rights), min(bottoms)
    if usual == 1:  # read upwards
        left, top, right, bottom = bottom, left, top, right
    elif usual == 2:  # upside down
        left, top, right, bottom = -right, bottom, -left, top
    elif usual == 3:  # read downwards
        left, top, right, bottom = -top, -right, -bottom, -left
    else:
        top, bottom = -top, -bottom
    return (-right, top, -left, bottom) if mirrored else (left, top, right, bottom)


def _line(text: str, place: int, box: _Rect, style: _Style, upright: bool) -> TextLine:
    left, top, right, bottom = box
    _, size, fixed_pitch, bold = style
    if not math.isfinite(left + top + right + bottom + size):  # of a broken font or matrix
        left = top = right = bottom = size = 0.0
    return TextLine(text, left, top, right, bottom, size, fixed_pitch, upright, place, bold)
