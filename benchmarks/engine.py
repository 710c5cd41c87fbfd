#!/usr/bin/env python3
"""What does each part of quire's own engine give on a CPU? No peers: those are in decode.py.

    python benchmarks/engine.py --out FILE.json [--models 7M,42M] [--threads 2] [--rounds 5]
        [--run RUN --code FILE --prose FILE]

The models of decode.py, with random weights, and compiled steps. Whatever is compared takes turns, A, B, A, B, round
after round; numbers are medians over the rounds, and ratios are medians of the ratios of each round.

- positions: time of a step that reads one token, from position 16 to the end of the context, in windows of 16, with a
  cache in float32 and in float16
- batches: tokens a second of 1, 2, 4, 8 and 16 texts at once, with either
- prefix: time to the first token of a prompt whose first 400 of 416 tokens were read before, and of one that is new
- weights: tokens a second and bytes of float32, int8 and int4
- machine: bytes a second that decoding reads, beside sums over an array of the same size and over one of 512 MiB;
  operations a second of reading a prompt of 512 tokens, beside square matrix products

With --run, guessing ahead is measured too, on real text: prompts are cut out of the two files, and the model of the run
goes on with each, greedily and by lot (temperature 0.8, one seed), guessing 0, 2, 4 or 8 tokens ahead. The texts must
be the same, or there are no numbers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import random
import statistics
import string
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numba
import torch

from decode import PROMPT, READ, SHAPES, WRITTEN, prompts, random_model
from quire.files import write_text
from quire.inference.blocks import BLOCK
from quire.inference.executors import NativeExecutor
from quire.inference.language import LanguageModel, load
from quire.inference.settings import InferenceSettings, SamplingSettings
from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.folder import read_config
from quire.model.size import cache_bytes, count_parameters, reading_flops
from quire.training.machine import cpu_name, product_rate

BATCHES = (1, 2, 4, 8, 16)
KINDS = ("float32", "int8", "int4")
CACHES = ("float32", "float16")
DRAFTS = (0, 2, 4, 8)
TEMPERATURES = (0.0, 0.8)
WINDOW = 16
PREFIX, OWN = 400, 16  # tokens of a prompt that others share, and its own
LARGE = 512 << 20  # bytes of an array that fits into no cache
TEXTS = 6  # prompts of each file

Numbers = dict[str, Any]


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the ratios of each round."""
    return statistics.median(one / other for one, other in zip(over, under, strict=True))


