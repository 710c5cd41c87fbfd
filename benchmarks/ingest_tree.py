#!/usr/bin/env python3
"""How long does a tree of many small files take, again when nothing changed, and where does that time go?

    benchmarks/ingest_tree.py [--files 20000] [--again 3] [--folder FOLDER] [--json-out FILE]

Writes a tree of texts and Python files, 300 bytes to 12 kB each, no two alike, 100 to a folder; ingests it with the
command `quire ingest`; waits until the files have rested long enough for their times to be trusted; ingests it again,
`--again` times. Seconds are wall clock of the whole command, imports included. Then once more inside of this process
under cProfile, for the functions in which that time goes. The tree and the corpus are deleted afterwards.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import platform
import pstats
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from quire.corpus.build import ingest
from quire.corpus.progress import Step
from quire.corpus.reading import SETTLED_NS
from quire.documents.sandbox import cores

WORDS = ("the", "of", "light", "river", "stone", "under", "seven", "letters", "page", "reads", "turns", "house", "ink")
A_FOLDER = 100


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="files in the tree")
    parser.add_argument("--again", type=int, default=3, help="how often the unchanged tree is ingested")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where to write (default: a temporary folder)")
    parser.add_argument("--top", type=int, default=12, help="functions of the profile to print")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="quire-tree-", dir=args.folder))
    try:
        size = make_tree(place / "tree", args.files)
        first, account = command(place)
        time.sleep(SETTLED_NS / 1e9 + 0.5)
        settling, _ = command(place)  # reads nothing, and trusts the times of the files from here on
        again = [command(place) for _ in range(args.again)]
        stages, functions = profiled(place, args.top)
    finally:
        shutil.rmtree(place)
    seconds = statistics.median(took for took, _ in again)
    results: dict[str, Any] = {
        "machine": {"cores": cores(), "processor": platform.machine(), "python": platform.python_version()},
        "files": args.files,
        "bytes": size,
        "kept": account["kept"]["files"],
        "seconds_first": round(first, 2),
        "files_per_second_first": round(args.files / first),
        "seconds_settling": round(settling, 2),
        "seconds_again": round(seconds, 2),
        "files_read_again": max(after["files_read"] for _, after in again),
        "same_corpus": all(after["fingerprint"] == account["fingerprint"] for _, after in again),
        "stages_again": stages,
        "functions_again": functions,
    }
    print(f"{args.files:,} files, {size / 1e6:,.1f} MB, {cores()} cores")
    print(f"first run           {first:8.2f} s   {args.files / first:,.0f} files/s")
    print(f"second run          {settling:8.2f} s   hashed again where the files were too fresh to trust their times")
    print(f"unchanged           {seconds:8.2f} s   median of {args.again}; read: {results['files_read_again']}")
    for stage, took in stages.items():
        print(f"  {stage:<18}{took:8.2f} s   under the profiler")
    for function in functions:
        print(f"  {function['seconds']:6.2f} s  {function['calls']:>9,} x  {function['name']}")
    if args.json_out is not None:
        args.json_out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    sys.exit(0 if results["same_corpus"] and not results["files_read_again"] else 1)


def make_tree(folder: Path, files: int) -> int:
    """Write the tree and return its bytes."""
    chance = random.Random(7)
    size = 0
    for number in range(files):
        lines = [f"# file {number}"]
        for line in range(chance.randint(5, 200)):
            words = " ".join(chance.choices(WORDS, k=10))
            lines.append(f"value_{line} = {words!r}" if number % 2 else words)
        path = folder / f"{number // A_FOLDER // A_FOLDER:02}" / f"{number // A_FOLDER % A_FOLDER:02}"
        path.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines) + "\n"
        (path / f"{number}{'.py' if number % 2 else '.txt'}").write_text(text, "utf-8")
        size += len(text)
    return size


def command(place: Path) -> tuple[float, dict[str, Any]]:
    """Run `quire ingest` and return its seconds and its account."""
    words = [sys.executable, "-m", "quire", "ingest", str(place / "tree"), "--out", str(place / "corpus"), "--json"]
    started = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    took = time.perf_counter() - started
    account: dict[str, Any] = json.loads(done.stdout)["account"]
    return took, account


def profiled(place: Path, top: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return the seconds of each stage of a run with nothing to do, and the functions that took most themselves."""
    reached: dict[str, float] = {}
    profile = cProfile.Profile()

    def tell(step: Step) -> None:
        reached[step.stage] = time.perf_counter() - started

    started = time.perf_counter()
    profile.enable()
    ingest(place / "tree", place / "corpus", progress=tell)
    profile.disable()
    total = time.perf_counter() - started
    ends = {"finding": reached["finding"], "looking at times": reached["reading"], "comparing": total}
    starts = [0.0, *ends.values()]
    stages = {stage: round(end - start, 2) for (stage, end), start in zip(ends.items(), starts, strict=False)}
    rows = []
    statistics_of: Any = pstats.Stats(profile)
    by_own_time = sorted(statistics_of.stats.items(), key=lambda item: item[1][2], reverse=True)
    for (file, line, name), (_, calls, own, _, _) in by_own_time[:top]:
        where = name if file == "~" else f"{Path(file).name}:{line} {name}"
        rows.append({"name": where, "calls": calls, "seconds": round(own, 3)})
    return stages, rows


if __name__ == "__main__":
    main()
