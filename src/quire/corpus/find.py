"""Words to the places they stand in: from a character of the corpus back to file, member, page and bytes."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute
import pyarrow.parquet

from quire.corpus.edits import ByteCounter
from quire.corpus.store import Corpus
from quire.documents.document import Span
from quire.errors import UsageError

pc: Any = pyarrow.compute
pq: Any = pyarrow.parquet

CONTEXT = 60  # characters on either side of a hit


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where the words stand.

    Args:
        document: its id in the corpus.
        source: the file it came from.
        member: the path inside an archive, mail or the like.
        media_type: of the file or member.
        page: the page that the hit begins on.
        last_page: the page that it ends on.
        start: its first character in the document's text.
        end: the character after its last one.
        byte_start: where it begins in the file (or member); of the span that holds it where that is all that is known.
        byte_end: where it ends there.
        exact: whether these are the bytes of the hit itself, and not of the span that holds it.
        before: text in front of it.
        text: the hit as it stands in the corpus.
        after: text behind it.
    """

    document: int
    source: str
    member: str | None
    media_type: str
    page: int | None
    last_page: int | None
    start: int
    end: int
    byte_start: int | None
    byte_end: int | None
    exact: bool
    before: str
    text: str
    after: str


def find(corpus: Corpus, words: str) -> Iterator[Hit]:
    """Yield every place in the corpus where `words` stand one after the other, in the order of the documents.

    Upper and lower case are the same, and so is any white space between words: a line may end there. Only the text is
    read, a row group at a time; the rest of a document only where there is a hit in it.

    Raises:
        UsageError: there is no word to look for.
    """
    parts = words.split()
    if not parts:
        raise UsageError("no words to look for", where="--find")
    pattern = re.compile(r"\s+".join(map(re.escape, parts)), re.IGNORECASE)
    rarest = sorted(set(parts), key=len, reverse=True)  # long words are
    for shard in corpus.shards:
        yield from _in_shard(corpus.path / shard.name, pattern, rarest)


def _in_shard(path: Path, pattern: re.Pattern[str], words: list[str]) -> Iterator[Hit]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            texts = file.read_row_group(group, columns=["text"]).column("text")
            # Word by word, compared in C++, few documents are left for the pattern of all of them.
            rows = pc.indices_nonzero(pc.match_substring(texts, words[0], ignore_case=True))
            for word in words[1:]:
                rows = rows.filter(pc.match_substring(texts.take(rows), word, ignore_case=True))
            if not len(rows):
                continue
            columns = ["id", "source", "member", "media_type", "spans"]
            facts = file.read_row_group(group, columns=columns).take(rows).to_pylist()
            for text, row in zip(texts.take(rows).to_pylist(), facts, strict=True):
                places = _Places(text, [Span(**span) for span in row.pop("spans") or ()])
                for match in pattern.finditer(text):
                    yield _hit(text, row, places, match.start(), match.end())


class _Places:
    """The spans of a text, asked for from its beginning to its end."""

    def __init__(self, text: str, spans: list[Span]) -> None:
        self._text = text
        self._spans = spans
        self._ends = [span.end for span in spans]
        self._counters: dict[int, ByteCounter] = {}

    def of(self, start: int, end: int) -> list[tuple[Span, int | None, int | None, bool]]:
        """Return the first and the last span of `start:end`, each with where its part begins and ends in bytes, and
        whether that is exact.
        """
        first = bisect.bisect_right(self._ends, start)
        last = min(bisect.bisect_left(self._ends, end), len(self._spans) - 1)
        places = [number for number in sorted({first, last}) if number < len(self._spans)]
        return [
            (span, *self._counter(number).of(max(start, span.start), min(end, span.end)), self._counter(number).exact)
            for number, span in ((number, self._spans[number]) for number in places)
            if span.start < end and span.end > start
        ]

    def _counter(self, number: int) -> ByteCounter:
        if number not in self._counters:
            self._counters = {number: ByteCounter(self._text, self._spans[number], self._spans)}
        return self._counters[number]


def _hit(text: str, row: dict[str, Any], places: _Places, start: int, end: int) -> Hit:
    spans = places.of(start, end)
    return Hit(
        document=row["id"],
        source=row["source"],
        member=row["member"],
        media_type=row["media_type"],
        page=spans[0][0].page if spans else None,
        last_page=spans[-1][0].page if spans else None,
        start=start,
        end=end,
        byte_start=spans[0][1] if spans else None,
        byte_end=spans[-1][2] if spans else None,
        exact=bool(spans) and all(exact for _, _, _, exact in spans),
        before=text[max(0, start - CONTEXT) : start],
        text=text[start:end],
        after=text[end : end + CONTEXT],
    )
