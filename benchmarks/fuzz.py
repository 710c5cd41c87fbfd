#!/usr/bin/env python3
"""Does every reader of quire come to one of its stated ends, whatever bytes it is given?

    benchmarks/fuzz.py [--minutes 10] [--reader NAME ...] [--seed 1] [--findings FOLDER] [--json-out FILE]

Breaks sound files of each format (benchmarks/fuzz_seeds.py): bits flipped, pieces cut out, put in, said again up to ten
thousand times, two files spliced, numbers and lengths changed; in what is packed (zip, gzip, bzip2, xz, tar, PNG, PDF,
base64) as often inside, packed again with sums that fit. Reads them under one of several settings; those that are read
from their place on disk, as often from there. Every reader gets `--minutes` of the processor's time, so that other
work on the machine takes nothing from it.

What may come of it: parts that keep what documents/document.py says of them, `DroppedFile`, `ReadError` and with it
`PasswordError`. All else is a finding: another exception, broken promises, a crash, more than 2 s of the processor,
more than 1 GB of memory, another result at a second reading of the same bytes. The first of each kind is made as short
as it gets and saved in FOLDER, with the seed and number of the case, which make it again; the exit status is then 1.

Recognition of text is replaced by one that sees "(width x height)" in every picture: what decodes pictures is read
through, what recognises letters is not.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_attempts import MEMORY_MB, SECONDS, Case, Result, attempt
from fuzz_mutations import pieces
from quire.documents.read import READERS
from quire.documents.sandbox import Failure, Sandbox

ENDS = ("parts", "dropped", "failed", "finding")
DEEPEST = 4  # packed in packed: what one can be packed as is sometimes itself


@dataclass
class Finding:
    """The first case of a kind of finding, how many there were, and the shortest input that was found."""

    kind: str
    detail: str
    case: Case
    name: str
    data: bytes
    count: int = 1


@dataclass
class Tally:
    """What came of the cases of one reader."""

    ends: Counter[str] = field(default_factory=Counter)
    own: int = 0
    spent: float = 0.0
    slowest: tuple[float, int] = (0.0, 0)
    largest: tuple[int, int] = (0, 0)
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        return sum(self.ends.values())


class Fuzzer:
    """Worker processes that read cases; use it as a context."""

    def __init__(self, seed: int, workers: int = 1) -> None:
        self.seed = seed
        self._folder = tempfile.TemporaryDirectory(prefix="quire-fuzz-")
        # Pages start the clock of a worker anew, so the limit on a case is checked in the worker, too.
        self._pool = Sandbox(attempt, workers=workers, seconds=10 * SECONDS, memory_mb=2 * MEMORY_MB)

    def __enter__(self) -> Fuzzer:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.close()
        self._folder.cleanup()

    def case(self, reader: str, number: int) -> Case:
        """Return one case of this run."""
        return Case(reader, self.seed, number, self._folder.name)

    def results(self, cases: Iterable[Case]) -> Iterator[tuple[Case, Result]]:
        """Yield every case with its result; a crash, a hang and too much memory are findings."""
        for finished in self._pool.map(cases):
            if finished.value is not None:
                yield finished.task, finished.value
            else:
                failure = finished.failure or Failure("error", "no result")
                kind = failure.kind if failure.kind in ("time", "memory") else failure.reason
                detail, seconds = failure.detail or "", finished.seconds
                yield finished.task, Result("finding", True, seconds, 0, kind, detail, spent=seconds)

    def run(self, reader: str, numbers: Iterable[int], seconds: float = float("inf")) -> Tally:
        """Read cases of a reader until `numbers` are through or so many seconds of the processor are spent."""
        tally = Tally()
        more = itertools.takewhile(lambda _: tally.spent < seconds, numbers)
        for case, result in self.results(self.case(reader, number) for number in more):
            tally.spent += result.spent
            tally.ends[result.end] += 1
            tally.own += result.own
            tally.slowest = max(tally.slowest, (result.seconds, case.number))
            tally.largest = max(tally.largest, (result.memory, case.number))
            if result.end != "finding":
                continue
            if result.kind in tally.findings:
                tally.findings[result.kind].count += 1
            else:
                name, data, _, _ = case.made()
                tally.findings[result.kind] = Finding(result.kind, result.detail, case, name, data)
        return tally

    def shorten(self, finding: Finding, seconds: float = 20.0) -> None:
        """Take away from the input of a finding what makes no difference to it, as far as the time goes."""
        end = time.monotonic() + seconds

        def same(data: bytes) -> bool:
            if not data or time.monotonic() > end:
                return False
            case = dataclasses.replace(finding.case, data=data)
            return next(self.results([case]))[1].kind == finding.kind

        finding.data = shortest(finding.data, same)


def shortest(data: bytes, same: Callable[[bytes], bool], depth: int = 0) -> bytes:
    """Return as little of `data` as is still the `same`: whole members of what is packed, then blocks of bytes."""
    inside = pieces(data) if depth < DEEPEST else None
    if inside is not None:
        parts, packed = inside
        for number in reversed(range(len(parts))):
            fewer = parts[:number] + parts[number + 1 :]
            if same(packed(fewer)):
                parts = fewer
        for number in range(len(parts)):
            before, after = parts[:number], parts[number + 1 :]

            def fits(part: bytes, before: list[bytes] = before, after: list[bytes] = after) -> bool:
                return same(packed([*before, part, *after]))

            parts = [*before, shortest(parts[number], fits, depth + 1), *after]
        if same(packed(parts)):
            return packed(parts)
    block = len(data)
    while block:
        place = 0
        while place < len(data):
            without = data[:place] + data[place + block :]
            if same(without):
                data = without
            else:
                place += block
        block //= 2
    return data


def save(finding: Finding, folder: Path) -> Path:
    """Write the input of a finding, and beside it what makes the case again."""
    digest = hashlib.sha256(finding.data).hexdigest()[:8]
    path = folder / f"{finding.case.reader}-{digest}{Path(finding.name).suffix}"
    path.write_bytes(finding.data)
    case = {"reader": finding.case.reader, "seed": finding.case.seed, "number": finding.case.number}
    about = {**case, "kind": finding.kind, "count": finding.count, "detail": finding.detail}
    path.with_name(path.name + ".json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    return path


def main() -> None:
    """Run the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the processor, for each reader")
    parser.add_argument("--reader", nargs="*", choices=sorted(READERS), help="fuzz these alone")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other cases")
    parser.add_argument("--workers", type=int, default=1, help="processes that read")
    parser.add_argument("--findings", type=Path, default="runs/fuzz", metavar="FOLDER", help="where they are saved")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    readers = args.reader or list(READERS)
    tallies: dict[str, Tally] = {}
    with Fuzzer(args.seed, args.workers) as fuzzer:
        for reader in readers:
            tallies[reader] = fuzzer.run(reader, itertools.count(), args.minutes * 60)
            for finding in tallies[reader].findings.values():
                fuzzer.shorten(finding)
    show(tallies)
    found = [finding for tally in tallies.values() for finding in tally.findings.values()]
    for finding in found:
        args.findings.mkdir(parents=True, exist_ok=True)
        path = save(finding, args.findings)
        print(f"\n{finding.case.reader}, {finding.count} times: {finding.kind}\n  {path} ({len(finding.data):,} bytes)")
        print(f"  shortest: {finding.data[:200]!r}")
    if args.json_out is not None:
        about = {"seed": args.seed, "minutes": args.minutes, "python": platform.python_version()}
        rows = {reader: figures(tally) for reader, tally in tallies.items()}
        args.json_out.write_text(json.dumps({**about, "readers": rows}, indent=1) + "\n", "utf-8")
    sys.exit(1 if found else 0)


