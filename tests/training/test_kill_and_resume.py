"""Runs killed at random moments; benchmarks/kill_and_resume.py does a hundred of them."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"


def test_runs_killed_at_random_moments_end_with_the_same_weights(tmp_path):
    out = tmp_path / "kills.json"
    command = [sys.executable, str(SCRIPT), "--times", "4", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert (result["runs"], result["identical"], result["different"]) == (4, 4, [])
    assert result["kills"] >= 4
