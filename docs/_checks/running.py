"""Executes a page from its first part to its last in a folder of its own, and says where it is not what it shows."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from _checks.pages import REPOSITORY, PageError, Part, tidy

# What commands print must not depend on the terminal or the machine that they happen to run on.
TERMINAL = {"COLUMNS": "80", "LINES": "24", "TERM": "dumb", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
COLOURING = ("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "GITHUB_ACTIONS", "TERMINAL_WIDTH")


class PageRun:
    """One page being executed: its namespace, its temporary folder, and the working folder to come back to."""

    def __init__(self, page: Path, namespace: dict[str, Any] | None = None) -> None:
        self.page = page
        self.namespace: dict[str, Any] = {} if namespace is None else namespace
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> PageRun:
        folder = self._undo.enter_context(tempfile.TemporaryDirectory())
        self._undo.callback(os.chdir, Path.cwd())
        self._undo.callback(self._restore, dict(os.environ))
        self._undo.enter_context(np.printoptions())  # what a page sets is set for that page
        os.chdir(folder)
        for name in COLOURING:
            os.environ.pop(name, None)
        os.environ.update(TERMINAL)
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    @staticmethod
    def _restore(environment: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(environment)

    def run(self, part: Part) -> str:
        """Execute one part after those before it; return what came out of it, tidied as outputs are compared.

        Raises:
            PageError: the part cannot be executed as it is written.
            Exception: whatever the code of the page raises.
        """
        if part.kind == "file":
            self._write(part)
            return ""
        if part.kind == "console":
            return tidy(self._command(part))
        if part.kind == "computed":
            code = compile("\n" * (part.line - 1) + part.source, str(self.page), "eval", dont_inherit=True)
            value = eval(code, self.namespace)
            if not isinstance(value, str):
                raise PageError(f"line {part.line}: `{part.source}` gives {type(value).__name__}, not text")
            return tidy(value).strip()
        printed = io.StringIO()
        code = compile("\n" * part.line + part.source, str(self.page), "exec", dont_inherit=True)
        with contextlib.redirect_stdout(printed):
            exec(code, self.namespace)
        return tidy(printed.getvalue())

    def problem(self, part: Part) -> str | None:
        """Execute one part; return how what came out differs from what the page shows, or None."""
        output = self.run(part)
        if part.kind == "file" or output == (part.shown or ""):
            return None
        relative = self.page.relative_to(REPOSITORY) if self.page.is_relative_to(REPOSITORY) else self.page
        if part.kind == "python" and part.shown is None:
            reason = "prints something, and no ```text block stands directly after it"
        elif part.kind == "python" and not output:
            reason = "prints nothing; put a sentence before the ```text block after it if that is not its output"
        else:
            reason = "does not give what the page shows"
        difference = difflib.unified_diff(
            (part.shown or "").split("\n"), output.split("\n"), "the page", "what came out", lineterm="", n=2
        )
        repair = f"if what came out is right: python docs/refresh.py {relative}"
        what = {"python": "block", "console": "command", "computed": "region"}[part.kind]
        return "\n".join([f"{relative}:{part.line}: this {what} {reason}", *difference, repair])

    def _write(self, part: Part) -> None:
        name = PurePosixPath(part.name)
        if name.is_absolute() or ".." in name.parts:
            raise PageError(f"line {part.line}: `# file: {part.name}` leaves the folder of the page")
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(part.source, "utf-8")

    def _command(self, part: Part) -> str:
        lexer = shlex.shlex(part.source, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words = list(lexer)
        if any(word and set(word) <= set("|&;<>") for word in words):
            raise PageError(f"line {part.line}: no shell runs this, write `quire learn …` without | & ; < >")
        start = [sys.executable, "-c", "from quire.cli.main import main; main()"]
        done = subprocess.run(
            [*start, *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False
        )
        if "Traceback (most recent call last)" in done.stdout:
            raise PageError(f"line {part.line}: {part.source} broke\n{done.stdout}")
        return done.stdout
