"""Memory that runs out: the micro-batch is halved, and nothing else about the run changes."""

import pytest
import torch

from quire.errors import QuireError
from quire.training.compiled import compile_loss
from quire.training.memory import (
    count_peak_from_here,
    is_out_of_memory,
    memory_account,
    peak_memory,
    predict_run_memory,
)
from quire.training.metrics import read_metrics
from quire.training.trainer import Trainer

CPU = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), RuntimeError(CPU), MemoryError()]


def too_small(trainer, rows, error, passes=1):
    """Let memory run out where more than `rows` windows are in one pass, in its `passes`-th or on the way back."""
    honest, count = trainer.summed_loss, 0

    def loss(x, y):
        nonlocal count
        value = honest(x, y)
        if len(x) > rows:
            count += 1
            if count % passes == 0:
                raise error
        return value

    trainer.summed_loss = loss


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu", "python"])
def test_a_run_whose_memory_runs_out_is_one_with_smaller_micro_batches(error, run, config, data, tmp_path):
    """Dropout is on: what is drawn must not depend on passes that were given up."""
    told = []
    trainer = Trainer(run, config(training={"micro_batch_size": 6}), data, told.append)
    # The second pass of 3 windows fails, too: gradients of the first are there by then.
    too_small(trainer, 2, error, passes=2)
    honest = trainer.summed_loss
    trainer.summed_loss = lambda x, y: (_ for _ in ()).throw(error) if len(x) > 3 else honest(x, y)
    trainer.run()
    assert trainer.state.micro_batch_size == 1
    notes = [r["text"] for r in told if r["kind"] == "note"]
    assert len(notes) == 1
    assert "micro-batches of 1 instead of 6 windows" in notes[0]
    small = Trainer(tmp_path / "small", config(training={"micro_batch_size": 1}), data)
    small.run()
    for ours, theirs in zip(trainer.model.parameters(), small.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    losses = [[r["loss"] for r in read_metrics(folder) if r["kind"] == "train"] for folder in (run, tmp_path / "small")]
    assert losses[0] == losses[1]


def test_the_gradient_is_that_of_the_batch_as_it_was(run, config, data, tmp_path):
    gradients = []
    for folder, rows in ((run, 1), (tmp_path / "whole", 6)):
        trainer = Trainer(folder, config(model={"dropout": 0.0}, training={"micro_batch_size": 6}), data)
        for _ in range(2):  # away from the zero-initialised projections
            trainer.step()
        too_small(trainer, rows, ERRORS[0])
        trainer._fitting_gradients(trainer.batches.next_batch())
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.model.parameters()]))
    assert (gradients[0] - gradients[1]).norm() / gradients[1].norm() < 1e-5


def test_the_smaller_micro_batch_is_kept_when_the_run_is_resumed(run, config, data, tmp_path):
    whole = Trainer(tmp_path / "whole", config(), data)
    too_small(whole, 2, ERRORS[1])
    whole.run()
    first = Trainer(run, config(), data)
    too_small(first, 2, ERRORS[1])
    first.run(stop_at=5)
    resumed = Trainer(run, config(), data)  # with memory enough
    resumed.run(resume=True)
    assert resumed.micro_batch_size == 2
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_one_window_that_does_not_fit_is_an_error_that_says_what_to_do(run, config, data):
    trainer = Trainer(run, config(), data)
    too_small(trainer, 0, ERRORS[0])
    with pytest.raises(QuireError, match=r"one window alone.*CUDA out of memory.*activation_checkpointing=true"):
        trainer.run()


def test_other_errors_are_not_taken_for_it(run, config, data):
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
    trainer = Trainer(run, config(), data)
    too_small(trainer, 0, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer.run()
    assert trainer.state.micro_batch_size == 0


def test_running_out_of_memory_is_no_failure_of_the_compiler(run, config, data, monkeypatch):
    def small(function, **options):
        def call(*args):
            raise ERRORS[0]

        return call

    monkeypatch.setattr(torch, "compile", small)
    notes = []
    loss = compile_loss(Trainer(run, config(), data).model, notes.append)
    with pytest.raises(torch.OutOfMemoryError):
        loss(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4, dtype=torch.int64))
    assert notes == []


def test_a_real_allocation_that_is_too_large_is_told_apart():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_the_peak_of_training_leaves_out_what_was_before():
    held = torch.ones(64 << 20)  # 256 MiB
    before = peak_memory("cpu")
    del held
    count_peak_from_here("cpu")
    assert peak_memory("cpu") < before - (128 << 20)


def test_the_account_holds_both_figures(config):
    account = memory_account(config(), 2_000_000_000)
    assert account.startswith("2.0 GB at most while training, ")
    assert account.endswith(f"{predict_run_memory(config()) / 1e9:.1f} predicted")
