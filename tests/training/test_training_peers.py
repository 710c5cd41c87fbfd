"""What benchmarks/training_peers.py rests on: when a contender stops, how it is scored, who is left out."""

from __future__ import annotations

import importlib.util
import io
import itertools
import math
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from quire.evaluation import score_split
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.dataset import TokenDataset
from quire.training.machine import Machine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import nanogpt_recipe
import training_peers
import training_task
from answering import AnswerError
from training_workers import Field

TINY = ModelConfig(vocab_size=512, hidden_size=32, num_layers=2, num_heads=2, context_length=16)
TEXT = "The fold of a sheet makes leaves, the leaves make a quire, and quires make a book.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("peers") / "tokens"
    text = "".join(f"{number}. {TEXT}" for number in range(400))
    return training_peers.make_tokens(text, "quire.txt", 300, out)[0]


def task(folder: Path, **changes) -> training_task.Task:
    shape = {name: getattr(TINY, name) for name in ("vocab_size", "hidden_size", "num_layers", "num_heads")}
    values = {"contender": "nanogpt", "tokens": str(folder), "out": "", "shape": {**shape, "context_length": 16}}
    values |= {
        "batch": 4,
        "learning_rate": 1e-3,
        "precision": "float32",
        "compiled": False,
        "device": "cpu",
        "seconds": None,
        "began": 0.0,
    }
    return training_task.Task(**{**values, **changes})


def test_the_closing_score_is_that_of_quire_for_the_very_same_tokens(folder):
    data = TokenDataset.open(folder)
    torch.manual_seed(0)
    model = Transformer(TINY)
    torch.nn.init.normal_(model.model.layers[0].self_attn.o_proj.weight)  # so that the order of tokens tells
    row = task(folder).row("validation")
    assert len(row) == data.validation.num_tokens
    assert len(row) % TINY.context_length  # the last window is not full
    nats = training_task.score(model, row, data.tokenizer.end_of_text, TINY.context_length, "cpu")
    assert row[-1] == data.tokenizer.end_of_text
    assert nats == pytest.approx(score_split(model, data.tokenizer, data.validation).nats, rel=1e-6)


def test_steps_on_command_are_as_many_as_were_asked_for(folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("2\n3\n\n"))
    answers = io.StringIO()
    between = training_task.OnCommand(task(folder), answers)
    for _ in range(5):
        between()
    with pytest.raises(training_task.Ended):
        between()
    assert between.taken == 5
    assert len(answers.getvalue().splitlines()) == 2  # each command is answered once


def test_the_end_comes_with_the_time_and_the_schedule_knows_it(folder):
    between = training_task.UntilTime(task(folder, seconds=3600.0, began=time.time()))
    shares = []
    for _ in range(4):
        between()
        shares.append(between.share())
    assert shares[0] == 0  # the first step also compiles
    assert shares == sorted(shares)
    assert shares[-1] < 0.5
    between.end = time.time()
    assert between.share() == 1
    with pytest.raises(training_task.Ended):
        between()
    assert between.taken == 4  # steps taken, not begun


def test_nanogpts_model_has_the_size_that_its_readme_tells():
    model = nanogpt_recipe.GPT2(nanogpt_recipe.RECIPES["cpu"], vocab_size=65)
    # "number of parameters: 0.80M", which leaves the positions out; for the GPU's recipe 10.65M.
    assert round((sum(p.numel() for p in model.parameters()) - model.positions.weight.numel()) / 1e6, 2) == 0.80
    model = nanogpt_recipe.GPT2(nanogpt_recipe.RECIPES["cuda"], vocab_size=65)
    assert round((sum(p.numel() for p in model.parameters()) - model.positions.weight.numel()) / 1e6, 2) == 10.65


