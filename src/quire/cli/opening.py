"""How the commands that write open a model, and how Ctrl-C ends a text instead of the program."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quire.errors import UsageError
from quire.inference.settings import InferenceSettings
from quire.limits import usable_cores
from quire.settings import default_of, help_of

if TYPE_CHECKING:
    from quire.inference.language import LanguageModel
    from quire.inference.stream import Stream

BACKENDS = ("auto", "native", "torch")
COMPILING = "quire: compiling the steps for this processor once, 10 to 20 s …"


def weights_option() -> Any:
    """Return the option `--weights`."""
    return typer.Option(None, metavar="KIND", help="float32, int8 or int4; left out, as the run has them.")


def cache_dtype_option() -> Any:
    """Return the option `--cache-dtype`."""
    return typer.Option(default_of(InferenceSettings, "cache_dtype"), help=help_of(InferenceSettings, "cache_dtype"))


def backend_option() -> Any:
    """Return the option `--backend`."""
    return typer.Option(
        "auto",
        metavar="NAME",
        help="What computes: native (steps compiled for the CPU), torch, or auto, which chooses.",
    )


def threads_option() -> Any:
    """Return the option `--threads`."""
    return typer.Option(None, help=help_of(InferenceSettings, "threads"))


def device_option() -> Any:
    """Return the option `--device`."""
    return typer.Option(None, help="cpu or cuda; left out, a GPU where there is one.")


def open_model(
    run: Path, settings: InferenceSettings, *, device: str | None, weights: str | None, backend: str
) -> LanguageModel:
    """Open a model and make its engine; say on stderr if that needs steps to be compiled.

    Raises:
        UsageError: there is no such backend; and as `quire.inference.language.load`.
    """
    if backend not in BACKENDS:
        raise UsageError(f"{backend!r} is not one of {', '.join(BACKENDS)}", where="--backend")

    with _uncollected():
        import torch

        from quire.inference.language import load

        language = load(run, device, settings=settings, backend=backend, weights=weights)  # type: ignore[arg-type]
        if language.threads > usable_cores():
            print(
                f"quire: {language.threads} threads on {usable_cores()} cores: they wait for each other",
                file=sys.stderr,
            )
        torch.set_num_threads(language.threads)
        language.prepare(compiling=lambda: print(COMPILING, file=sys.stderr, flush=True))
    return language


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from what is loaded in here, now and when the program ends.

    Torch and numba are about a million objects that all stay. Looking through them again and again while they are
    loaded, and once more at the end, took 0.8 of 2.3 s of `quire generate` with a model of 12M parameters.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def from_shell(argument: str, where: str) -> str:
    """Return an argument of the command line. Raises `UsageError` where it is not UTF-8."""
    # Bytes that are no UTF-8 arrive as lone surrogates.
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("not UTF-8", where=where) from None
    return argument


class Interrupted:
    """Whether Ctrl-C ended a text."""

    def __init__(self) -> None:
        self.yes = False

    def __bool__(self) -> bool:
        return self.yes


@contextlib.contextmanager
def ended_by_ctrl_c(stream: Stream) -> Iterator[Interrupted]:
    """Let Ctrl-C end the texts of `stream` after the step that is under way; a second one ends the program.

    An exception in the middle of a step would leave the engine with half of it done.
    """
    interrupted = Interrupted()
    before = signal.getsignal(signal.SIGINT)

    def end(number: int, frame: Any) -> None:
        interrupted.yes = True
        for row in stream.rows:
            row.cancelled = True
        signal.signal(signal.SIGINT, before)

    if before != signal.SIG_IGN:  # as under nohup: then it is meant to go on
        signal.signal(signal.SIGINT, end)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
