"""The laws of training: accumulated = one big batch, resumed = uninterrupted, nothing non-finite reaches a weight."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from sameness import assert_same, weights

from quire.errors import QuireError
from quire.interop.huggingface import load_model_folder
from quire.tokens.batches import Batch
from quire.training.checkpoint import latest_checkpoint, read_state
from quire.training.metrics import read_metrics
from quire.training.precision import MixedPrecision
from quire.training.samples import HEADING
from quire.training.trainer import Trainer


def gradients_of(trainer, batch):
    trainer.optimizer.zero_grad()
    trainer.gradients(batch)
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("rows", [1, 2, 4, 5])
def test_accumulated_gradients_are_those_of_the_one_big_batch(rows, run, config, data):
    """Six windows in micro-batches of 1, 2, 4 + 2 and 5 + 1, some windows with fewer targets than others."""
    big = Trainer(run, config(model={"dropout": 0.0}, training={"micro_batch_size": 6}), data)
    for _ in range(3):  # away from the zero-initialised projections, whose gradients would hide errors
        big.step()
    batch = big.batches.next_batch()
    targets = batch.targets.copy()
    targets[1, 10:] = -100
    targets[5, 3:] = -100
    batch = replace(batch, targets=targets) if hasattr(batch, "__dataclass_fields__") else Batch(batch.inputs, targets)
    small = Trainer(run, config(model={"dropout": 0.0}, training={"micro_batch_size": rows}), data)
    small.model.load_state_dict(big.model.state_dict())
    whole, summed = gradients_of(big, batch), gradients_of(small, batch)
    assert (summed - whole).norm() / whole.norm() < 1e-5
    # and they are those of the mean over all targets, computed in one piece without the trainer
    big.optimizer.zero_grad()
    loss = big.model.loss(torch.from_numpy(batch.inputs), torch.from_numpy(targets))
    (loss / int((targets != -100).sum())).backward()
    plain = torch.cat([p.grad.flatten() for p in big.model.parameters() if p.grad is not None])
    assert (summed - plain).norm() / plain.norm() < 1e-5


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_resumed_is_uninterrupted_to_the_bit(kind, precision, run, config, data, tmp_path):
    over = {"optimizer": {"kind": kind}, "training": {"precision": precision}}
    whole = Trainer(tmp_path / "whole", config(**over), data)
    whole.run()
    for stop in (3, 7):  # stopped twice, once between checkpoints and once after an evaluation
        Trainer(run, config(**over), data).run(resume=stop > 3, stop_at=stop)
    resumed = Trainer(run, config(**over), data)
    resumed.run(resume=True)
    assert_same(weights(whole), weights(resumed))
    assert resumed.state.best_step == whole.state.best_step
    assert_same(*(safetensors.torch.load_file(f / "model.safetensors") for f in (tmp_path / "whole", run)))
    # The records are those of one run too: no step twice, none missing, the same losses.
    ours, theirs = (
        [(r["kind"], r["step"], r["loss"]) for r in read_metrics(folder)] for folder in (run, tmp_path / "whole")
    )
    assert ours == theirs
    samples = [(folder / "quire" / "samples.md").read_text() for folder in (run, tmp_path / "whole")]
    assert samples[0] == samples[1]


def test_a_finished_run_resumes_to_itself(run, config, data):
    first = Trainer(run, config(), data)
    first.run()
    before = (run / "quire" / "metrics.jsonl").read_text()
    again = Trainer(run, config(), data)
    again.run(resume=True)
    assert_same(weights(first), weights(again))
    assert (run / "quire" / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_the_end_of_a_queue_save_and_say_so(number, run, config, data, tmp_path):
    whole = Trainer(tmp_path / "whole", config(), data)
    whole.run()

    def press(record):
        if record["kind"] == "train" and record["step"] == 6:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        Trainer(run, config(), data, press).run()
    assert read_state(latest_checkpoint(run)[0]).step in (6, 7)
    assert signal.getsignal(number) is before
    resumed = Trainer(run, config(), data)
    resumed.run(resume=True)
    assert_same(weights(whole), weights(resumed))


def poison(trainer, steps):
    """Make the gradients of the given steps not finite, as an overflow would."""
    honest = trainer.summed_loss

    def loss(x, y):
        value = honest(x, y)
        return value * float("nan") if trainer.state.step in steps else value

    trainer.summed_loss = loss


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_steps_that_are_not_finite_are_skipped_and_counted(precision, run, config, data):
    trainer = Trainer(run, config(training={"precision": precision}), data)
    poison(trainer, {2, 3})
    moved = []
    for _ in range(6):
        before = weights(trainer)
        trainer.step()
        moved.append(
            any(not torch.equal(a, b) for a, b in zip(before.values(), weights(trainer).values(), strict=True))
        )
    assert moved == [True, True, False, False, True, True]
    assert trainer.state.skipped == 2
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    if precision == "float16":
        assert trainer.precision.scaler.get_scale() == 2.0**16 / 4  # halved twice


def test_a_run_that_is_never_finite_gives_up(run, config, data):
    trainer = Trainer(run, config(training={"max_skipped": 4, "max_returns": 0}), data)
    poison(trainer, set(range(100)))
    with pytest.raises(QuireError, match="4 steps in a row were not taken, the last because its loss is nan"):
        trainer.run()


def test_float16_needs_its_loss_scale():
    """A gradient that float16 cannot hold is saved by the scale, and is the right one after unscaling."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)

    def gradient(precision):
        weight.grad = None
        (weight.half() * 1e-7 * 0.25).float().sum()  # 2.5e-8 is under float16's smallest number, 6e-8
        loss = (weight.half() * torch.tensor(0.5, dtype=torch.float16)).float() * 1e-7
        precision.backward(loss.sum())
        precision.unscale([optimizer])
        return float(weight.grad)

    scaled = MixedPrecision("float16", "cpu", initial_scale=2.0**16)
    assert gradient(scaled) == pytest.approx(0.5e-7, rel=1e-2)
    assert np.float16(0.5e-7 * 0.5) == 0  # without a scale the product on the way is lost


