"""Messages of a conversation, typed at a terminal or read from standard input, over several lines if need be."""

from __future__ import annotations

import contextlib
import sys

from quire.errors import UsageError

QUOTES = '"""'


class ChatInput:
    """Reads messages.

    A line is a message. A line that ends with a backslash goes on in the next. Three quotes begin a message that ends
    with three quotes, on the same line or a later one.

    Attributes:
        interactive: somebody sits there: lines are asked for, and can be edited where Python has readline.
    """

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        sys.stdin.reconfigure(  # type: ignore[union-attr]
            encoding="utf-8", errors="replace" if self.interactive else "strict"
        )
        if self.interactive:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # `input` uses it once it is there

    def message(self) -> str | None:
        """Return the next message; None at the end. At a terminal, Ctrl-C drops what was begun."""
        while True:
            try:
                return self._message()
            except KeyboardInterrupt:
                if not self.interactive:
                    raise
                print("\nquire: /quit or Ctrl-D ends", file=sys.stderr)

    def _message(self) -> str | None:
        line = self._line("> ")
        if line is None:
            return None
        if line.startswith(QUOTES):
            return self._quoted(line[len(QUOTES) :])
        lines = []
        while line is not None and line.endswith("\\"):
            lines.append(line[:-1])
            line = self._line("… ")
        return "\n".join([*lines, *([] if line is None else [line])])

    def _quoted(self, line: str) -> str:
        lines = []
        following: str | None = line
        while following is not None and not following.rstrip().endswith(QUOTES):
            lines.append(following)
            following = self._line("… ")
        if following is not None:
            lines.append(following.rstrip()[: -len(QUOTES)])
        return "\n".join(lines).strip("\n")

    def _line(self, prompt: str) -> str | None:
        """Return the next line without its end; None where there is none."""
        if self.interactive:
            try:
                return input(prompt)
            except EOFError:
                print()
                return None
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"not UTF-8: byte {error.object[error.start]:#04x}",
                where="standard input",
                hint="Convert it first, for example with `iconv -f latin1 -t utf-8`",
            ) from None
        return line.rstrip("\r\n") if line else None
