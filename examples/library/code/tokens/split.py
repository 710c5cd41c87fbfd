"""Which text trains and which validates: never the same text on both sides, also where it is there in several copies.

The rule, for a wanted share `f` of the text (`validation_fraction`; at least 512 bytes, at most
`validation_max_bytes`):

1. Documents are put in groups of near copies (`quire.tokens.copies`).
2. A group is *small* if it holds at most half of what is wanted. Small groups go to one side whole: they are drawn in
   an order that the seed and their text alone choose, until the share `f` of all small groups is reached.
3. Every other group is cut in two: its last share `f` validates. The cut is at the end of a paragraph near that place,
   else of a line, else of a word. All copies in the group are cut at the same place of the text.

So a folder of many files is split by file, a single book by its last pages, three books and a hundred notes by both.

What it does not see: a passage that two documents share without being near copies, or that stands twice in a cut one
(a licence header, a refrain, a quotation), may be on both sides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from quire.documents.document import Document
from quire.errors import QuireError
from quire.tokens.copies import groups_of_copies, sampling_bits, shingles
from quire.tokens.order import key_of
from quire.tokens.settings import TokenSettings

SMALLEST_CORPUS = 2048
SMALLEST_VALIDATION = 512

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and the bytes of text done and to do."""


class NumberedDocument(Protocol):
    """A document and its number in the corpus."""

    @property
    def id(self) -> int:
        """The number."""

    @property
    def document(self) -> Document:
        """The document."""


