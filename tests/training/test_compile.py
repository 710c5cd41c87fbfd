"""torch.compile is an acceleration, never a condition."""

import pytest
import torch

from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.training.compilation import History, load_history
from quire.training.compiled import compile_loss
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
    assert "torch.compile failed, going on without it: RuntimeError: no compiler here" in notes[0]
    assert losses(told) == losses(plain)


def test_a_compiler_that_fails_on_the_way_back_is_told_once_and_the_pass_repeated(
    run, config, data, tmp_path, monkeypatch
):
    """The pass backward is compiled when it is first taken, after the loss has come out well."""
    plain = []
    Trainer(tmp_path / "plain", config(), data, plain.append).run()

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise torch._dynamo.exc.BackendCompilerFailed(Broken, OSError(28, "No space left on device"), None)

    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *args: Broken.apply(function(*args)))
    told = []
    Trainer(run, config(training={"compile": True}), data, told.append).run()
    notes = [record["text"] for record in told if record["kind"] == "note"]
    assert len(notes) == 1
    assert "torch.compile failed, going on without it" in notes[0]
    assert losses(told) == losses(plain)
    assert load_history() == History()  # nothing was compiled


@pytest.mark.parametrize("chunked", [False, True])
def test_a_loss_in_chunks_is_left_out_on_a_cpu(chunked, monkeypatch):
    taken = []

    def compiling(function, **_):
        def call(*args):
            taken.append(function.__name__)
            return function(*args)

        return call

    monkeypatch.setattr(torch, "compile", compiling)
    if chunked:
        monkeypatch.setattr("quire.model.loss.WHOLE_BYTES", {"cpu": 0})
        monkeypatch.setattr("quire.model.loss.CHUNK_BYTES", {"cpu": 4 * 50 * 7})  # seven rows at once
    torch.manual_seed(0)
    shape = {"vocab_size": 50, "hidden_size": 32, "num_layers": 2, "num_heads": 2, "context_length": 16}
    model = Transformer(ModelConfig(**shape))
    tokens = torch.randint(50, (3, 16))
    expected = model.loss(tokens, tokens)
    (slope,) = torch.autograd.grad(expected, [model.head_weight])
    loss = compile_loss(model, pytest.fail)(tokens, tokens)
    assert taken == ["hidden" if chunked else "loss"]
    assert torch.equal(loss, expected)
    assert torch.equal(torch.autograd.grad(loss, [model.head_weight])[0], slope)


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")
def test_compiled_resumed_is_compiled_uninterrupted_to_the_bit(run, config, data, tmp_path):
    """Compiled code adds up embeddings by atomics, in any order, unless it is told not to."""
    over = {"training": {"compile": True, "micro_batch_size": 6, "steps": 8}}
    whole = Trainer(tmp_path / "whole", config(**over), data)
    whole.run()
    # What compiling took is on record, and another run, here as if in another process, finds its code in the cache.
    (first,) = load_history().compilations.values()
    assert (first.cold_seconds is not None, first.warm_seconds) == (True, None)
    torch._dynamo.reset()
    Trainer(tmp_path / "again", config(**over), data).run()
    (second,) = load_history().compilations.values()
    assert second.cold_seconds == first.cold_seconds
    assert second.warm_seconds is not None
    Trainer(run, config(**over), data).run(stop_at=5)
    resumed = Trainer(run, config(**over), data)
    resumed.run(resume=True)
    for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
