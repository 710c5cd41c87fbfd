"""What `quire learn` reads of its command line: numbers, rows of them, a text, and what is wrong with them."""

from __future__ import annotations

import math

from quire.errors import UsageError

MOST = 64  # numbers of one row, tokens, neurons: what is still readable on paper
MOST_WORDS = 8
MOST_ROWS = 6  # of a matrix, and columns
LARGEST = 1e6
LONGEST = 2000  # characters of a text


def row(text: str, where: str) -> list[float]:
    """Return the numbers of `2,-1,0.5`. Raises `UsageError` that says which one is wrong and how."""
    words = text.strip().split(",")
    if words == [""]:
        raise UsageError("there is no number", where=where, hint="Numbers are joined by commas, as in 2,-1,0.5")
    if len(words) > MOST:
        raise UsageError(f"{len(words)} numbers; at most {MOST} can be followed on paper", where=where)
    return [one(word, f"{where}, number {count}") for count, word in enumerate(words, 1)]


def integers(text: str, where: str) -> list[int]:
    """Return the whole numbers of `0,5,50`. Raises `UsageError` that says which one is none."""
    values = row(text, where)
    for count, value in enumerate(values, 1):
        if not value.is_integer():
            raise UsageError(f"{value} is not a whole number", where=f"{where}, number {count}")
    return [int(value) for value in values]


def matrix(text: str, where: str) -> list[list[float]]:
    """Return the rows of `3,0/4,5`. Raises `UsageError` that says which number is wrong, or where rows differ."""
    rows = [row(line, f"{where}, row {count}") for count, line in enumerate(text.split("/"), 1)]
    for count, values in enumerate(rows, 1):
        if len(values) != len(rows[0]):
            told = f"{len(values)} numbers, and {len(rows[0])} in the first row"
            raise UsageError(told, where=f"{where}, row {count}")
    if max(len(rows), len(rows[0])) > MOST_ROWS:
        told = f"{len(rows)} rows of {len(rows[0])}; at most {MOST_ROWS} of {MOST_ROWS} can be followed on paper"
        raise UsageError(told, where=where)
    return rows


def one(text: str | float, where: str) -> float:
    """Return a finite number of a size that can be shown. Raises `UsageError` that says what it is instead."""
    shown = str(text).strip()
    if not shown:
        raise UsageError("nothing stands there; a number is needed", where=where)
    try:
        value = float(shown)
    except ValueError:
        raise UsageError(f"{shown!r} is not a number", where=where) from None
    if not math.isfinite(value):
        raise UsageError(f"{shown} is not a finite number", where=where)
    if abs(value) > LARGEST:
        raise UsageError(f"{shown} is too large; from {-LARGEST:,.0f} to {LARGEST:,.0f} is allowed", where=where)
    return value


def whole(value: int, where: str, least: int, most: int) -> int:
    """Return `value` if it is from `least` to `most`. Raises `UsageError` otherwise."""
    if not least <= value <= most:
        raise UsageError(f"{value} is not from {least:,} to {most:,}", where=where)
    return value


def utf8(text: str) -> str:
    """Return `text`. Raises `UsageError` where the command line held bytes that are no UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("not UTF-8", where="TEXT") from None
    return text


def sentence(text: str) -> str:
    """Return a text that is not empty and not too long. Raises `UsageError` otherwise."""
    if not text:
        raise UsageError("the text is empty", where="TEXT")
    if len(text) > LONGEST:
        raise UsageError(f"{len(text):,} characters; at most {LONGEST:,} can be followed on paper", where="TEXT")
    return utf8(text)


def words_of(text: str) -> list[str]:
    """Return the words of a short text. Raises `UsageError` where there is none or there are too many."""
    words = sentence(text).split()
    if not words:
        raise UsageError("there is no word", where="TEXT")
    if len(words) > MOST_WORDS:
        raise UsageError(f"{len(words)} words; at most {MOST_WORDS} can be followed on paper", where="TEXT")
    return words
