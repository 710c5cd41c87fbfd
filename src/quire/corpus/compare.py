"""Which documents and paragraphs are kept, decided from what was measured, before any text is written.

Per document are in memory: 16 bytes of its text's digest, 25 of the decision, and what `copies` needs; per long
paragraph 48. Signatures lie in a temporary file beside the corpus: 2 bytes for each permutation, 256 for a document as
the settings come and 128 for a long paragraph.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quire.corpus.copies import Order, SignatureFile, first_of_each, near_copies
from quire.corpus.ledger import Ledger, MetFile
from quire.corpus.measure import Measure, unpack_measures
from quire.corpus.quality import rejected
from quire.corpus.settings import IngestSettings

KEPT, FILTERED, SAME, NEAR = range(4)


@dataclass(frozen=True, slots=True)
class Cut:
    """A paragraph to cut: characters `start:end` of a document, and the document that keeps it."""

    start: int
    end: int
    kept_in: int


class Decisions:
    """What becomes of every document, by its number in the order of reading.

    Args:
        verdicts: KEPT, FILTERED, SAME or NEAR.
        kept_for: of a copy, the document that is kept in its place.
        likeness: of a near copy, the estimated similarity.
        cuts: paragraphs to cut from kept documents.
        characters: of all documents together.
    """

    def __init__(
        self,
        verdicts: np.ndarray[Any, np.dtype[np.uint8]],
        kept_for: Order,
        likeness: np.ndarray[Any, Any],
        cuts: dict[int, list[Cut]],
        characters: int,
    ) -> None:
        self.verdicts = verdicts
        self.kept_for = kept_for
        self.likeness = likeness
        self.cuts = cuts
        self.characters = characters


def decide(ledger: Ledger, settings: IngestSettings, folder: Path) -> Decisions:
    """Return the decisions on every document of this run; `folder` is where signatures may lie meanwhile."""
    measuring = settings.measuring
    seen = _Seen()
    with contextlib.closing(SignatureFile(folder, max(measuring.permutations, 1))) as signatures:
        for file in ledger.files():
            for measure in _measures(ledger, file, len(seen.sizes)):
                passes = measure.quality is None or not _rejected(measure, settings)
                signed = passes and bool(measure.signature) and settings.corpus.deduplicate
                seen.add(measure, passes, signatures.add(measure.signature) if signed else -1)
        verdicts, kept_for, likeness = _compare(seen, signatures, settings)
    cuts: dict[int, list[Cut]] = {}
    if settings.corpus.deduplicate and measuring.paragraph_characters:
        cuts = _cuts(ledger, verdicts, settings, folder)
    return Decisions(verdicts, kept_for, likeness, cuts, seen.characters)


def _rejected(measure: Measure, settings: IngestSettings) -> bool:
    quality = measure.quality
    if quality is None or not (measure.prose or settings.filter.code):
        return False
    return rejected(quality, measure.ocr_confidence, settings.filter) is not None


def _measures(ledger: Ledger, file: MetFile, first: int) -> Iterator[Measure]:
    """Yield what was measured of a file's documents, and tell the ledger where each comes from."""
    number, member, told = first, None, False
    for data in ledger.measures(file):
        for measure in unpack_measures(data):
            if not told or measure.member != member:
                ledger.place(number, file.source, measure.member)
                member, told = measure.member, True
            number += 1
            yield measure


class _Seen:
    """What is remembered of every document."""

    def __init__(self) -> None:
        self.digests = bytearray()
        self.sizes = array("q")
        self.recognised = array("b")
        self.passes = array("b")
        self.signatures = array("q")
        self.characters = 0

    def add(self, measure: Measure, passes: bool, signature: int) -> None:
        self.digests += measure.digest
        self.sizes.append(measure.characters)
        self.recognised.append(measure.ocr_confidence is not None)
        self.passes.append(passes)
        self.signatures.append(signature)
        self.characters += measure.characters


def _compare(
    seen: _Seen, signatures: SignatureFile, settings: IngestSettings
) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Order, np.ndarray[Any, Any]]:
    count = len(seen.sizes)
    passes = np.frombuffer(seen.passes, dtype=np.int8).astype(bool)
    verdicts = np.where(passes, KEPT, FILTERED).astype(np.uint8)
    kept_for = np.full(count, -1, dtype=np.int64)
    likeness = np.zeros(count, dtype=np.float32)
    if not settings.corpus.deduplicate or not count:
        return verdicts, kept_for, likeness
    # Of the same text the first document that passes stands for all of them.
    passing = np.flatnonzero(passes)
    digests = np.frombuffer(seen.digests, dtype="<u8").reshape(count, 2)
    firsts = passing[first_of_each(digests[passing])]
    verdicts[passing[firsts != passing]] = SAME
    kept_for[passing] = firsts
    numbers = np.frombuffer(seen.signatures, dtype=np.int64)
    compared = np.flatnonzero((verdicts == KEPT) & (numbers >= 0))
    if len(compared) > 1:
        sizes = np.frombuffer(seen.sizes, dtype=np.int64)[compared]
        recognised = np.frombuffer(seen.recognised, dtype=np.int8)[compared]
        order = np.lexsort((compared, -sizes, recognised))  # what is born digital first, then what is longer
        near, share = near_copies(signatures.rows(), numbers[compared], order, settings.copies.threshold)
        copies = np.flatnonzero(near >= 0)
        verdicts[compared[copies]] = NEAR
        kept_for[compared[copies]] = compared[near[copies]]
        likeness[compared[copies]] = share[copies]
    # The same text as a near copy is a near copy too, of what is kept.
    same = np.flatnonzero(verdicts == SAME)
    through = kept_for[same]
    nearly = verdicts[through] == NEAR
    verdicts[same[nearly]] = NEAR
    likeness[same[nearly]] = likeness[through[nearly]]
    kept_for[same[nearly]] = kept_for[through[nearly]]
    return verdicts, kept_for, likeness


def _cuts(
    ledger: Ledger, verdicts: np.ndarray[Any, np.dtype[np.uint8]], settings: IngestSettings, folder: Path
) -> dict[int, list[Cut]]:
    """Find the long paragraphs of kept documents that an earlier one of them has."""
    documents, bounds, digests = array("q"), array("q"), bytearray()
    cuts: dict[int, list[Cut]] = {}
    with contextlib.closing(SignatureFile(folder, max(1, settings.copies.permutations // 2))) as signatures:
        number = 0
        for file in ledger.files():
            for data in ledger.measures(file):
                for measure in unpack_measures(data):
                    if verdicts[number] == KEPT:
                        for paragraph in measure.paragraphs:
                            signatures.add(paragraph.signature)
                            documents.append(number)
                            bounds.extend((paragraph.start, paragraph.end))
                            digests += paragraph.digest
                    number += 1
        if signatures.count < 2:
            return cuts
        firsts = first_of_each(np.frombuffer(digests, dtype="<u8").reshape(-1, 1))
        alone = np.flatnonzero(firsts == np.arange(len(firsts)))
        near, _ = near_copies(signatures.rows(), alone, np.arange(len(alone)), settings.copies.threshold)
        keeper = np.arange(len(firsts))
        copies = np.flatnonzero(near >= 0)
        keeper[alone[copies]] = alone[near[copies]]
        keeper = keeper[firsts]
        for paragraph in np.flatnonzero(keeper != np.arange(len(keeper))).tolist():
            start, end = bounds[2 * paragraph], bounds[2 * paragraph + 1]
            cuts.setdefault(documents[paragraph], []).append(Cut(start, end, documents[keeper[paragraph]]))
    return cuts
