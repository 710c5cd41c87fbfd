#!/usr/bin/env python3
"""How good is the text of PDFs, and how fast does it come, beside PDFium's own and that of other readers?

    benchmarks/pdf.py --pdfs FOLDER [--rounds 7] [--json-out FILE]

FOLDER holds NAME.pdf and its text in reading order, NAME.truth.txt or NAME.truth.md. Every reader that is installed
(pypdfium2 raw, quire, pypdf, pdfplumber, markitdown, kreuzberg) reads all files in each round, one reader after the
other; seconds are the medians of the rounds, of the processor's time of this process. The scores, each over all files
by the length of their truths, after the same folding of white space, quotes, markup and line-end hyphens:

    word_order  1 - insertions and deletions that make one sequence of words the other / words of both
    word_f1     F1 of the two bags of words
    cer         edit distance / characters of the truth
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import re
import statistics
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapidfuzz.distance import Indel, Levenshtein

from quire.documents.document import Document
from quire.documents.read import read_file
from quire.documents.settings import ReadSettings

SETTINGS = ReadSettings(ocr=False)
QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "—": "-", "–": "-", "\u00ad": "", "\ufffe": "-"})


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
    """Everything that quire keeps, with all cleaning on."""
    parts = read_file(path, path.name, SETTINGS)
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
    import markitdown

    text: str = markitdown.MarkItDown().convert(path).text_content
    return text


def by_kreuzberg(path: Path) -> str:
    """The text that kreuzberg gives."""
    import kreuzberg

    text: str = kreuzberg.extract_file_sync(path).content
    return text


READERS: dict[str, Callable[[Path], str]] = {
    "pypdfium2": by_pypdfium2,
    "quire": by_quire,
    "pypdf": by_pypdf,
    "pdfplumber": by_pdfplumber,
    "markitdown": by_markitdown,
    "kreuzberg": by_kreuzberg,
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdfs", type=Path, required=True, metavar="FOLDER", help="PDFs with their truths")
    parser.add_argument("--rounds", type=int, default=7, help="how often each reader reads all files")
    parser.add_argument("--readers", nargs="+", default=list(READERS), choices=list(READERS), metavar="NAME")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    truths = {
        path.with_name(path.name.rsplit(".truth.", 1)[0] + ".pdf"): path.read_text("utf-8")
        for path in sorted([*args.pdfs.glob("*.truth.txt"), *args.pdfs.glob("*.truth.md")])
    }
    if not truths:
        parser.error(f"no NAME.truth.txt or NAME.truth.md in {args.pdfs}")
    readers = {name: READERS[name] for name in args.readers if importlib.util.find_spec(name)}
    texts = {name: {path: reader(path) for path in truths} for name, reader in readers.items()}  # and warms them up
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(args.rounds):
        for name, reader in readers.items():
            started = time.process_time()
            for path in truths:
                reader(path)
            seconds[name].append(time.process_time() - started)
    raw = seconds.get("pypdfium2")
    results: dict[str, Any] = {
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
        "files": len(truths),
        "rounds": args.rounds,
        "readers": {
            name: {
                **scores(truths, texts[name]),
                "seconds": round(statistics.median(times), 3),
                "speed_of_raw": raw and round(statistics.median(a / b for a, b in zip(raw, times, strict=True)), 3),
            }
            for name, times in seconds.items()
        },
        "by_file": {
            path.stem: {name: scores({path: truth}, texts[name]) for name in readers} for path, truth in truths.items()
        },
    }
    print(f"{'':<12}{'word_order':>12}{'word_f1':>10}{'cer':>10}{'seconds':>10}{'of raw':>10}")
    for name, row in results["readers"].items():
        figures = f"{row['word_order']:12.4f}{row['word_f1']:10.4f}{row['cer']:10.4f}{row['seconds']:10.3f}"
        print(f"{name:<12}{figures}{row['speed_of_raw'] or 0:9.2f}x")
    if args.json_out is not None:
        args.json_out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def scores(truths: dict[Path, str], texts: dict[Path, str]) -> dict[str, float]:
    """Return the scores of `texts` over all files, each weighed by the length of its truth."""
    rows = [(folded(truth), folded(texts[path])) for path, truth in truths.items()]
    total = sum(len(truth) for truth, _ in rows)
    sums = {"word_order": 0.0, "word_f1": 0.0, "cer": 0.0}
    for truth, text in rows:
        wanted, got = (re.findall(r"\w+", side.lower()) for side in (truth, text))
        common = sum((Counter(wanted) & Counter(got)).values())
        sums["word_order"] += len(truth) * Indel.normalized_similarity(wanted, got)
        sums["word_f1"] += len(truth) * 2 * common / max(1, len(wanted) + len(got))
        sums["cer"] += len(truth) * Levenshtein.distance(truth, text) / max(1, len(truth))
    return {name: round(value / max(1, total), 4) for name, value in sums.items()}


def folded(text: str) -> str:
    """Return `text` without what readers may write one way or another."""
    text = unicodedata.normalize("NFKC", text).translate(QUOTES)
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.DOTALL)
    text = re.sub(r"(\w)-\s*\n\s*(\w)", r"\1\2", text)
    text = re.sub(r"[#*|_`>\\]+|-{2,}", " ", text)
    return re.sub(r"\s+", " ", text).strip()


if __name__ == "__main__":
    main()
