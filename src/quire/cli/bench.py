"""`quire bench`: how fast a model is here, and why it is not faster."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from quire.cli.opening import (
    backend_option,
    cache_dtype_option,
    device_option,
    open_model,
    threads_option,
    weights_option,
)
from quire.inference.settings import InferenceSettings
from quire.settings import build

if TYPE_CHECKING:
    from quire.evaluation.speed import Speed

WIDTH = 79


def command(
    run: Path = typer.Argument(..., metavar="RUN", help="A run, or any Hugging Face folder of its layout."),
    *,
    rounds: int = typer.Option(5, min=1, help="How often everything is measured; the median is told."),
    weights: str | None = weights_option(),
    cache_dtype: str = cache_dtype_option(),
    backend: str = backend_option(),
    threads: int | None = threads_option(),
    device: str | None = device_option(),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Measure how fast a model reads and writes here, and say what bounds it: bandwidth, arithmetic or overhead."""
    engine = build(InferenceSettings, {"threads": threads, "cache_dtype": cache_dtype}, where="bench")

    from quire.evaluation.speed import measure_speed

    language = open_model(run, engine, device=device, weights=weights, backend=backend)
    shown = sys.stderr.isatty()
    speed = measure_speed(
        language,
        rounds=rounds,
        progress=lambda number: print(f"\rround {number} of {rounds} ", end="", file=sys.stderr) if shown else None,
    )
    if shown:
        print("\r\033[K", end="", file=sys.stderr)
    print(json.dumps(_told(run, speed)) if as_json else "\n".join(_lines(run, speed)))


def _told(run: Path, speed: Speed) -> dict[str, object]:
    limits = {
        limit.what: {
            "bound": limit.bound,
            "seconds": limit.seconds,
            "bandwidth_share": limit.bandwidth_share,
            "arithmetic_share": limit.arithmetic_share,
            "sentence": limit.sentence(),
        }
        for limit in speed.limits()
    }
    told = dataclasses.asdict(speed)
    rounds = {name: value for name, value in told.items() if isinstance(value, list)}
    medians = {name: statistics.median(value) for name, value in rounds.items()}
    return {"run": str(run), **told, **medians, "rounds": rounds, "limits": limits}


def _lines(run: Path, speed: Speed) -> list[str]:
    middle = statistics.median
    one, several, prompt = speed.limits()
    threads = f"{speed.threads} thread{'' if speed.threads == 1 else 's'}"
    rows = [
        ("write, 1 text", f"{middle(speed.decode):,.0f} tokens/s", one.bandwidth_share, one.arithmetic_share),
        (
            f"write, {speed.batch} texts",
            f"{middle(speed.decode_batch):,.0f} tokens/s",
            several.bandwidth_share,
            several.arithmetic_share,
        ),
        (
            f"read {speed.prompt_tokens:,} tokens",
            f"{middle(speed.prefill):,.0f} tokens/s",
            prompt.bandwidth_share,
            prompt.arithmetic_share,
        ),
    ]
    lines = [f"{run}: {speed.weights} weights, {speed.cache} cache, {speed.backend}, {threads}", ""]
    lines.append(f"{'':<20}{'':>16}{'of bandwidth':>16}{'of products':>16}")
    lines += [f"{name:<20}{rate:>16}{bandwidth:>16.0%}{products:>16.0%}" for name, rate, bandwidth, products in rows]
    lines += [
        "",
        f"first token         {1000 * middle(speed.first_token):,.1f} ms after {speed.prompt_tokens:,} tokens,"
        f" {1000 * middle(speed.cached_first_token):,.1f} ms if they were read before",
        f"read per token      {_bytes(speed.weight_bytes)} of weights, {_bytes(speed.cache_bytes)} of cache"
        f" (1 text, {speed.decode_prompt + speed.decode_tokens // 2} tokens)",
        f"bandwidth           {middle(speed.reading) / 1e9:,.1f} GB/s over {_bytes(speed.reading_bytes)} again and"
        f" again, {middle(speed.memory) / 1e9:,.1f} over 256 MB",
        f"products            {middle(speed.products) / 1e9:,.0f} GFLOP/s in float32",
        "",
    ]
    for limit in (one, several, prompt):
        lines += textwrap.wrap(f"{limit.sentence().capitalize()}.", WIDTH, subsequent_indent="  ")
    lines.append("")
    rounds = len(speed.decode)
    lines += textwrap.wrap(
        f"Medians of {rounds} round{'' if rounds == 1 else 's'}. Bandwidth: torch adds up arrays, with as many threads;"
        " the share is of the first number, as the weights may fit the processor's cache. Products: two matrices of"
        " 1,024 by 1,024.",
        WIDTH,
    )
    return lines


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} GB"
