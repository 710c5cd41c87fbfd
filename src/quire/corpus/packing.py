"""Documents on their way from a worker to the ledger and into a corpus: a few million characters at a time."""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from quire.corpus.measure import Measure, Measuring, measured, pack_measures
from quire.documents.document import Document, LeftOut, Part, Span

PART_CHARACTERS = 4_000_000  # of text in one packed part: what the parent holds unpacked at a time
_ROW_CHARACTERS = 100  # of everything else about a document

_JSON = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
_FIELDS = tuple(name for name in Document.__slots__ if name not in ("text", "source", "pages"))


@dataclass(frozen=True, slots=True)
class Packed:
    """Documents and members left out, compressed; and apart from them what is measured of the documents."""

    data: bytes
    measures: bytes


def pack(parts: Iterable[Part], measuring: Measuring) -> Iterator[Packed]:
    """Yield documents and members left out as compressed JSON and text, with what is measured of each document."""
    rows: list[dict[str, Any]] = []
    texts: list[bytes] = []
    measures: list[Measure] = []
    characters = 0
    for part in parts:
        if isinstance(part, Document):
            texts.append(part.text.encode())
            document, measure = measured(part, measuring, texts[-1])
            spans = [[span.start, span.end, span.page, span.byte_start, span.byte_end] for span in document.pages]
            values = {name: getattr(document, name) for name in _FIELDS}
            rows.append({**values, "pages": spans, "bytes": len(texts[-1])})
            measures.append(measure)
            characters += len(document.text)
        else:
            rows.append({name: getattr(part, name) for name in LeftOut.__slots__})
        characters += _ROW_CHARACTERS
        if characters >= PART_CHARACTERS:
            yield _compress(rows, texts, measures)
            rows, texts, measures, characters = [], [], [], 0
    if rows:
        yield _compress(rows, texts, measures)


def _compress(rows: list[dict[str, Any]], texts: list[bytes], measures: list[Measure]) -> Packed:
    head = _JSON.encode(rows).encode()
    whole = b"".join((struct.pack("<I", len(head)), head, *texts))
    packed: bytes = _codec().compress(whole, asbytes=True)
    return Packed(struct.pack("<Q", len(whole)) + packed, pack_measures(measures))


def unpack(packed: Packed | bytes, source: str) -> Iterator[Part]:
    """Yield what `pack` packed (or what its `data` holds), as of the file `source`."""
    data = packed if isinstance(packed, bytes) else packed.data
    (size,) = struct.unpack_from("<Q", data)
    whole: bytes = _codec().decompress(data[8:], decompressed_size=size, asbytes=True)
    (length,) = struct.unpack_from("<I", whole)
    place = 4 + length
    for row in json.loads(whole[4:place]):
        if "bytes" not in row:
            yield LeftOut(**row)
            continue
        end = place + row.pop("bytes")
        spans = tuple(Span(*span) for span in row.pop("pages"))
        yield Document(**row, text=whole[place:end].decode(), source=source, pages=spans)
        place = end


@functools.cache
def _codec() -> Any:
    # Zstandard, level 1: 2 ms a MB of text, where zlib's fastest takes 9 and packs no better.
    import pyarrow

    codec: Any = pyarrow
    return codec.Codec("zstd", compression_level=1)
