"""`quire eval`: how well a model predicts texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quire.cli.opening import weights_option
from quire.errors import QuireError, UsageError

if TYPE_CHECKING:
    from quire.evaluation import Score


def command(
    run: Path = typer.Argument(..., metavar="RUN", help="A run, or any model folder that quire opens."),
    texts: list[Path] = typer.Argument(..., metavar="TEXT…", help="UTF-8 text files; - reads standard input."),
    stride: int | None = typer.Option(
        None, help="Tokens a window moves on; less than the context length gives tokens more context, and takes longer."
    ),
    weights: str | None = weights_option(),
    device: str | None = typer.Option(None, help="Where to compute, such as cpu or cuda; by default a GPU if there."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Score a model on any text: bits per byte, perplexity, next-token accuracy."""
    read = [(str(path), _read(path)) for path in texts]

    import torch

    from quire.evaluation import score
    from quire.interop.huggingface import load_model_folder
    from quire.model.quantization import load_weights

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"there is no device {place!r} here: {str(error).splitlines()[0]}") from None
    model, tokenizer = load_model_folder(run, place)
    model = load_weights(model, weights)
    scores: list[tuple[str, Score]] = []
    for name, text in read:
        if not text:
            raise QuireError("the text is empty", where=name)
        scores.append((name, score(model, tokenizer, text, stride=stride)))
        if sys.stderr.isatty():
            print(f"{name}: {len(text.encode()):,} bytes scored", file=sys.stderr)
    whole = sum((one for _, one in scores[1:]), scores[0][1])
    if as_json:
        report = {
            "run": str(run),
            "weights": model.weights_kind,
            **_numbers(whole),
            "texts": [{"text": name, **_numbers(one)} for name, one in scores],
        }
        print(json.dumps(report))
    else:
        _print_table([*scores, ("together", whole)] if len(scores) > 1 else scores)


def _read(path: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise QuireError(
            f"not UTF-8 text: byte {error.start} is {data[error.start]:#04x}",
            where=path,
            hint="`quire ingest` reads other encodings and formats",
        ) from None
    except FileNotFoundError:
        raise UsageError("no such file", where=path) from None
    except OSError as error:
        raise QuireError(error.strerror or str(error), where=path) from None


def _numbers(score: Score) -> dict[str, Any]:
    return {
        "bits_per_byte": score.bits_per_byte,
        "nats_per_token": score.nats_per_token,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
        "nats": score.nats,
        "tokens": score.tokens,
        "bytes": score.bytes,
    }


def _print_table(scores: list[tuple[str, Score]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("text", overflow="fold")
    for column in ("bits per byte", "nats per token", "perplexity", "accuracy", "tokens", "bytes"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, one in scores:
        table.add_row(
            name,
            f"{one.bits_per_byte:.4f}",
            f"{one.nats_per_token:.4f}",
            f"{one.perplexity:.2f}",
            f"{one.accuracy:.1%}",
            f"{one.tokens:,}",
            f"{one.bytes:,}",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)
