"""A process of its own that is asked a line at a time and answers each with a line of JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar, cast

A = TypeVar("A", bound="Answering")


class AnswerError(Exception):
    """A process ended before it answered, or left itself out; the message is the last line it said."""


class Answering:
    """The process; the context manager ends it.

    Args:
        command: what to run.
        environment: all of its variables.
        log: where its errors go.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("w", encoding="utf-8") as said:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                encoding="utf-8",
                env=dict(environment),
            )
        self._lines, self._answers = cast(TextIO, self.process.stdin), cast(TextIO, self.process.stdout)

    def __enter__(self: A) -> A:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    def answer_to(self, line: str) -> Any:
        """Return the answer to a line."""
        with contextlib.suppress(OSError):  # where it ended, `answer` tells what it said last
            self._lines.write(line + "\n")
            self._lines.flush()
        return self.answer()

    def answer(self) -> Any:
        """Return its next answer. Raises `AnswerError` where none comes."""
        line = self._answers.readline()
        if not line:
            self.process.wait()
            said = self.log.read_text("utf-8", errors="replace").strip().splitlines()
            raise AnswerError((said or ["it said nothing"])[-1])
        return json.loads(line)
