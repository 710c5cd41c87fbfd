"""`quire chat`: a conversation with a trained model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from quire.cli.chat_input import ChatInput
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
from quire.cli.printable import print_utf8, printable
from quire.errors import QuireError, UsageError
from quire.inference.settings import InferenceSettings, SamplingSettings
from quire.settings import build, default_of, help_of, parse_assignment, with_assignments

if TYPE_CHECKING:
    from quire.inference.conversation import Conversation

TEMPLATE_HELP = (
    "paragraphs: what you type and each answer is a paragraph; plain: the model goes on right where your text ends;"
    ' or a text with {message} in it, as in "Question: {message}\\nAnswer:".'
)


def command(
    run: Path = typer.Argument(..., metavar="RUN", help="A run, or any Hugging Face folder of its layout."),
    *,
    template: str = typer.Option("paragraphs", help=TEMPLATE_HELP),
    begin: str = typer.Option("", metavar="TEXT", help="What stands before the first turn; sets the tone."),
    load: Path | None = typer.Option(None, metavar="FILE", help="Go on with a conversation that /save wrote."),
    assignments: list[str] = typer.Option(
        [], "--set", metavar="NAME=VALUE", help="Any setting of `quire generate`, as in --set top_p=0.9."
    ),
    max_tokens: int | None = typer.Option(None, help=help_of(SamplingSettings, "max_tokens")),
    temperature: float | None = typer.Option(None, help=help_of(SamplingSettings, "temperature")),
    seed: int | None = typer.Option(None, help="The same seed and the same words give the same conversation."),
    weights: str | None = weights_option(),
    cache_dtype: str = cache_dtype_option(),
    backend: str = backend_option(),
    threads: int | None = threads_option(),
    draft_tokens: int = typer.Option(
        default_of(InferenceSettings, "draft_tokens"), help=help_of(InferenceSettings, "draft_tokens")
    ),
    device: str | None = device_option(),
) -> None:
    """Talk with a trained model, turn by turn; /help lists what can be typed beside messages.

    A model of quire continues text and was not trained to answer: it gets the conversation as one text, see --template.
    """
    given = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    values = {name: value for name, value in given.items() if value is not None}
    sampling = build(SamplingSettings, with_assignments(values, assignments), where="chat")
    engine = build(
        InferenceSettings, {"threads": threads, "cache_dtype": cache_dtype, "draft_tokens": draft_tokens}, where="chat"
    )

    from quire.inference.conversation import Conversation, Template

    layout = Template.read(from_shell(template, "--template"))
    beginning = from_shell(begin, "--begin")
    language = open_model(run, engine, device=device, weights=weights, backend=backend)
    conversation = Conversation(language, layout, sampling, beginning)
    if load is not None:
        conversation.load(load)
    print_utf8()
    Chat(conversation).run()


class Chat:
    """A conversation at a terminal, or with lines of standard input for messages.

    Args:
        conversation: what is typed goes there.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.input = ChatInput()
        self.told_full = False
        self.commands: dict[str, tuple[str, str, Callable[[str], None]]] = {
            "help": ("", "this list", self.help),
            "retry": ("", "have the last message answered again", self.retry),
            "undo": ("", "take the last turn back", self.undo),
            "reset": ("", "take all turns back", self.reset),
            "begin": ("TEXT", "put TEXT before the first turn; without TEXT, nothing", self.begin),
            "text": ("", "show the text that the model is given", self.text),
            "set": ("NAME VALUE", "change a setting, as in /set temperature 0.5", self.set),
            "settings": ("", "show all settings", self.settings),
            "save": ("FILE", "write the conversation to a file", self.save),
            "load": ("FILE", "go on with a conversation that was saved", self.load),
            "quit": ("", "end; so does Ctrl-D", self.quit),
        }

    def run(self) -> None:
        """Answer until the input ends."""
        if self.input.interactive:
            note("What you type is laid out as text for the model to go on with. /help for more, Ctrl-D to end.")
        try:
            while (message := self.input.message()) is not None:
                try:
                    self.take(message)
                except QuireError as error:
                    if not self.input.interactive:
                        raise
                    note(str(error))
        except _Quit:
            pass

    def take(self, message: str) -> None:
        """Answer a message or do what a command says."""
        if message.startswith("//"):
            self.answer(message[1:])
        elif message.startswith("/"):
            name, _, rest = message[1:].partition(" ")
            if name not in self.commands:
                raise UsageError(f"there is no /{name}", hint="/help lists what there is; // begins a message with /")
            self.commands[name][2](rest.strip())
        elif message or self.conversation.template.name == "plain":
            self.answer(message)

    def answer(self, message: str) -> None:
        """Show the answer to a message as it comes; Ctrl-C ends it."""
        from quire.inference.conversation import outgrew

        stream = self.conversation.ask(message)
        keep = "\n\t" if self.input.interactive else None
        with ended_by_ctrl_c(stream) as interrupted:
            for piece in stream:
                print(piece.text if keep is None else printable(piece.text, keep=keep), end="", flush=True)
        print(flush=True)
        turn = self.conversation.take(message, stream)
        if interrupted and not self.input.interactive:
            raise KeyboardInterrupt
        if interrupted:
            note("stopped; what was written until then belongs to the conversation, /undo takes it back")
        elif not turn.answer:
            note("the model ended its answer before the first word; /retry asks again")
        if not self.told_full and (self.conversation.forgotten or outgrew(stream)):
            self.told_full = True
            note(
                f"the conversation is longer than the {self.conversation.context} tokens that the model sees:"
                " its oldest part is forgotten, from now on without a word"
            )

    def help(self, rest: str) -> None:
        for name, (value, told, _) in self.commands.items():
            print(f"/{f'{name} {value}':<16} {told}")
        print('A line that ends with \\ goes on; """ begins and ends a message of several lines.')
        print("Ctrl-C stops an answer.  //… is a message that begins with /.")

    def retry(self, rest: str) -> None:
        turn = self.conversation.undo()
        if turn is None:
            raise UsageError("there is no message to answer again")
        self.answer(turn.message)

    def undo(self, rest: str) -> None:
        turn = self.conversation.undo()
        note("there is nothing to take back" if turn is None else f"taken back: {_short(turn.message)}")

    def reset(self, rest: str) -> None:
        self.conversation.reset()
        self.told_full = False
        note("a new conversation")

    def begin(self, rest: str) -> None:
        self.conversation.beginning = rest

    def text(self, rest: str) -> None:
        text = self.conversation.text()
        print(printable(text, keep="\n\t") if self.input.interactive else text)

    def set(self, rest: str) -> None:
        name, _, value = rest.partition("=" if "=" in rest.split(" ", maxsplit=1)[0] else " ")
        (key, *below), read = parse_assignment(f"{name.strip()}={value.strip()}")
        read = None if read in ("none", "None", "") else read
        told = {".".join([key, *below]): read}
        self.conversation.sampling = build(
            SamplingSettings, self.conversation.sampling.model_dump() | told, where="/set"
        )

    def settings(self, rest: str) -> None:
        for name, value in self.conversation.sampling.model_dump().items():
            print(f"{name:<20} {'none' if value is None else value}")
        print(f"{'template':<20} {self.conversation.template.name!r}")
        print(f"{'beginning':<20} {self.conversation.beginning!r}")

    def save(self, rest: str) -> None:
        path = _path(rest, "/save")
        self.conversation.save(path)
        turns = len(self.conversation.turns)
        note(f"{turns} turn{'' if turns == 1 else 's'} written to {path}")

    def load(self, rest: str) -> None:
        path = _path(rest, "/load")
        self.conversation.load(path)
        self.told_full = False
        note(f"{len(self.conversation.turns)} turns read from {path}")

    def quit(self, rest: str) -> None:
        raise _Quit


class _Quit(Exception):  # noqa: N818  # no error
    """The user has ended the conversation."""


def note(text: str) -> None:
    """Say something that is not part of an answer."""
    print(f"quire: {printable(text)}", file=sys.stderr, flush=True)


def _path(text: str, command: str) -> Path:
    if not text:
        raise UsageError(f"{command} needs the name of a file")
    return Path(text).expanduser()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