def test_the_scale_is_part_of_the_checkpoint(run, config, data):
    trainer = Trainer(run, config(training={"precision": "float16", "steps": 4}), data)
    poison(trainer, {1})
    trainer.run()
    other = Trainer(run, config(training={"precision": "float16", "steps": 4}), data)
    other.run(resume=True)
    assert other.precision.scaler.get_scale() == 2.0**15
    assert other.state.skipped == 1


def test_training_learns_and_keeps_the_best(run, config, data):
    records = []
    trainer = Trainer(
        run, config(model={"dropout": 0.0}, training={"steps": 60, "evaluation_interval": 10}), data, records.append
    )
    trainer.run()
    validation = [r for r in records if r["kind"] == "validation"]
    assert validation[-1]["bits_per_byte"] < 0.75 * validation[0]["bits_per_byte"]
    best = min(validation, key=lambda r: r["loss"])
    assert trainer.state.best_step == best["step"]
    model, tokenizer = load_model_folder(run)
    trainer.model.load_state_dict(model.state_dict())
    assert trainer.validate(trainer.config.training.evaluation_tokens)[0] == pytest.approx(best["loss"], abs=1e-6)
    assert tokenizer.vocab_size == data.tokenizer.vocab_size
    assert "## Step 60" in (run / "quire" / "samples.md").read_text()


def test_early_stop(run, config, data):
    """At a rate that destroys the model every evaluation after the first is worse."""
    over = {
        "optimizer": {"kind": "adamw", "learning_rate": 1.0},
        "training": {"steps": 50, "patience": 2, "evaluation_interval": 2, "sample_tokens": 0},
    }
    notes = []
    trainer = Trainer(run, config(**over), data, notes.append)
    state = trainer.run()
    assert state.step < 50
    assert state.worse == 2
    assert any("stopped early" in r["text"] for r in notes if r["kind"] == "note")
    resumed = Trainer(run, config(**over), data)
    assert resumed.run(resume=True).step == state.step


