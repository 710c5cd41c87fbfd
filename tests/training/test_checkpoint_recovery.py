"""What a killed save, a damaged checkpoint, one of another model and a full disk cost: never a whole checkpoint."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
from sameness import assert_same, weights

from quire.errors import FormatError, QuireError
from quire.training import checkpoint as checkpoints
from quire.training.checkpoint import latest_checkpoint, list_checkpoints, read_state
from quire.training.trainer import Trainer

KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from quire.training import checkpoint, saves, trainer
from quire.tokens.dataset import TokenDataset
from quire.training.config import load_config
import torch
torch.set_num_threads(2)
run, tokens, function, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
original, calls = getattr(checkpoint, function), 0

def killed(*args, **kwargs):
    global calls
    calls += 1
    if calls == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)

setattr(checkpoint, function, killed)
config = load_config(run)[0]
trainer.Trainer(run, config, TokenDataset.open(tokens)).run(resume=bool(checkpoint.list_checkpoints(run)))
"""


@pytest.mark.parametrize(
    ("function", "count"),
    [("_save", 5), ("fsync_file", 7), ("fsync_folder", 3), ("prune_checkpoints", 1), ("file_sha256", 6)],
)
def test_killed_in_the_middle_of_a_save(function, count, run, config, data, tmp_path, data_folder):
    from quire.training.config import save_config

    whole = Trainer(tmp_path / "whole", config(), data)
    whole.run()
    save_config(run, config(), {}, {})
    # In saves.py prune_checkpoints was imported by name; the kill must reach the one it calls.
    script = KILLED.replace(
        "setattr(checkpoint, function, killed)",
        textwrap.dedent("""
        setattr(checkpoint, function, killed)
        if hasattr(saves, function):
            setattr(saves, function, killed)
    """),
    )
    command = [sys.executable, "-c", script, str(run), str(data_folder), function, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = Trainer(run, config(), data)
    resumed.run(resume=bool(list_checkpoints(run)))
    assert_same(weights(whole), weights(resumed))
    assert not list((run / "quire" / "checkpoints").glob(".*.part"))


def test_damaged_checkpoints_are_passed_over(run, config, data, tmp_path):
    whole = Trainer(tmp_path / "whole", config(), data)
    whole.run()
    Trainer(run, config(), data).run(stop_at=8)
    newest = list_checkpoints(run)[-1]
    assert newest.name == "step-0000008"
    content = bytearray((newest / "optimizer.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "optimizer.safetensors").write_bytes(content)
    notes = []
    resumed = Trainer(run, config(), data, notes.append)
    resumed.run(resume=True)
    assert any("SHA-256" in r["text"] for r in notes if r["kind"] == "note")
    assert any("resumed at step 4" in r["text"] for r in notes if r["kind"] == "note")
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize(
    "damage", ["cut", "missing", "state", "list", "files", "knots", "version", "step", "losses", "nothing"]
)
def test_no_whole_checkpoint_is_an_error_that_says_why(damage, run, config, data):
    Trainer(run, config(), data).run(stop_at=2)
    beginning, folder = list_checkpoints(run)
    shutil.rmtree(beginning)
    if damage == "cut":
        os.truncate(folder / "weights.safetensors", 100)
    elif damage == "missing":
        (folder / "random.safetensors").unlink()
    elif damage == "state":
        (folder / "state.json").write_text("{")
    elif damage == "list":
        (folder / "state.json").write_text("[1]")
    else:
        state = json.loads((folder / "state.json").read_text())
        other = {"version": {"version": 99}, "step": {"step": 1}, "losses": {"losses": None}, "nothing": {"files": {}}}
        other = other.get(damage, {damage: [1]})
        (folder / "state.json").write_text(json.dumps({**state, **other}))
    said = {"cut": "100 bytes", "missing": "is missing", "version": "format 99", "knots": "not a training state"}
    said |= {"step": "of step 1, and its folder of another", "losses": "not a training state: losses"}
    said |= dict.fromkeys(("state", "list", "files", "nothing"), "not a whole checkpoint")
    with pytest.raises(FormatError, match=said[damage]):
        Trainer(run, config(), data).run(resume=True)


def test_a_checkpoint_of_another_shape(run, config, data):
    Trainer(run, config(), data).run(stop_at=2)
    with pytest.raises(FormatError, match=r"another model: model\.embed_tokens\.weight is \(\d+, 32\) there"):
        Trainer(run, config(model={"hidden_size": 64}), data).run(resume=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"optimizer": {"kind": "adamw"}}, "another optimizer: .*exp_avg is only here"),
        ({"training": {"batch_size": 5}}, "begun with batch_size = 6, and is to go on with 5"),
        ({"model": {"context_length": 16}}, "begun with context_length = 32, and is to go on with 16"),
    ],
)
def test_other_settings_than_the_run_was_begun_with_are_told(changed, said, run, config, data):
    """The order of the data is counted in windows and batches, so that it would go on at another place."""
    Trainer(run, config(), data).run(stop_at=2)
    with pytest.raises(FormatError, match=said):
        Trainer(run, config(**changed), data).run(resume=True)
    assert Trainer(run, config(), data).run(resume=True).step > 2


def test_a_full_disk_is_told_and_costs_no_checkpoint(run, config, data, monkeypatch):
    trainer = Trainer(run, config(), data)
    trainer.run(stop_at=4)

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "fsync_file", full)
    with pytest.raises(QuireError, match=r"No space left on device.*Free some disk space"):
        Trainer(run, config(), data).run(resume=True, stop_at=6)
    monkeypatch.undo()
    assert read_state(latest_checkpoint(run)[0]).step == 4