def figures(tally: Tally) -> dict[str, Any]:
    """Return what the JSON file says of a reader."""
    ends = {end: tally.ends[end] for end in ENDS}
    slowest = {"seconds": round(tally.slowest[0], 3), "number": tally.slowest[1]}
    largest = {"bytes": tally.largest[0], "number": tally.largest[1]}
    return {"cases": tally.cases, "own": tally.own, **ends, "slowest": slowest, "largest": largest}


def show(tallies: dict[str, Tally]) -> None:
    """Print the table; "own" is the share of the cases that the reader itself was given, by name and content."""
    print(f"{'reader':<12}{'cases':>9}{'own':>7}{'parts':>8}{'dropped':>9}{'failed':>8}", end="")
    print(f"{'slowest':>10}{'memory':>9}{'findings':>10}")
    for reader, tally in tallies.items():
        shares = [count / max(tally.cases, 1) for count in (tally.own, *(tally.ends[end] for end in ENDS[:3]))]
        own, parts, dropped, failed = (f"{100 * share:.0f} %" for share in shares)
        print(f"{reader:<12}{tally.cases:>9,}{own:>7}{parts:>8}{dropped:>9}{failed:>8}", end="")
        print(f"{tally.slowest[0]:>8.2f} s{tally.largest[0] / 1e6:>6.0f} MB{len(tally.findings):>10}")
    print(f"{'together':<12}{sum(tally.cases for tally in tallies.values()):>9,}")


if __name__ == "__main__":
    from fuzz import main as run  # so that workers can import what they are to do

    run()