class Clock:
    """A machine whose clock goes by fixed amounts a look, and whose speed changes on the way."""

    def __init__(self, change=1.75, after=300):
        self.now, self.looks, self.change, self.after = 0.0, 0, change, after

    def __call__(self):
        self.looks += 1
        self.now += 0.02 * (1 if self.looks < self.after else self.change)
        return self.now


@pytest.mark.parametrize(
    ("first_guess", "change", "after"),
    [(20, 1.75, 300), (1_000_000, 1.75, 300), (60, 0.5, 700), (60, 2.0, 700), (60, 0.5, 1350), (60, 2.0, 1350)],
)
def test_a_run_by_the_clock_ends_in_time_with_its_decay_done(
    first_guess, change, after, run, config, data, monkeypatch
):
    """Within a tenth of 30 s, also where the machine gets twice as fast or slow after 14 s, or 3 s before the end."""
    monkeypatch.setattr("quire.training.trainer.time.perf_counter", Clock(change, after))
    over = {"minutes": 0.5, "steps": first_guess, "sample_tokens": 0, "evaluation_interval": 100, "log_interval": 20}
    trainer = Trainer(run, config(training={**over, "checkpoint_interval": 1000}), data)
    state = trainer.run()
    assert state.step == state.total_steps
    assert 27 < state.seconds < 33
    assert trainer.schedule.multiplier(state.step - 1) < 0.03
    saved = read_state(latest_checkpoint(run)[0])
    assert (saved.total_steps, saved.knots) == (state.total_steps, state.knots)
    assert len(saved.knots) > 1


def test_a_checkpoint_by_the_clock_always_gives_the_same_weights(run, config, data, tmp_path, monkeypatch):
    """What is left of a timed run is settled when it stops: a slower machine takes the same steps."""
    over = {"minutes": 0.3, "steps": 1000, "sample_tokens": 0, "evaluation_interval": 100, "log_interval": 20}
    monkeypatch.setattr("quire.training.trainer.time.perf_counter", Clock())
    Trainer(run, config(training=over), data).run(stop_at=15)
    shutil.copytree(run, tmp_path / "copy")
    ends = []
    for folder, looks in ((run, 0), (tmp_path / "copy", 10_000)):
        clock = Clock()
        clock.looks = looks
        monkeypatch.setattr("quire.training.trainer.time.perf_counter", clock)
        ends.append(Trainer(folder, config(training=over), data))
        ends[-1].run(resume=True)
    assert ends[0].state.step == ends[1].state.step > 15
    assert_same(weights(ends[0]), weights(ends[1]))


def test_what_a_model_writes_does_not_break_the_sections_of_samples(run, config, data):
    from quire.training.samples import _inert

    text = "## Step 9999 (0.1 bits per byte)\n````\n# so"
    assert HEADING.findall(_inert(text)) == []
    assert "\n````" not in _inert(text)
    assert HEADING.findall(text) == ["9999"]


def test_a_validation_loss_that_is_no_number_is_beaten(run, config, data, monkeypatch):
    trainer = Trainer(run, config(training={"sample_tokens": 0}), data)
    losses = iter([(float("nan"), 1.0), (3.0, 1.0), (float("nan"), 1.0)])
    monkeypatch.setattr(trainer, "validate", lambda tokens: next(losses))
    state = trainer.run()
    assert (state.best_loss, state.best_step) == (3.0, 10)


def test_a_full_disk_while_metrics_are_written_is_told(run, config, data, monkeypatch):
    trainer = Trainer(run, config(), data)

    def press(record):
        if record["kind"] == "train":
            monkeypatch.setattr(trainer.journal.metrics, "_file", Path("/dev/full").open("w", encoding="utf-8"))  # noqa: SIM115

    trainer.journal.listener = press
    with pytest.raises(QuireError, match="No space left on device"):
        trainer.run()


def test_evaluating_does_not_touch_training(run, config, data, tmp_path):
    """Dropout draws the same numbers whether or not the model is evaluated and samples are written on the way."""
    often = Trainer(run, config(training={"evaluation_interval": 2}), data)
    never = Trainer(tmp_path / "never", config(training={"evaluation_interval": 1000, "sample_tokens": 0}), data)
    often.run()
    never.run()
    assert_same(weights(often), weights(never))
