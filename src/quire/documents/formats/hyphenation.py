"""Words that were hyphenated at line ends, joined by what the rest of the document says of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from quire.documents.formats.pdf_lines import HYPHENATED

_BROKEN = re.compile(rf"([^\W_]+(?:-[^\W_]+)*){HYPHENATED}([^\W_]+)")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


def join_words(pages: Sequence[str]) -> list[str]:
    """Return `pages` with every word that `HYPHENATED` cuts in two made whole.

    No dictionary is asked. The rest goes on with the hyphen if it begins with a digit, or with a capital after a word
    that is not in capitals. Otherwise the way it is written more often elsewhere in the document decides; where neither
    is found, the hyphen belongs to the line end and goes, unless the word had a hyphen before and both of the parts
    beside this one are words of the document ("state-of-the" and "art").
    """
    if not any(HYPHENATED in page for page in pages):
        return list(pages)
    words = Counter[str]()
    for page in pages:
        for word in _WORD.findall(_BROKEN.sub(" ", page)):
            folded = word.casefold()
            words[folded] += 1
            if "-" in folded:
                words.update(folded.split("-"))

    def whole(match: re.Match[str]) -> str:
        left, right = match.groups()
        return f"{left}-{right}" if _keeps_hyphen(left, right, words) else left + right

    # A word over three lines is cut twice.
    return [_BROKEN.sub(whole, _BROKEN.sub(whole, page)).replace(HYPHENATED, "-") for page in pages]


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
