"""Pages to one document, joined by a blank line, with a span each; and the account of those that gave less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from quire.documents.document import Document, DroppedFile, LeftOut, Span
from quire.documents.formats.reader import SourceFile

if TYPE_CHECKING:
    from quire.documents.ocr import Recognised

_BETWEEN = "\n\n"

REASONS = {
    "not-recognised": "no usable text layer, and recognition of text is off",
    "no-text": "recognition found no text",
    "unsure-ocr": "what was recognised is less sure than ocr_min_confidence",
    "damaged": "cannot be opened",
}
"""Why something that a page shows is not in the text, by rule; of these, "damaged" has failed."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one page gave.

    Args:
        text: "" where there is none.
        confidences: of each recognised line, 0 to 1; none where the text was read, not recognised.
        missing: one of `REASONS` where the page shows something that is not in the text; None also for blank pages.
    """

    text: str
    confidences: tuple[float, ...] = ()
    missing: str | None = None


def document_of(file: SourceFile, pages: Sequence[Page]) -> Document:
    """Return the document that `pages` make; pages without text take no place in it but keep their number.

    Raises:
        DroppedFile: where no page has any text, by the rule that took most of them; "no-text" if all are blank.
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
        raise _without_text(pages)
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


def recognised_page(recognised: Recognised) -> Page:
    """Return the page of what is `recognised` on a picture that is not blank."""
    missing = None if recognised.text else "unsure-ocr" if recognised.unsure else "no-text"
    return Page(recognised.text, recognised.confidences, missing)


def pages_left_out(file: SourceFile, pages: Sequence[Page]) -> list[LeftOut]:
    """Return the account of pages that show what is not in the text: "page 7", or "pages 3-41" for a run of them."""
    left_out = []
    for rule, run in groupby(enumerate(pages, start=1), key=lambda numbered: numbered[1].missing):
        if rule is not None:
            numbers = [number for number, _ in run]
            name = f"page {numbers[0]}" if len(numbers) == 1 else f"pages {numbers[0]}-{numbers[-1]}"
            outcome = "failed" if rule == "damaged" else "dropped"
            left_out.append(LeftOut(file.named(name), 0, outcome, rule, REASONS[rule]))
    return left_out


def _without_text(pages: Sequence[Page]) -> DroppedFile:
    number = f"{len(pages):,} page" if len(pages) == 1 else f"{len(pages):,} pages"
    rules = Counter(page.missing for page in pages if page.missing is not None)
    if not rules:
        return DroppedFile("no-text", f"no text on {number}")
    rule, count = rules.most_common(1)[0]
    of = "" if count == len(pages) else f" on {count:,} of them"
    return DroppedFile("no-text" if rule == "damaged" else rule, f"no text on {number}:{of} {REASONS[rule]}")