def in_turn(rounds: int, measures: Mapping[Any, Callable[[], float]]) -> dict[Any, list[float]]:
    """Take each measure once a round; return the rounds of each."""
    found: dict[Any, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def step_times(language: LanguageModel, texts: Sequence[str], tokens: int, *, temperature: float = 0.0) -> list[float]:
    """Write after each text; return the seconds of each step, the first of which read the prompts."""
    sampling = SamplingSettings(temperature=temperature, max_tokens=tokens, ignore_eos=True, seed=0)
    stream, seconds = language.engine.submit(list(texts), sampling), []
    while not stream.done:
        began = time.perf_counter()
        language.engine.step()
        seconds.append(time.perf_counter() - began)
    return seconds


def write_rate(language: LanguageModel, batch: int) -> float:
    """Return the tokens written in a second by so many texts together."""
    step_times(language, prompts(batch, PROMPT), 4)
    seconds = step_times(language, prompts(batch, PROMPT), WRITTEN + 1)[1:]
    return batch * WRITTEN / sum(seconds)


def new_text(length: int) -> str:
    """Return a text that no cache has."""
    return "".join(random.choices(string.ascii_letters, k=length))


def positions(languages: Mapping[str, LanguageModel], rounds: int) -> Numbers:
    """Measure the time per token by its position, for each kind of cache."""
    context = next(iter(languages.values())).model.config.context_length
    starts = range(0, context - PROMPT - WINDOW + 1, WINDOW)
    windows: dict[str, list[list[float]]] = {kind: [] for kind in languages}
    for language in languages.values():
        step_times(language, prompts(1, PROMPT), 2 * WINDOW)
    for _ in range(rounds):
        for kind, language in languages.items():
            seconds = step_times(language, prompts(1, PROMPT), context - PROMPT + 1)[1:]
            windows[kind].append([statistics.median(seconds[start : start + WINDOW]) for start in starts])
    return {
        kind: {
            "position": [PROMPT + start + WINDOW // 2 for start in starts],
            "milliseconds": [1000 * statistics.median(column) for column in zip(*found, strict=True)],
            "last_to_first": statistics.median(each[-1] / each[0] for each in found),
        }
        for kind, found in windows.items()
    }


def batches(languages: Mapping[str, LanguageModel], rounds: int) -> Numbers:
    """Measure the tokens a second of several texts together, for each kind of cache."""
    measures = {
        (kind, batch): partial(write_rate, language, batch) for batch in BATCHES for kind, language in languages.items()
    }
    found = in_turn(rounds, measures)
    return {
        kind: {
            "batch": list(BATCHES),
            "tokens_per_second": [statistics.median(found[kind, batch]) for batch in BATCHES],
            "to_one": [median_ratio(found[kind, batch], found[kind, 1]) for batch in BATCHES],
        }
        for kind in languages
    }


def prefix(language: LanguageModel, rounds: int) -> Numbers:
    """Measure the time to the first token of a prompt that begins as one before it, and of one that does not."""
    new, known = [], []
    for _ in range(rounds + 1):  # the first one warms up
        begin = new_text(PREFIX)
        new.append(step_times(language, [begin + new_text(OWN)], 1)[0])
        known.append(step_times(language, [begin + new_text(OWN)], 1)[0])
    new, known = new[1:], known[1:]
    return {
        "prompt_tokens": PREFIX + OWN,
        "known_tokens": PREFIX // BLOCK * BLOCK,
        "new_milliseconds": 1000 * statistics.median(new),
        "known_milliseconds": 1000 * statistics.median(known),
        "ratio": median_ratio(new, known),
    }


def weights(folder: Path, threads: int, rounds: int) -> Numbers:
    """Measure the tokens a second of each kind of weights."""
    languages = {kind: opened(folder, threads, weights=kind) for kind in KINDS}
    found = in_turn(rounds, {kind: partial(write_rate, language, 1) for kind, language in languages.items()})
    sizes = {kind: weight_bytes(language) for kind, language in languages.items()}
    for language in languages.values():
        language.close()
    return {
        "kind": list(KINDS),
        "tokens_per_second": [statistics.median(found[kind]) for kind in KINDS],
        "to_float32": [median_ratio(found[kind], found["float32"]) for kind in KINDS],
        "bytes": [sizes[kind] for kind in KINDS],
    }


def machine(language: LanguageModel, rounds: int) -> Numbers:
    """Measure which share of the machine's rates decoding and prefill reach."""
    config, weight = language.model.config, weight_bytes(language)
    middle = PROMPT + WRITTEN // 2  # position, on average
    a_token = weight + middle * cache_bytes(config)
    same, large = (torch.ones(size // 4) for size in (weight, LARGE))
    operations = reading_flops(config, READ)
    measures = {
        "decode": lambda: a_token * write_rate(language, 1),
        "same": lambda: read_rate(same),
        "large": lambda: read_rate(large),
        "prefill": lambda: operations / step_times(language, [new_text(READ)], 1)[0],
        "products": lambda: 1e9 * product_rate("cpu", torch.float32),
    }
    for measure in measures.values():
        measure()
    found = in_turn(rounds, measures)
    rate = {name: statistics.median(each) for name, each in found.items()}
    return {
        "bytes_of_a_token": a_token,
        "decode_gb_per_second": rate["decode"] / 1e9,
        "array_of_that_size_gb_per_second": rate["same"] / 1e9,
        "memory_gb_per_second": rate["large"] / 1e9,
        "share_of_that_size": median_ratio(found["decode"], found["same"]),
        "share_of_memory": median_ratio(found["decode"], found["large"]),
        "prefill_tokens": READ,
        "prefill_milliseconds": 1000 * operations / rate["prefill"],
        "prefill_gflops": rate["prefill"] / 1e9,
        "product_gflops": rate["products"] / 1e9,
        "share_of_products": median_ratio(found["prefill"], found["products"]),
    }


def read_rate(array: torch.Tensor) -> float:
    """Return the bytes of an array that are read in a second: the best of a few sums over it."""
    times = []
    for _ in range(7):
        began = time.perf_counter()
        array.sum()
        times.append(time.perf_counter() - began)
    return 4 * array.numel() / min(times)


def weight_bytes(language: LanguageModel) -> int:
    """Return the bytes of weights that a step of one token reads."""
    executor = language.engine.executor
    assert isinstance(executor, NativeExecutor)
    return executor.native.weight_bytes


def opened(folder: Path, threads: int, *, weights: str | None = None, **limits: Any) -> LanguageModel:
    """Open a model folder with compiled steps; `limits` are settings of its engine."""
    usual: dict[str, Any] = {"threads": threads, "step_tokens": READ, "max_rows": max(BATCHES)}
    return load(folder, "cpu", settings=InferenceSettings(**usual | limits), backend="native", weights=weights)


def guessing(run: Path, files: Mapping[str, Path], threads: int, rounds: int) -> list[Numbers]:
    """Measure what guesses give on prompts out of files, one row for each file, temperature and number of guesses."""
    rows = []
    for name, file in files.items():
        for temperature in TEMPERATURES:
            languages = {draft: opened(run, threads, draft_tokens=draft) for draft in DRAFTS}
            starts = prompts_of(file, languages[0])
            most = languages[0].model.config.context_length // 2
            sampling = SamplingSettings(temperature=temperature, max_tokens=most, ignore_eos=True, seed=0)
            written = {draft: follow(language, starts, sampling)[1] for draft, language in languages.items()}
            for draft, texts in written.items():
                if texts != written[0]:
                    raise SystemExit(f"{file}: with {draft} tokens guessed ahead another text was written")
            steps = {draft: language.engine.steps for draft, language in languages.items()}
            rates = {draft: partial(follow, language, starts, sampling) for draft, language in languages.items()}
            found = in_turn(rounds, {draft: lambda rate=rate: rate()[0] for draft, rate in rates.items()})
            for draft, language in languages.items():
                scheduler = language.engine.scheduler
                rows.append(
                    {
                        "text": name,
                        "temperature": temperature,
                        "draft_tokens": draft,
                        "tokens": sum(map(len, written[draft])),
                        "steps": steps[draft],
                        "tokens_per_second": statistics.median(found[draft]),
                        "to_none": median_ratio(found[draft], found[0]),
                        "guessed": scheduler.guessed,
                        "right": scheduler.guessed_right / scheduler.guessed if scheduler.guessed else None,
                        "same_text": True,
                    }
                )
                language.close()
    return rows


def prompts_of(file: Path, language: LanguageModel) -> list[list[int]]:
    """Return prompts of half a context out of a file, from places at equal distances."""
    tokens, length = language.tokenizer.encode(file.read_text("utf-8")), language.model.config.context_length // 2
    if len(tokens) < TEXTS * length:
        raise SystemExit(f"{file}: {len(tokens)} tokens are too few for {TEXTS} prompts of {length}")
    places = [number * (len(tokens) - length) // (TEXTS - 1) for number in range(TEXTS)]
    return [list(tokens[place : place + length]) for place in places]


def follow(
    language: LanguageModel, starts: Sequence[Sequence[int]], sampling: SamplingSettings
) -> tuple[float, list[list[int]]]:
    """Write after each prompt, one text at a time; return the tokens a second, reading included, and the tokens."""
    began = time.perf_counter()
    written = [language.engine.submit(start, sampling).result()[0].tokens for start in starts]
    return sum(map(len, written)) / (time.perf_counter() - began), written


def measured(shape: ModelConfig, threads: int, rounds: int) -> Numbers:
    """Return all numbers of one model."""
    with tempfile.TemporaryDirectory(prefix="engine-") as scratch:
        folder = Path(scratch)
        model, tokenizer = random_model(shape)
        save_model_folder(folder, model, tokenizer)
        shown = shape.model_dump(include={"vocab_size", "hidden_size", "num_layers", "num_heads", "context_length"})
        result: Numbers = {"parameters": model.num_parameters(), "shape": shown}
        del model
        languages = {kind: opened(folder, threads, cache_dtype=kind) for kind in CACHES}
        language = languages["float32"]
        result["weight_bytes"] = weight_bytes(language)
        result["cache_bytes_per_token"] = {
            kind: cache_bytes(shape, each.cache_dtype.itemsize) for kind, each in languages.items()
        }
        result["positions"], result["batches"] = positions(languages, rounds), batches(languages, rounds)
        result["prefix"], result["machine"] = prefix(language, rounds), machine(language, rounds)
        for each in languages.values():
            each.close()
        result["weights"] = weights(folder, threads, rounds)
    return result


def show(name: str, numbers: Numbers) -> None:
    """Print the tables of one model."""
    print(f"\n{name}: {numbers['parameters']:,} parameters")
    for kind, at in numbers["positions"].items():
        print(f"  cache in {kind}")
        for place in (0, len(at["position"]) // 2, -1):
            print(f"  a token at position {at['position'][place]:5} {at['milliseconds'][place]:10.3f} ms")
        print(f"  last window to the first     {at['last_to_first']:10.2f}")
    parts = [(f"cache in {kind}", rows, "batch", "to_one") for kind, rows in numbers["batches"].items()]
    for title, rows, key, ratio in (*parts, ("cache in float32", numbers["weights"], "kind", "to_float32")):
        print(f"  {title}")
        for each, rate, times in zip(rows[key], rows["tokens_per_second"], rows[ratio], strict=True):
            print(f"  {key + ' ' + str(each):27} {rate:11,.1f} tokens/s {times:6.2f} times")
    start = numbers["prefix"]
    print(
        f"  first token, {start['prompt_tokens']} tokens new   {start['new_milliseconds']:10.1f} ms\n"
        f"  {start['known_tokens']} of them known        {start['known_milliseconds']:13.1f} ms,"
        f" {start['ratio']:.1f} times as soon"
    )
    rates = numbers["machine"]
    print(
        f"  decoding reads {rates['decode_gb_per_second']:.1f} GB/s, {rates['share_of_that_size']:.0%} of an array of"
        f" that size, {rates['share_of_memory']:.0%} of memory\n"
        f"  prefill {rates['prefill_gflops']:.0f} GFLOP/s, {rates['share_of_products']:.0%} of matrix products",
        flush=True,
    )


def show_guesses(rows: Sequence[Numbers]) -> None:
    """Print the table of guesses."""
    print(f"\n{'text':8}{'temperature':>12}{'guessed':>9}{'tokens/s':>11}{'times':>7}{'right':>8}{'steps':>8}")
    for row in rows:
        right = "-" if row["right"] is None else f"{row['right']:.0%}"
        print(
            f"{row['text']:8}{row['temperature']:>12}{row['draft_tokens']:>9}{row['tokens_per_second']:>11,.1f}"
            f"{row['to_none']:>7.2f}{right:>8}{row['steps']:>8}"
        )


def main(argv: Sequence[str] | None = None, shapes: Mapping[str, ModelConfig] = SHAPES) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="write the numbers there, as JSON")
    parser.add_argument("--models", default="7M,42M", metavar="A,B", help=f"some of {', '.join(shapes)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", type=Path, help="a model that was trained on such text, to measure guesses")
    parser.add_argument("--code", type=Path, metavar="FILE", help="source code to go on with")
    parser.add_argument("--prose", type=Path, metavar="FILE", help="prose to go on with")
    args = parser.parse_args(argv)
    names = args.models.split(",")
    if unknown := [name for name in names if name not in shapes]:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(shapes)}")
    files = {name: file for name, file in (("code", args.code), ("prose", args.prose)) if file}
    if bool(args.run) != bool(files):
        parser.error("guesses need --run and a text, --code or --prose")
    torch.set_num_threads(args.threads)
    result: Numbers = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processor": cpu_name(),
        "threads": args.threads,
        "rounds": args.rounds,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "models": {},
        "guessing_model": None,
        "guessing": [],
    }
    for name in names:
        result["models"][name] = measured(shapes[name], args.threads, args.rounds)
        show(name, result["models"][name])
        write_text(args.out, json.dumps(result, indent=1) + "\n")
    if args.run:
        config = read_config(args.run)
        result["guessing_model"] = {"parameters": count_parameters(config), "context_length": config.context_length}
        result["guessing"] = guessing(args.run, files, args.threads, args.rounds)
        show_guesses(result["guessing"])
        write_text(args.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
