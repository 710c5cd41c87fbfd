#!/usr/bin/env python3
"""How good is the text of scanned pages, and how long does a page take, beside the command `tesseract`?

    benchmarks/ocr.py --scans FOLDER [--columns NAME ...] [--rounds 1] [--json-out FILE]

FOLDER holds page pictures NAME.tif (or .png, .jpg) and their texts NAME.truth.txt (or .md). Both read every page in
each round, page by page in turn, each with one thread; seconds are those of the processor, medians of the rounds, and
for tesseract include the start of the command (0.1 s), which is how it is used. Where tesseract is not installed
(Debian: apt install tesseract-ocr) it is left out with a message. Pages in several columns, which `--columns` names,
are scored apart. The scores are those of benchmarks/truths.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from quire.documents.document import Document
from quire.documents.read import read_file
from quire.documents.sandbox import cores
from quire.documents.settings import ReadSettings
from truths import scores, truths_in

PICTURES = ("*.tif", "*.tiff", "*.png", "*.jpg")


def by_quire(path: Path) -> tuple[str, float]:
    """The text that quire recognises, and the seconds that it took of the processor."""
    started = time.process_time()
    parts = [part.text for part in read_file(path, path.name, ReadSettings()) if isinstance(part, Document)]
    return "\n\n".join(parts), time.process_time() - started


def by_tesseract(path: Path) -> tuple[str, float]:
    """The text that tesseract prints, and the seconds that it took of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
    words = ["tesseract", str(path), "stdout"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, required=True, metavar="FOLDER", help="page pictures with their texts")
    parser.add_argument("--columns", nargs="*", default=[], metavar="NAME", help="pages in several columns")
    parser.add_argument("--rounds", type=int, default=1, help="how often each page is read")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    results = compared(truths_in(args.scans, *PICTURES), args.columns, args.rounds)
    print_table(results)
    if args.json_out is not None:
        args.json_out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


def compared(truths: Mapping[Path, str], columns: Collection[str], rounds: int) -> dict[str, Any]:
    """Have both read every page `rounds` times, in turn, and return their scores beside their times.

    Args:
        truths: page pictures and their texts.
        columns: names, without extension, of those in several columns.
        rounds: at least 1.
    """
    readers: dict[str, Callable[[Path], tuple[str, float]]] = {"quire": by_quire}
    if shutil.which("tesseract"):
        readers["tesseract"] = by_tesseract
    texts: dict[str, dict[Path, str]] = {name: {} for name in readers}
    seconds: dict[str, dict[Path, list[float]]] = {name: {path: [] for path in truths} for name in readers}
    by_quire(next(iter(truths)))  # so that the models are loaded
    for _ in range(rounds):
        for path in truths:
            for name, reader in readers.items():
                texts[name][path], took = reader(path)
                seconds[name][path].append(took)
    groups = {
        "one column": [path for path in truths if path.stem not in columns],
        "several columns": [path for path in truths if path.stem in columns],
    }
    return {
        "machine": {"cores": cores(), "processor": platform.machine(), "python": platform.python_version()},
        "tesseract": version() if "tesseract" in readers else None,
        "rounds": rounds,
        "groups": {
            group: {name: figures(paths, truths, texts[name], seconds[name]) for name in readers}
            for group, paths in groups.items()
            if paths
        },
        "by_page": {
            path.stem: {name: figures([path], truths, texts[name], seconds[name]) for name in readers}
            for path in truths
        },
    }


def print_table(results: Mapping[str, Any]) -> None:
    """Print the results for people."""
    print(f"{'':<30}{'pages':>6}{'cer':>10}{'word_f1':>10}{'word_order':>12}{'cpu s a page':>14}")
    for group, rows in results["groups"].items():
        for name, row in rows.items():
            scored = f"{row['cer']:10.4f}{row['word_f1']:10.4f}{row['word_order']:12.4f}"
            print(f"{f'{group}, {name}':<30}{row['pages']:>6}{scored}{row['seconds_a_page']:14.2f}")
    print(results["tesseract"] or "tesseract is not installed (apt install tesseract-ocr) and left out")


def figures(
    paths: Collection[Path], truths: Mapping[Path, str], texts: Mapping[Path, str], seconds: Mapping[Path, list[float]]
) -> dict[str, float]:
    """Return the scores and the seconds a page of one reader over `paths`."""
    times = [statistics.median(seconds[path]) for path in paths]
    scored = scores({path: truths[path] for path in paths}, texts)
    return {"pages": len(paths), **scored, "seconds_a_page": round(sum(times) / len(times), 3)}


def version() -> str:
    """Return what tesseract says of itself, such as "tesseract 5.3.0"."""
    done = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True)
    return (done.stdout or done.stderr).splitlines()[0]


if __name__ == "__main__":
    main()
