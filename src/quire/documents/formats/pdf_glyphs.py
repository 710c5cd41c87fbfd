"""What glyphs mean where PDFium's characters are not yet what a reader sees: accents, shared glyphs, footnote marks."""

from __future__ import annotations

import ctypes
import re
import unicodedata
from typing import Any

Edit = tuple[int, int, str]
"""Replace characters `start:end` of a page's text by these."""

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe]")
_ARABIC = "\u0620-\u063f\u0641-\u064a"

# Lam and alef share a glyph; PDFium turns the letters of a right-to-left line around one by one, those of a shared
# glyph with them.
_ALEF_LAM = re.compile("[\u0622\u0623\u0625\u0627]\u0644")

# A vowel mark is set after its letter by some producers with its own small advance, and PDFium sees a gap before it.
_STRAY_MARK = re.compile(f" ([\u064b-\u0652\u0670])([{_ARABIC}])")

# No Arabic ending is ever glued to a Latin word, but PDFium glues the next word to it.
_GLUED_SCRIPTS = re.compile(f"(?<=[A-Za-z])(?=[{_ARABIC}])")

# A word of letters (two of Hangul, kana or Han, else three) with one or two digits glued to it: perhaps the mark of a
# footnote. Shorter words are symbols and units (x2, H2, m2, km2). The digit goes first, as the engine skips all else.
_MARK = re.compile(r"\d(?<=[^\W\d_].)\d?(?!\w)")
_MARKABLE = re.compile(r"[^\W\d_]{3}|.?[\u3040-\u9fff\uac00-\ud7a3]{2}", re.DOTALL)

# The mark stands on a line this many font sizes above the one of its word: 0.33 to 0.45 in LaTeX, Word, FrameMaker and
# Hangul Office; the digits of "MP3" stand on it.
_MIN_RAISED = 0.15

# Older TeX fonts set an accent as a glyph of its own, before its letter and over it; as an apostrophe it stands beside.
_ACCENTS = {
    "\u00b4": "\u0301",
    "`": "\u0300",
    "\u02cb": "\u0300",
    "\u00a8": "\u0308",
    "\u02c6": "\u0302",
    "\u02dc": "\u0303",
    "\u02c7": "\u030c",
    "\u02d8": "\u0306",
    "\u00af": "\u0304",
    "\u02d9": "\u0307",
    "\u02da": "\u030a",
    "\u02dd": "\u030b",
    "\u00b8": "\u0327",
}
_ACCENT = re.compile(f"[{''.join(_ACCENTS)}]")
_LETTER = re.compile(" ?([A-Za-z\u0131\u0237])")
_DOTLESS = {"\u0131": "i", "\u0237": "j"}


def raw_pdfium() -> Any:
    """Return PDFium's own functions, which carry no types."""
    import pypdfium2.raw

    return pypdfium2.raw


def edits_of(handle: Any, text: str) -> list[Edit]:
    """Return what is to be changed in `text`, all that PDFium gives for the text page `handle`, in order."""
    glyphs = _Glyphs(handle)
    edits: list[Edit] = []
    if _RIGHT_TO_LEFT.search(text):
        for match in _ALEF_LAM.finditer(text):
            first = match.start()
            if glyphs.share(first, first + 1):
                edits.append((first, first + 2, text[first + 1] + text[first]))
        edits.extend((*match.span(), match[2] + match[1]) for match in _STRAY_MARK.finditer(text))
        edits.extend((*match.span(), " ") for match in _GLUED_SCRIPTS.finditer(text))
    if "`" in text or not text.isascii():
        for match in _ACCENT.finditer(text):
            edits.extend(_composed(text, match.start(), glyphs))
    for match in _MARK.finditer(text):
        place = match.start()
        if _MARKABLE.fullmatch(text, max(0, place - 3), place) and glyphs.raised(place - 1, place):
            edits.append((place, place, " "))
    edits.sort()
    return [edit for number, edit in enumerate(edits) if number == 0 or edit[0] >= edits[number - 1][1]]


def _composed(text: str, place: int, glyphs: _Glyphs) -> list[Edit]:
    """Return how the accent at `place` and the letter under it become one, if there is one."""
    after = _LETTER.match(text, place + 1)
    for letter in ([after.start(1)] if after else []) + [place - 1] * (place > 0):
        base = _DOTLESS.get(text[letter], text[letter])
        composed = unicodedata.normalize("NFC", base + _ACCENTS[text[place]])
        if base.isalpha() and len(composed) == 1 and glyphs.overlap(place, letter):
            return [(min(place, letter), max(place, letter) + 1, composed)]
    return []


class _Glyphs:
    """Where the characters of a page stand, asked by their place in its text."""

    def __init__(self, handle: Any) -> None:
        self._pdfium = raw_pdfium()
        self._handle = handle
        self._numbers = [ctypes.c_double() for _ in range(4)]

    def _box(self, place: int) -> tuple[float, ...]:
        index = self._pdfium.FPDFText_GetCharIndexFromTextIndex(self._handle, place)
        if not self._pdfium.FPDFText_GetCharBox(self._handle, index, *self._numbers):
            return (0.0, 0.0, 0.0, 0.0)
        return tuple(number.value for number in self._numbers)  # left, right, bottom, top

    def _origin(self, place: int) -> tuple[float, float, float]:
        index = self._pdfium.FPDFText_GetCharIndexFromTextIndex(self._handle, place)
        x, y = self._numbers[:2]
        self._pdfium.FPDFText_GetCharOrigin(self._handle, index, x, y)
        return x.value, y.value, self._pdfium.FPDFText_GetFontSize(self._handle, index)

    def share(self, first: int, second: int) -> bool:
        """Whether two characters are one glyph."""
        return self._box(first) == self._box(second)

    def overlap(self, accent: int, letter: int) -> bool:
        """Whether the middle of an accent stands over (or under) a letter."""
        left, right, _, _ = self._box(accent)
        over, until, _, _ = self._box(letter)
        return over < (left + right) / 2 < until

    def raised(self, letter: int, digit: int) -> bool:
        """Whether a digit stands higher than the line of the letter before it."""
        _, base, size = self._origin(letter)
        _, raised, _ = self._origin(digit)
        return raised - base > _MIN_RAISED * abs(size)
