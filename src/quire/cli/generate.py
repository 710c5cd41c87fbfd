"""`quire generate`: text from a trained model."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quire.cli.opening import (
    backend_option,
    cache_dtype_option,
    device_option,
    ended_by_ctrl_c,
    from_shell,
    open_model,
    threads_option,
    weights_option,
)
from quire.cli.printable import print_utf8
from quire.errors import UsageError
from quire.inference.settings import InferenceSettings, SamplingSettings
from quire.settings import build, default_of, help_of

if TYPE_CHECKING:
    from quire.inference.stream import Stream


def _option(name: str, *flags: str, told: str = "") -> Any:
    text = f"{help_of(SamplingSettings, name)} {told}".rstrip()
    return typer.Option(default_of(SamplingSettings, name), *flags, help=text)


def command(
    run: Path = typer.Argument(..., metavar="RUN", help="A run, or any Hugging Face folder of its layout."),
    prompts: list[str] = typer.Argument(
        None, metavar="[PROMPT]…", help="What the text goes on from; - reads standard input; several: a text for each."
    ),
    *,
    max_tokens: int = _option("max_tokens"),
    temperature: float = _option("temperature"),
    top_k: int = _option("top_k"),
    top_p: float = _option("top_p"),
    min_p: float = _option("min_p"),
    typical_p: float = _option("typical_p"),
    repetition_penalty: float = _option("repetition_penalty"),
    frequency_penalty: float = _option("frequency_penalty"),
    presence_penalty: float = _option("presence_penalty"),
    logit_bias: list[str] = typer.Option([], metavar="ID=VALUE", help=help_of(SamplingSettings, "logit_bias")),
    ignore_eos: bool = typer.Option(False, "--ignore-eos", help=help_of(SamplingSettings, "ignore_eos")),
    seed: int | None = _option("seed"),
    stop: list[str] = typer.Option([], metavar="TEXT", help=help_of(SamplingSettings, "stop")),
    beyond_context: str = _option("beyond_context"),
    samples: int = _option("num_samples", "--samples"),
    logprobs: int | None = _option("logprobs", told="Shown by --json."),
    prompt_logprobs: int | None = _option("prompt_logprobs", told="Shown by --json."),
    json_schema: str | None = typer.Option(None, metavar="FILE-or-JSON", help=help_of(SamplingSettings, "json_schema")),
    regex: str | None = _option("regex"),
    weights: str | None = weights_option(),
    cache_dtype: str = cache_dtype_option(),
    backend: str = backend_option(),
    threads: int | None = threads_option(),
    draft_tokens: int = typer.Option(
        default_of(InferenceSettings, "draft_tokens"), help=help_of(InferenceSettings, "draft_tokens")
    ),
    device: str | None = device_option(),
    no_cache: bool = typer.Option(False, "--no-cache", help="Read everything anew for every token: slow, same text."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Write text with a trained model: the text to stdout as it comes, its speed to stderr."""
    values = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "typical_p": typical_p,
        "repetition_penalty": repetition_penalty,
        "frequency_penalty": frequency_penalty,
        "presence_penalty": presence_penalty,
        "logit_bias": dict(map(_read_bias, logit_bias)),
        "ignore_eos": ignore_eos,
        "seed": seed,
        "stop": tuple(stop),
        "beyond_context": beyond_context,
        "num_samples": samples,
        "logprobs": logprobs,
        "prompt_logprobs": prompt_logprobs,
        "json_schema": None if json_schema is None else _read_schema(json_schema),
        "regex": regex,
    }
    sampling = build(SamplingSettings, values, where="generate")
    engine = build(
        InferenceSettings,
        {"threads": threads, "cache_dtype": cache_dtype, "draft_tokens": draft_tokens},
        where="generate",
    )
    if no_cache:
        if cache_dtype != "auto" or backend == "native":
            useless = "--backend native" if backend == "native" else f"--cache-dtype {cache_dtype}"
            raise UsageError(f"{useless} is of no use: without a cache PyTorch reads", where="--no-cache")
        backend = "torch"
    if list(prompts or []).count("-") > 1:
        raise UsageError("standard input is one prompt: - stands there more than once", where="PROMPT")
    texts = [_read_stdin() if prompt == "-" else from_shell(prompt, "PROMPT") for prompt in prompts or [""]]

    language = open_model(run, engine, device=device, weights=weights, backend=backend)
    began = time.perf_counter()
    writing = language.start(texts, sampling, use_cache=not no_cache)
    print_utf8()
    heads = _heads(len(texts), samples)
    with ended_by_ctrl_c(writing) as interrupted:
        for text in _nothing(writing) if as_json else _in_order(writing, heads):
            print(text, end="", flush=True)
    completions = writing.completions()
    seconds, first = time.perf_counter() - began, writing.seconds_to_first_token
    tokens = sum(len(completion.tokens) for completion in completions)
    if as_json:
        told = {
            "prompts": texts,
            "seconds": seconds,
            "seconds_to_first_token": first,
            "tokens_per_second": tokens / seconds,
            "completions": [
                {"prompt": place // samples, **dataclasses.asdict(each)} for place, each in enumerate(completions)
            ],
        }
        print(json.dumps(told, ensure_ascii=False))
    for number, cut in enumerate((each.prompt_cut for each in completions[::samples]), 1):
        if cut:
            which = "the prompt" if len(texts) == 1 else f"prompt {number}"
            print(f"quire: {which} is longer than the context: its first {cut} tokens were not read", file=sys.stderr)
    print(
        f"{tokens} tokens, {tokens / seconds:,.1f} tokens/s, first after {1000 * first:,.0f} ms,"
        f" seed {completions[0].seed}, ended by {', '.join(sorted({each.finish for each in completions}))}",
        file=sys.stderr,
    )
    if interrupted:
        print(f"quire: interrupted; the {tokens} tokens written until then are above", file=sys.stderr)
        raise typer.Exit(130)


def _heads(prompts: int, samples: int) -> list[str]:
    """Return the line above each text; an empty one where there is only one text."""
    if prompts == 1:
        return [f"--- sample {number}\n" if samples > 1 else "" for number in range(1, samples + 1)]
    places = [(prompt, sample) for prompt in range(1, prompts + 1) for sample in range(1, samples + 1)]
    return [f"--- prompt {prompt}{f', sample {sample}' if samples > 1 else ''}\n" for prompt, sample in places]


def _in_order(writing: Stream, heads: Sequence[str]) -> Iterator[str]:
    """Yield the texts one below the other, each as it comes once those before it are complete."""
    waiting: list[list[str]] = [[] for _ in heads]
    come = [0] * len(heads)  # pieces of each, of which some may come after its end is known
    shown = 0
    yield heads[0]
    for piece in writing:
        waiting[piece.row].append(piece.text)
        come[piece.row] += 1
        while True:
            yield "".join(waiting[shown])
            waiting[shown].clear()
            row = writing.rows[shown]
            if row.finish is None or come[shown] < len(row.shown) or shown + 1 == len(heads):
                break
            shown += 1
            yield f"\n{heads[shown]}"
    for place in range(shown, len(heads)):
        head = f"\n{heads[place]}" if place > shown else ""
        yield f"{head}{''.join(waiting[place])}"
    yield "\n"


def _nothing(writing: Stream) -> Iterator[str]:
    """Let the texts be written and yield none of them."""
    for _ in writing:
        yield ""


def _read_bias(text: str) -> tuple[int, float]:
    id, _, value = text.partition("=")
    try:
        return int(id), float(value)
    except ValueError:
        raise UsageError(f"{text!r} is not of the form ID=VALUE, as in 123=-5", where="--logit-bias") from None


def _read_schema(text: str) -> str:
    """Return a schema that is given as JSON or as the name of a file that holds it."""
    if text.lstrip()[:1] in ("{", "["):
        return text
    path = Path(text)
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise UsageError("no such file, and no JSON object", where=f"--json-schema {text}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=f"--json-schema {path}") from None


def _read_stdin() -> str:
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"not UTF-8: byte {data[error.start]:#04x} at position {error.start}",
            where="standard input",
            hint="Convert it first, for example with `iconv -f latin1 -t utf-8`",
        ) from None