def test_nanogpts_model_sees_no_token_before_its_time():
    torch.manual_seed(0)
    model = nanogpt_recipe.GPT2(nanogpt_recipe.RECIPES["cpu"], vocab_size=17).eval()
    tokens = torch.randint(17, (2, 12))
    changed = tokens.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 17
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_nanogpts_rate_rises_for_a_hundred_of_its_steps_and_ends_at_a_tenth():
    steps = nanogpt_recipe.RECIPES["cpu"].steps
    rates = [nanogpt_recipe.learning_rate(step / steps, steps) for step in range(steps + 1)]
    assert max(rates) == rates[100] == pytest.approx(1e-3)
    assert all(a < b for a, b in itertools.pairwise(rates[:101]))
    assert all(a > b for a, b in itertools.pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(1e-4)


def test_nanogpts_recipe_learns():
    row = np.tile(np.arange(8, dtype=np.uint16), 200)
    recipe = nanogpt_recipe.of_shape({"num_layers": 1, "num_heads": 2, "hidden_size": 32, "context_length": 16}, 8)
    models, left = [], iter(range(80))

    def between() -> None:
        if next(left, None) is None:
            raise training_task.Ended

    def loss() -> float:
        return training_task.score(models[0].eval(), row, 7, 16, "cpu") / len(row)

    before = []
    with pytest.raises(training_task.Ended):
        nanogpt_recipe.train(
            recipe,
            8,
            row,
            torch.device("cpu"),
            between,
            lambda: 0.1,
            started=lambda model: (models.append(model), before.append(loss()), model.train()),
        )
    assert before[0] == pytest.approx(math.log(8), abs=0.1)
    assert loss() < math.log(8) / 4


def test_all_that_are_installed_are_compared_and_the_others_named(tmp_path, capsys):
    text = tmp_path / "quire.txt"
    text.write_text("".join(f"{number}. {TEXT}" for number in range(400)), "utf-8")
    arguments = ["--data", str(text), "--rounds", "1", "--ways", "eager", "--seconds", "1", "--eager", "trainer"]
    arguments += ["--formats", "float32"]
    wanted = ["quire", "trainer", "litgpt"]
    results = training_peers.main([*arguments, "--contenders", *wanted], {"tiny": TINY})
    here = ["quire"]
    here += ["trainer"] if importlib.util.find_spec("transformers") and importlib.util.find_spec("accelerate") else []
    here += ["litgpt"] if importlib.util.find_spec("litgpt") else []
    assert [row["contender"] for row in results["speed"]] == here
    assert [row["contender"] for row in results["loss"]] == here
    said = capsys.readouterr().out
    for key in set(wanted) - set(here):
        assert f"{training_peers.SPEED[key].name} is left out: " in said
    assert all(row["tokens_per_second"] > 0 and row["resident_bytes"] > 1 << 20 for row in results["speed"])
    sizes = {row["parameters"] for part in ("speed", "loss") for row in results[part]}
    assert len(sizes) == 1  # all train the same architecture
    assert all(0 < row["nats_per_token"] < 20 for row in results["loss"])


def test_a_peer_that_fails_is_left_out_with_its_last_words_and_quire_is_not(tmp_path, capsys):
    machine = Machine("cpu", "a processor", 1, 1 << 30, {"float32": 1.0}, None)
    field = Field(machine, {}, tmp_path, 1e-3)
    what = {"batch": 4, "precision": "float32", "compiled": False, "seconds": None}
    with (
        field.worker("nanogpt", tmp_path / "absent", TINY, what, fresh=False) as worker,
        pytest.raises(AnswerError, match=r"FileNotFoundError.*index\.json") as error,
    ):
        worker.take(1)
    training_peers.left_out(training_peers.SPEED["nanogpt"], error.value)
    assert capsys.readouterr().out.startswith("nanoGPT's layout is left out: FileNotFoundError")
    with pytest.raises(AnswerError):
        training_peers.left_out(training_peers.SPEED["quire"], error.value)


def test_the_verdict_is_over_the_fastest_peer_and_never_over_quire_itself():
    rates = [("quire", False, 50), ("quire", True, 60), ("quire-adamw", True, 90), ("litgpt", True, 40)]
    rates += [("trainer", True, 30), ("trainer", False, 24), ("litgpt", False, 12), ("nanogpt", True, 70)]
    rows = [
        {
            "contender": key,
            "compiled": compiled,
            "precision": "float32",
            "tokens_per_second": rate,
            "tokens_per_processor_second": 80 - rate,
        }
        for key, compiled, rate in rates
    ]
    assert training_peers.verdicts(rows) == [
        "float32: quire, Muon, is 1.50 x the fastest peer compiled (litgpt)",
        "float32: quire, Muon, is 0.60 x the fastest peer compiled (transformers' Trainer), in processor time",
        "float32: quire, Muon, is 2.50 x the fastest peer eager (transformers' Trainer)",
        "float32: quire, Muon, is 0.44 x the fastest peer eager (litgpt), in processor time",
    ]
