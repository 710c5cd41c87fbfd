"""Where in a text a token or a number with check digits might stand, seen in a few passes over its bytes.

A text is looked at in words of four bytes, wherever they begin: most of it is passed over so without a look at each of
its characters. A hint is no finding; but where there is none, nothing can be found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

FEWEST_CHARACTERS = 13  # that anything hinted at has
_BLOCK = 1 << 16  # characters looked at together, whole words: what is computed of them stays in the cache of a core
_WORD = 4
_BEFORE, _BEHIND = 8, 20  # characters of its neighbours that a block sees, whole words too

# Of every byte, in bits: whether it is a digit, a letter, and one of what tokens are made of; and four bytes by
# themselves, which stand three apart in ".eyJ" and in "PRIVATE KEY".
_CLASSES = bytes(
    (48 <= code < 58)
    + 2 * (65 <= code < 91 or 97 <= code < 123)
    + {ord("."): 4, ord("J"): 8, ord("P"): 16, ord("V"): 32}.get(code, 0)
    + 128 * ((code < 128 and chr(code).isalnum()) or code in b"_-/+")
    for code in range(256)
)
_APART, _SECOND, _SECONDS = 3, np.uint8(1), np.uint8(8 + 32)
_DIGIT, _PAIR, _DIGIT_OR_LETTER = np.uint8(1), np.uint8(1), np.uint8(1 + 2)
_ALL_TOKEN = np.uint32(0x80808080)
_SUM, _HIGHEST = np.uint32(0x01010101), np.uint32(24)  # four small numbers in a word, times this: their sum, up there
_THREE, _THIRTEEN = np.uint32(3), np.uint32(13)

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Words = np.ndarray[Any, np.dtype[np.uint32]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(slots=True)
class Hints:
    """What might be in a text; a character is a byte here, "?" for those beyond Latin-1.

    Args:
        runs: of each block of text what stands in its runs of at least 20 letters, digits, "_", "-", "/" and "+", with
            at least three bytes before each: all that stands there and has fewer than twelve bytes is in one piece
            somewhere.
        values: places in such runs: at least one in each run that has a digit.
        digits: places such that 13 digits begin in the four bytes there and lie within 16.
        countries: places of two letters and two digits behind them, with no letter or digit in front.
        words: whether ".eyJ" or "PRIVATE KEY" may be in it.
    """

    runs: list[bytes] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    digits: list[int] = field(default_factory=list)
    countries: list[int] = field(default_factory=list)
    words: bool = False


def hints_of(text: str) -> Hints:
    """Return what might be in `text`."""
    hints = Hints()
    for begin in range(0, len(text), _BLOCK):
        own = min(_BLOCK, -(-(len(text) - begin) // _WORD) * _WORD)
        piece = text[max(0, begin - _BEFORE) : begin + own + _BEHIND].encode("latin-1", "replace")
        piece = (piece if begin else bytes(_BEFORE) + piece).ljust(_BEFORE + own + _BEHIND, b"\0")
        classes = np.frombuffer(piece.translate(_CLASSES), dtype=np.uint8)
        digits = (classes & _DIGIT).view(np.uint32)
        digits *= _SUM
        digits >>= _HIGHEST  # in each word
        _find_runs(piece, classes, digits, begin, hints)
        _find_digits(digits, begin, hints)
        _find_countries(classes[_BEFORE - 1 : _BEFORE + own + 3], begin, hints)
        words = classes[:-_APART] << _SECOND
        words &= classes[_APART:]
        words &= _SECONDS
        if words.any():
            hints.words = True
    return hints


def _find_runs(piece: bytes, classes: Bytes, digits: Words, begin: int, hints: Hints) -> None:
    """A run of 20 bytes holds four whole words, whatever place it begins at."""
    whole = (classes.view(np.uint32) & _ALL_TOKEN) == _ALL_TOKEN
    two = whole[2:-1] & whole[3:]
    four = two[:-2] & two[2:]
    if four.any():
        # With two words before the four and one behind, of which the run may fill a part: seven in all.
        inside = np.zeros(len(whole), dtype=bool)
        inside[: len(four)] = four
        for step in (1, 2, 3):
            inside[step:] |= inside[:-step]
        hints.runs.append(np.frombuffer(piece, dtype=np.uint32)[inside].tobytes())
        _find_values(four, digits, begin, hints)


def _find_values(four: Bools, digits: Words, begin: int, hints: Hints) -> None:
    """The four words of place 0 are the third to the sixth; a run may fill a part of the one before and of that behind:
    in one of these six its digit is, for some place in the run.
    """
    any_digit = digits != 0
    two = any_digit[1:-1] | any_digit[2:]
    six = two[:-4] | two[2:-2]
    six |= two[4:]
    held = four.copy()
    held[:-1] &= six  # the last place goes on where this block does not look
    held[1:] &= ~held[:-1]
    hints.values.extend((begin + _WORD * np.flatnonzero(held)).tolist())


def _find_digits(counts: Words, begin: int, hints: Hints) -> None:
    """Of 13 digits within 16 bytes some two words in a row hold three each, and five together all 13."""
    three = counts >= _THREE
    if (three[1:] & three[:-1]).any():
        together = counts[2:-4] + counts[3:-3] + counts[4:-2] + counts[5:-1]
        together += counts[6:]
        places = np.flatnonzero(together >= _THIRTEEN)
        hints.digits.extend((begin + _WORD * places).tolist())


def _find_countries(classes: Bytes, begin: int, hints: Hints) -> None:
    """`classes` has one byte before the block, and three behind it."""
    pairs = classes[1:-1] & classes[2:]
    both = pairs[:-2] >> _PAIR
    both &= pairs[2:]
    both &= _DIGIT
    places = np.flatnonzero(both.view(bool))
    if len(places):
        places = places[(classes[places] & _DIGIT_OR_LETTER) == 0]
        hints.countries.extend((begin + places).tolist())
