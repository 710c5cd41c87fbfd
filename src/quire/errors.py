"""Errors that a user can cause or meet; the command line prints them without a traceback."""

from __future__ import annotations


class QuireError(Exception):
    """The work could not be done.

    Args:
        what: what was wrong, as a full sentence without a final full stop.
        where: the file, page, key or line it was met at, if there is one.
        hint: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = None if where is None else str(where)
        self.hint = hint

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.hint is None else f"{text}. {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling between worker processes.
        return (_rebuild, (type(self), self.what, self.where, self.hint))


def _rebuild(kind: type[QuireError], what: str, where: str | None, hint: str | None) -> QuireError:
    return kind(what, where=where, hint=hint)


class UsageError(QuireError):
    """The words of the call are wrong: an unknown key, a value out of bounds, a path that does not exist."""

    exit_code = 2


class ReadError(QuireError):
    """A source file could not be read as what it claims to be."""


class PasswordError(ReadError):
    """A source file is encrypted and no password, or a wrong one, was given."""


class FormatError(QuireError):
    """A file that quire wrote (corpus, shards, checkpoint, run) is missing, cut short or of another version."""
