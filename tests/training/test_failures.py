"""What can go wrong around a run: each ends with a sentence that says what to do, and costs no whole checkpoint."""

import errno
import os
import shutil

import pytest
import torch

from quire.errors import FormatError, QuireError
from quire.tokens.dataset import TokenDataset
from quire.training import checkpoint as checkpoints
from quire.training.checkpoint import latest_checkpoint, list_checkpoints, read_state
from quire.training.trainer import Trainer


def assert_ends_like(ours, theirs):
    for a, b in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.fixture
def whole(config, data, tmp_path):
    trainer = Trainer(tmp_path / "whole", config(), data)
    trainer.run()
    return trainer


@pytest.mark.parametrize("place", ["weights", "state", "replace"])
def test_a_disk_that_is_full_while_saving(place, run, config, data, whole, monkeypatch):
    """While the weights are written, by the Rust writer with its own words; the state; and when it is renamed."""
    Trainer(run, config(), data).run(stop_at=4)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*args, **kwargs):
        raise full

    if place == "weights":
        import safetensors

        def fail_in_rust(path, tensors):
            raise safetensors.SafetensorError(f"Error while serializing: I/O error: {full}")

        monkeypatch.setattr(checkpoints, "_save", fail_in_rust)
    elif place == "state":
        monkeypatch.setattr(checkpoints.Path, "write_text", fail)
    else:
        monkeypatch.setattr(checkpoints.os, "replace", fail)
    with pytest.raises(QuireError, match=r"(?s)No space left on device.*(Free some disk space|Is the disk full)"):
        Trainer(run, config(), data).run(resume=True, stop_at=6)
    monkeypatch.undo()
    assert read_state(latest_checkpoint(run)[0]).step == 4
    assert not list((run / "quire" / "checkpoints").glob(".*.part"))
    resumed = Trainer(run, config(), data)
    resumed.run(resume=True)
    assert_ends_like(resumed, whole)


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"])
def test_a_checkpoint_cut_in_half_is_passed_over_for_the_one_before(file, run, config, data, whole):
    Trainer(run, config(), data).run(stop_at=8)
    newest = list_checkpoints(run)[-1] / file
    os.truncate(newest, newest.stat().st_size // 2)
    told = []
    resumed = Trainer(run, config(), data, told.append)
    resumed.run(resume=True)
    notes = [record["text"] for record in told if record["kind"] == "note"]
    assert any("a damaged checkpoint was passed over" in note and file in note for note in notes)
    assert any(note.startswith("resumed at step 4 from") for note in notes)
    assert_ends_like(resumed, whole)


def test_a_checkpoint_of_another_shape_names_a_tensor_and_both_shapes(run, config, data):
    Trainer(run, config(), data).run(stop_at=2)
    other = config(model={"hidden_size": 64, "num_layers": 3})
    with pytest.raises(FormatError, match=r"is \(.*32.*\) there and \(.*64.*\) here.*another --out"):
        Trainer(run, other, data).run(resume=True)
    assert read_state(latest_checkpoint(run)[0]).step == 2  # it is left as it was


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_token_shard_that_is_not_whole(damage, data_folder, tmp_path):
    copy = tmp_path / "tokens"
    shutil.copytree(data_folder, copy)
    shard = sorted(copy.glob("train-*.npy"))[0]
    if damage == "missing":
        shard.unlink()
    else:
        os.truncate(shard, shard.stat().st_size // 2)
    with pytest.raises(FormatError, match=shard.name):
        TokenDataset.open(copy)


@pytest.mark.parametrize("moved", [False, True])
def test_a_run_folder_that_is_deleted_or_moved_under_way(moved, run, config, data, whole, tmp_path):
    told = []

    def take_away(record):
        told.append(record)
        if record["kind"] == "train" and record["step"] == 6:
            run.rename(tmp_path / "elsewhere")
            if not moved:
                shutil.rmtree(tmp_path / "elsewhere")

    with pytest.raises(QuireError, match="deleted or moved while the run was going on"):
        Trainer(run, config(), data, take_away).run()
    assert max(record["step"] for record in told) == 6
    assert not run.exists()  # half a run is not made in its place
    if moved:
        (tmp_path / "elsewhere").rename(run)
        resumed = Trainer(run, config(), data)
        resumed.run(resume=True)
        assert_ends_like(resumed, whole)
