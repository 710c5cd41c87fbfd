"""A document: the text that one source gave, and where each part of it came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start:end` of `Document.text` come from one place in the source.

    Args:
        start: the first character, counted from 0.
        end: the character after the last one.
        page: the page or frame they stand on, counted from 1; None where the source has no pages.
        byte_start: where they begin in the source file; None where that is not known.
        byte_end: where they end in the source file; None where that is not known.
    """

    start: int
    end: int
    page: int | None = None
    byte_start: int | None = None
    byte_end: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one source file, or of one member of an archive.

    Args:
        text: what was read; never empty.
        source: the file's POSIX path under the folder that was given.
        media_type: what the file is by name and content, such as "text/x-python" or "application/pdf".
        sha256: of the source bytes, in hexadecimal.
        member: the path inside an archive, if the document came out of one.
        pages: where the characters come from, in order and without overlap.
        language: the programming language of code, such as "Python".
        license: an SPDX identifier that the file itself states.
        ocr_confidence: mean over the recognised lines, 0 to 1; None where nothing was recognised from a picture.
        size: bytes of the member, unpacked; None for a document of a whole file.
    """

    text: str
    source: str
    media_type: str
    sha256: str
    member: str | None = None
    pages: tuple[Span, ...] = ()
    language: str | None = None
    license: str | None = None
    ocr_confidence: float | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A member of a source file that gave no document, and why.

    Args:
        member: its path inside the file, or what else names it there, such as "page 7".
        size: its bytes, unpacked; 0 where that is not known.
        outcome: "dropped" by a rule or "failed".
        rule: the rule's name, such as "unsupported" or "damaged".
        detail: one sentence for the account, without a final full stop.
        sha256: of its bytes, in hexadecimal, where they were read.
    """

    member: str
    size: int
    outcome: str
    rule: str
    detail: str
    sha256: str | None = None


Part = Document | LeftOut
"""What a reader yields."""


class DroppedFile(Exception):  # noqa: N818 - not an error: a file that is left out for a stated reason
    """A file that holds nothing to keep, by a rule; it is neither broken nor locked.

    Args:
        rule: the rule's name: "empty", "binary", "unsupported", "too-large" or "no-text".
        detail: one sentence for the account, without a final full stop.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(rule, detail)  # both in args, so that it can be pickled
        self.rule = rule
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: "1 file", "1,200 files"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
