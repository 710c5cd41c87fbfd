"""How much of a machine Linux grants this process: the limits of its control groups, of version 2 and of version 1.

A group is bounded by those above it, too. In a container the groups may be mounted as they are on the machine, or with
the container's own as the root; both are looked at.

Source: the Linux kernel's Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


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
