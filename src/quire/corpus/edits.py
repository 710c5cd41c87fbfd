"""Changes to a document's text after which every character still says where it came from."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from quire.documents.document import Document, Span


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters `start:end` of a text make room for `replacement`, for the reason `rule`.

    Args:
        copy_of: where the same characters are kept, if that is the reason.
    """

    start: int
    end: int
    rule: str
    replacement: str = ""
    copy_of: str | None = None


def disjoint(edits: Iterable[Edit]) -> list[Edit]:
    """Return the edits in order without overlap: of two that meet, the earlier and longer one goes first, and the other
    one gets what is left of it, if it only removes; else it is left out.
    """
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end, edit.rule)):
        last = kept[-1].end if kept else 0
        if edit.start >= last:
            kept.append(edit)
        elif edit.end > last and not edit.replacement:
            kept.append(replace(edit, start=last))
        elif edit.end > last:  # two values to mask that overlap: one mask covers both
            kept[-1] = replace(kept[-1], end=edit.end)
    return [edit for edit in kept if edit.end > edit.start]


def edited(document: Document, edits: Sequence[Edit]) -> Document:
    """Return `document` with the edits made and its spans cut at them.

    What stands between two edits keeps exact bytes where `ByteCounter` can tell them; elsewhere it keeps the bytes of
    the whole span, in which it lies.

    Args:
        document: as it was read.
        edits: in order and disjoint.
    """
    if not edits:
        return document
    pieces: list[str] = []
    runs: list[_Run] = []
    last, length = 0, 0
    for edit in (*edits, Edit(len(document.text), len(document.text), "end")):
        pieces += [document.text[last : edit.start], edit.replacement]
        runs.append(_Run(last, edit.start, length, edit.start - last, mask=False))
        runs.append(_Run(edit.start, edit.end, runs[-1].place + runs[-1].size, len(edit.replacement), mask=True))
        last, length = edit.end, runs[-1].place + runs[-1].size
    return replace(document, text="".join(pieces), pages=tuple(_moved(document, runs)))


@dataclass(frozen=True, slots=True)
class _Run:
    """Characters `start:end` of the old text are `size` characters of the new one from `place` on."""

    start: int
    end: int
    place: int
    size: int
    mask: bool  # one value stands for all of them


def _moved(document: Document, runs: Sequence[_Run]) -> Iterator[Span]:
    ends = [run.end for run in runs]
    for span in document.pages:
        if span.start == span.end:
            run = runs[min(bisect.bisect_left(ends, span.start), len(runs) - 1)]
            place = run.place + (run.size if run.mask else span.start - run.start)
            yield replace(span, start=place, end=place)
            continue
        counter = ByteCounter(document.text, span, document.pages)
        for run in itertools.islice(runs, bisect.bisect_right(ends, span.start), None):
            if run.start >= span.end:
                break
            begin, stop = max(run.start, span.start), min(run.end, span.end)
            # A mask stands for all that it covers, and belongs to the span in which that begins.
            if begin >= stop or not run.size or (run.mask and run.start < span.start):
                continue
            place = run.place if run.mask else run.place + begin - run.start
            size = run.size if run.mask else stop - begin
            byte_start, byte_end = counter.of(begin, stop)
            yield replace(span, start=place, end=place + size, byte_start=byte_start, byte_end=byte_end)


class ByteCounter:
    """Tells where pieces of a span stand in the source file; asked for in order, so that each character counts once.

    The bytes are exact where those of the span are its text in UTF-8, in a single-byte encoding, or in UTF-16 or UTF-32
    behind a byte order mark, which their number shows; else they are those of the whole span.

    Args:
        text: of the document.
        span: of it.
        others: all spans of the document; where the number fits two encodings by chance, another of them tells.
    """

    def __init__(self, text: str, span: Span, others: Sequence[Span] = ()) -> None:
        self._text, self._span = text, span
        self._known = (span.start, span.byte_start or 0)
        fitting = _encodings(text, span)
        if len(fitting) > 1:
            told = (_encodings(text, other) for other in others)
            fitting = next((only for only in told if len(only) == 1 and only[0] in fitting), fitting)
        self._encoding = fitting[0] if fitting else None

    @property
    def exact(self) -> bool:
        """Whether `of` tells the bytes of the very characters."""
        return self._encoding is not None

    def of(self, begin: int, stop: int) -> tuple[int | None, int | None]:
        """Return where characters `begin:stop` of the text, which lie in the span, begin and end in the file."""
        if self._encoding is None:
            return self._span.byte_start, self._span.byte_end
        start = self._advance(begin, self._encoding)
        return start, self._advance(stop, self._encoding)

    def _advance(self, place: int, encoding: str) -> int:
        at, byte = self._known
        self._known = place, byte + _size(self._text[at:place], encoding)
        return self._known[1]


_SINGLE_BYTE = "single-byte"
_WIDE = {"utf-16-le": 2, "utf-32-le": 4}
"""Encodings that are read only behind a byte order mark, and the bytes of that."""


def _size(text: str, encoding: str) -> int:
    """Return how many bytes `text` has in an encoding."""
    if encoding == _SINGLE_BYTE:
        return len(text)
    return 4 * len(text) if encoding == "utf-32-le" else len(text.encode(encoding, "surrogatepass"))


def _encodings(text: str, span: Span) -> list[str]:
    """Return the encodings in which a span's characters have its number of bytes, and that differ in what each has."""
    if span.byte_start is None or span.byte_end is None:
        return []
    size, held = span.byte_end - span.byte_start, text[span.start : span.end]
    wide = [
        encoding
        for encoding, mark in _WIDE.items()
        if span.byte_start >= mark and size % mark == 0 and _size(held, encoding) == size
    ]
    if _size(held, "utf-8") != size:
        return [_SINGLE_BYTE] if size == len(held) else wide
    if wide and span.start == 0 and span.byte_start == _WIDE[wide[0]]:
        return wide  # no text in UTF-8 begins at the third or fifth byte of its file
    alike = all(_size(char, "utf-8") == _size(char, encoding) for encoding in wide for char in set(held))
    return ["utf-8"] if alike else ["utf-8", *wide]
