"""`quire plan` as a person calls it."""

import json
import subprocess
import sys

import pytest

from quire.cli.plan import parse_count
from quire.errors import UsageError


def quire(*words, cwd=None, check=None):
    command = [sys.executable, "-m", "quire", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if check is not None:
        assert done.returncode == check, done.stderr
    return done


GPT2 = ("--params", "124M", "--tokens", "10B", "--vocab", 50257, "--gpu", "a100", "--gpus", 8)


def test_a_run_on_eight_gpus_that_are_not_here():
    done = quire("plan", *GPT2, "--mfu", 0.4, "--price", 2, check=0)
    assert done.stderr == ""
    for figure in ("123,552,768 parameters", "8.54e+18 in all", "524,288 tokens a step", "2.4 hours, 19.0 GPU-hours"):
        assert figure in done.stdout
    assert "$38.04 at $2.00 a GPU-hour (given)" in done.stdout
    assert "torchrun --nproc-per-node 8" in done.stdout


def test_json_says_the_same():
    found = json.loads(quire("plan", *GPT2, "--mfu", 0.4, "--price", 2, "--json", check=0).stdout)
    assert found["parameters"] == 123_552_768
    assert found["flops"] == 854_438_400 * 10**10
    assert found["cost"] == pytest.approx(38.04, abs=0.01)
    chosen = found["layouts"][found["chosen"]]
    assert chosen["strategy"] == "DDP"
    assert chosen["memory"]["total"] <= 80e9
    assert found["command"].startswith("torchrun")


def test_several_nodes_have_eight_gpus_each_unless_told():
    found = json.loads(
        quire("plan", "--params", "8B", "--tokens", "1T", "--gpu", "h100", "--nodes", 8, "--json").stdout
    )
    assert found["gpus"] == 64
    assert "--nnodes 8 --nproc-per-node 8" in found["command"]


def test_what_fits_nowhere_is_said_and_is_no_failure():
    done = quire("plan", "--params", "70B", "--tokens", "1T", "--gpu", "h100", "--gpus", 8, check=0)
    assert "fits        no: 32 of these GPUs hold it, sharded" in done.stdout
    assert "torchrun" not in done.stdout


def test_the_processor_here_is_measured():
    done = quire("plan", "--params", "1M", "--tokens", "1M", "--gpu", "cpu", check=0)
    assert "measured here" in done.stdout
    assert "one process" in done.stdout


def test_the_table_of_gpus():
    done = quire("plan", "--list-gpus", check=0)
    assert "h100-pcie" in done.stdout
    assert len(json.loads(quire("plan", "--list-gpus", "--json", check=0).stdout)) == 13


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "nothing to plan"),
        (("--params", "1B"), "--tokens, --gpu missing"),
        (("--params", "1B", "--tokens", "1B", "--gpu", "z80"), "unknown GPU 'z80'"),
        (("--params", "many", "--tokens", "1B", "--gpu", "h100"), "--params: 'many' is no number such as"),
        (("--params", "1B", "--tokens", "-5", "--gpu", "h100"), "--tokens: '-5' is no number"),
        (("--params", "1B", "--tokens", "1B", "--gpu", "h100", "--mfu", "40"), "--mfu: 40.0 is not a share"),
        (("--params", "1B", "--tokens", "1B", "--gpu", "h100", "--optimizer", "sgd"), "'sgd' is not muon or adamw"),
        (("--params", "1B", "--tokens", "1B", "--gpu", "h100", "--minutes", "5"), "--minutes goes with a SOURCE"),
        (("docs", "--gpu", "h100"), "--gpu plans a run on GPUs by data sheet"),
        (("no-such-folder",), "no such file or folder"),
        (("--params", "1B", "--tokens", "1B", "--gpu", "cpu", "--gpus", "2"), "the processor measured here is one"),
    ],
)
def test_wrong_words(words, told, tmp_path):
    done = quire("plan", *words, cwd=tmp_path, check=2)
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("124M", 124_000_000),
        ("1.3b", 1_300_000_000),
        ("50_257", 50_257),
        ("50,257", 50_257),
        ("2e9", 2 * 10**9),
        ("1T", 10**12),
        ("512", 512),
        ("32k", 32_000),
        ("1 G", 10**9),
    ],
)
def test_numbers_as_people_write_them(text, number):
    assert parse_count("--tokens", text) == number


@pytest.mark.parametrize("text", ["", "0", "0.4", "B", "1.3.1B", "1MM", "nan", "inf", "-1", None])
def test_what_is_no_number(text):
    with pytest.raises(UsageError, match="is no number such as"):
        parse_count("--tokens", text)


def test_the_plan_of_a_run_here_is_that_of_train(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(8):
        lines = [f"Note {number}, line {line}: the binder counts sheet {line * number} again." for line in range(40)]
        (notes / f"{number}.md").write_text("\n".join(lines))
    held = ["--set=training.precision=float32", "--set=training.steps=3", "--set=training.sample_tokens=0"]
    held += ["--set=training.minutes=2.0", "--set=model.hidden_size=32", "--set=model.num_layers=2"]
    done = quire("plan", "notes", *held, "--json", cwd=tmp_path, check=0)
    planned = json.loads(done.stdout)
    assert planned["config"]["model"]["hidden_size"] == 32
    assert planned["reasons"]["model.hidden_size"] == "set by you"
    assert planned["reasons"]["optimizer.kind"]
    # The corpus is there for the training to come, and nothing else.
    assert (tmp_path / "corpora/notes/report.html").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpora", "notes"]
    (tmp_path / "other/notes").mkdir(parents=True)
    refused = quire("plan", "other/notes", *held, cwd=tmp_path, check=2)
    assert f"was made of {notes}, which" in refused.stderr
    assert "--corpus corpora/notes to replace it" in refused.stderr
    text = quire("plan", "corpora/notes", *held, cwd=tmp_path, check=0).stdout
    assert "training.batch_size" in text
    assert "feed-forward" in text
