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
        counter = ByteCounter(document.text, span)
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

    The bytes are exact where those of the span are its text in UTF-8 or in a single-byte encoding, which their number
    shows; else they are those of the whole span.
    """

    def __init__(self, text: str, span: Span) -> None:
        self._text, self._span = text, span
        self._known = (span.start, span.byte_start or 0)
        self._bytes = 0  # for a character; 0 = as many as UTF-8 has; -1 = not known
        if span.byte_start is None or span.byte_end is None:
            self._bytes = -1
            return
        size = span.byte_end - span.byte_start
        if size != len(text[span.start : span.end].encode()):
            self._bytes = 1 if size == span.end - span.start else -1

    def of(self, begin: int, stop: int) -> tuple[int | None, int | None]:
        """Return where characters `begin:stop` of the text, which lie in the span, begin and end in the file."""
        if self._bytes < 0:
            return self._span.byte_start, self._span.byte_end
        start = self._advance(begin)
        return start, self._advance(stop)

    def _advance(self, place: int) -> int:
        at, byte = self._known
        self._known = place, byte + (self._bytes * (place - at) or len(self._text[at:place].encode()))
        return self._known[1]
