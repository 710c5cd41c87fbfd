"""`quire generate`: text from a trained model."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import typer

from quire.errors import UsageError
from quire.inference.settings import SamplingSettings
from quire.settings import build, default_of, help_of


def _option(name: str, *flags: str) -> Any:
    return typer.Option(default_of(SamplingSettings, name), *flags, help=help_of(SamplingSettings, name))


def command(
    run: Path = typer.Argument(..., metavar="RUN", help="A run, or any Hugging Face folder of its layout."),
    prompt: str = typer.Argument("", metavar="[PROMPT]", help="What the text goes on from; - reads standard input."),
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
    samples: int = _option("num_samples", "--samples"),
    logprobs: int | None = _option("logprobs"),
    json_schema: str | None = typer.Option(None, metavar="FILE-or-JSON", help=help_of(SamplingSettings, "json_schema")),
    regex: str | None = _option("regex"),
    no_cache: bool = typer.Option(False, "--no-cache", help="Read everything anew for every token: slow, same text."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    device: str | None = typer.Option(None, help="cpu or cuda.  [default: a GPU where there is one]"),
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
        "num_samples": samples,
        "logprobs": logprobs,
        "json_schema": None if json_schema is None else _read_schema(json_schema),
        "regex": regex,
    }
    sampling = build(SamplingSettings, values, where="generate")
    text = _read_stdin() if prompt == "-" else _from_shell(prompt)

    from quire.inference.language import load

    language = load(run, device)
    began = time.perf_counter()
    writing = language.start(text, sampling, use_cache=not no_cache)
    # A text may hold characters that the terminal's encoding has not.
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    streaming = samples == 1 and not as_json
    for piece in writing:
        if streaming:
            print(piece.text, end="", flush=True)
    completions = writing.completions()
    seconds, first = time.perf_counter() - began, writing.seconds_to_first_token
    tokens = sum(len(completion.tokens) for completion in completions)
    if as_json:
        told = {
            "prompt": text,
            "seconds": seconds,
            "seconds_to_first_token": first,
            "tokens_per_second": tokens / seconds,
        }
        print(
            json.dumps(told | {"completions": [dataclasses.asdict(each) for each in completions]}, ensure_ascii=False)
        )
    elif streaming:
        print()
    else:
        for number, completion in enumerate(completions, 1):
            print(f"--- sample {number}\n{completion.text}")
    if completions[0].prompt_cut:
        cut = completions[0].prompt_cut
        print(f"quire: the prompt is longer than the context: its first {cut} tokens were not read", file=sys.stderr)
    print(
        f"{tokens} tokens, {tokens / seconds:,.1f} tokens/s, first after {1000 * first:,.0f} ms,"
        f" seed {completions[0].seed}, ended by {', '.join(sorted({each.finish for each in completions}))}",
        file=sys.stderr,
    )


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


def _from_shell(argument: str) -> str:
    # Bytes of the command line that are no UTF-8 arrive as lone surrogates.
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("not UTF-8", where="PROMPT") from None
    return argument
