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


def _number(value: int, kind: type[np.unsignedinteger[Any]]) -> np.ndarray[Any, Any]:
    """A number as an array without a dimension: NumPy takes one in half the time that it takes a scalar."""
    return np.array(value, dtype=kind)


# What a byte is, is computed, sixteen and more bytes at a time: a flag each for the time of one table of all of them.
_CASE, _A, _LETTERS = (_number(value, np.uint8) for value in (0x20, ord("a"), 26))
_ZERO, _DIGITS = (_number(value, np.uint8) for value in (ord("0"), 10))
_UNDERSCORE, _PLUS, _BUT_TWO_AND_FOUR = (_number(value, np.uint8) for value in (ord("_"), ord("+"), 0xFF - 2 - 4))
_NOTHING = _number(0, np.uint8)
_APART = 3  # in ".eyJ" from the first character to the last, and in "PRIVATE KEY" from the P to the V
_DOT, _J, _P, _V = (_number(ord(letter), np.uint8) for letter in ".JPV")
_WHOLE = _number(0x01010101, np.uint32)
_SUM, _HIGHEST = _number(0x01010101, np.uint32), _number(24, np.uint32)  # four numbers in a word, times this: their sum
_THREE, _THIRTEEN = _number(3, np.uint32), _number(13, np.uint32)
_WINDOW = np.array((1, 6))  # from the first place of a run and from its end: the words in which its digits are
_YES = b"\1"  # a flag as a byte; to look for one among bytes costs a quarter of `any`

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
        data = np.frombuffer(piece, dtype=np.uint8)
        letters = ((data | _CASE) - _A) < _LETTERS
        digits = (data - _ZERO) < _DIGITS
        both = letters | digits
        tokens = ((data - _PLUS) & _BUT_TWO_AND_FOUR) == _NOTHING  # "+", "-", "/", and "1"
        tokens |= data == _UNDERSCORE
        tokens |= both
        counts = digits.view(np.uint32) * _SUM
        counts >>= _HIGHEST  # in each word
        _find_runs(piece, tokens, counts, begin, hints)
        _find_digits(counts, begin, hints)
        _find_countries(letters, digits, both, begin, own, hints)
        hints.words = hints.words or _has_words(data)
    return hints


def _find_runs(piece: bytes, tokens: Bools, counts: Words, begin: int, hints: Hints) -> None:
    """A run of 20 bytes holds four whole words, whatever place it begins at."""
    whole = tokens.view(np.uint32) == _WHOLE
    if 4 * _YES not in whole.tobytes():
        return
    two = whole[2:-1] & whole[3:]
    four = np.zeros(len(two), dtype=bool)  # at place 1 whether the third word and the three behind it are whole
    np.logical_and(two[:-2], two[2:], four[1:-1])
    bounds = (four[1:] != four[:-1]).nonzero()[0]
    firsts, ends = bounds[::2], bounds[1::2]
    # With two words before the four and one behind, of which the run may fill a part: seven in all.
    for first, end in zip((_WORD * firsts).tolist(), (_WORD * (ends + 6)).tolist(), strict=True):
        hints.runs.append(piece[first:end])
    # Its digits are in these but the first; a run that goes on where this block does not look may have some there.
    windows = (bounds.reshape(-1, 2) + _WINDOW).ravel()
    held = np.add.reduceat(counts, np.minimum(windows, len(counts) - 1))[::2] != 0
    held |= ends == len(four) - 2
    hints.values.extend((begin + _WORD * firsts[held]).tolist())


def _find_digits(counts: Words, begin: int, hints: Hints) -> None:
    """Of 13 digits within 16 bytes some two words in a row hold three each, and five together all 13."""
    three = counts >= _THREE
    if _YES in (three[1:] & three[:-1]).tobytes():
        together = counts[2:-4] + counts[3:-3] + counts[4:-2] + counts[5:-1]
        together += counts[6:]
        places = np.flatnonzero(together >= _THIRTEEN)
        hints.digits.extend((begin + _WORD * places).tolist())


def _find_countries(letters: Bools, digits: Bools, both: Bools, begin: int, own: int, hints: Hints) -> None:
    end = _BEFORE + own
    found = digits[_BEFORE + 2 : end + 2] & digits[_BEFORE + 3 : end + 3]
    found &= letters[_BEFORE:end]
    found &= letters[_BEFORE + 1 : end + 1]
    if _YES in found.tobytes():
        places = np.flatnonzero(found)
        places = places[~both[places + (_BEFORE - 1)]]
        hints.countries.extend((begin + places).tolist())


def _has_words(data: Bytes) -> bool:
    first, last = data[:-_APART], data[_APART:]
    seen = first == _DOT
    seen &= last == _J
    keys = first == _P
    keys &= last == _V
    seen |= keys
    return _YES in seen.tobytes()