class Documents(Protocol):
    """What tokens are made of: `quire.corpus.store.Corpus` is one."""

    @property
    def num_bytes(self) -> int:
        """The UTF-8 bytes of all texts."""

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the documents change."""

    def documents(self) -> Iterable[NumberedDocument]:
        """All documents, in the same order each time."""

    def document(self, id: int) -> Document:
        """The document of that number."""


@dataclass(frozen=True)
class SplitPlan:
    """Where each document changes sides.

    Attributes:
        cuts: by the number of a document, the character from which on it validates: 0 is all of it. A document that is
            not there trains whole.
        rule: one sentence that says what was done.
    """

    cuts: dict[int, int]
    rule: str


@dataclass(frozen=True)
class _Measured:
    id: int
    size: int
    digest: int


def plan_split(corpus: Documents, settings: TokenSettings, progress: Progress | None = None) -> SplitPlan:
    """Decide which text validates, by the rule of this module; a function of the texts and the settings alone.

    Raises:
        QuireError: there is less text than `SMALLEST_CORPUS` bytes.
    """
    bits = sampling_bits(corpus.num_bytes)
    measured, sets, done = [], [], 0
    for numbered in corpus.documents():
        data = numbered.document.text.encode("utf-8")
        digest = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
        measured.append(_Measured(numbered.id, len(data), digest))
        sets.append(np.unique(shingles(numbered.document.text, bits)[0]))
        done += len(data)
        if progress:
            progress("comparing documents", done, corpus.num_bytes)
    total = sum(document.size for document in measured)
    if total < SMALLEST_CORPUS:
        raise QuireError(
            f"the corpus holds {total} bytes of text, too little to train on and to validate with",
            hint=f"Add documents: {SMALLEST_CORPUS} bytes are the least, a hundred thousand begin to be useful",
        )
    groups: dict[int, list[_Measured]] = {}
    for leader, document in zip(groups_of_copies(sets), measured, strict=True):
        groups.setdefault(leader, []).append(document)
    del sets
    wanted = min(settings.validation_fraction * total, settings.validation_max_bytes)
    share = min(max(wanted, SMALLEST_VALIDATION) / total, 0.5)
    small = [group for group in groups.values() if _size(group) <= share * total / 2]
    large = [group for group in groups.values() if _size(group) > share * total / 2]
    cuts = {document.id: 0 for group in _draw(small, share, settings.seed) for document in group}
    for group in large:
        cuts |= _cut_group(corpus, group, share, bits)
    copies = sum(len(group) for group in groups.values() if len(group) > 1)
    return SplitPlan(cuts, _describe(cuts, len(measured), copies, share))


def _size(group: list[_Measured]) -> int:
    return sum(document.size for document in group)


def _draw(groups: list[list[_Measured]], share: float, seed: int) -> list[list[_Measured]]:
    wanted = share * sum(map(_size, groups))
    drawn, taken = [], 0
    for group in sorted(groups, key=lambda group: key_of(seed, min(document.digest for document in group))):
        # At most half of the group is over what is wanted: the nearest that whole groups allow.
        if taken + _size(group) / 2 <= wanted:
            drawn.append(group)
            taken += _size(group)
    return drawn


def _cut_group(corpus: Documents, group: list[_Measured], share: float, bits: int) -> dict[int, int]:
    longest, *others = sorted(group, key=lambda document: (-document.size, document.digest))
    text = corpus.document(longest.id).text
    cuts = {longest.id: cut_near(text, round(len(text) * (1 - share)), round(len(text) * share / 4))}
    if others:
        hashes, places = shingles(text, bits)
        before = places < cuts[longest.id]
        training, validating = np.unique(hashes[before]), np.unique(hashes[~before])
        for document in others:
            text = corpus.document(document.id).text
            hashes, places = shingles(text, bits)
            cut = _same_place(text, hashes, places, training, validating)
            if cut < len(text):
                cuts[document.id] = cut
            training = np.union1d(training, hashes[places < cut])
            validating = np.union1d(validating, hashes[places >= cut])
    return cuts


def _same_place(text: str, hashes: Any, places: Any, training: Any, validating: Any) -> int:
    # The place with the most training shingles before it and validating shingles after it: single ones that stray
    # (a running head, a phrase said twice) do not move it.
    trains, validates = np.isin(hashes, training), np.isin(hashes, validating)
    trains, validates = trains & ~validates, validates & ~trains
    if not validates.any():
        return len(text)
    if not trains.any():
        return 0
    gain = np.append(0, np.cumsum(trains.astype(np.int64) - validates.astype(np.int64)))
    best = int(gain.argmax())
    # A line that begins within the length of a shingle of that place is the better cut.
    return cut_near(text, int(places[best]), 40, words=False) if best < len(places) else len(text)


_BREAKS = (re.compile(r"\n[^\S\n]*\n\s*"), re.compile(r"\n"), re.compile(r"\s+"))


def cut_near(text: str, target: int, slack: int, *, words: bool = True) -> int:
    """Return the place nearest to `target`, within `slack` characters, where a paragraph or else a line or word ends.

    Args:
        text: at least two characters, if it is to have two sides.
        target: the character wanted.
        slack: how far away a better place may be.
        words: whether the end of a word will do; where nothing will, the target itself is returned.
    """
    low, high = max(1, target - slack), min(len(text) - 1, target + slack)
    for pattern in _BREAKS if words else _BREAKS[:2]:
        ends = [match.end() for match in pattern.finditer(text, max(0, low - 2), min(len(text), high + 2))]
        ends = [end for end in ends if low <= end <= high]
        if ends:
            return min(ends, key=lambda end: abs(end - target))
    return min(max(target, 1), max(len(text) - 1, 1))


def _describe(cuts: dict[int, int], count: int, copies: int, share: float) -> str:
    parts = []
    if whole := sum(cut == 0 for cut in cuts.values()):
        parts.append(f"{whole} of {count} documents")
    if cut := len(cuts) - whole:
        if count == 1:
            of = "the document"
        elif whole or cut < count:
            of = f"{cut} long {'one' if cut == 1 else 'ones'}"
        else:
            of = f"each of {count} documents"
        parts.append(f"the last {share:.1%} of {of}")
    together = f"; {copies} near copies are kept on one side together" if copies else ""
    return f"validation: {' and '.join(parts)}{together}"
