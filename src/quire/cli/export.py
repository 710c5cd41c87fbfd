"""`quire export`: a model in the form of another program, or smaller."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from quire.errors import UsageError

if TYPE_CHECKING:
    from quire.interop.gguf import GGUFType
    from quire.model.quantization import Kind

Format = Callable[[Path, "str | None", "Path | None", bool], "tuple[dict[str, Any], list[str]]"]


def command(
    run: Path = typer.Argument(..., metavar="RUN", help="A run, or any model folder that quire opens."),
    *,
    to: str = typer.Option(
        ...,
        "--to",
        metavar="FORMAT",
        help="gguf: one file for llama.cpp, Ollama and others. int8, int4: a folder of smaller weights, for quire.",
    ),
    type: str | None = typer.Option(
        None,
        "--type",
        help="Of a GGUF file's matrices: f32 (exact), bf16 (half the size), q8_0 (a quarter); by default f32.",
    ),
    out: Path | None = typer.Option(
        None, help="What to write; by default RUN-TYPE.gguf, RUN-int8 or RUN-int4 beside the run."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the GGUF file that is there."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Write a model as other programs open it, or with smaller weights. A run is a Hugging Face folder already."""
    if to not in FORMATS:
        hint = "A run is a Hugging Face folder as it stands" if to == "huggingface" else None
        raise UsageError(f"{to!r} is not one of {', '.join(FORMATS)}", where="--to", hint=hint)
    told, lines = FORMATS[to](run, type, out, overwrite)
    print(json.dumps(told) if as_json else "\n".join(lines))


def _gguf(run: Path, type: str | None, out: Path | None, overwrite: bool) -> tuple[dict[str, Any], list[str]]:
    from quire.interop.gguf import GGUF_TYPES, export_gguf

    type = type or "f32"
    if type not in GGUF_TYPES:
        raise UsageError(f"{type!r} is not one of {', '.join(GGUF_TYPES)}", where="--type")
    place = out or _beside(run, f"-{type}.gguf")
    written = export_gguf(run, place, cast("GGUFType", type), overwrite=overwrite)
    told = {"run": str(run), "format": "gguf", **dataclasses.asdict(written), "path": str(written.path)}
    lines = [
        f"{written.path}: {written.bytes:,} bytes, {written.parameters:,} parameters, architecture"
        f" {written.architecture}, {written.type}"
    ]
    if written.wider:
        lines.append(
            f"{len(written.wider)} of {written.tensors} tensors stay float32, as their rows are no multiple of 32"
            f" numbers: {', '.join(written.wider[:3])}{' …' if len(written.wider) > 3 else ''}"
        )
    return told, lines


def _smaller(kind: Kind) -> Format:
    """Return what writes a folder with weights of `kind`."""

    def write(run: Path, type: str | None, out: Path | None, overwrite: bool) -> tuple[dict[str, Any], list[str]]:
        from quire.evaluation.smaller import export_and_measure

        if type is not None:
            raise UsageError(f"{type!r} is a type of GGUF files, and --to {kind} writes none", where="--type")
        if overwrite:
            raise UsageError(f"a folder is not replaced by --to {kind}: choose another --out", where="--overwrite")
        place = out or _beside(run, f"-{kind}")
        report = export_and_measure(run, place, kind)
        before, after = ((None if score is None else score.bits_per_byte) for score in (report.before, report.after))
        told = {
            "run": str(run),
            "format": kind,
            "path": str(place),
            "bytes_before": report.sizes.before,
            "bytes": report.sizes.after,
            "bits_per_byte_before": before,
            "bits_per_byte": after,
            "change": report.change,
            "unmeasured": report.unmeasured,
            "warning": report.warning,
        }
        if report.warning is not None:
            print(f"quire: {report.warning}", file=sys.stderr)
        return told, [f"{place}:", *report.lines()]

    return write


def _beside(run: Path, end: str) -> Path:
    named = run if run.name not in ("", "..") else run.resolve()
    return named.with_name(f"{named.name}{end}")


# What `--to` names: given (run, --type, --out, --overwrite), each returns the JSON object and the lines to print.
FORMATS: dict[str, Format] = {"gguf": _gguf, "int8": _smaller("int8"), "int4": _smaller("int4")}
