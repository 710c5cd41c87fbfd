"""The `quire` command: finds the module of a command, runs it, and turns errors into exit codes."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

import quire
from quire.cli.printable import printable
from quire.errors import QuireError

# One line each, so that `quire --help` imports none of them.
COMMANDS = {
    "ingest": "Read folders of documents into a corpus; every file is accounted for.",
    "train": "Train a language model from folders or a corpus, in the minutes you give it.",
    "plan": "Say what a run would take: on this machine, or memory, time and cost on GPUs.",
    "generate": "Write text with a trained model.",
    "chat": "Talk with a trained model, turn by turn.",
    "eval": "Score a model on any text: bits per byte, perplexity, next-token accuracy.",
    "export": "Write a model with smaller weights, or as one GGUF file for llama.cpp, Ollama and others.",
    "plot": "Draw the pictures of a run from its metrics.",
    "show": "Say what a corpus, a run or a file is, and where a token came from.",
    "learn": "Work out a neuron, a network, attention and more, step by step with all numbers.",
    "bench": "Measure how fast a model reads and writes here, and what bounds it.",
    "doctor": "Say what this machine can do for quire.",
}


class CommandGroup(TyperGroup):
    """Imports `quire.cli.NAME` only when NAME is called; lists the others by their one line."""

    listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self.listing:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        module = importlib.import_module(f"quire.cli.{cmd_name}")
        if hasattr(module, "group"):
            return _group(cmd_name, module.group)
        function = module.command
        holder = typer.Typer(add_completion=False)
        holder.command(cmd_name, help=function.__doc__ or COMMANDS[cmd_name])(guarded(function))
        return typer.main.get_command(holder)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.listing = True
        super().format_help(ctx, formatter)


def _group(name: str, group: typer.Typer) -> Any:
    """Return a command that has commands of its own, those of `group`, each guarded like any other."""
    holder = typer.Typer(name=name, add_completion=False, no_args_is_help=True, help=group.info.help)
    for part in group.registered_commands:
        assert part.callback is not None
        holder.command(part.name, cls=part.cls, no_args_is_help=part.no_args_is_help)(guarded(part.callback))
    command = typer.main.get_group(holder)
    command.context_settings = {"help_option_names": ["-h", "--help"]}
    return command


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """Return `function` with quire's errors printed as one message and turned into exit codes."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
            sys.stdout.flush()
        except QuireError as error:
            print(f"quire: {printable(error, keep=chr(10))}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            print("quire: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader of our output left (`quire generate … | head`): nothing to tell it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            print("quire: the disk that standard output goes to is full", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None

    return run


app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"quire {quire.__version__}")
        raise typer.Exit(0)


@app.callback()
def about(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """From a folder of documents to a language model of it."""


def end_on_sigterm() -> None:
    """Let SIGTERM end the process as Ctrl-C does, tidily and with a word; a second one ends it at once.

    A process that torchrun started ends as before: its SIGTERM says that another one has died.
    """

    def end(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    if "TORCHELASTIC_RUN_ID" not in os.environ and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)


def main() -> None:
    """Run the command line. What is closed, output or errors, is written to nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # for as long as the process lives
    end_on_sigterm()
    app(prog_name="quire")
