"""`quire plot`: draw the pictures of runs."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from quire.errors import UsageError
from quire.files import why_no_folder


def command(
    runs: list[Path] = typer.Argument(..., metavar="RUN…", help="Run folders; they may still be training."),
    out: Path | None = typer.Option(
        None,
        help="Where to put the pictures: those of several runs together, and those of each in a folder.  "
        "[default: comparison and RUN/quire/plots]",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Draw the pictures of a run from its metrics, as PNG and SVG, and print where they are.

    Several runs are also drawn together: bits per byte and loss over steps, tokens and time.
    """
    names = [run.resolve().name for run in runs]
    if out is not None and len(set(names)) < len(names):
        raise UsageError("two of the runs have the same name, so their pictures cannot lie side by side", where="--out")
    for run in runs:
        if not run.is_dir():
            raise UsageError(why_no_folder(run), where=run)

    from quire.training.compare import compare
    from quire.training.plots import draw

    together: list[Path] = []
    if len({run.resolve() for run in runs}) > 1:
        together = compare(runs, out if out is not None else Path("comparison"))
        if not as_json:
            print(*together, sep="\n")
    written = {}
    for run, name in zip(runs, names, strict=True):
        written[str(run)] = draw(run, out / name if out is not None and len(runs) > 1 else out)
        if not as_json:
            print(*written[str(run)], sep="\n")
    if as_json:
        plots = {run: [str(path) for path in paths] for run, paths in written.items()}
        print(json.dumps({"plots": plots, "comparison": [str(path) for path in together]}))
