"""A page of the documentation as parts that can be executed: what each runs, and where what came out of it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"

# What may stand after ``` (a fence without a language is drawn as Python by Sphinx, and is easily left unchecked).
LANGUAGES = frozenset({"python", "text", "console", "toml", "json", "bash", "markdown"})
DIRECTIVES = frozenset({"{toctree}", "{contents}", "{raw}", "{glossary}", "{literalinclude}"})

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)$", re.MULTILINE)
COMPUTED = re.compile(r"<!-- computed:(?P<expression>.*?)-->(?P<body>.*?)<!-- /computed -->", re.DOTALL)
HALF_COMPUTED = re.compile(r"<!-- (computed:|/computed\b)")
NAMED = re.compile(r"# file: *(\S+) *")


class PageError(ValueError):
    """A page is not written as it must be to be executed."""


@dataclass(frozen=True)
class Fence:
    """One fenced block: where it stands in the page, its language and what is in it, without its indentation."""

    start: int
    end: int
    body_start: int
    body_end: int
    line: int
    indent: str
    marks: str
    language: str
    body: str


@dataclass(frozen=True)
class Part:
    """Something that is executed.

    `source` is the code of a `python` block, the line of a `console` command, the expression of a `computed` region or
    the text of a `file`; `shown` is what the page says comes out of it (None: nothing stands there), from
    `shown_start` to `shown_end` in the page.
    """

    kind: Literal["python", "console", "computed", "file"]
    start: int
    end: int
    line: int
    source: str
    shown: str | None
    shown_start: int
    shown_end: int
    indent: str = ""
    name: str = ""


def pages() -> list[Path]:
    """Return every page: all Markdown under docs, and the README."""
    found = [
        page for page in DOCS.rglob("*.md") if not any(part.startswith("_") for part in page.relative_to(DOCS).parts)
    ]
    return [REPOSITORY / "README.md", *sorted(found)]


def line_of(markdown: str, position: int) -> int:
    """Return the number of the line that holds a position, from 1."""
    return markdown.count("\n", 0, position) + 1


def tidy(text: str) -> str:
    """Return text as outputs are compared: no blanks at the ends of lines, no empty lines around."""
    return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")


def fences(markdown: str) -> list[Fence]:
    """Return the fenced blocks of a page in order; what stands inside of a block is not looked into.

    Raises:
        PageError: a block is never closed.
    """
    found, position = [], 0
    while opening := FENCE.search(markdown, position):
        indent, marks = opening["indent"], opening["fence"]
        close = re.compile(rf"^ *{re.escape(marks[0])}{{{len(marks)},}} *$", re.MULTILINE)
        body_start = opening.end() + 1
        closing = close.search(markdown, body_start)
        line = line_of(markdown, opening.start())
        if closing is None:
            raise PageError(f"line {line}: this block is never closed")
        body = "\n".join(
            text.removeprefix(indent) for text in markdown[body_start : closing.start()].removesuffix("\n").split("\n")
        )
        found.append(
            Fence(
                start=opening.start(),
                end=closing.end(),
                body_start=body_start,
                body_end=closing.start(),
                line=line,
                indent=indent,
                marks=marks,
                language=opening["info"].strip(),
                body=body,
            )
        )
        position = closing.end()
    return found


def parts(markdown: str) -> list[Part]:
    """Return what a page executes, in order.

    Raises:
        PageError: a block or a computed region is not closed.
    """
    blocks = fences(markdown)
    found: list[Part] = []
    for number, block in enumerate(blocks):
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        if block.language == "python":
            found.append(_python(markdown, block, following))
        elif block.language == "console":
            found += _console(block)
        elif block.language == "toml" and (named := NAMED.match(block.body)):
            found.append(_part("file", block, block.body + "\n", name=named[1]))
    found += _computed(markdown, blocks)
    return sorted(found, key=lambda part: part.start)


def _part(kind: Literal["python", "file"], block: Fence, source: str, *, name: str = "") -> Part:
    return Part(kind, block.start, block.end, block.line, source, None, block.end, block.end, block.indent, name)


def _python(markdown: str, block: Fence, following: Fence | None) -> Part:
    alone = _part("python", block, block.body)
    if following is None or following.language != "text" or markdown[block.end : following.start].strip():
        return alone
    return Part(
        "python",
        block.start,
        following.end,
        block.line,
        block.body,
        tidy(following.body),
        following.body_start,
        following.body_end,
        block.indent,
    )


def _console(block: Fence) -> Iterator[Part]:
    lines = block.body.split("\n")
    offsets = [block.body_start]
    for line in lines:
        offsets.append(offsets[-1] + len(block.indent if line else "") + len(line) + 1)
    at = 0
    while at < len(lines):
        first = at
        at += 1
        command = lines[first]
        if not command.startswith("$ "):
            continue
        while command.endswith("\\") and at < len(lines):
            command = command[:-1] + lines[at].removeprefix(">")
            at += 1
        after = at
        while at < len(lines) and not lines[at].startswith("$ "):
            at += 1
        words = command[2:].split()
        if words[:2] == ["quire", "learn"] or words[:3] == ["quire", "plan", "--params"]:
            last = at
            while last > after and not lines[last - 1].strip():
                last -= 1
            yield Part(
                "console",
                offsets[first],
                offsets[at] - 1,
                block.line + 1 + first,
                command[2:],
                tidy("\n".join(lines[after:last])),
                offsets[after],
                offsets[last],
                block.indent,
            )


def _computed(markdown: str, blocks: list[Fence]) -> Iterator[Part]:
    outside = list(markdown)
    for block in blocks:  # what stands in a block is shown, not obeyed
        outside[block.start : block.end] = "\0" * (block.end - block.start)
    text = "".join(outside)
    text = re.sub(r"`[^`\n]+`", lambda code: "\0" * len(code[0]), text)
    ends = 0
    for region in COMPUTED.finditer(text):
        if HALF_COMPUTED.search(region["body"]):
            raise PageError(f"line {line_of(markdown, region.start())}: this computed region is never closed")
        ends += 2
        yield Part(
            "computed",
            region.start(),
            region.end(),
            line_of(markdown, region.start()),
            " ".join(markdown[slice(*region.span("expression"))].split()),
            tidy(markdown[slice(*region.span("body"))]).strip(),
            *region.span("body"),
        )
    if ends != len(HALF_COMPUTED.findall(text)):
        raise PageError("a computed region is opened and never closed, or closed and never opened")


def replaced(markdown: str, outputs: list[tuple[Part, str]]) -> str:
    """Return the page with what really came out of its parts in place of what it shows."""
    for part, output in sorted(outputs, key=lambda pair: pair[0].start, reverse=True):
        if part.kind == "file" or (part.shown is None and not output) or part.shown == output:
            continue
        text = "".join(f"{part.indent}{line}".rstrip() + "\n" for line in output.split("\n")) if output else ""
        if part.kind == "computed":
            alone = "\n" in markdown[part.shown_start : part.shown_end] or "\n" in output
            text = f"\n\n{output}\n\n" if alone else output
        elif part.shown is None:
            marks = "`" * max(3, 1 + max(map(len, re.findall(r"`{3,}", output)), default=0))
            text = f"\n\n{part.indent}{marks}text\n{text}{part.indent}{marks}"
        markdown = markdown[: part.shown_start] + text + markdown[part.shown_end :]
    return markdown
