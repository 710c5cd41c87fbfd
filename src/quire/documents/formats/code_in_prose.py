"""Where the code stands in prose that is read as it is written: Markdown, reStructuredText, AsciiDoc, Org.

One pass, line by line: a text of openings that nothing closes takes no longer than another one.

Source: CommonMark 0.31, sections 4.4 (indented code), 4.5 (fenced code) and 6.1 (code spans, here within a line);
docutils' literal blocks; the listing and literal blocks of AsciiDoc; the blocks of Org.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

Code = Callable[[str], Iterator[tuple[int, int]]]
"""A text -> the places of its code, (start, end), in order; none touches the one before it."""

Closes = Callable[[str], bool]
"""A line, with its end -> whether it is the last one of a block."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ORG = re.compile(r"[ \t]*#\+begin_(\w+)", re.IGNORECASE)
_RULE = re.compile(r"(-{4,}|\.{4,})[ \t\r]*$", re.MULTILINE)
_TICKS = re.compile("`+")


def code_in_markdown(text: str) -> Iterator[tuple[int, int]]:
    """Yield the fenced and indented blocks and the code spans of Markdown."""
    return _code(text, _fence, ("    ", "\t"))


def code_in_rst(text: str) -> Iterator[tuple[int, int]]:
    """Yield the indented lines and the literals of reStructuredText."""
    return _code(text, _none, ("  ", "\t"))


def code_in_asciidoc(text: str) -> Iterator[tuple[int, int]]:
    """Yield the ruled blocks, indented lines and literals of AsciiDoc."""
    return _code(text, _rule, ("  ", "\t"))


def code_in_org(text: str) -> Iterator[tuple[int, int]]:
    """Yield the blocks, indented lines and literals of Org."""
    return _code(text, _org, ("  ", "\t"))


def _code(text: str, opened: Callable[[str], Closes | None], indents: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    closes: Closes | None = None
    began, start = -1, 0  # of the code that goes on, and of the line
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        line = text[start:end]
        if closes is not None:
            if closes(line):
                closes = None
        elif (closes := opened(line)) is not None or line.startswith(indents):
            began = start if began < 0 else began
        else:
            if began >= 0:
                yield began, start
                began = -1
            if "`" in line:
                yield from ((start + first, start + last) for first, last in _spans(line))
        start = end
    if began >= 0:
        yield began, len(text)


def _spans(line: str) -> Iterator[tuple[int, int]]:
    """Yield the code spans of a line: from a run of backticks to the next run as long."""
    runs = [(run.start(), run.end()) for run in _TICKS.finditer(line)]
    partner: dict[int, int] = {}  # number of a run -> of the next one as long
    following: dict[int, int] = {}  # length -> number of the first run so long among those behind
    for number in range(len(runs) - 1, -1, -1):
        length = runs[number][1] - runs[number][0]
        if length in following:
            partner[number] = following[length]
        following[length] = number
    number = 0
    while number < len(runs):
        if number in partner:
            yield runs[number][0], runs[partner[number]][1]
            number = partner[number]
        number += 1


def _none(line: str) -> None:
    return None


def _fence(line: str) -> Closes | None:
    found = _FENCE.match(line)
    if found is None:
        return None
    fence = found[1]
    if fence[0] == "`" and "`" in line[found.end() :]:  # a code span
        return None

    def closes(line: str) -> bool:
        bare = line.strip(" \t\r\n")
        return bare.startswith(fence) and not bare.strip(fence[0]) and len(line) - len(line.lstrip(" ")) < 4

    return closes


def _rule(line: str) -> Closes | None:
    found = _RULE.match(line)
    if found is None:
        return None
    rule = found[1]
    return lambda line: line.rstrip(" \t\r\n") == rule


def _org(line: str) -> Closes | None:
    found = _ORG.match(line)
    if found is None:
        return None
    end = f"#+end_{found[1]}".casefold()
    return lambda line: line.strip().casefold() == end
