"""What the control groups of a process grant it, on a file system that looks like theirs."""

import os

import pytest

from quire import limits
from quire.limits import free_memory, granted_cores, granted_memory, memory_limit, unused_memory, usable_cores

VERSION_2 = "0::/kubepods/pod1/box\n"
VERSION_1 = "5:memory:/docker/box\n4:cpu,cpuacct:/docker/box\n1:name=systemd:/docker/box\n"


def system(tmp_path, own, files):
    (tmp_path / "cgroup").write_text(own)
    for name, content in files.items():
        path = tmp_path / "mounted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "mounted", tmp_path / "cgroup"


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        (VERSION_2, {}, None),
        ("", {}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        (VERSION_2, {"kubepods/pod1/box/cpu.max": "max 100000\n", "kubepods/cpu.max": "200000 100000\n"}, 2.0),
        (VERSION_2, {"kubepods/pod1/box/cpu.max": "50000 100000\n", "kubepods/cpu.max": "200000 100000\n"}, 0.5),
        (VERSION_2, {"other/cpu.max": "50000 100000\n"}, None),
        (
            VERSION_1,
            {
                "cpu,cpuacct/docker/box/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/docker/box/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
        (VERSION_1, {"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "50000\n"}, 0.5),
        (VERSION_1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "50000\n"}, None),
        (VERSION_1, {"cpu/cpu.cfs_quota_us": "25000\n"}, None),
        ("0::/../../elsewhere\nnot a line\n", {"cpu.max": "broken\n"}, None),
    ],
)
def test_cores(tmp_path, own, files, cores):
    assert granted_cores(*system(tmp_path, own, files)) == cores


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        (VERSION_2, {}, None),
        ("0::/\n", {"memory.max": "104857600\n"}, 104857600),
        ("0::/\n", {"memory.max": "max\n"}, None),
        (VERSION_2, {"kubepods/pod1/box/memory.max": "max\n", "kubepods/pod1/memory.max": "1000\n"}, 1000),
        (VERSION_1, {"memory/docker/box/memory.limit_in_bytes": "2000\n"}, 2000),
        (VERSION_1, {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 9223372036854771712),
    ],
)
def test_memory(tmp_path, own, files, limit):
    assert granted_memory(*system(tmp_path, own, files)) == limit


def test_a_file_that_cannot_be_read_is_no_limit(tmp_path):
    mounted, own = system(tmp_path, "0::/\n", {"cpu.max/held": "a folder in its place"})
    assert granted_cores(mounted, own) is None
    assert granted_cores(mounted, tmp_path / "missing") is None


def test_cores_and_memory_are_those_of_this_machine() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    assert memory_limit() >= free_memory() > 64 * 2**20


def test_a_container_s_share_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(limits, "granted_cores", lambda: 1.5)
    monkeypatch.setattr(limits, "granted_memory", lambda: 100 * 2**20)
    assert usable_cores() == 2
    assert memory_limit() == 100 * 2**20
    monkeypatch.setattr(limits, "granted_cores", lambda: 64.0)
    monkeypatch.setattr(limits, "granted_memory", lambda: 2**62)
    assert usable_cores() == 4
    assert 100 * 2**20 < memory_limit() < 2**62
    monkeypatch.setattr(limits, "granted_cores", lambda: None)
    monkeypatch.setattr(limits, "granted_memory", lambda: None)
    assert usable_cores() == 4


@pytest.mark.parametrize(
    ("own", "folder", "names"),
    [
        (VERSION_2, "kubepods/pod1/box", ("memory.max", "memory.current", "inactive_file")),
        (VERSION_1, "memory/docker/box", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
    ],
)
def test_free_is_what_the_group_has_not_used(tmp_path, monkeypatch, own, folder, names):
    limit, usage, kept = names
    files = {f"{folder}/{limit}": "1000", f"{folder}/{usage}": "700", f"{folder}/memory.stat": f"anon 1\n{kept} 200\n"}
    place = system(tmp_path, own, files)
    assert unused_memory(*place) == 500
    (place[0] / folder / usage).write_text("5000")
    assert unused_memory(*place) == 0
    (place[0] / folder / "memory.stat").write_bytes(b"\xff")
    assert unused_memory(*place) == 0
    monkeypatch.setattr(limits, "unused_memory", lambda: 64)
    assert free_memory() == 64
    monkeypatch.setattr(limits, "unused_memory", lambda: None)
    assert free_memory() > 64
