"""The laws of several processes: N ranks = one with accumulation, any number of ranks = any other after a resume.

Each start of a job imports torch once a rank, which takes seconds, so there are few jobs, and each does much.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import safetensors.torch
import torch

from quire.errors import FormatError
from quire.settings import build, merge
from quire.tokens.dataset import TokenDataset
from quire.training.checkpoint import latest_checkpoint, list_checkpoints, read_state
from quire.training.config import RunConfig, load_config
from quire.training.environment import read_starts
from quire.training.metrics import read_metrics
from quire.training.run_folder import tokens_folder
from quire.training.trainer import Trainer

WORK = Path(__file__).with_name("ranks_at_work.py")
HANG = 900  # seconds after which a job is taken to wait for ever, and is ended


def torchrun(count, *words, cwd=None):
    """Start a job of `count` ranks; with its output, as text, in a pipe."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), *words]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(job):
    """Wait for a job; return its code, output and what it wrote to stderr from now on."""
    try:
        out, err = job.communicate(timeout=HANG)
    except subprocess.TimeoutExpired:
        job.terminate()  # torchrun takes its workers, which are groups of their own, with it
        out, err = job.communicate()
        pytest.fail(f"the job hangs:\n{err}")
    return job.returncode, out, err


def work(count, task, folder):
    code, _, err = ended(torchrun(count, str(WORK), task, str(folder)))
    assert code == 0, err
    return [json.loads((folder / f"{task}.{rank}.json").read_text()) for rank in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("ranks")
    shutil.copytree(data.path, place / "tokens")
    values = {
        "tokens": {"vocab_size": 300},
        "model": {
            "vocab_size": data.tokenizer.vocab_size,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "num_kv_heads": 1,
            "context_length": 32,
            "dropout": 0.0,
        },
        "optimizer": {},
        "schedule": {"warmup_steps": 3},
        "training": {
            "minutes": None,
            "steps": 50,
            "batch_size": 7,  # for two ranks 3 and 4 windows, in passes of 2
            "micro_batch_size": 2,
            "evaluation_interval": 25,
            "checkpoint_interval": 10,
            "log_interval": 1,
            "sample_tokens": 8,
        },
    }
    (place / "config.json").write_text(json.dumps(values))
    return place


@pytest.fixture(scope="module")
def alone(folder):
    """Train in this process, by the same settings."""

    def train(run, stop_at=None, resume=False, **over):
        config = build(RunConfig, merge(json.loads((folder / "config.json").read_text()), over))
        trainer = Trainer(folder / run, config, TokenDataset.open(folder / "tokens"))
        trainer.run(resume=resume, stop_at=stop_at)
        return trainer

    return train


@pytest.fixture(scope="module")
def two(folder, alone):
    """What two ranks found out."""
    for kind in ("muon", "adamw"):
        alone(f"{kind}-alone", optimizer={"kind": kind})
    for shard in (False, True):
        alone(f"from-one-{shard}", stop_at=20)
    alone("bfloat16-alone", training={"precision": "bfloat16"})
    return work(2, "curves,formats,changes,messages", folder)


def assert_same_run(ours, theirs):
    """The same records to 1e-5, each once, and the same best model."""
    a, b = read_metrics(ours), read_metrics(theirs)
    facts = [[(r["kind"], r["step"], r["tokens"], r.get("best")) for r in records] for records in (a, b)]
    assert facts[0] == facts[1]
    assert len(a) >= 52
    np.testing.assert_allclose([r["loss"] for r in a], [r["loss"] for r in b], atol=1e-5, rtol=0)
    norms = [[r["grad_norm"] for r in records if r["kind"] == "train"] for records in (a, b)]
    np.testing.assert_allclose(*norms, rtol=1e-3)
    models = [safetensors.torch.load_file(run / "model.safetensors") for run in (ours, theirs)]
    assert models[0].keys() == models[1].keys()
    for name, weight in models[0].items():
        torch.testing.assert_close(weight, models[1][name], atol=2e-5, rtol=0, msg=name)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("how", ["copies", "slices"])
def test_two_ranks_are_one_with_accumulation(how, kind, two, folder):
    assert_same_run(folder / f"{kind}-{how}", folder / f"{kind}-alone")
    samples = [(folder / f"{kind}-{name}" / "quire" / "samples.md").read_text() for name in (how, "alone")]
    assert samples[0].count("## Step") == samples[1].count("## Step") == 2


@pytest.mark.parametrize("how", ["copies", "slices"])
def test_half_of_the_digits_is_rounding_and_no_more(how, two, folder):
    """bfloat16 has three digits, and slices are gathered in it: as far from one process as that is from float32."""
    ours, theirs = read_metrics(folder / f"bfloat16-{how}"), read_metrics(folder / "bfloat16-alone")
    np.testing.assert_allclose([r["loss"] for r in ours], [r["loss"] for r in theirs], rtol=0.01)


@pytest.mark.parametrize("shard", [False, True])
def test_from_one_rank_to_two(shard, two, folder):
    assert_same_run(folder / f"from-one-{shard}", folder / "muon-alone")


@pytest.mark.parametrize("shard", [False, True])
def test_from_two_ranks_to_one(shard, two, folder, alone):
    shutil.copytree(folder / f"stopped-{shard}", folder / f"to-one-{shard}")
    alone(f"to-one-{shard}", resume=True)
    assert_same_run(folder / f"to-one-{shard}", folder / "muon-alone")


def test_from_two_ranks_to_three(two, folder):
    for shard in (False, True):
        shutil.copytree(folder / f"stopped-{shard}", folder / f"to-three-{shard}")
    work(3, "three", folder)
    for shard in (False, True):
        assert_same_run(folder / f"to-three-{shard}", folder / "muon-alone")


def test_as_many_ranks_resume_to_the_bit(two):
    assert all(found["resumed is uninterrupted"] for found in two)


def test_what_ranks_tell_each_other(two):
    cores = max(1, len(os.sched_getaffinity(0)) // 2) if hasattr(os, "sched_getaffinity") else None
    for rank, found in enumerate(two):
        assert found["lead"] == "here: the first one failed. Do that"
        assert "a bug" in found["gather"]
        assert found["gathered"] == [0, 10]
        assert found["sum"] == [3.0, 1.0]
        assert found["threads"] in (cores, 1), rank
    assert two[0]["length"] == two[1]["length"]  # though their clocks went at different speeds
    assert len(two[0]["length"][2]) > 1  # and the length was revised


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_part_of_a_checkpoint_that_is_damaged(damage, two, folder, tmp_path):
    """The parts are verified like the files of one process, and the checkpoint before is found."""
    run = tmp_path / "run"
    shutil.copytree(folder / "stopped-True", run)
    newest = list_checkpoints(run)[-1]
    part = newest / "shard-00002-model-00001-of-00001.safetensors"
    if damage == "missing":
        part.unlink()
    elif damage == "cut":
        os.truncate(part, 1000)
    else:
        content = bytearray(part.read_bytes())
        content[-1] ^= 1
        part.write_bytes(content)
    with pytest.raises(FormatError, match="shard-00002"):
        read_state(newest)
    found, problems = latest_checkpoint(run)
    assert (found.name, len(problems)) == ("step-0000010", 1)


def test_a_shared_checkpoint_of_another_shape(two, folder, alone):
    shutil.copytree(folder / "stopped-True", folder / "other-shape")
    with pytest.raises(FormatError, match=r"another model: model\.embed_tokens\.weight is \(\d+, 32\) there"):
        alone("other-shape", resume=True, model={"hidden_size": 64})


def test_nothing_in_a_shared_checkpoint_can_run_code(two, folder):
    names = {file.suffix for file in (folder / "stopped-True" / "quire" / "checkpoints").rglob("*") if file.is_file()}
    assert names == {".safetensors", ".json"}


# -- the command ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    place = tmp_path_factory.mktemp("job")
    (place / "notes").mkdir()
    for number in range(8):
        lines = [f"Note {number}: the binder folds sheet {line * number} and counts it." for line in range(60)]
        (place / "notes" / f"{number}.md").write_text("\n".join(lines))
    return place


def until(job, words):
    """Read what a job says until a line has `words`."""
    said = []
    for line in job.stderr:
        said.append(line)
        if words in line:
            return "".join(said)
    pytest.fail(f"{words!r} was never said:\n{''.join(said)}")
    return ""


def kill_rank(job, rank):
    for child in psutil.Process(job.pid).children(recursive=True):
        if child.environ().get("RANK") == str(rank) and "quire" in child.cmdline():
            child.send_signal(signal.SIGKILL)
            return
    pytest.fail(f"no rank {rank}")


def test_a_killed_rank_and_ctrl_c(notes):
    settings = [
        "--set=model.hidden_size=32",
        "--set=model.num_layers=2",
        "--set=model.context_length=32",
        "--set=training.precision=float32",
        "--set=training.batch_size=5",
        "--set=training.evaluation_interval=20",
        "--set=training.log_interval=5",
        "--set=training.checkpoint_interval=10",
        "--set=training.sample_tokens=4",
        "--set=tokens.vocab_size=300",
        *(["--tensorboard"] if importlib.util.find_spec("tensorboardX") else []),
    ]
    quire = ["-m", "quire", "train"]
    run = notes / "run"
    first = torchrun(
        2, "--max-restarts=1", *quire, "notes", "--out=run", "--steps=1000000", "--shard", *settings, cwd=notes
    )
    said = until(first, "validation: loss")
    assert said.count("Learning the tokenizer") == 1
    # A rank is killed: torchrun starts the job again, which goes on with its run by itself ...
    kill_rank(first, 1)
    said = until(first, "resumed at step")
    assert said.count("another process of this job has ended") == 1, said
    until(first, "validation: loss")
    # ... and, killed again, ends, with one clear message and a whole checkpoint.
    kill_rank(first, 1)
    code, out, said = ended(first)
    assert code != 0
    assert out == ""
    assert said.count("another process of this job has ended") == 1, said
    assert "quire train --resume --out run" in said
    assert "quire/training" not in said  # no traceback of ours
    folder, problems = latest_checkpoint(run)
    assert problems == []
    assert any(folder.glob("shard-00002-*"))
    killed_at = read_state(folder).step
    # Resumed as copies and not slices, and ended by Ctrl-C: saved once, by all.
    second = torchrun(2, *quire, "--resume", "--out=run", "--no-shard", cwd=notes)
    said = until(second, "validation: loss")
    assert f"resumed at step {killed_at}" in said
    second.send_signal(signal.SIGINT)
    code, _, said = ended(second)
    assert code != 0
    assert said.count("What was learned is saved. Go on with: quire train --resume --out run") == 1
    assert "quire/training" not in said  # no traceback of ours
    folder, problems = latest_checkpoint(run)
    state = read_state(folder)
    assert problems == []
    assert state.step > killed_at
    assert not list((run / "quire" / "checkpoints").glob(".*.part"))
    # Each start is recorded once, by rank 0, with its events in a file of its own.
    starts = read_starts(run)
    assert [(start["resumed"], start["processes"]) for start in starts] == [(False, 2), (True, 2), (True, 2)]
    events = list((run / "quire" / "tensorboard").glob("events.*"))
    assert len(events) == (3 if importlib.util.find_spec("tensorboardX") else 0)
    # One process goes on, in order: each step is there once, over all that happened.
    config = load_config(run)[0]
    config = config.model_copy(update={"training": config.training.model_copy(update={"steps": state.step + 5})})
    Trainer(run, config, TokenDataset.open(tokens_folder(run))).run(resume=True, stop_at=state.step + 5)
    steps = [r["step"] for r in read_metrics(run) if r["kind"] == "train"]
    assert steps == list(range(5, state.step + 6, 5))


def test_words_that_are_wrong_are_told_once(notes):
    code, out, said = ended(torchrun(2, "-m", "quire", "train", "nothing-here", "--out=wrong", "--steps=5", cwd=notes))
    assert code != 0
    assert out == ""
    assert said.count("no such file or folder") == 1
    assert not (notes / "wrong").exists()
