"""The readers of PDFs that benchmarks/pdf.py compares, each set up once, for text alone."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.corpus.packing import unpack
from quire.corpus.reading import Reading, Task, read_task
from quire.corpus.settings import IngestSettings
from quire.documents.document import Document
from quire.documents.read import read_file
from quire.documents.settings import ReadSettings

SETTINGS = IngestSettings(read=ReadSettings(ocr=False))


@dataclass(frozen=True)
class Reader:
    """A reader of PDFs.

    Args:
        read: reads one file; this is timed.
        package: what it imports.
        install: what pip installs for it.
        text: makes text of what `read` gives; this is not timed.
    """

    read: Callable[[Path], Any]
    package: str
    install: str
    text: Callable[[Any], str] = str

    @property
    def installed(self) -> bool:
        """Whether its package can be imported."""
        return importlib.util.find_spec(self.package) is not None

    @property
    def version(self) -> str:
        """The release that is installed."""
        packages = importlib.metadata.packages_distributions()  # docling comes by two of them
        return importlib.metadata.version(packages.get(self.package, [self.package])[0])


def by_pypdfium2(path: Path) -> str:
    """Every page's text as PDFium gives it."""
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    pages = []
    for page in document:
        layer = page.get_textpage()
        pages.append(layer.get_text_range(errors="replace"))
        layer.close()
        page.close()
    document.close()
    return "\n\n".join(pages)


def by_quire(path: Path) -> str:
    """Everything that quire keeps: in reading order, in paragraphs, without running heads and line-end hyphens."""
    return "\n\n".join(part.text for part in read_file(path, path.name, SETTINGS.read) if isinstance(part, Document))


def by_worker(path: Path) -> Reading:
    """The same in all that a worker of `quire ingest` does: it also hashes the file, and measures and packs the text.

    The measures are those by which copies, other languages, secrets, licences and what is no text are found.
    """
    return read_task(
        Task(os.fsencode(path), path.name, path.stat().st_size, (), SETTINGS.read, measuring=SETTINGS.measuring)
    )


def unpacked(reading: Reading) -> str:
    """The text that a worker sends."""
    parts = (part for packed in reading.parts for part in unpack(packed, ""))
    return "\n\n".join(part.text for part in parts if isinstance(part, Document))


def by_pypdf(path: Path) -> str:
    """Every page's text as pypdf gives it."""
    import pypdf

    return "\n\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)


def by_pdfplumber(path: Path) -> str:
    """Every page's text as pdfplumber gives it."""
    import pdfplumber

    with pdfplumber.open(path) as document:
        return "\n\n".join(page.extract_text() for page in document.pages)


def by_markitdown(path: Path) -> str:
    """The Markdown that markitdown makes."""
    text: str = _markitdown().convert(path).text_content
    return text


def by_kreuzberg(path: Path) -> str:
    """The text that kreuzberg gives."""
    import kreuzberg

    text: str = kreuzberg.extract_file_sync(path).content
    return text


def by_docling(path: Path) -> str:
    """The Markdown that docling makes with its models of layout and tables, which it downloads."""
    text: str = _docling().convert(path).document.export_to_markdown()
    return text


def by_docling_native(path: Path) -> str:
    """The Markdown that docling makes without models and pictures: lines of text in the order of the file."""
    text: str = _docling_native().convert(path).document.export_to_markdown()
    return text


@functools.cache
def _markitdown() -> Any:
    import markitdown

    return markitdown.MarkItDown()


@functools.cache
def _docling() -> Any:
    from docling.document_converter import DocumentConverter

    return DocumentConverter()


@functools.cache
def _docling_native() -> Any:
    from docling.datamodel.base_models import InputFormat
    from docling.datamodel.pipeline_options import NativePdfPipelineOptions
    from docling.document_converter import DocumentConverter, NativePdfFormatOption

    without_pictures = NativePdfPipelineOptions(generate_page_images=False, generate_picture_images=False)
    pdf = NativePdfFormatOption(pipeline_options=without_pictures)
    return DocumentConverter(format_options={InputFormat.PDF: pdf})


READERS = {
    "pypdfium2": Reader(by_pypdfium2, "pypdfium2", "pypdfium2"),
    "quire": Reader(by_quire, "quire", "quire"),
    "quire-ingest": Reader(by_worker, "quire", "quire", unpacked),
    "kreuzberg": Reader(by_kreuzberg, "kreuzberg", "kreuzberg"),
    "pypdf": Reader(by_pypdf, "pypdf", "pypdf"),
    "pdfplumber": Reader(by_pdfplumber, "pdfplumber", "pdfplumber"),
    "markitdown": Reader(by_markitdown, "markitdown", "markitdown[pdf]"),
    "docling": Reader(by_docling, "docling", "docling"),
    "docling-native": Reader(by_docling_native, "docling", "docling-slim[convert-core,format-pdf]"),
}
"""By name; the first is the measure of all others' speed."""
