#!/usr/bin/env python3
"""What does the key-value cache gain, and does a token cost the same late in a text as early?

    benchmarks/cache.py [--tokens 512] [--rounds 3] [--threads N] [--json-out FILE]

Writes --tokens tokens with a 10M-parameter model of random weights: through PyTorch with the cache and without, and
with the cache in steps compiled for this processor, as `quire generate` does; in turn, each round in one process.
Prints the times, how many times as fast as without the cache they are, and the median time per token in windows of 16
tokens around positions 16 and 480 (or the last), which the cache should keep flat.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from quire.inference.language import LanguageModel
from quire.inference.settings import SamplingSettings
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

WINDOW = 16
SHAPE = ModelConfig(
    vocab_size=8192,
    hidden_size=256,
    num_layers=10,
    num_heads=4,
    num_kv_heads=2,
    head_dim=64,
    intermediate_size=768,
    context_length=1024,
)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=512, help="tokens to write")
    parser.add_argument("--rounds", type=int, default=3, help="times that each of the two is run")
    parser.add_argument("--threads", type=int, help="threads of a matrix product; torch's own choice where left out")
    parser.add_argument("--json-out", type=Path, metavar="FILE", help="write the results there")
    args = parser.parse_args()
    if args.tokens < 2 * WINDOW or args.tokens >= SHAPE.context_length:
        parser.error(f"--tokens must be {2 * WINDOW} to {SHAPE.context_length - 1}")
    if args.threads:
        torch.set_num_threads(args.threads)
    result = measure(random_model(), args.tokens, args.rounds)
    show(result)
    if args.json_out:
        args.json_out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


WAYS = {"no cache": ("torch", False), "cache": ("torch", True), "cache, compiled": ("native", True)}
"""What computes, and whether with the cache."""


def random_model() -> Transformer:
    """Make the model: random weights, but that only ASCII characters are written, so that each token is a piece."""
    torch.manual_seed(0)
    model = Transformer(SHAPE)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
        model.head_weight[:32] *= 0.01
        model.head_weight[127:] *= 0.01
    return model


def measure(model: Transformer, tokens: int, rounds: int) -> dict[str, Any]:
    """Return the times of all ways, run in turn; the tokens must be the same."""
    languages: dict[str, tuple[LanguageModel, bool]] = {
        name: (LanguageModel(model, Tokenizer.byte(), backend=backend), use_cache)  # type: ignore[arg-type]
        for name, (backend, use_cache) in WAYS.items()
    }
    times: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    written: dict[str, list[int]] = {}
    for language, use_cache in languages.values():
        write(language, 2 * WINDOW, use_cache=use_cache)  # the first run of a process also loads libraries
    for _ in range(rounds):
        for name, (language, use_cache) in languages.items():
            marks, written[name] = write(language, tokens, use_cache=use_cache)
            times[name].append([after - before for before, after in itertools.pairwise(marks)])
    if any(each != written["no cache"] for each in written.values()):
        raise SystemExit("with and without the cache different tokens were written")
    late = min(480, tokens - WINDOW)
    result: dict[str, Any] = {
        "parameters": model.num_parameters(),
        "tokens": tokens,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "late_position": late,
        "ways": {},
    }
    slow = [sum(run) for run in times["no cache"]]
    for name, runs in times.items():
        seconds = [sum(run) for run in runs]
        early, end = window(runs, 16), window(runs, late)
        result["ways"][name] = {
            "seconds": statistics.median(seconds),
            "seconds_each": seconds,
            "milliseconds_at_16": 1000 * early,
            "milliseconds_late": 1000 * end,
            "late_over_early": end / early,
            "times_as_fast": statistics.median(one / other for one, other in zip(slow, seconds, strict=True)),
        }
    return result


def write(language: LanguageModel, tokens: int, *, use_cache: bool) -> tuple[list[float], list[int]]:
    """Write greedily after one token; return when each token came, the start first, and the tokens."""
    writing = language.start("", SamplingSettings(temperature=0, max_tokens=tokens), use_cache=use_cache)
    marks = [time.perf_counter()]
    marks += [time.perf_counter() for _ in writing]
    written = writing.completions()[0].tokens
    if not len(marks) - 1 == len(written) == tokens:
        raise SystemExit(f"{len(written)} tokens were written in {len(marks) - 1} pieces, not {tokens}")
    return marks, written


def window(runs: list[list[float]], position: int) -> float:
    """Return the median time per token around `position`, over all runs together."""
    half = WINDOW // 2
    return statistics.median(each for run in runs for each in run[position - half : position + half])


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{result['parameters']:,} parameters, {result['tokens']} tokens, {result['threads']} thread(s)")
    late = f"ms at {result['late_position']}"
    print(f"{'':<16} {'seconds':>9} {'tokens/s':>9} {'ms at 16':>9} {late:>10} {'late/early':>11} {'x as fast':>10}")
    for name, row in result["ways"].items():
        print(
            f"{name:<16} {row['seconds']:>9.2f} {result['tokens'] / row['seconds']:>9.1f}"
            f" {row['milliseconds_at_16']:>9.2f} {row['milliseconds_late']:>10.2f} {row['late_over_early']:>11.2f}"
            f" {row['times_as_fast']:>10.1f}"
        )


if __name__ == "__main__":
    main()
