"""torch.compile is an acceleration, never a condition."""

import pytest
import torch

from quire.training.machine import find_compiler
from quire.training.trainer import Trainer


def losses(records):
    return [record["loss"] for record in records if record["kind"] == "train"]


def test_a_compiler_that_fails_is_told_once_and_training_goes_on(run, config, data, tmp_path, monkeypatch):
    plain = []
    Trainer(tmp_path / "plain", config(), data, plain.append).run()

    def broken(function, **options):
        def call(*args):
            raise torch._dynamo.exc.BackendCompilerFailed(broken, RuntimeError("no compiler here"), None)

        return call

    monkeypatch.setattr(torch, "compile", broken)
    told = []
    Trainer(run, config(training={"compile": True}), data, told.append).run()
    notes = [record["text"] for record in told if record["kind"] == "note"]
    assert len(notes) == 1
    assert "torch.compile failed, going on without it" in notes[0]
    assert losses(told) == losses(plain)


def test_find_compiler_names_an_executable_or_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert find_compiler() is None


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
def test_compiled_resumed_is_compiled_uninterrupted_to_the_bit(run, config, data, tmp_path):
    """Compiled code adds up embeddings by atomics, in any order, unless it is told not to."""
    over = {"training": {"compile": True, "micro_batch_size": 6, "steps": 8}}
    whole = Trainer(tmp_path / "whole", config(**over), data)
    whole.run()
    Trainer(run, config(**over), data).run(stop_at=5)
    resumed = Trainer(run, config(**over), data)
    resumed.run(resume=True)
    for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
