"""The normal form of prose: Unicode NFC, ligatures spelt out, no soft hyphens; and the way back to the bytes.

A model that meets `é` as one character in one file and as `e` with an accent behind it in another learns every such
word twice. So prose has one form. Code has none: what stands in it, stands.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from quire.documents.document import Span
from quire.documents.formats.code_in_prose import (
    Code,
    code_in_asciidoc,
    code_in_markdown,
    code_in_org,
    code_in_rst,
)

LIGATURES = {
    "\ufb00": "ff",
    "\ufb01": "fi",
    "\ufb02": "fl",
    "\ufb03": "ffi",
    "\ufb04": "ffl",
    "\ufb05": "\u017ft",
    "\ufb06": "st",
}
"""Ligatures of Latin letters to the letters."""

MOST_SPANS = 20_000
"""Changes from which on a text is led back to its file in pieces of `PIECE` characters."""

PIECE = 4000

_TOLD_BY_SIZE = ("utf-8", "utf-16-le", "utf-32-le")  # encodings that the number of bytes of a span stands for

_SPELT = str.maketrans({**LIGATURES, "\u00ad": ""})
_RUN = re.compile("[\0-\x7f]?[^\0-\x7f]+")

CODE_IN: dict[str, Code | None] = {
    "text/plain": None,
    "text/vtt": None,
    "application/x-subrip": None,
    "text/markdown": code_in_markdown,
    "text/x-rst": code_in_rst,
    "text/asciidoc": code_in_asciidoc,
    "text/org": code_in_org,
}
"""Media types of prose that is read as it is written, and what is code in each."""


class Change(NamedTuple):
    """Characters `start:end` of a text make room for `new`."""

    start: int
    end: int
    new: str


def is_normal(text: str) -> bool:
    """Return whether a text is in its normal form."""
    if text.isascii():
        return True
    if "\u00ad" in text or any(map(text.__contains__, LIGATURES)):
        return False
    return unicodedata.is_normalized("NFC", text)


def normal(text: str, code: Code | None = None) -> str:
    """Return a text in its normal form; what `code` finds stays."""
    return text if is_normal(text) else changed(text, changes(text, code))


def changed(text: str, made: Iterable[Change]) -> str:
    """Return what the changes make of a text."""
    pieces, last = [], 0
    for start, end, new in made:
        pieces += [text[last:start], new]
        last = end
    return "".join((*pieces, text[last:]))


def changes(text: str, code: Code | None = None) -> Iterator[Change]:
    """Yield what makes the normal form of a text, in order, each as short as it can be; nothing that `code` finds."""
    if is_normal(text):
        return
    kept = code(text) if code else iter(())
    start, end = next(kept, (len(text), len(text)))
    for match in _RUN.finditer(text):
        run, place = match[0], match.start()
        for change in _known_changes(run) if len(run) <= _SHORT else _changes_of(run):
            first, last = place + change.start, place + change.end
            while end <= first:
                start, end = next(kept, (len(text), len(text)))
            if start >= last:
                yield Change(first, last, change.new)


def _changes_of(run: str) -> tuple[Change, ...]:
    made = []
    for start, end in _groups(run):
        new = unicodedata.normalize("NFC", run[start:end].translate(_SPELT))
        if new != run[start:end]:
            made.append(_shortest(run, start, end, new))
    return tuple(made)


def _shortest(run: str, start: int, end: int, new: str) -> Change:
    """Return a change without the characters at its ends that stay."""
    first, last = 0, len(new)
    while start < end and first < last and run[start] == new[first]:
        start, first = start + 1, first + 1
    while start < end and first < last and run[end - 1] == new[last - 1]:
        end, last = end - 1, last - 1
    return Change(start, end, new[first:last])


_SHORT = 16
_known_changes = functools.lru_cache(10_000)(_changes_of)  # most runs are one accented letter, and few differ


def _groups(run: str) -> Iterator[tuple[int, int]]:
    """Yield the characters of a run in groups: no composition goes beyond one.

    Only marks and the parts of Hangul syllables are ever composed with what is before them: so it is with every
    other character of Unicode behind ten starters of as many kinds.
    """
    first = 0
    for place in range(1, len(run)):
        sign = run[place]
        if not (sign == "\u00ad" or "\u1100" <= sign < "\u1200" or unicodedata.category(sign)[0] == "M"):
            yield first, place
            first = place
    yield first, len(run)


def moved(text: str, made: Sequence[Change], byte_start: int, encoding: str) -> tuple[Span, ...]:
    """Return the spans of the text that the changes make: where each part of it stands in the file.

    What stands between two changes keeps its bytes, and each character of a change leads to all bytes that it stands
    for. With more than `MOST_SPANS` changes parts of `PIECE` characters lead to the bytes that they come from.

    Args:
        text: as it was decoded, without loss.
        made: the changes, in order.
        byte_start: where the text begins in the file.
        encoding: of the file.
    """
    spans = _fine(text, made, byte_start, encoding)
    return tuple(span for span, _ in spans) if len(made) <= MOST_SPANS else tuple(_coarse(spans))


def _fine(text: str, made: Sequence[Change], byte: int, encoding: str) -> Iterator[tuple[Span, str]]:
    place = last = 0
    for start, end, new in itertools.chain(made, (Change(len(text), len(text), ""),)):
        held = text[last:start]
        for part in held if _passes_for_another(held, encoding) else (held,) if held else ():
            size = _size(part, encoding)
            yield Span(place, place + len(part), None, byte, byte + size), part
            place, byte = place + len(part), byte + size
        size = _size(text[start:end], encoding)
        for sign in new:
            yield Span(place, place + 1, None, byte, byte + size), sign
            place += 1
        byte, last = byte + size, end


def _passes_for_another(text: str, encoding: str) -> bool:
    """Whether the number of bytes would be that of another encoding, in which the characters begin elsewhere.

    Such a part is led back character by character, so that none is misread.
    """
    if encoding == "utf-8" or text.isascii():
        return False
    size = _size(text, encoding)
    others = [other for other in _TOLD_BY_SIZE if other[:6] != encoding[:6] and _size(text, other) == size]
    return any(_size(sign, other) != _size(sign, encoding) for other in others for sign in set(text))


def _coarse(spans: Iterator[tuple[Span, str]]) -> Iterator[Span]:
    block: list[tuple[Span, str]] = []
    for span, part in spans:
        if block and span.end - block[0][0].start > PIECE:
            yield from _joined(block)
            block = []
        block.append((span, part))
    yield from _joined(block)


def _joined(block: list[tuple[Span, str]]) -> Iterator[Span]:
    """Yield one span for many, or these where the number of its bytes would pass for that of its text."""
    if not block:
        return
    first, last = block[0][0], block[-1][0]
    held = "".join(part for _, part in block)
    size = (last.byte_end or 0) - (first.byte_start or 0)
    if size in (len(held), *(_size(held, encoding) for encoding in _TOLD_BY_SIZE)):
        yield from (span for span, _ in block)
    else:
        yield Span(first.start, last.end, None, first.byte_start, last.byte_end)


def _size(text: str, encoding: str) -> int:
    return len(text) if text.isascii() and encoding == "utf-8" else len(text.encode(encoding, "surrogatepass"))
