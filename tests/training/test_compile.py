"""torch.compile is an acceleration, never a condition."""

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
