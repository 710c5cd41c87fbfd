"""`quire train` as a person calls it: a real process, a real folder, the whole way."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from quire.corpus.store import Corpus

TINY = [
    "--set=model.hidden_size=32",
    "--set=model.num_layers=2",
    "--set=model.context_length=32",
    "--set=training.batch_size=4",
    "--set=training.precision=float32",
    "--set=optimizer.orthogonal_precision=float32",  # the plan takes what is faster, which is measured
    "--set=training.evaluation_interval=4",
    "--set=training.log_interval=2",
    "--set=training.checkpoint_interval=4",
    "--set=training.sample_tokens=8",
    "--set=tokens.vocab_size=300",
]


def quire(*words, cwd, check=None):
    command = [sys.executable, "-m", "quire", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if check is not None:
        assert done.returncode == check, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("work")
    notes = place / "notes"
    notes.mkdir()
    for number in range(8):
        lines = [
            f"Note {number}, line {line}: the binder folds sheet {line * number} and counts it." for line in range(40)
        ]
        (notes / f"{number}.md").write_text("\n".join(lines))
    (notes / "tool.py").write_text("def fold(sheet):\n    return sheet // 2\n" * 20)
    (notes / "blob.bin").write_bytes(bytes(range(256)))
    return place


@pytest.fixture(scope="module")
def trained(folder):
    done = quire("train", "notes", "--steps", 8, *TINY, "--json", cwd=folder, check=0)
    return json.loads(done.stdout), done.stderr


def test_the_whole_way(folder, trained):
    result, told = trained
    assert result["run"] == "runs/notes"
    assert result["steps"] == 8
    assert 0 < result["bits_per_byte"] < 8
    assert "1 dropped" in told or "dropped" in told
    assert "set by you" in told
    run = folder / "runs/notes"
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "generation_config.json",
        "quire/run.toml",
        "quire/metrics.jsonl",
        "quire/samples.md",
        "quire/report.html",
        "quire/score.json",
        "quire/plots/loss.png",
    ):
        assert (run / name).stat().st_size > 0, name
    page = (run / "quire/report.html").read_text("utf-8")
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert (folder / "corpora/notes/report.html").exists()


def test_the_score_lies_beside_what_counting_and_xz_give(folder, trained):
    result, _ = trained
    found = json.loads((folder / "runs/notes/quire/score.json").read_text("utf-8"))
    assert found["score"]["bits_per_byte"] == result["bits_per_byte"]
    assert found["score"]["bytes"] == found["baselines"]["validation_bytes"] == result["validation_bytes"]
    # Lines that are all alike cost counting next to nothing, and a model of eight steps nearly everything.
    assert 0 < found["baselines"]["ngram"] < found["baselines"]["xz"] < result["bits_per_byte"]


def test_it_writes(folder, trained):
    done = quire("generate", "runs/notes", "The binder", "--max-tokens", 5, "--seed", 1, cwd=folder, check=0)
    assert done.stdout.startswith("The binder") or done.stdout.strip()
    assert "tokens/s" in done.stderr


def test_transformers_opens_the_run_unchanged(folder, trained):
    import transformers

    from quire.inference.language import load

    ours = load(folder / "runs/notes", "cpu").model
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "runs/notes", dtype=torch.float32)
    tokens = torch.randint(ours.config.vocab_size, (2, ours.config.context_length))
    with torch.no_grad():
        assert (ours(tokens) - theirs(tokens).logits).abs().max() < 1e-4


def test_its_own_run_toml_repeats_the_run(folder, trained):
    run = folder / "runs/notes"
    quire("train", "corpora/notes", "--out", "again", "--config", run / "quire/run.toml", cwd=folder, check=0)
    first, second = (safetensors.torch.load_file(place / "model.safetensors") for place in (run, folder / "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_that_is_there_is_not_overwritten(folder, trained):
    done = quire("train", "notes", "--steps", 2, *TINY, cwd=folder, check=2)
    assert "a run is there already" in done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr


def test_killed_and_resumed_is_uninterrupted(folder, trained):
    command = [sys.executable, "-u", "-m", "quire", "train", "corpora/notes", "--out", "killed", "--steps", "8", *TINY]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "step      4" in line:  # the first evaluation; the checkpoint of that step is being written now, or soon
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    quire("train", "--resume", "--out", "killed", cwd=folder, check=0)
    first, second = (
        safetensors.torch.load_file(folder / place / "model.safetensors") for place in ("runs/notes", "killed")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ctrl_c_exits_with_130_and_can_be_resumed(folder, trained):
    command = [
        sys.executable,
        "-u",
        "-m",
        "quire",
        "train",
        "corpora/notes",
        "--out",
        "stopped",
        "--steps",
        "100000",
        *TINY,
    ]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    told = ""
    for line in process.stderr:
        told += line
        if "step      4" in line:
            process.send_signal(signal.SIGINT)
            break
    told += process.communicate()[1]
    assert process.returncode == 130, told
    assert "quire train --resume --out stopped" in told
    assert "Traceback" not in told
    assert any((folder / "stopped/quire/checkpoints").iterdir())


def test_a_run_is_replaced_only_by_one_that_can_be(folder, trained):
    quire("train", "corpora/notes", "--out", "kept", "--steps", 4, *TINY, cwd=folder, check=0)
    before = {p: p.read_bytes() for p in (folder / "kept").rglob("*") if p.is_file()}
    words = ["train", "corpora/notes", "--out", "kept", "--overwrite", "--steps", 4, *TINY, "--set=model.num_heads=5"]
    done = quire(*words, cwd=folder, check=2)
    assert "Traceback" not in done.stderr
    assert {p: p.read_bytes() for p in (folder / "kept").rglob("*") if p.is_file()} == before
    quire("train", "corpora/notes", "--out", "kept", "--overwrite", "--steps", 2, *TINY, cwd=folder, check=0)
    assert '"step": 4' not in (folder / "kept/quire/metrics.jsonl").read_text()


def test_only_one_training_writes_a_run(folder, trained):
    from quire.files import only_writer

    (folder / "held").mkdir()
    with only_writer(folder / "held", "run"):
        done = quire("train", "corpora/notes", "--out", "held", "--steps", 2, *TINY, cwd=folder, check=1)
    assert "another quire is writing this run" in done.stderr


def test_steps_in_place_of_the_minutes_of_a_config(folder, trained):
    timed = folder / "timed.toml"
    timed.write_text("[training]\nminutes = 60.0\n")
    words = ["train", "corpora/notes", "--out", "by-steps", "--config", timed, "--steps", 3, *TINY, "--json"]
    assert json.loads(quire(*words, cwd=folder, check=0).stdout)["steps"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "notes", "--out", "x", "--minutes", "1", "--steps", "5"], "give one of them"),
        (["train", "notes", "--out", "x", "--set", "training.device=foo"], "device 'foo' cannot be used"),
        (["train", "notes", "--out", "x", "--set", "training.minutes=inf"], "training.minutes = inf"),
        (["train"], "nothing to train on"),
        (["train", "nowhere"], "no such file or folder"),
        (["train", "notes", "--out", "x", "--set", "model.width=3"], "unknown key 'model.width', known there: "),
        (["train", "notes", "--out", "x", "--set", "optimizer.kind=sgd"], "optimizer.kind = 'sgd'"),
        (["train", "notes", "--out", "x", "--set", "nonsense"], "key.subkey=value"),
        (["train", "notes", "--out", "x", "--config", "missing.toml"], "missing.toml: no such file"),
        (["train", "notes", "--out", "notes"], "the folder holds other things"),
        (["train", "--resume"], "--resume needs the run"),
        (["train", "--resume", "--out", "x", "--minutes", "5"], "--minutes cannot be given with --resume"),
        (["train", "x", "--set=training.steps=6", "--set", "training.minutes=5"], "two ways to say how long"),
        (["train", "x", "--set=training.steps=6", "--minutes", "5"], "two ways to say how long"),
        (["train", "--resume", "--out", "x", "--tensorboard"], "--tensorboard cannot be given with --resume"),
        (["train", "notes", "--minutes", "-3"], "--minutes"),
    ],
)
def test_wrong_words_are_told_and_end_with_2(folder, words, said):
    done = quire(*words, cwd=folder, check=2)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert "Reading" not in done.stderr  # the words are judged before any work is done


def test_a_profile_and_events_change_nothing_in_the_run(folder, trained):
    words = ["train", "corpora/notes", "--out", "watched", "--steps", 8, *TINY, "--profile", "--tensorboard"]
    told = quire(*words, cwd=folder, check=0).stderr
    assert "A step takes" in told
    assert "watched/quire/profile/trace.json.gz" in told
    assert "USDT" not in told  # what torch's profiler says of itself
    place = folder / "watched/quire"
    assert (place / "profile/trace.json.gz").stat().st_size > 1000
    assert len(list((place / "tensorboard").iterdir())) == 1
    assert "--profile --tensorboard" in (place / "report.html").read_text("utf-8")
    first, second = (
        safetensors.torch.load_file(folder / name / "model.safetensors") for name in ("runs/notes", "watched")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resuming_what_is_no_run(folder):
    done = quire("train", "--resume", "--out", "notes", cwd=folder, check=1)
    assert "Is this a run folder" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(folder):
    locked = folder / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    done = quire("train", "corpora/notes", "--out", "locked/run", "--steps", 2, *TINY, cwd=folder, check=1)
    assert "Permission denied" in done.stderr
    locked.chmod(0o700)


def test_too_little_text(folder):
    (folder / "scrap").mkdir()
    (folder / "scrap" / "one.txt").write_text("Too short.")
    done = quire("train", "scrap", "--steps", 2, cwd=folder, check=1)
    assert "Traceback" not in done.stderr
    assert "text" in done.stderr


def test_a_database_is_trained_on_as_it_is_ingested(folder):
    with contextlib.closing(sqlite3.connect(folder / "notes.db")) as base:
        base.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, stars INTEGER)")
        texts = [(path.read_text(), 5) for path in sorted((folder / "notes").glob("*.md"))]
        base.executemany("INSERT INTO notes (body, stars) VALUES (?, ?)", texts)
        base.commit()
    url = "sqlite:///notes.db?table=notes&column=body"
    done = quire("train", url, "--steps", 2, *TINY, "--json", cwd=folder, check=0)
    assert json.loads(done.stdout)["run"] == "runs/notes.db"
    assert "Reading notes.db into corpora/notes.db" in done.stderr
    quire("ingest", url, "--out", "corpora/alone", cwd=folder, check=0)
    trained_on, alone = Corpus.open(folder / "corpora/notes.db"), Corpus.open(folder / "corpora/alone")
    assert trained_on.fingerprint == alone.fingerprint
    assert trained_on.num_documents == len(texts)
