"""What the report of an export says is what the files and the validation text say."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from quire.corpus.build import ingest
from quire.corpus.store import Corpus
from quire.evaluation import Score, score_split
from quire.evaluation.smaller import ExportReport, export_and_measure, validation_score
from quire.interop.huggingface import load_model_folder, save_model_folder
from quire.interop.quantized import Sizes
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.dataset import TokenDataset
from quire.tokens.settings import TokenSettings
from quire.tokens.shards import prepare

WORDS = "a quire is folded stack of pages and each page again under the hand that sews it so no leaf falls out"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    texts = folder / "texts"
    texts.mkdir()
    drawn = random.Random(0)
    for number in range(24):
        (texts / f"{number}.txt").write_text(" ".join(drawn.choice(WORDS.split()) for _ in range(400)))
    ingest(texts, folder / "corpus")
    data = prepare(Corpus.open(folder / "corpus"), folder / "run" / "quire" / "tokens", TokenSettings(vocab_size=300))
    torch.manual_seed(0)
    shape = {"vocab_size": data.tokenizer.vocab_size, "hidden_size": 32, "num_layers": 1, "num_heads": 2}
    model = Transformer(ModelConfig.model_validate(shape | {"context_length": 16}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    save_model_folder(folder / "run", model, data.tokenizer)
    return folder / "run"


def test_the_report_is_what_the_files_and_the_text_say(run: Path, tmp_path: Path) -> None:
    report = export_and_measure(run, tmp_path / "out", "int4")
    data = TokenDataset.open(run / "quire" / "tokens")
    for folder, told in ((run, report.before), (tmp_path / "out", report.after)):
        model, tokenizer = load_model_folder(folder)
        assert told is not None
        assert told.tokens == data.validation.num_tokens
        assert told.nats == pytest.approx(score_split(model, tokenizer, data.validation).nats, rel=1e-5)
    assert report.before is not None
    assert report.after is not None
    assert report.before.nats != report.after.nats
    assert report.change == pytest.approx(report.after.nats / report.before.nats - 1)
    said = " ".join(report.lines())
    for number in (f"{report.sizes.before:,}", f"{report.sizes.after:,}", f"{report.after.bits_per_byte:.4f}"):
        assert number in said


def test_a_part_of_the_text_is_taken_from_the_whole(run: Path) -> None:
    model, _ = load_model_folder(run)
    data = TokenDataset.open(run / "quire" / "tokens")
    assert data.validation.num_tokens > 300
    part = validation_score(model, data, 100)
    assert 0 < part.tokens < data.validation.num_tokens
    assert validation_score(model, data, None).tokens == data.validation.num_tokens


def test_without_validation_text_the_size_is_told_alone(run: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model_folder(run)
    save_model_folder(tmp_path / "foreign", model, tokenizer)
    report = export_and_measure(tmp_path / "foreign", tmp_path / "out", "int8")
    assert report.before is report.after is report.change is report.warning is None
    assert report.lines()[1] == "bits per byte: not measured, the folder holds no validation text"
    damaged = tmp_path / "foreign" / "quire" / "tokens"
    damaged.mkdir(parents=True)
    (damaged / "index.json").write_text(json.dumps([]))
    report = export_and_measure(tmp_path / "foreign", tmp_path / "out2", "int8")
    assert "cannot be read" in report.lines()[1]
    assert (tmp_path / "out2" / "model.safetensors").exists()


@pytest.mark.parametrize(("after", "warned"), [(90.0, False), (100.9, False), (101.1, True), (float("nan"), True)])
def test_a_rise_of_more_than_one_percent_is_said(after: float, warned: bool) -> None:
    report = ExportReport("int4", Sizes(100, 20), Score(100.0, 50, 100, 1), Score(after, 50, 100, 1))
    assert (report.warning is not None) == warned
    if after == 101.1:
        assert report.warning is not None
        assert "rose by 1.1%, more than 1%" in report.warning
