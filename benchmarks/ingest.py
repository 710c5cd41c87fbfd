#!/usr/bin/env python3
"""Is every file of a mixed folder accounted for, does each end as it should, and how fast? And beside other readers?

    benchmarks/ingest.py [--folder FOLDER [--expected FILE]] [--pdfs FOLDER] [--scans FOLDER [--columns NAME ...]]

Ingests `--folder` from nothing, then again with nothing changed. Compares the manifest with a walk of its own over it,
and the ends of the files that `--expected` names with what it says of each: "text" (kept), "error" (failed as
damaged), "password" (failed for want of a password) or "any". Exits 1 if anything is not as it should be.

`--pdfs` compares the readers of PDFs as benchmarks/pdf.py does, `--scans` recognition as benchmarks/ocr.py does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ocr
import pdf
from quire.corpus.account import megabytes
from quire.corpus.build import ingest
from quire.corpus.settings import IngestSettings
from quire.corpus.store import Corpus, FileRecord
from quire.documents.sandbox import cores
from quire.settings import build
from truths import truths_in

WANTED = {
    "text": lambda row: row.outcome == "kept" or row.rule == "duplicate",
    "error": lambda row: row.outcome == "failed" and row.rule == "damaged",
    "password": lambda row: row.outcome == "failed" and row.rule == "password",
    "any": lambda row: True,
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="the mixed folder")
    parser.add_argument("--expected", type=Path, metavar="FILE", help="JSON: file name to its expected end")
    parser.add_argument("--under", default="pdf_hostile", help="the part of it that --expected is about")
    parser.add_argument("--workers", type=int, default=0, help="0 = one for each core")
    parser.add_argument("--pdfs", type=Path, metavar="FOLDER", help="PDFs with their truths, for all readers of PDFs")
    parser.add_argument("--scans", type=Path, metavar="FOLDER", help="page pictures with their truths, for tesseract")
    parser.add_argument("--columns", nargs="*", default=[], metavar="NAME", help="those of --scans in several columns")
    parser.add_argument("--rounds", type=int, default=3, help="how often each reader reads --pdfs and --scans")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    if not (args.folder or args.pdfs or args.scans):
        parser.error("give --folder, --pdfs or --scans")
    results: dict[str, Any] = {}
    if args.folder:
        expected = {} if args.expected is None else json.loads(args.expected.read_text("utf-8"))
        results["folder"] = ingested(args.folder, args.workers, expected, args.under)
        print_table(results["folder"])
    if args.pdfs:
        results["pdfs"] = pdf.compared(truths_in(args.pdfs, "*.pdf"), pdf.READERS, args.rounds)
        pdf.print_table(results["pdfs"])
    if args.scans:
        results["scans"] = ocr.compared(truths_in(args.scans, *ocr.PICTURES), args.columns, args.rounds)
        ocr.print_table(results["scans"])
    if args.json_out is not None:
        args.json_out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    sys.exit(1 if args.folder and results["folder"]["wrong"] else 0)


def ingested(folder: Path, workers: int, expected: dict[str, str], under: str) -> dict[str, Any]:
    """Ingest `folder` twice; return what became of it, how fast, and under "wrong" what is not as it should be.

    Args:
        folder: the mixed folder.
        workers: processes; 0 = one for each core.
        expected: file names, in the part `under` of it, to their ends: keys of `WANTED`.
        under: see there.
    """
    settings = build(IngestSettings, {"pool": {"workers": workers}})
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "corpus"
        started = time.perf_counter()
        account = ingest(folder, out, settings)
        first = time.perf_counter() - started
        started = time.perf_counter()
        again = ingest(folder, out, settings)
        second = time.perf_counter() - started
        rows = {row.path: row for row in Corpus.open(out).files() if row.member is None}
        corpus_bytes = sum(path.stat().st_size for path in out.glob("documents-*.parquet"))
    wrong = unaccounted(folder, rows) + unexpected(expected, under, rows)
    if again.files_read or again.fingerprint != account.fingerprint:
        wrong.append(f"the second run read {again.files_read} files, and should have read none")
    return {
        "machine": {"cores": cores(), "processor": platform.machine(), "python": platform.python_version()},
        "workers": workers or cores(),
        "seconds": round(first, 2),
        "seconds_again": round(second, 2),
        "files": account.found.files,
        "bytes": account.found.bytes,
        "kept": account.kept.files,
        "dropped": account.dropped.files,
        "failed": account.failed.files,
        "documents": account.documents,
        "pages": account.pages,
        "pages_per_second": round(account.pages / first, 3),
        "files_per_second": round(account.found.files / first, 2),
        "text_bytes": account.text_bytes,
        "fingerprint": account.fingerprint,
        "corpus_bytes": corpus_bytes,
        "slowest": [[row.path, round(row.seconds or 0, 2)] for row in slowest(rows)],
        "rules": {f"{rule.outcome}: {rule.rule}": rule.files for rule in account.rules},
        "wrong": wrong,
    }


def unaccounted(top: Path, rows: dict[str, FileRecord]) -> list[str]:
    """Say which files under `top` the manifest does not name with their size, and which it names and are not there."""
    there: dict[str, int] = {}
    for folder, folders, files in os.walk(top):
        for name in files + [name for name in folders if os.path.islink(os.path.join(folder, name))]:
            path = Path(folder, name)
            there[path.relative_to(top).as_posix()] = 0 if path.is_symlink() else path.stat().st_size
    listed = {path: row.size for path, row in rows.items()}
    return [
        f"{path}: {there.get(path)} bytes in the folder, {listed.get(path)} in the manifest"
        for path in sorted(there.keys() | listed.keys())
        if there.get(path) != listed.get(path)
    ]


def unexpected(expected: dict[str, str], under: str, rows: dict[str, FileRecord]) -> list[str]:
    """Say which of the files in `expected` ended otherwise."""
    wrong = []
    for name, end in expected.items():
        row = rows.get(f"{under}/{name}")
        if row is None:
            wrong.append(f"{name}: not in the manifest")
        elif not WANTED[end](row):
            wrong.append(f"{name}: should be {end}, is {row.outcome} ({row.rule}: {row.detail})")
    return wrong


def slowest(rows: dict[str, FileRecord]) -> list[FileRecord]:
    """Return the five files that took longest to read."""
    return sorted(rows.values(), key=lambda row: row.seconds or 0, reverse=True)[:5]


def print_table(results: dict[str, Any]) -> None:
    """Print the results for people."""
    lines = [
        (
            "files",
            "{files:,} = {kept:,} kept + {dropped:,} dropped + {failed:,} failed".format(**results),
        ),
        ("size", megabytes(results["bytes"])),
        ("workers", f"{results['workers']} on {results['machine']['cores']} cores"),
        ("wall time", f"{results['seconds']:.1f} s; again, with nothing changed, {results['seconds_again']:.2f} s"),
        ("pages", f"{results['pages']:,}, {results['pages_per_second']:.2f} pages/s"),
        ("text", f"{megabytes(results['text_bytes'])} in {megabytes(results['corpus_bytes'])} of Parquet"),
        *((rule, str(count)) for rule, count in results["rules"].items()),
        *((f"slowest {number}", f"{path} {seconds} s") for number, (path, seconds) in enumerate(results["slowest"], 1)),
        ("as it should be", "no" if results["wrong"] else "yes: every file accounted for, every expected end met"),
    ]
    for name, value in lines:
        print(f"{name:<24} {value}")
    for line in results["wrong"]:
        print(f"  WRONG {line}")


if __name__ == "__main__":
    main()
