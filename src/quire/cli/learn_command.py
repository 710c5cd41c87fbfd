"""How a function that explains something becomes a command of `quire learn`."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import typer
from typer.core import TyperCommand

from quire.cli.printable import print_utf8
from quire.errors import UsageError

if TYPE_CHECKING:
    from quire.scratch.explain import Explanation

Explains: TypeAlias = "Callable[..., Explanation]"

AS_JSON = typer.Option(False, "--json", help="Print one JSON object: title, result in full precision, steps.")
AS_MARKDOWN = typer.Option(False, "--markdown", help="Print Markdown with LaTeX.")
DIGITS = typer.Option(4, metavar="N", help="Decimals of numbers that have to be rounded, 1 to 12.")
SHARED = (("as_json", AS_JSON, bool), ("as_markdown", AS_MARKDOWN, bool), ("digits", DIGITS, int))


class NumbersCommand(TyperCommand):
    """A command to which -1,2 is a row of numbers, not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # What begins with a blank is no option; whoever reads the numbers strips it.
        return super().parse_args(ctx, [f" {word}" if NUMBERS.match(word) else word for word in args])


NUMBERS = re.compile(r"-(\.?\d|inf|nan)", re.IGNORECASE)


def commands_of(group: typer.Typer) -> Callable[[str], Callable[[Explains], Callable[..., None]]]:
    """Return a decorator: with a name, it makes a function that returns an Explanation a command of the group.

    The command takes what the function takes, and `--json`, `--markdown` and `--digits`; it prints what it returns.
    """

    def learns(name: str) -> Callable[[Explains], Callable[..., None]]:
        return functools.partial(_register, group, name)

    return learns


def _register(group: typer.Typer, name: str, function: Explains) -> Callable[..., None]:
    @functools.wraps(function)
    def run(*, as_json: bool, as_markdown: bool, digits: int, **values: Any) -> None:
        if as_json and as_markdown:
            raise UsageError("--json and --markdown exclude each other")
        if not 1 <= digits <= 12:
            raise UsageError(f"{digits} is not from 1 to 12", where="--digits")
        try:
            explanation = function(**values)
        except ValueError as error:  # scratch tells what is wrong with its input in this way
            raise UsageError(str(error), where=f"learn {name}") from None
        print_utf8()  # formulas have such signs
        if as_json:
            print(json.dumps(explanation.to_json(), ensure_ascii=False, allow_nan=False))
        else:
            print(explanation.to_markdown(digits) if as_markdown else explanation.to_text(digits), end="")

    signature = inspect.signature(function)
    shared = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for key, default, kind in SHARED
    ]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *shared], return_annotation=None
    )
    kinds = {key: kind for key, _, kind in SHARED}
    run.__annotations__ = {key: kind for key, kind in (function.__annotations__ | kinds).items() if key != "return"}
    group.command(name, cls=NumbersCommand, no_args_is_help=True)(run)
    return run
