"""How much of a machine this process may use: where Linux sets its control groups limits, no more than those.

Control groups are of version 2 or of version 1, and bounded by those above them, too. In a container they may be
mounted as they are on the machine, or with the container's own as the root; both are looked at.

Source: the Linux kernel's Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

MOUNTED = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Return the CPU cores this process may use: those it is bound to, or less in a container with a share of them."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = granted_cores()
    return bound if granted is None else max(1, min(bound, math.ceil(granted)))


def memory_limit() -> int:
    """Return the bytes of memory this process may use: the machine's, or less in a container with a limit."""
    total = int(psutil.virtual_memory().total)
    granted = granted_memory()
    return total if granted is None else min(total, granted)


def free_memory() -> int:
    """Return the bytes of memory that this process could have now, without taking them from others."""
    available = int(psutil.virtual_memory().available)
    unused = unused_memory()
    return available if unused is None else min(available, unused)


def granted_cores(mounted: Path = MOUNTED, own: Path = OWN) -> float | None:
    """Return how many cores' time the groups of this process grant it; None where none is limited.

    Args:
        mounted: where the control groups are mounted.
        own: the file that says which groups this process is in.
    """
    pairs = [
        pair
        for group in _groups("cpu", mounted, own)
        for pair in (
            _numbers(group / "cpu.max"),
            _numbers(group / "cpu.cfs_quota_us") + _numbers(group / "cpu.cfs_period_us"),
        )
    ]
    shares = [pair[0] / pair[1] for pair in pairs if len(pair) == 2 and min(pair) > 0]
    return min(shares, default=None)


def granted_memory(mounted: Path = MOUNTED, own: Path = OWN) -> int | None:
    """Return how many bytes the groups of this process grant it; None where none is limited. Arguments as above."""
    limits = [
        limit
        for group in _groups("memory", mounted, own)
        for name in ("memory.max", "memory.limit_in_bytes")
        for limit in _numbers(group / name)
    ]
    return min(limits, default=None)


def unused_memory(mounted: Path = MOUNTED, own: Path = OWN) -> int | None:
    """Return the bytes that the groups of this process grant and that are not in use; None where none is limited.

    Files that were read and could be dropped are not counted as used. Arguments as for `granted_cores`.
    """
    unused = []
    for group in _groups("memory", mounted, own):
        for limit, usage, kept in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limits, used = _numbers(group / limit), _numbers(group / usage)
            if limits and used:
                unused.append(max(0, limits[0] - max(0, used[0] - _counted(group / "memory.stat", kept))))
    return min(unused, default=None)


def _counted(file: Path, name: str) -> int:
    """Return the number behind a name, a line for each in a file; 0 where there is none."""
    try:
        lines = [line.split() for line in file.read_text("ascii").splitlines()]
    except (OSError, UnicodeDecodeError):
        return 0
    return next((int(line[1]) for line in lines if len(line) == 2 and line[0] == name and line[1].isdecimal()), 0)


def _groups(controller: str, mounted: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of the groups of this process that may have a say over a controller, and of those above."""
    try:
        lines = own.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    tops = [(mounted, "/"), (mounted / controller, "/")]
    for line in lines:
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            tops.append((mounted, path))
        elif controller in names.split(","):
            tops += [(mounted / names, path), (mounted / controller, path)]
    for top, path in tops:
        group = top / path.strip("/")
        if ".." not in group.parts:
            yield from (group, *(above for above in group.parents if above.is_relative_to(top)))


def _numbers(file: Path) -> tuple[int, ...]:
    """Return the numbers in a file: none where it cannot be read, or where it grants all there is."""
    try:
        words = file.read_text("ascii").split()
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(map(int, words)) if words and all(word.isdecimal() for word in words) else ()
