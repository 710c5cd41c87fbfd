"""`quire learn`: any computation of a network worked out step by step; `quire.scratch.explain` does the work."""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from quire.errors import UsageError

if TYPE_CHECKING:
    from quire.scratch.explain import Explanation

MOST = 64  # numbers of one row, tokens, neurons: what is still readable on paper
LARGEST = 1e6
LONGEST = 2000  # characters of a text

HELP = """Work out a neuron, a network, attention and more, step by step with all numbers.

\b
quire learn neuron --inputs 2,-1,0.5 --weights 0.5,-0.3,0.8 --bias 0.2
quire learn network net.toml
quire learn gate xor --hidden 3
quire learn softmax 2,1,0.1 --temperature 0.5
quire learn attention "a few words"
quire learn bpe "low lower lowest" --merges 3

Every command takes --markdown and --json.
"""


class NumbersCommand(TyperCommand):
    """A command to which -1,2 is a row of numbers, not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # What begins with a blank is no option; whoever reads the numbers strips it.
        return super().parse_args(ctx, [f" {word}" if NUMBERS.match(word) else word for word in args])


NUMBERS = re.compile(r"-(\.?\d|inf|nan)", re.IGNORECASE)

group = typer.Typer(help=HELP)

AS_JSON = typer.Option(False, "--json", help="Print one JSON object: title, result in full precision, steps.")
AS_MARKDOWN = typer.Option(False, "--markdown", help="Print Markdown with LaTeX.")
DIGITS = typer.Option(4, metavar="N", help="Decimals of numbers that have to be rounded, 1 to 12.")
SHARED = (("as_json", AS_JSON, bool), ("as_markdown", AS_MARKDOWN, bool), ("digits", DIGITS, int))


def learns(name: str) -> Callable[[Callable[..., Explanation]], Callable[..., None]]:
    """Register a function that returns an Explanation as the command `name`, and print what it returns."""

    def register(function: Callable[..., Explanation]) -> Callable[..., None]:
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
            # Formulas have signs that the terminal's encoding may not have.
            sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
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

    return register


# ---- what is read of the command line ------------------------------------------------------------------------------


def row(text: str, where: str) -> list[float]:
    """Return the numbers of `2,-1,0.5`. Raises `UsageError` that says which one is wrong and how."""
    words = text.strip().split(",")
    if words == [""]:
        raise UsageError("there is no number", where=where, hint="Numbers are joined by commas, as in 2,-1,0.5")
    if len(words) > MOST:
        raise UsageError(f"{len(words)} numbers; at most {MOST} can be followed on paper", where=where)
    return [one(word, f"{where}, number {count}") for count, word in enumerate(words, 1)]


def one(text: str | float, where: str) -> float:
    """Return a finite number of a size that can be shown. Raises `UsageError` that says what it is instead."""
    shown = str(text).strip()
    if not shown:
        raise UsageError("nothing stands there; a number is needed", where=where)
    try:
        value = float(shown)
    except ValueError:
        raise UsageError(f"{shown!r} is not a number", where=where) from None
    if not math.isfinite(value):
        raise UsageError(f"{shown} is not a finite number", where=where)
    if abs(value) > LARGEST:
        raise UsageError(f"{shown} is too large; from {-LARGEST:,.0f} to {LARGEST:,.0f} is allowed", where=where)
    return value


def whole(value: int, where: str, least: int, most: int) -> int:
    """Return `value` if it is from `least` to `most`. Raises `UsageError` otherwise."""
    if not least <= value <= most:
        raise UsageError(f"{value} is not from {least:,} to {most:,}", where=where)
    return value


# ---- the commands --------------------------------------------------------------------------------------------------


@learns("neuron")
def neuron(
    *,
    inputs: str = typer.Option(..., metavar="X,X,...", help="The inputs."),
    weights: str = typer.Option(..., metavar="W,W,...", help="As many weights."),
    bias: str = typer.Option("0", metavar="B", help="The bias."),
    activation: str = typer.Option(
        "relu", metavar="NAME", help="relu, sigmoid, tanh, gelu, gelu_tanh, silu, identity."
    ),
) -> Explanation:
    """Work out one neuron: each product, the sum, the activation."""
    from quire.scratch import explain

    return explain.neuron(row(inputs, "--inputs"), row(weights, "--weights"), one(bias, "--bias"), activation)


@learns("network")
def network(
    file: Path = typer.Argument(..., metavar="FILE.toml", help="inputs, [[layers]] with weights, biases, activation."),
) -> Explanation:
    """Work out a network layer by layer; with a target also its loss, backpropagation and one step of learning."""
    from quire.cli.network_file import read_network
    from quire.scratch import explain

    net, settings = read_network(file)
    if settings.target is None:
        return explain.network(net, settings.inputs)
    return explain.backpropagation(
        net, settings.inputs, settings.target, loss=settings.loss, learning_rate=settings.learning_rate
    )


@learns("gate")
def gate(
    name: str = typer.Argument(..., metavar="and|or|xor", help="Which gate."),
    *,
    weights: str | None = typer.Option(None, metavar="W,W", help="Two chosen weights, to be tried; with --bias."),
    bias: str | None = typer.Option(None, metavar="B", help="The chosen bias."),
    hidden: int = typer.Option(0, metavar="N", help="Learn with a hidden layer of N tanh neurons."),
    steps: int = typer.Option(1000, metavar="N", help="Steps of gradient descent."),
    learning_rate: str = typer.Option("1", metavar="R", help="Its learning rate."),
    seed: int = typer.Option(0, metavar="N", help="Of the random weights that a hidden layer begins with."),
) -> Explanation:
    """Let gradient descent find the weights of a logic gate, or try weights of your own."""
    from quire.scratch import explain

    if weights is not None and hidden:
        raise UsageError("chosen weights are those of one neuron: leave out --hidden", where="--weights")
    return explain.gate(
        name.lower(),
        weights=None if weights is None else row(weights, "--weights"),
        bias=None if bias is None else one(bias, "--bias"),
        hidden=whole(hidden, "--hidden", 0, 16),
        steps=whole(steps, "--steps", 0, 20000),
        learning_rate=one(learning_rate, "--learning-rate"),
        seed=whole(seed, "--seed", 0, 2**32 - 1),
    )


@learns("activation")
def activation(
    name: str = typer.Argument(..., help="relu, sigmoid, tanh, gelu, gelu_tanh, silu, identity."),
    z: str = typer.Argument(..., metavar="Z", help="Where."),
) -> Explanation:
    """Work out an activation and its slope at a value."""
    from quire.scratch import explain

    return explain.activation(name, one(z, "Z"))


@learns("softmax")
def softmax(
    scores: str = typer.Argument(..., metavar="Z,Z,...", help="The scores."),
    *,
    temperature: str = typer.Option("1", metavar="T", help="Divides the scores first; positive."),
) -> Explanation:
    """Work out the shares that softmax makes of scores."""
    from quire.scratch import explain

    return explain.softmax(row(scores, "Z"), temperature=one(temperature, "--temperature"))


@learns("example")
def example(name: str = typer.Argument(..., help="Which; a wrong name lists them.")) -> Explanation:
    """Work out one of the solved examples of the first chapter."""
    from quire.scratch.explain.examples import EXAMPLES

    if name not in EXAMPLES:
        raise UsageError(f"{name!r} is no solved example; there are {', '.join(EXAMPLES)}")
    return EXAMPLES[name]()
