#!/usr/bin/env python3
"""How good is the text of PDFs, and how fast does it come, beside PDFium's own and that of other readers?

    benchmarks/pdf.py --pdfs FOLDER [--rounds 7] [--readers NAME ...] [--json-out FILE]

FOLDER holds NAME.pdf and its text in reading order, NAME.truth.txt or NAME.truth.md. Raw pypdfium2, quire and all other
readers (those of benchmarks/pdf_readers.py) read all files in each round, one reader after the other; one that is not
installed, or fails at the first reading, is left out with a message. Seconds are medians of the rounds: of the
processor's time of all threads of this process, and of the wall clock. `of raw` is the median of the rounds' ratios of
pypdfium2's processor time to the reader's. The scores are those of benchmarks/truths.py.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pypdfium2

from pdf_readers import READERS, Reader
from quire.documents.sandbox import cores
from truths import scores, truths_in

RAW = "pypdfium2"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdfs", type=Path, required=True, metavar="FOLDER", help="PDFs with their truths")
    parser.add_argument("--rounds", type=int, default=7, help="how often each reader reads all files")
    parser.add_argument("--readers", nargs="+", default=list(READERS), choices=list(READERS), metavar="NAME")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    results = compared(truths_in(args.pdfs, "*.pdf"), {name: READERS[name] for name in args.readers}, args.rounds)
    print_table(results)
    if args.json_out is not None:
        args.json_out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def compared(truths: Mapping[Path, str], readers: Mapping[str, Reader], rounds: int) -> dict[str, Any]:
    """Have each reader read all files `rounds` times, in turn, and return its scores beside its times.

    Args:
        truths: PDFs and their texts.
        readers: by name.
        rounds: at least 1.
    """
    texts, left_out = first_readings(truths, readers)
    seconds: dict[str, list[float]] = {name: [] for name in texts}
    wall: dict[str, list[float]] = {name: [] for name in texts}
    for _ in range(rounds):
        for name in texts:
            read = readers[name].read
            started, began = time.process_time(), time.perf_counter()
            for path in truths:
                read(path)
            seconds[name].append(time.process_time() - started)
            wall[name].append(time.perf_counter() - began)
    raw = seconds.get(RAW)
    pages = sum(map(pages_of, truths))
    rows = {
        name: {
            "version": readers[name].version,
            **scores(truths, texts[name]),
            "seconds": round(statistics.median(times), 4),
            "wall_seconds": round(statistics.median(wall[name]), 4),
            "pages_per_second": round(pages / statistics.median(times), 2),
            "speed_of_raw": raw and round(statistics.median(a / b for a, b in zip(raw, times, strict=True)), 4),
        }
        for name, times in seconds.items()
    }
    by_file = {path.stem: {name: scores({path: truths[path]}, texts[name]) for name in texts} for path in truths}
    return {
        "machine": {"cores": cores(), "processor": platform.machine(), "python": platform.python_version()},
        "files": len(truths),
        "pages": pages,
        "rounds": rounds,
        "readers": rows,
        "left_out": left_out,
        "by_file": by_file,
    }


def first_readings(
    truths: Mapping[Path, str], readers: Mapping[str, Reader]
) -> tuple[dict[str, dict[Path, str]], dict[str, str]]:
    """Return every reader's texts, with which it has warmed up; and why a reader is left out."""
    texts: dict[str, dict[Path, str]] = {}
    left_out: dict[str, str] = {}
    for name, reader in readers.items():
        if not reader.installed:
            left_out[name] = f"not installed (pip install '{reader.install}')"
            continue
        try:
            texts[name] = {path: reader.text(reader.read(path)) for path in truths}
        except Exception as error:  # of a stranger's code, which may raise anything
            if reader.package == "quire":
                raise
            left_out[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return texts, left_out


def pages_of(path: Path) -> int:
    """Return how many pages a PDF has."""
    with pypdfium2.PdfDocument(path) as document:
        return len(document)


def print_table(results: Mapping[str, Any]) -> None:
    """Print the results for people."""
    heads: Sequence[str] = ("word_order", "word_f1", "cer", "cpu s", "wall s", "pages/cpu s", "of raw")
    print(f"{results['files']} PDFs of {results['pages']} pages, {results['rounds']} rounds")
    print(f"{'':<26}" + "".join(f"{head:>12}" for head in heads))
    for name, row in results["readers"].items():
        figures = f"{row['word_order']:12.4f}{row['word_f1']:12.4f}{row['cer']:12.4f}"
        times = f"{row['seconds']:12.3f}{row['wall_seconds']:12.3f}{row['pages_per_second']:12.1f}"
        of_raw = "" if row["speed_of_raw"] is None else f"{row['speed_of_raw']:11.3f}x"
        print(f"{name + ' ' + row['version']:<26}{figures}{times}{of_raw}")
    for name, reason in results["left_out"].items():
        print(f"{name} is left out: {reason}")


if __name__ == "__main__":
    main()
