"""Which files lie under the given folders, and which of them are left out by a rule."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quire.documents.ignore import IgnoreRules
from quire.documents.settings import WalkSettings
from quire.errors import UsageError

UNREADABLE = "unreadable"
"""The rule of folders that cannot be listed and of files that the system says nothing about."""

_ESCAPED = re.compile(r"\\(x[0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Found:
    """One thing met on the way: a file to read, or something left out and why.

    Args:
        path: where it lies.
        source: its POSIX path under the folder given; the same on every machine.
        size: in bytes; 0 for what holds none of its own, such as a link.
        rule: None for a file to read, else the rule that leaves it out: "hidden", "ignored", "excluded", "link",
            "special" (a pipe, socket or device) or "unreadable".
        detail: one sentence for the account, where there is a rule.
    """

    path: Path
    source: str
    size: int
    rule: str | None = None
    detail: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it is left out because the system refuses it, and not by choice."""
        return self.rule == UNREADABLE


@dataclass(frozen=True, slots=True)
class _Drop:
    """Why everything in a folder is left out."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    source: str  # with a final slash, or empty
    drop: _Drop | None
    excludes: IgnoreRules  # of the settings: no .gitignore file takes anything back from them
    ignores: IgnoreRules


def walk(roots: Sequence[Path], settings: WalkSettings) -> Iterator[Found]:
    """Yield every file under `roots` exactly once, in the order of their path's parts, root by root.

    Nothing passes silently: a file in an ignored or hidden folder is yielded too, with that folder's rule, so that
    files and bytes add up; it is not opened. Links are never followed (their targets, where they lie inside, are met
    themselves), except that a root may itself be a link. What is given as a root is taken, whatever its name; a root
    that lies inside another one is left to itself there.

    Args:
        roots: folders and single files. Where there are several, a folder's files carry its name in front.
        settings: what to leave out.

    Raises:
        UsageError: a root does not exist, or is given twice; before anything is yielded.
    """
    real: dict[str, Path] = {}
    for root in roots:
        if not os.path.lexists(root):
            raise UsageError("no such file or folder", where=root)
        if not os.path.exists(root):
            raise UsageError("a link that leads nowhere", where=root)
        place = os.path.realpath(root)
        if place in real:
            raise UsageError(f"the same as {real[place]}, which is given too", where=root, hint="Give it once")
        real[place] = Path(root)
    return _walk_roots(real, settings)


def _walk_roots(roots: dict[str, Path], settings: WalkSettings) -> Iterator[Found]:
    taken: set[str] = set()
    for place, root in roots.items():
        name = unused(_name(place), taken)
        if os.path.isdir(place):
            prefix = f"{name}/" if len(roots) > 1 else ""
            excludes = IgnoreRules().with_lines(settings.exclude, "the exclude setting")
            top = _Folder(str(root), prefix, None, excludes, IgnoreRules())
            yield from _walk_folder(top, place, roots.keys() - {place}, settings)
        else:
            yield _found(Path(root), name, os.stat(place), None)


def _walk_folder(top: _Folder, real_top: str, other_roots: set[str], settings: WalkSettings) -> Iterator[Found]:
    stack: list[tuple[_Folder, Iterator[os.DirEntry[str]]]] = []
    found = _enter(top, settings, stack)
    if found is not None:
        yield found
    while stack:
        folder, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        source = folder.source + _printable(entry.name)
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            state = entry.stat(follow_symlinks=False)
        except OSError as error:  # gone, or no permission, since the folder was listed
            why = folder.drop or _Drop(UNREADABLE, error.strerror or str(error))
            yield Found(Path(entry.path), source, 0, why.rule, why.detail)
            continue
        if other_roots and os.path.join(real_top, os.path.relpath(entry.path, top.path)) in other_roots:
            continue
        drop = folder.drop or _drop(entry, is_folder, folder, settings)
        if is_folder:
            excludes, ignores = folder.excludes.below(entry.name), folder.ignores.below(entry.name)
            found = _enter(_Folder(entry.path, f"{source}/", drop, excludes, ignores), settings, stack)
            if found is not None:
                yield found
        else:
            yield _found(Path(entry.path), source, state, drop)


def _enter(
    folder: _Folder, settings: WalkSettings, stack: list[tuple[_Folder, Iterator[os.DirEntry[str]]]]
) -> Found | None:
    """Put `folder` on the stack with its entries in order; return what to yield if it cannot be listed."""
    try:
        with os.scandir(folder.path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        drop = folder.drop or _Drop(UNREADABLE, f"a folder that cannot be listed: {error.strerror or error}")
        source = folder.source.rstrip("/") or _name(os.path.realpath(folder.path))
        return Found(Path(folder.path), source, 0, drop.rule, drop.detail)
    if settings.gitignore and folder.drop is None:
        folder = replace(folder, ignores=folder.ignores.with_file(folder.path, folder.source))
    stack.append((folder, iter(entries)))
    return None


def _drop(entry: os.DirEntry[str], is_folder: bool, folder: _Folder, settings: WalkSettings) -> _Drop | None:
    if entry.name.startswith(".") and not settings.hidden:
        return _Drop("hidden", f"{_printable(entry.name)} begins with a dot")
    for rule, rules in (("excluded", folder.excludes), ("ignored", folder.ignores)):
        reason = rules.match(entry.name, is_folder)
        if reason is not None:
            return _Drop(rule, _printable(reason))
    return None


def _found(path: Path, source: str, state: os.stat_result, drop: _Drop | None) -> Found:
    if stat.S_ISLNK(state.st_mode):
        return Found(path, source, 0, "link", f"a link to {_printable(os.readlink(path))}")
    if not stat.S_ISREG(state.st_mode):
        return Found(path, source, 0, "special", f"{_kind(state.st_mode)}, not a file")
    if drop is not None:
        return Found(path, source, state.st_size, drop.rule, drop.detail)
    return Found(path, source, state.st_size)


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _name(place: str) -> str:
    """Return what a root is called, in the account and in front of its files."""
    return _printable(os.path.basename(place) or "root")


def _printable(name: str) -> str:
    """Return `name` as text that can be stored; bytes that are not UTF-8 are written as in "caf\\xe9".

    Where these four letters stand in a name themselves, their backslash is written so too: no two names become one.
    """
    return os.fsencode(_ESCAPED.sub(r"\\x5c\1", name)).decode("utf-8", "backslashreplace")


def unused(name: str, taken: set[str]) -> str:
    """Return `name`, or "NAME (2)" and on where it is taken, and take it."""
    number, unused = 1, name
    while unused in taken:
        number += 1
        unused = f"{name} ({number})"
    taken.add(unused)
    return unused
