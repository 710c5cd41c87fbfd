"""All that is asked of a text before it is kept, measured once, in the worker that read it.

Nothing here decides: what is measured depends on the text alone, and is kept with it in the ledger. So another
threshold makes another corpus without a file being read again.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quire.corpus.language import language_of
from quire.corpus.licenses import Notice, license_of, may_state, notice_of
from quire.corpus.quality import Quality, quality_of
from quire.corpus.secrets import Finding, find_secrets
from quire.corpus.shingles import SHINGLE_WORDS, Hashes, Places, Signatures, algorithm, shingles, signatures
from quire.documents.document import Document

VERSION = 2
"""Raised whenever something would be measured otherwise, so that it is measured anew."""

PLAIN_BYTES = 1000
"""As many bytes of JSON are packed as they are: compressing those of one small file costs as much as its signature."""

_JSON = json.JSONEncoder(separators=(",", ":"))

TABLES = frozenset(
    (
        "text/csv",
        "text/tab-separated-values",
        "application/json",
        "application/jsonl",
        "application/x-ndjson",
        "application/xml",
        "text/xml",
        "application/x-ipynb+json",
        "application/vnd.sqlite3",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.oasis.opendocument.spreadsheet",
    )
)
"""Media types that are tables and data, to which rules for prose do not apply."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """What is measured of a text besides what always is.

    Args:
        permutations: of a document's signature, 0 = none.
        fewest_words: documents of fewer have no signature.
        paragraph_characters: from how many on a paragraph of prose has a signature, of half as many permutations;
            0 = none has.
        code: measure the quality of code and tables too.
    """

    permutations: int = 128
    fewest_words: int = 50
    paragraph_characters: int = 1000
    code: bool = False

    def fingerprint(self) -> str:
        """Return what is the same exactly where the same would be measured."""
        values = (VERSION, self.permutations, self.fewest_words, self.paragraph_characters, self.code, algorithm())
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A long paragraph: characters `start:end`, a digest of its words, and their signature."""

    start: int
    end: int
    digest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Measure:
    """What is known of one document without its text.

    Args:
        member: as the document says.
        prose: neither code nor a table.
        digest: 16 bytes that stand for the text.
        characters: of the text.
        text_bytes: of the text in UTF-8.
        ocr_confidence: as the document says.
        quality: None where it was not measured.
        notice: of code, the licence notice at its head.
        findings: secrets and personal data.
        paragraphs: the long ones.
        signature: uint16 little-endian, or b"" for a text of few words.
    """

    member: str | None
    prose: bool
    digest: bytes
    characters: int
    text_bytes: int
    ocr_confidence: float | None
    quality: Quality | None
    notice: Notice | None
    findings: tuple[Finding, ...]
    paragraphs: tuple[Paragraph, ...]
    signature: bytes


def measured(document: Document, measuring: Measuring, encoded: bytes | None = None) -> tuple[Document, Measure]:
    """Return the document with its language and licence, and what is measured of it.

    Args:
        document: as it was read.
        measuring: what is measured.
        encoded: its text in UTF-8, where the caller has it.
    """
    text = document.text
    if encoded is None:
        encoded = text.encode()
    code = document.language is not None
    prose = not code and document.media_type not in TABLES
    notice = None
    if code and may_state(text):
        notice = notice_of(text)
        stated = license_of(text) if document.license is None else None
        if stated is not None:
            document = replace(document, license=stated)
    elif prose:
        document = replace(document, language=language_of(text))
    # Two small files under the same long licence notice are not the same file.
    own = text if notice is None else text[: notice.start] + text[notice.end :]
    signature, paragraphs = _signed(own, prose, measuring)
    measure = Measure(
        member=document.member,
        prose=prose,
        digest=hashlib.blake2b(encoded, digest_size=16).digest(),
        characters=len(text),
        text_bytes=len(encoded),
        ocr_confidence=document.ocr_confidence,
        quality=quality_of(text) if prose or measuring.code else None,
        notice=notice,
        findings=tuple(find_secrets(text)),
        paragraphs=paragraphs,
        signature=signature,
    )
    return document, measure


