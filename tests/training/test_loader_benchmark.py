"""What benchmarks/loader.py says of reading: what was dropped from memory comes from the disk, and only then."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import loader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process read from the disk")


def test_three_ways_to_read_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = loader.measure(tmp_path, gigabytes=0.05, rounds=1, steps=1)
    assert result["way"].startswith("dropped from memory")
    memory, disk, untold = (result["ways"][name] for name in ("in memory", "on the disk", "not told ahead"))
    assert memory["kib_a_batch"] == 0
    assert all(0 < way["loader_share"] < 1 and way["steps_per_second"] > 0 for way in (memory, disk, untold))
    if not untold["kib_a_batch"]:
        pytest.skip("this file system does not let go of what is in memory")
    assert 0 < disk["kib_a_batch"] <= untold["kib_a_batch"]
    loader.show(result)
    assert "| on the disk |" in capsys.readouterr().out
