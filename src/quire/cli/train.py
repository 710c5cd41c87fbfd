"""`quire train`: folders or a corpus to a trained run."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from quire.cli.ingest import source_name
from quire.cli.train_view import View
from quire.cli.waiting import wait_kindly
from quire.errors import QuireError, UsageError

MOST_MINUTES = 525_600.0  # a year


def command(
    sources: list[str] = typer.Argument(
        None, metavar="SOURCE...", help="Folders, files and databases to read (see quire ingest), or one corpus folder."
    ),
    out: Path | None = typer.Option(None, metavar="RUN", help="The run folder.  [default: runs/SOURCE]"),
    minutes: float | None = typer.Option(None, min=0.05, max=MOST_MINUTES, help="Training time.  [default: 10]"),
    steps: int | None = typer.Option(None, min=1, help="Train for so many optimizer steps instead of a time."),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in --out where it stopped."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the run in --out."),
    config: Path | None = typer.Option(None, metavar="FILE.toml", help="Settings by group, as in a run's run.toml."),
    assignments: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Set one value, such as model.hidden_size=256 or optimizer.kind=adamw."
    ),
    corpus: Path | None = typer.Option(None, metavar="CORPUS", help="Where the corpus goes.  [default: corpora/RUN]"),
    tensorboard: bool = typer.Option(False, "--tensorboard", help="Also write TensorBoard events, to RUN/quire."),
    profile: bool = typer.Option(
        False, "--profile", help="First show where the time of a step goes, and write a trace to RUN/quire/profile."
    ),
    no_ocr: bool = typer.Option(False, "--no-ocr", help="Do not recognise text in pictures and scanned pages."),
    shard: bool | None = typer.Option(
        None,
        "--shard/--no-shard",
        help="Of the processes that torchrun started, let each hold a slice of the model instead of a copy.",
        show_default=False,
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as one JSON object."),
) -> None:
    """Train a language model from folders or a corpus, in the minutes you give it.

    The plan - model size, tokenizer, batch, rates - is chosen from the corpus, this machine and the time, printed with
    its reasons and saved in RUN/quire/run.toml. Ctrl-C saves a checkpoint; the same command with --resume goes on.

    On several GPUs: torchrun --nproc-per-node N -m quire train ...
    """
    if resume:
        if out is None and len(sources or []) == 1:
            out = Path(sources[0])  # `quire train RUN --resume` reads naturally too
        if out is None:
            raise UsageError("--resume needs the run", hint="quire train --resume --out RUN")
        fixed = {"--minutes": minutes, "--steps": steps, "--config": config, "--set": assignments or None}
        fixed["--tensorboard"] = tensorboard or None
        given = [name for name, value in fixed.items() if value is not None]
        if given or overwrite:
            raise UsageError(
                f"{', '.join(given) or '--overwrite'} cannot be given with --resume: a resumed run keeps its settings"
            )
    elif _is_said("minutes", minutes, assignments) and _is_said("steps", steps, assignments):
        raise UsageError("minutes and steps are two ways to say how long: give one of them")
    elif not sources:
        raise UsageError("nothing to train on", hint="quire train FOLDER --minutes 10")
    busy = wait_kindly()
    # The rest imports torch, which takes seconds: only now, when the words of the call are right.
    from quire.corpus.settings import IngestSettings
    from quire.settings import build, merge, read_toml, with_assignments
    from quire.training.distributed import is_first, tell_once
    from quire.training.metrics import metrics_path, read_metrics
    from quire.training.run import resume as resume_run
    from quire.training.run import train

    settings = read_toml(config) if config is not None else {}
    for table in ("source", "plan", "reasons"):  # so that a run.toml can be given as it is
        settings.pop(table, None)
    if steps is not None:
        settings = merge(settings, {"training": {"steps": steps, "minutes": None}})
    if tensorboard:
        settings = merge(settings, {"training": {"tensorboard": True}})
    settings = with_assignments(settings, assignments)
    run = out if out is not None else Path("runs") / source_name(sources[0])
    view = View()
    if busy and is_first():
        view.show({"kind": "note", "step": 0, "text": busy})
    began = time.monotonic()
    try:
        if resume:
            if metrics_path(run).exists():
                view.remember(read_metrics(run, lenient=True))
            result = resume_run(run, shard=shard, profile=profile, listener=view.show)
        else:
            result = train(
                sources,
                run,
                minutes=minutes,
                settings=settings,
                ingest_settings=build(IngestSettings, {"read": {"ocr": not no_ocr}}, where="--no-ocr"),
                corpus=corpus,
                overwrite=overwrite,
                profile=profile,
                shard=bool(shard),
                listener=view.show,
                ingest_progress=view.ingest,
            )
    except KeyboardInterrupt:
        view.close()
        tell_once(lambda: print(_what_is_kept(run), file=sys.stderr))
        raise typer.Exit(130) from None
    except QuireError as error:
        view.close()
        message = f"quire: {error}"
        tell_once(lambda: print(message, file=sys.stderr, flush=True))
        raise typer.Exit(error.exit_code) from None
    finally:
        view.close()
    if not is_first():
        return
    if as_json:
        print(json.dumps(summary(result, time.monotonic() - began)))
    else:
        print_result(result, time.monotonic() - began)


def _is_said(name: str, option: float | None, assignments: list[str] | None) -> bool:
    """Whether a setting of training was given on the command line, by its option or by --set."""
    return option is not None or f"training.{name}" in {each.partition("=")[0].strip() for each in assignments or ()}


def _what_is_kept(run: Path) -> str:
    if (run / "quire" / "run.toml").exists():
        kept = f"What was learned is saved. Go on with: quire train --resume --out {run}"
    else:
        kept = "What was read is kept: the same command goes on from here."
    return f"{kept}\nquire: interrupted"


def summary(result: Any, seconds: float) -> dict[str, Any]:
    """Return what a finished run has to show, as one JSON object."""
    score = result.score
    return {
        "run": str(result.folder),
        "bits_per_byte": score.bits_per_byte,
        "nats_per_token": score.nats_per_token,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
        "validation_bytes": score.bytes,
        "steps": result.steps,
        "best_step": result.best_step,
        "training_seconds": result.seconds,
        "memory_bytes": result.memory_bytes,
        "seconds": seconds,
        "plots": [str(path) for path in result.plots],
        "report": str(result.report),
        "config": result.config.model_dump(mode="json"),
    }


def print_result(result: Any, seconds: float) -> None:
    """Print the closing table of a run."""
    from rich.console import Console
    from rich.table import Table

    from quire.model.size import count_parameters
    from quire.training.memory import memory_account

    score, config = result.score, result.config
    loss_plot = next((plot for plot in result.plots if plot.name == "loss.png"), result.plots[0])
    table = Table(show_header=False, box=None, pad_edge=False)
    early = "" if result.best_step == result.steps else f", best at step {result.best_step:,}"
    rows = [
        ("parameters", f"{count_parameters(config.model):,}"),
        ("steps", f"{result.steps:,}{early}"),
        ("time", f"{result.seconds:.0f} s of training, {seconds:.0f} s in all"),
        ("memory", memory_account(config, result.memory_bytes)),
        ("validation", f"{score.bits_per_byte:.4f} bits per byte, over {score.bytes:,} bytes"),
        ("", f"{score.nats_per_token:.4f} nats a token, perplexity {score.perplexity:.2f}"),
        ("", f"{score.accuracy:.1%} of next tokens guessed right"),
        ("run", str(result.folder)),
        ("report", str(result.report)),
        ("loss plot", str(loss_plot)),
        ("samples", str(result.folder / "quire" / "samples.md")),
        ("write with it", f'quire generate {result.folder} "Once"'),
    ]
    for name, value in rows:
        table.add_row(name, escape(value))
    Console(highlight=False, soft_wrap=True).print(table, soft_wrap=True)
