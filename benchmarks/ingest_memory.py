#!/usr/bin/env python3
"""How much memory does a corpus larger than memory need, and how many MB of text a core reads in a second?

    benchmarks/ingest_memory.py [--gigabytes 5] [--file-mb 4] [--huge-mb 200] [--code FOLDER] [--folder FOLDER]
                                [--json-out FILE]

Writes text and Python files of `--file-mb` MB, no two paragraphs alike, until there are `--gigabytes` GB (10^9 bytes),
one of them `--huge-mb` MB long. Ingests them with the command `quire ingest` and looks at the resident memory of the
command and of each worker ten times a second. Then the readers alone, in this process, over a hundredth of the files,
and over the Python files in `--code`, which are many and small: MB a second of one core, of reading and of reading,
hashing, measuring and packing as a worker does it. Everything that was written is deleted afterwards; it needs about
twice the space of the text, since the readings are kept beside the corpus.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from quire.corpus.reading import Task, read_task
from quire.documents.read import DroppedFile, read_file
from quire.documents.sandbox import cores
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

LOOK_SECONDS = 0.1
LETTERS = "etaoinshrdlucmfwypvbgk"
ALONE_BYTES = 50_000_000  # read by the readers alone, at least one file of each kind


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5.0, help="text to write, in GB")
    parser.add_argument("--file-mb", type=float, default=4.0, help="size of a file, in MB")
    parser.add_argument("--huge-mb", type=float, default=200.0, help="size of the one largest file, in MB")
    parser.add_argument("--workers", type=int, default=0, help="0 = one for each core")
    library = Path(sysconfig.get_path("stdlib"))
    parser.add_argument("--code", type=Path, default=library, help="Python files (default: the standard library)")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where to write (default: a temporary folder)")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="quire-memory-", dir=args.folder))
    try:
        texts = place / "texts"
        size = write(texts, int(args.gigabytes * 1e9), int(args.file_mb * 1e6), int(args.huge_mb * 1e6))
        alone = {kind: readers_alone(written(texts, kind)) for kind in (".txt", ".py")}
        alone["code"] = readers_alone(sources(args.code))
        words = [sys.executable, "-m", "quire", "ingest", str(texts), "--out", str(place / "corpus"), "--json"]
        seconds, peaks, account = watched([*words, "--workers", str(args.workers)])
    finally:
        shutil.rmtree(place)
    workers = sorted(peaks["workers"], reverse=True)
    results: dict[str, Any] = {
        "machine": {"cores": cores(), "processor": platform.machine(), "python": platform.python_version()},
        "memory_of_machine": psutil.virtual_memory().total,
        "bytes": size,
        "largest_file": int(args.huge_mb * 1e6),
        "kept": account["kept"]["files"],
        "text_bytes": account["text_bytes"],
        "seconds": round(seconds, 1),
        "peak_parent": peaks["parent"],
        "peak_workers": workers,
        "peak_together": peaks["together"],
        "mb_per_second": round(size / seconds / 1e6, 2),
        "mb_per_second_and_core_alone": alone,
    }
    print(f"text                {size / 1e9:10.2f} GB in {account['found']['files']:,} files, kept {results['kept']:,}")
    print(f"wall clock          {seconds:10.1f} s   {size / seconds / 1e6:.1f} MB/s with {cores()} cores")
    print(f"peak of the command {peaks['parent'] / 1e6:10.0f} MB")
    print(f"peak of a worker    {workers[0] / 1e6:10.0f} MB  (of {len(workers)})")
    print(f"peak together       {peaks['together'] / 1e6:10.0f} MB")
    for kind, row in alone.items():
        files = f"{row['files']:6,} files of {row['kilobytes']:,.1f} KB"
        figures = f"reading {row['reading']:.1f} MB/s a core, with hashing, measuring and packing {row['worker']:.1f}"
        print(f"{kind:<20}{files}: {figures}")
    if args.json_out is not None:
        args.json_out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    sys.exit(0 if account["kept"]["files"] == account["found"]["files"] else 1)


def write(folder: Path, total: int, file_bytes: int, huge_bytes: int) -> int:
    """Write the files, text and code in turn, and return their bytes."""
    folder.mkdir(parents=True)
    chance = random.Random(11)
    vocabulary = ["".join(chance.choices(LETTERS, k=chance.randint(2, 9))) for _ in range(20_000)]
    size = number = 0
    while size < total:
        wanted = huge_bytes if number == 0 else min(file_bytes, total - size)
        kind = (".txt", ".py")[number % 2]
        path = folder / f"{number // 1000:03}" / f"{number:06}{kind}"
        path.parent.mkdir(exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            for paragraph in paragraphs(chance, vocabulary, wanted, kind):
                file.write(paragraph)
        size += path.stat().st_size
        number += 1
    return size


def paragraphs(chance: random.Random, vocabulary: list[str], size: int, kind: str) -> Iterator[str]:
    """Yield paragraphs of sentences, or functions, of `size` bytes or a little more."""
    while size > 0:
        words = chance.choices(vocabulary, k=120)
        lines = [" ".join(words[start : start + 12]) for start in range(0, 120, 12)]
        if kind == ".py":
            names = [f"    {words[12 * i]}_{i} = {line!r}" for i, line in enumerate(lines)]
            made = f"def {words[0]}_{chance.getrandbits(60)}():\n" + "\n".join(names) + "\n\n\n"
        else:
            made = ".\n".join(line.capitalize() for line in lines) + ".\n\n"
        size -= len(made)
        yield made


def written(folder: Path, kind: str) -> list[Path]:
    """Return the files that end in `kind`, without the largest one, which is the first, if there are others."""
    paths = sorted(folder.rglob(f"*{kind}"))
    return paths[1:] or paths


def sources(folder: Path) -> Iterator[Path]:
    """Yield the Python files of a library, but not those of packages installed into it."""
    for path in sorted(folder.rglob("*.py")):
        if path.is_file() and "site-packages" not in path.relative_to(folder).parts:
            yield path


def readers_alone(files: Iterable[Path]) -> dict[str, float]:
    """Return MB a second of one core, of the reader and of all that a worker does, over `ALONE_BYTES` of the files."""
    paths: list[Path] = []
    size = 0
    for path in files:
        paths.append(path)
        size += len(path.read_bytes())  # into the cache of the file system
        if size >= ALONE_BYTES:
            break
    settings = ReadSettings()
    reading = worker = 0.0
    for count in (1, len(paths)):  # first one file, so that everything is imported
        started = time.process_time()
        for path in paths[:count]:
            with contextlib.suppress(DroppedFile, ReadError):  # a file without a byte, or one that is no text
                for _ in read_file(path, path.name, settings):
                    pass
        reading = time.process_time() - started
        started = time.process_time()
        for path in paths[:count]:
            read_task(Task(os.fsencode(path), path.name, path.stat().st_size, (), settings))
        worker = time.process_time() - started
    return {
        "files": len(paths),
        "kilobytes": round(size / len(paths) / 1e3, 1),
        "reading": round(size / reading / 1e6, 1),
        "worker": round(size / worker / 1e6, 1),
    }


def watched(words: list[str]) -> tuple[float, dict[str, Any], dict[str, Any]]:
    """Run a command that prints JSON; return its seconds, the peaks of memory in bytes, and its account."""
    parent = 0
    together = 0
    workers: dict[int, int] = {}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = psutil.Popen(words, stdout=output, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            own = resident(process)
            each = {child.pid: resident(child) for child in children(process)}
            parent, together = max(parent, own), max(together, own + sum(each.values()))
            for pid, memory in each.items():
                workers[pid] = max(workers.get(pid, 0), memory)
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - started
        if process.returncode:
            sys.exit(f"{' '.join(words)} ended with {process.returncode}")
        output.seek(0)
        account: dict[str, Any] = json.load(output)["account"]
    return seconds, {"parent": parent, "workers": list(workers.values()), "together": together}, account


def resident(process: psutil.Process) -> int:
    """Return the bytes of resident memory of a process, 0 if it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def children(process: psutil.Process) -> list[psutil.Process]:
    """Return what the process started and what still runs."""
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


if __name__ == "__main__":
    main()
