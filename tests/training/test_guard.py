"""Laws of steps that are not taken: what is a spike, what is not, and what becomes of a run that goes wrong."""

import math
import shutil

import numpy as np
import pytest
import torch

from quire.errors import QuireError
from quire.training.checkpoint import TrainingState, list_checkpoints, read_state
from quire.training.config import TrainingSettings
from quire.training.guard import HISTORY, judge
from quire.training.metrics import read_metrics
from quire.training.trainer import Trainer


def settings(**over):
    return TrainingSettings(steps=1, batch_size=1, micro_batch_size=1, **over)


def after(losses, norms):
    return TrainingState(losses=list(losses), norms=list(norms))


USUAL = after([2.0] * HISTORY, [0.5] * HISTORY)


@pytest.mark.parametrize(
    ("loss", "norm", "reason"),
    [
        (2.0, 0.5, None),
        # Every loss was 2: the deviation counts as 5 % of it, 0.1, and ten of those are 1.
        (2.99, 0.5, None),
        (3.01, 0.5, "its loss 3.01 is 10 deviations above the usual 2"),
        (2.0, 4.99, None),
        (2.0, 5.01, "its gradient's norm 5.01 is 10 times the usual 0.5"),
        (0.1, 0.01, None),  # better than usual is no spike
        (math.nan, 0.5, "its loss is nan"),
        (2.0, math.inf, "its gradient's norm is inf"),
    ],
)
def test_the_rule_by_hand(loss, norm, reason):
    assert judge(settings(), USUAL, loss, norm) == reason


