"""What .gitignore files mean, level by level, for one path at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class _Pattern:
    line: str
    include: bool  # False for a line that begins with "!"
    regex: re.Pattern[str]

    def matches(self, path: str) -> bool:
        """Whether `path` itself is meant, not only a folder above it: those were asked before."""
        for match in self.regex.finditer(path):
            # pathspec marks with the group ps_d the slash that ends a folder's own name.
            if match.groupdict().get("ps_d") is None or match.end() == len(path):
                return True
        return False


@dataclass(frozen=True, slots=True)
class _Level:
    """Patterns that hold at one folder and below."""

    patterns: tuple[_Pattern, ...]
    origin: str  # what the account calls them
    below: str = ""  # from the patterns' folder to the present one, with a final slash, or empty


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The patterns that hold in one folder: its own and those of the folders above, outermost first."""

    levels: tuple[_Level, ...] = ()

    def with_lines(self, lines: Iterable[str], origin: str) -> IgnoreRules:
        """Return these rules with `lines`, written as in a .gitignore file of the present folder."""
        from pathspec import GitIgnoreSpec

        lines = [line for line in lines if line]
        # The regular expressions are used one by one, so the backend that pathspec would match with does not matter.
        compiled = GitIgnoreSpec.from_lines(lines, backend="simple").patterns
        patterns = tuple(
            _Pattern(line, pattern.include, pattern.regex)
            for line, pattern in zip(lines, compiled, strict=True)
            if pattern.include is not None and pattern.regex is not None
        )
        return IgnoreRules((*self.levels, _Level(patterns, origin))) if patterns else self

    def with_file(self, folder: str, source: str) -> IgnoreRules:
        """Return these rules with those of the .gitignore file in `folder`, if it has one that can be read.

        As in git, a link of that name says nothing.
        """
        path = os.path.join(folder, ".gitignore")
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                data = file.read()
        except OSError:
            return self
        lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        return self.with_lines((line.removesuffix("\r") for line in lines), f"{source}.gitignore")

    def below(self, name: str) -> IgnoreRules:
        """Return the rules as they hold in the folder `name` of the present one."""
        return IgnoreRules(tuple(replace(level, below=f"{level.below}{name}/") for level in self.levels))

    def match(self, name: str, is_folder: bool) -> str | None:
        """Return which pattern leaves out `name` in the present folder, as a sentence, or None.

        The last pattern that matches decides, and a deeper file goes before those above it (gitignore(5)).
        """
        for level in reversed(self.levels):
            path = f"{level.below}{name}/" if is_folder else f"{level.below}{name}"
            for pattern in reversed(level.patterns):
                if pattern.matches(path):
                    return f"matches {pattern.line!r} in {level.origin}" if pattern.include else None
        return None
