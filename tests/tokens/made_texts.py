"""Texts without an end and a corpus in memory, for tests."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from quire.documents.document import Document, Span

SYLLABLES = (
    "ka",
    "ro",
    "mi",
    "ten",
    "lu",
    "sa",
    "vor",
    "ne",
    "qui",
    "re",
    "fol",
    "dä",
    "pa",
    "ge",
    "ö",
    "st",
    "wen",
    "il",
)


def prose(seed: int, num_words: int) -> str:
    """Words drawn by a seed, in sentences, lines and paragraphs."""
    draw = random.Random(seed)
    vocabulary = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(2000)]
    out = []
    for _ in range(num_words):
        out.append(draw.choice(vocabulary))
        ending = draw.random()
        out.append(".\n\n" if ending < 0.01 else ".\n" if ending < 0.04 else ". " if ending < 0.12 else " ")
    return "".join(out).strip() + "\n"


def misread(text: str, share: float, seed: int) -> str:
    """The text as a scan gives it: some letters are others, and the lines break elsewhere."""
    draw = random.Random(seed)
    letters = [draw.choice("aeioubcdl1") if char != "\n" and draw.random() < share else char for char in text]
    words = "".join(letters).split()
    return "\n".join(" ".join(words[start : start + 11]) for start in range(0, len(words), 11)) + "\n"


@dataclass(frozen=True)
class Numbered:
    id: int
    document: Document


class MemoryCorpus:
    """The same doorway as `quire.corpus.store.Corpus`."""

    def __init__(self, texts: list[str], pages: dict[int, tuple[Span, ...]] | None = None) -> None:
        self.texts = texts
        self.pages = pages or {}
        self.times_read = 0

    @property
    def num_bytes(self) -> int:
        return sum(len(text.encode()) for text in self.texts)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.texts).encode()).hexdigest()

    def documents(self) -> Iterator[Numbered]:
        self.times_read += 1
        for id in range(len(self.texts)):
            yield Numbered(id, self.document(id))

    def document(self, id: int) -> Document:
        return Document(self.texts[id], f"folder/{id}.txt", "text/plain", f"{id:064}", pages=self.pages.get(id, ()))
