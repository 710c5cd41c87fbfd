"""Pages to one document: joined by a blank line, with a span each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quire.documents.document import Document, DroppedFile, Span
from quire.documents.formats.reader import SourceFile

_BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text, and the confidence of each recognised line (none where the text was read, not recognised)."""

    text: str
    confidences: tuple[float, ...] = ()


def document_of(file: SourceFile, pages: Sequence[Page]) -> Document:
    """Return the document that `pages` make; pages without text take no place in it but keep their number.

    Raises:
        DroppedFile: "no-text", where no page has any.
    """
    parts: list[str] = []
    spans: list[Span] = []
    length = 0
    for number, page in enumerate(pages, start=1):
        text = page.text.strip("\n")
        if not text or text.isspace():
            continue
        if parts:
            parts.append(_BETWEEN)
            length += len(_BETWEEN)
        parts.append(text)
        spans.append(Span(length, length + len(text), page=number))
        length += len(text)
    if not parts:
        plural = "page" if len(pages) == 1 else "pages"
        raise DroppedFile("no-text", f"no text on {len(pages)} {plural}")
    confidences = [confidence for page in pages for confidence in page.confidences]
    return Document(
        text="".join(parts),
        source=file.source,
        member=file.member,
        media_type=file.media_type,
        sha256=file.sha256,
        pages=tuple(spans),
        ocr_confidence=sum(confidences) / len(confidences) if confidences else None,
    )
