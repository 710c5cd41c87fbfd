"""Words that were hyphenated at line ends, joined by what the rest of the document says of them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

from quire.documents.formats.pdf_lines import HYPHENATED

# The word before and the rest behind a break, each looked for in so many characters.
_WORD_AT_END = re.compile(r"[^\W_]+(?:-[^\W_]+)*$")
_REST = re.compile(r"[^\W_]+")
_REACH = 60

# An address of the web or of mail has one of these in it, and is looked at this far on both sides of a break.
_ADDRESS = ("://", "www.", "@")
_LONG_ADDRESS = 400

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


def join_words(pages: Sequence[str]) -> list[str]:
    """Return `pages` with every word that `HYPHENATED` cuts in two made whole.

    No dictionary is asked. The rest goes on with the hyphen if it begins with a digit, or with a capital after a word
    that is not in capitals, or if both stand in an address of the web or of mail. Otherwise the way it is written more
    often elsewhere in the document decides; where neither is found, the hyphen belongs to the line end and goes, unless
    the word had a hyphen before and both of the parts beside this one are words of the document ("state-of-the" and
    "art").
    """
    broken = [page.split(HYPHENATED) for page in pages]
    if not any(len(parts) > 1 for parts in broken):
        return list(pages)
    words = _words(broken)
    whole = []
    for parts in broken:
        text = parts[0]
        for part in parts[1:]:
            left, right = _WORD_AT_END.search(text, max(0, len(text) - _REACH)), _REST.match(part)
            closed = left is not None and right is not None and not _keeps_hyphen(left[0], right[0], words)
            closed = closed and not _is_in_address(text, part)  # where it is closed there are letters on both sides
            text = f"{text}{part}" if closed else f"{text}-{part}"
        whole.append(text)
    return whole


def _words(broken: Sequence[Sequence[str]]) -> Counter[str]:
    """Return how often each word occurs whole; words with hyphens count as such and in their parts."""
    words = Counter[str]()
    for parts in broken:
        for part in parts:
            words.update(_WORD.findall(part.casefold()))
        for before, after in itertools.pairwise(parts):
            for piece in (_WORD_AT_END.search(before, max(0, len(before) - _REACH)), _REST.match(after)):
                if piece is not None:
                    words.subtract(_WORD.findall(piece[0].casefold()))
    for word, count in list(words.items()):
        if "-" in word:
            for piece_of_word in word.split("-"):
                words[piece_of_word] += count
    return words


def _is_in_address(before: str, after: str) -> bool:
    """Whether what stands around a break without white space is an address of the web or of mail."""
    left, right = before[-_LONG_ADDRESS:].rsplit(None, 1), after[:_LONG_ADDRESS].split(None, 1)
    return any(mark in left[-1] or mark in right[0] for mark in _ADDRESS)


def _keeps_hyphen(left: str, right: str, words: Counter[str]) -> bool:
    if not right[0].isalpha() or (right[0].isupper() and not left.isupper()):
        return True
    last = left.rsplit("-", 1)[-1].casefold()
    right = right.casefold()
    hyphened = words[f"{left.casefold()}-{right}"]
    closed = words[last + right]
    if hyphened != closed:
        return hyphened > closed
    return "-" in left and words[last] > 0 and words[right] > 0