def test_losses_that_vary_may_vary_more():
    """32 losses of 1 and 32 of 3: median 2, standard deviation 1; ten of those above the median are 12."""
    varied = after([1.0, 3.0] * (HISTORY // 2), [0.5] * HISTORY)
    assert judge(settings(), varied, 11.9, 0.5) is None
    assert judge(settings(), varied, 12.1, 0.5) is not None


def test_without_a_history_only_what_is_not_finite_is_skipped():
    short = after([2.0] * (HISTORY - 1), [0.5] * (HISTORY - 1))
    assert judge(settings(), short, 1e9, 1e9) is None
    assert judge(settings(), short, math.nan, 0.5) is not None


def test_zero_turns_the_rules_off():
    assert judge(settings(spike_factor=0, spike_deviations=0), USUAL, 1e9, 1e9) is None


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_an_ordinary_run_has_no_spikes(kind, run, config, data):
    """Its beginning is as steep as any: the loss falls to less than half, with gradients to match."""
    over = {"steps": 150, "evaluation_interval": 1000, "checkpoint_interval": 1000, "sample_tokens": 0}
    state = Trainer(run, config(optimizer={"kind": kind}, training=over), data).run()
    assert state.skipped == 0
    assert len(state.losses) == len(state.norms) == HISTORY


LONG = {
    "steps": 90,
    "evaluation_interval": 1000,
    "checkpoint_interval": 10,
    "sample_tokens": 0,
    "max_skipped": 3,
    "log_interval": 10,
}


def of_kind(records, kind):
    return [record for record in records if record["kind"] == kind]


def test_a_bad_batch_costs_a_step_and_nothing_else(run, config, data):
    """After 70 steps one batch of tokens drawn by chance: nothing that a model of text expects."""
    told = []
    trainer = Trainer(run, config(training=LONG), data, told.append)
    honest = trainer._stream

    def stream(epoch, window):
        batches = honest(epoch, window)
        ordinary = batches.next_batch

        def next_batch():
            batch = ordinary()
            if trainer.state.step == 70:
                draw = np.random.default_rng(0)
                batch.inputs[:] = draw.integers(0, 300, batch.inputs.shape)
                batch.targets[:] = draw.integers(0, 300, batch.targets.shape)
            return batch

        batches.next_batch = next_batch
        return batches

    trainer.batches = stream(0, 0)
    state = trainer.run()
    assert (state.step, state.skipped, state.returns) == (90, 1, 0)
    (skip,) = of_kind(told, "skip")
    assert skip["step"] == 71
    assert "above the usual" in skip["reason"] or "times the usual" in skip["reason"]
    assert skip in read_metrics(run)
    assert sum("is not taken" in note["text"] for note in of_kind(told, "note")) == 1


def explode(trainer, steps):
    """Just before each of `steps` is taken at full rate, blow the weights up, as a step too far would."""
    honest = trainer.optimizer.set_multiplier

    def set_multiplier(multiplier):
        honest(multiplier)
        if trainer.state.step in steps and trainer.state.rate_factor == 1:
            with torch.no_grad():
                for parameter in trainer.model.parameters():
                    parameter.mul_(30)

    trainer.optimizer.set_multiplier = set_multiplier


def test_weights_that_exploded_are_replaced_by_those_of_a_checkpoint_at_a_lower_rate(run, config, data):
    told = []
    trainer = Trainer(run, config(training=LONG), data, told.append)
    explode(trainer, {75})
    state = trainer.run()
    assert (state.step, state.returns, state.rate_factor, state.skipped) == (90, 1, 0.5, 3)
    # Steps 75, 76 and 77 (from 0) were not taken; 70 is the last checkpoint from before.
    (back,) = of_kind(read_metrics(run), "return")
    assert {name: back[name] for name in ("step", "from_step", "returns", "rate_factor")} == {
        "step": 70,
        "from_step": 78,
        "returns": 1,
        "rate_factor": 0.5,
    }
    assert any("back from step 78 to the checkpoint of step 70" in note["text"] for note in of_kind(told, "note"))
    rates = {record["step"]: record["lr"] for record in of_kind(read_metrics(run), "train")}
    # A step's rate is that of the schedule before, and half of it after.
    peak = trainer.config.optimizer.matrix_learning_rate
    assert rates[70] == pytest.approx(peak * trainer.schedule.multiplier(69))
    assert rates[80] == pytest.approx(peak * trainer.schedule.multiplier(79) / 2)
    assert [record["step"] for record in of_kind(read_metrics(run), "train")] == list(range(10, 91, 10))
    assert read_metrics(run)[-1]["loss"] < 4  # it learned on


@pytest.mark.parametrize("stops", [(72,), (77,), (70, 74, 76, 79)])
def test_a_run_that_went_back_resumes_to_the_bit(stops, run, config, data, tmp_path):
    """Stopped before the trouble, in the middle of it, and after the return: always the same weights."""
    whole = Trainer(tmp_path / "whole", config(training=LONG), data)
    explode(whole, {75})
    whole.run()
    for resumed, stop in enumerate((*stops, None)):
        trainer = Trainer(run, config(training=LONG), data)
        explode(trainer, {75})
        trainer.run(resume=resumed > 0, stop_at=stop)
    assert trainer.state.returns == whole.state.returns == 1
    for ours, theirs in zip(trainer.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    kept = [[(r["kind"], r["step"]) for r in read_metrics(folder)] for folder in (run, tmp_path / "whole")]
    assert kept[0] == kept[1]


def poison(trainer, steps):
    honest = trainer.summed_loss
    trainer.summed_loss = lambda x, y: honest(x, y) * (math.nan if trainer.state.step in steps else 1.0)


def test_before_the_first_interval_it_begins_again(run, config, data):
    over = {"steps": 8, "max_skipped": 3, "checkpoint_interval": 100, "max_returns": 2}
    told = []
    trainer = Trainer(run, config(training=over), data, told.append)
    poison(trainer, {4, 5, 6})
    with pytest.raises(QuireError, match=r"3 steps in a row were not taken.*2 returns to earlier checkpoints"):
        trainer.run()
    assert [r["step"] for r in of_kind(told, "return")] == [0, 0]
    assert [r["rate_factor"] for r in of_kind(told, "return")] == [0.5, 0.25]
    # What the run leaves behind can be resumed, and gives up there again.
    again = Trainer(run, config(training=over), data)
    poison(again, {4, 5, 6})
    with pytest.raises(QuireError, match="2 returns"):
        again.run(resume=True)


def test_a_return_that_does_not_help_is_followed_by_one_further_back(run, config, data):
    over = {**LONG, "steps": 40, "max_returns": 5}
    told = []
    trainer = Trainer(run, config(training=over), data, told.append)
    poison(trainer, {33, 34, 35})
    with pytest.raises(QuireError, match="5 returns"):
        trainer.run()
    # From 36 back to 30; it fails there again, back to 20; from there it passes 30, which is a checkpoint again.
    assert [r["step"] for r in of_kind(told, "return")] == [30, 20, 30, 20, 30]


def test_checkpoints_written_in_the_middle_of_trouble_are_not_gone_back_to(run, config, data):
    trainer = Trainer(run, config(training={**LONG, "steps": 40, "checkpoint_seconds": 1e-9}), data)
    poison(trainer, {19, 20, 21, 22})
    told = []
    trainer.journal.listener = told.append
    with pytest.raises(QuireError, match="3 returns"):
        trainer.run()
    # Step 20 is an interval, and comes after a step that was not taken: 10, then 0.
    assert [r["step"] for r in of_kind(told, "return")] == [10, 0, 10]


def test_a_damaged_checkpoint_is_not_gone_back_to(run, config, data):
    told = []
    trainer = Trainer(run, config(training={**LONG, "steps": 40, "max_returns": 1}), data)
    poison(trainer, {26, 27, 28})

    def damage(record):
        told.append(record)
        if record["kind"] == "skip" and record["step"] == 27:
            (run / "quire" / "checkpoints" / "step-0000020" / "weights.safetensors").write_bytes(b"")

    trainer.journal.listener = damage
    with pytest.raises(QuireError, match="1 returns"):
        trainer.run()
    assert [r["step"] for r in of_kind(told, "return")] == [10]
    assert any("damaged checkpoint was passed over" in r["text"] for r in of_kind(told, "note"))


def test_without_any_checkpoint_left_the_run_ends(run, config, data):
    trainer = Trainer(run, config(training={**LONG, "steps": 40}), data)
    poison(trainer, {26, 27, 28})

    def delete(record):
        if record["kind"] == "skip":
            shutil.rmtree(run / "quire" / "checkpoints", ignore_errors=True)

    trainer.journal.listener = delete
    with pytest.raises(QuireError, match="there is no checkpoint to go back to"):
        trainer.run()


def test_the_checkpoints_to_go_back_to_are_kept(run, config, data):
    """Those by the clock come after every step here, and would push out those at the intervals."""
    trainer = Trainer(run, config(training={**LONG, "steps": 39, "checkpoint_seconds": 1e-9}), data)
    trainer.run(stop_at=38)
    steps = [read_state(folder).step for folder in list_checkpoints(run)]
    assert steps == [20, 30, 37, 38]
    assert trainer.state.anchors == [20, 30]