def _signed(text: str, prose: bool, measuring: Measuring) -> tuple[bytes, tuple[Paragraph, ...]]:
    long = measuring.paragraph_characters if prose and len(text) >= measuring.paragraph_characters else 0
    if not measuring.permutations or len(text) < 2 * measuring.fewest_words:
        return b"", ()
    hashes, places = shingles(text)
    signature = b""
    if len(hashes) + SHINGLE_WORDS - 1 >= max(measuring.fewest_words, SHINGLE_WORDS):
        signature = _packed(signatures(hashes, [len(hashes)], measuring.permutations))
    return signature, tuple(_paragraphs(text, hashes, places, long, measuring)) if long else ()


def _paragraphs(text: str, hashes: Hashes, places: Places, long: int, measuring: Measuring) -> Iterator[Paragraph]:
    bounds = list(_long_paragraphs(text, long))
    runs = []
    for start, end in bounds:
        first, last = np.searchsorted(places, (start, end))
        # The last shingles that begin in it end in the next one.
        runs.append(hashes[first : max(first, last - SHINGLE_WORDS + 1)])
    kept = [(bound, run) for bound, run in zip(bounds, runs, strict=True) if len(run)]
    if not kept:
        return
    ends = np.cumsum([len(run) for _, run in kept]).tolist()
    rows = signatures(np.concatenate([run for _, run in kept]), ends, max(1, measuring.permutations // 2))
    for ((start, end), run), row in zip(kept, rows, strict=True):
        digest = hashlib.blake2b(run.tobytes(), digest_size=8).digest()
        yield Paragraph(start, end, digest, _packed(row))


def _long_paragraphs(text: str, long: int) -> Iterator[tuple[int, int]]:
    """Yield where paragraphs begin, and where the next one does."""
    start = 0
    while start < len(text):
        end = text.find("\n\n", start)
        stop = len(text) if end < 0 else end + 2
        if stop - start >= long:
            yield start, stop
        start = stop


def _packed(rows: Signatures) -> bytes:
    return rows.astype("<u2").tobytes()


# ---- on their way ---------------------------------------------------------------------------------------------------


def pack_measures(measures: Sequence[Measure]) -> bytes:
    """Return the measures as bytes: the numbers as JSON, compressed unless they are few, and the signatures behind."""
    rows, raw = [], []
    for measure in measures:
        notice, quality = measure.notice, measure.quality
        rows.append(
            [
                measure.member,
                measure.prose,
                measure.digest.hex(),
                measure.characters,
                measure.text_bytes,
                measure.ocr_confidence,
                quality and [getattr(quality, name) for name in Quality.__slots__],
                notice and [notice.start, notice.end, notice.digest],
                [[finding.start, finding.end, finding.kind] for finding in measure.findings],
                [[part.start, part.end, part.digest.hex(), len(part.signature)] for part in measure.paragraphs],
                len(measure.signature),
            ]
        )
        raw += [measure.signature, *(part.signature for part in measure.paragraphs)]
    head = _JSON.encode(rows).encode()
    if len(head) > PLAIN_BYTES:
        head = zlib.compress(head, 1)
    return b"".join((struct.pack("<I", len(head)), head, *raw))


def unpack_measures(data: bytes) -> Iterator[Measure]:
    """Yield what `pack_measures` packed."""
    (size,) = struct.unpack_from("<I", data)
    place = 4 + size
    head = data[4:place]
    for row in json.loads(head if head.startswith(b"[") else zlib.decompress(head)):
        member, prose, digest, characters, text_bytes, ocr_confidence, quality, notice, findings, parts, length = row
        signature = data[place : place + length]
        place += length
        paragraphs = []
        for start, end, words, part_length in parts:
            paragraphs.append(Paragraph(start, end, bytes.fromhex(words), data[place : place + part_length]))
            place += part_length
        yield Measure(
            member=member,
            prose=prose,
            digest=bytes.fromhex(digest),
            characters=characters,
            text_bytes=text_bytes,
            ocr_confidence=ocr_confidence,
            quality=quality and Quality(*quality),
            notice=notice and Notice(*notice),
            findings=tuple(Finding(*finding) for finding in findings),
            paragraphs=tuple(paragraphs),
            signature=signature,
        )
