"""Runs killed at random moments; benchmarks/kill_and_resume.py does a hundred of them."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"


def test_runs_killed_at_random_moments_end_with_the_same_weights(tmp_path):
    spec = importlib.util.spec_from_file_location("kill_and_resume", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    result = script.kill_many(tmp_path, times=2, seed=0, every=0.0)
    assert (result["runs"], result["identical"], result["different"]) == (2, 2, [])
    assert result["kills"] == 2
