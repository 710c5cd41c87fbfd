#!/usr/bin/env python3
"""What does the key-value cache save in the NumPy transformer, in work and in time?

    benchmarks/cache_by_hand.py [--tokens 127] [--rounds 5] [--json-out FILE]

Writes up to --tokens tokens with `quire.scratch`, the shape of quire's demo and random weights, with the cache and
without, in turn, each round in one process. Prints for several lengths the multiplications of both, counted, the median
seconds of both, and the ratios. Set OMP_NUM_THREADS=1 to see the work and not the number of cores.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

from quire.scratch.cache import Work
from quire.scratch.transformer import Transformer, TransformerConfig

SHAPE = TransformerConfig(vocab_size=512, hidden_size=128, num_layers=4, num_heads=4, context_length=128)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=127, help="most tokens to write, after a prompt of one")
    parser.add_argument("--rounds", type=int, default=5, help="times that each of the two is run")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    if not 1 <= args.tokens < SHAPE.context_length:
        parser.error(f"--tokens must be 1 to {SHAPE.context_length - 1}")
    if args.rounds < 1:
        parser.error("--rounds must be 1 or more")
    result = measure(Transformer.random(SHAPE), args.tokens, args.rounds)
    show(result)
    if args.json_out:
        args.json_out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def measure(model: Transformer, tokens: int, rounds: int) -> dict[str, Any]:
    """Return work and times for lengths up to `tokens`, each four times the one before."""
    lengths = sorted({max(1, tokens // 4**power) for power in range(4)})
    write(model, lengths[-1], use_cache=True)  # what a first call costs is not the subject
    rows = []
    for length in lengths:
        seconds: dict[bool, list[float]] = {True: [], False: []}
        work: dict[bool, Work] = {}
        for _ in range(rounds):
            texts = []
            for use_cache in (True, False):
                took, work[use_cache], text = write(model, length, use_cache=use_cache)
                seconds[use_cache].append(took)
                texts.append(text)
            if texts[0] != texts[1]:
                raise SystemExit(f"{length} tokens: the cache has changed the text")
        rows.append(
            {
                "tokens": length,
                "multiplications": work[True].multiplications,
                "multiplications_no_cache": work[False].multiplications,
                "seconds_each": seconds[True],
                "seconds_no_cache_each": seconds[False],
                "work_ratio": work[False].multiplications / work[True].multiplications,
                "time_ratio": statistics.median(
                    slow / fast for slow, fast in zip(seconds[False], seconds[True], strict=True)
                ),
            }
        )
    parameters = sum(weight.size for weight in model.parameters.values())
    return {"machine": platform.machine(), "python": platform.python_version(), "parameters": parameters, "rows": rows}


def write(model: Transformer, tokens: int, *, use_cache: bool) -> tuple[float, Work, list[int]]:
    """Write greedily after one token; return the seconds it took, the work and the tokens."""
    work = Work()
    started = time.perf_counter()
    text = model.generate([0], tokens, cache=use_cache, work=work)
    return time.perf_counter() - started, work, text


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{result['parameters']:,} parameters, NumPy, float64")
    heads = ("mult., cache", "no cache", "ratio", "ms, cache", "no cache", "ratio")
    print(
        f"{'tokens':>6}"
        + "".join(f" {head:>{width}}" for head, width in zip(heads, (14, 16, 6, 10, 9, 6), strict=True))
    )
    for row in result["rows"]:
        fast, slow = (1000 * statistics.median(row[key]) for key in ("seconds_each", "seconds_no_cache_each"))
        print(
            f"{row['tokens']:>6} {row['multiplications']:>14,} {row['multiplications_no_cache']:>16,}"
            f" {row['work_ratio']:>6.1f} {fast:>10.1f} {slow:>9.1f} {row['time_ratio']:>6.1f}"
        )


if __name__ == "__main__":
    main()
