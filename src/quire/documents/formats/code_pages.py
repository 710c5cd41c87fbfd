"""Which single-byte code page of a Latin script bytes are in, told by where letters and signs stand in words.

A single-byte code page has a character for nearly every byte, so none refuses. But in the wrong one quotation marks
and currency signs stand within words, capitals behind small letters, and frames of lines and corners become rows of
accented letters. The pages of DOS (cp850, cp437) and of old Macs have their letters where Windows has marks, and the
other way round.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

OTHERS = ("cp850", "cp437", "cp852", "mac_roman")
"""Those of DOS in Western and Central Europe (cp437 has fewer letters than cp850, and all corners of frames), and the
one of Macs before 2001."""

_LOOKED_AT = 100_000
"""Bytes outside ASCII that are looked at."""

# A page other than the first must lead by more than this, for any text and for each byte that was looked at: one word
# such as "Café" leads by two.
_MARGIN = 1
_MARGIN_SHARE = 1 / 20

_IN_CONTEXT = re.compile(rb"(?s)(?=(.[\x80-\xff].))")
_LATIN_END = "\u0180"
_ROMANIAN = "ȘșȚț"
_OPENING = "„‚¿¡"
_QUOTES = "“‘«»‹›"  # either side, as Germans and Danes have it
_DASHES = "–—"
_BEHIND = "…®™"  # a word, and not before one


def best_page(data: bytes, first: str, others: Sequence[str]) -> str:
    """Return the code page in which the bytes outside ASCII stand best, `first` unless another one is clearly better.

    Args:
        data: a text in a single-byte encoding.
        first: the code page that is believed.
        others: in the order in which they are believed.
    """
    matches = itertools.islice(_IN_CONTEXT.finditer(b" %b " % data), _LOOKED_AT)
    contexts = Counter(match[1] for match in matches)
    margin = _MARGIN + _MARGIN_SHARE * contexts.total()
    best, most = first, max(0, _score(contexts, first) + margin)
    for page in others:
        score = _score(contexts, page)
        if score > most:
            best, most = page, score
    return best


def _score(contexts: Counter[bytes], page: str) -> int:
    return sum(count * _fit(*context.decode(page, "replace")) for context, count in contexts.items())


def _fit(before: str, sign: str, after: str) -> int:
    """Return 1 where a character outside ASCII stands as in a text, -1 or -2 where none would have it, else 0."""
    if sign == "\ufffd" or unicodedata.category(sign) == "Cc":
        return -2
    if sign.isalpha():
        return _fit_of_letter(before, sign, after)
    if "\u2500" <= sign < "\u25a0":
        return _fit_of_line(before, after)
    if sign in (before, after):
        return 1  # a row of dots or stars
    within = before.isalpha() and after.isalpha()
    if sign in _OPENING:
        return -1 if before.isalpha() else int(not after.isspace())
    if sign in _QUOTES:
        return -1 if within else int(before.isspace() != after.isspace())
    if sign == "’":
        return int(before.isalpha())
    if sign == "”":
        return -1 if within else int(not before.isspace() and not after.isalpha())
    if sign in _BEHIND:
        return int(not before.isspace() and not after.isalpha())
    if sign in _DASHES:
        return int(within or (before.isspace() and after.isspace()))
    if sign == "\N{NO-BREAK SPACE}":
        return int(before.isalnum() or after.isalnum())
    if sign == "\N{SOFT HYPHEN}":
        return int(within)
    return -1 if within else 0


def _fit_of_letter(before: str, letter: str, after: str) -> int:
    beside_ascii = (before.isascii() and before.isalpha()) or (after.isascii() and after.isalpha())
    if not (letter < _LATIN_END or letter in _ROMANIAN) or letter in "ªºµ":
        return -1 if beside_ascii else 0
    if before == letter == after:
        return -1  # a line of a frame
    if (letter.isupper() and before.islower()) or (letter.islower() and after.isupper()):
        return -1
    return int(beside_ascii)


def _fit_of_line(before: str, after: str) -> int:
    if before.isalpha() and after.isalpha():
        return -1
    return int("\u2500" <= before < "\u25a0" or "\u2500" <= after < "\u25a0")
