"""`quire eval` prints what `quire.evaluation` computes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from quire.cli.main import app
from quire.evaluation import score
from quire.interop.huggingface import load_model_folder, save_model_folder
from quire.interop.quantized import export_quantized
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

TEXTS = {"one.txt": "A quire is a stack of pages. Größe!\n" * 5, "two.md": "# Two\n\nOther words.\n"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    tokenizer = Tokenizer.byte()
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=259, hidden_size=16, num_layers=1, num_heads=2, context_length=32)
    save_model_folder(folder / "run", Transformer(config), tokenizer)
    for name, text in TEXTS.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def test_json_is_one_object_with_the_library_numbers(folder: Path) -> None:
    paths = [str(folder / name) for name in TEXTS]
    result = CliRunner().invoke(app, ["eval", str(folder / "run"), *paths, "--json", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    model, tokenizer = load_model_folder(folder / "run")
    scores = [score(model, tokenizer, text) for text in TEXTS.values()]
    for told, expected in zip([report, *report["texts"]], [scores[0] + scores[1], *scores], strict=True):
        for name in ("bits_per_byte", "nats_per_token", "perplexity", "accuracy", "nats", "tokens", "bytes"):
            assert told[name] == getattr(expected, name)
    assert [told["text"] for told in report["texts"]] == paths


def test_standard_input_and_a_stride(folder: Path) -> None:
    text = TEXTS["one.txt"]
    result = CliRunner().invoke(app, ["eval", str(folder / "run"), "-", "--stride", "4"], input=text.encode())
    assert result.exit_code == 0, result.output
    model, tokenizer = load_model_folder(folder / "run")
    expected = score(model, tokenizer, text, stride=4)
    assert f"{expected.bits_per_byte:.4f}" in result.stdout
    assert f"{expected.accuracy:.1%}" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{folder}/run", "{folder}/missing.txt"], 2, "missing.txt: no such file"),
        (["{folder}/nowhere", "{folder}/one.txt"], 1, "nowhere"),
        (["{folder}/run", "{folder}/latin.txt"], 1, "not UTF-8 text: byte 2 is 0xf6"),
        (["{folder}/run", "{folder}/empty.txt"], 1, "the text is empty"),
        (["{folder}/run", "{folder}/one.txt", "--device", "abacus"], 2, "there is no device 'abacus'"),
        (["{folder}/run", "{folder}/one.txt", "--stride", "33"], 2, "between 1 and the context length, 32"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, words: list[str], code: int, message: str) -> None:
    (folder / "latin.txt").write_bytes("Größe".encode("latin-1"))
    (folder / "empty.txt").write_bytes(b"")
    result = CliRunner().invoke(app, ["eval", *(word.format(folder=folder) for word in words)])
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert result.stdout == ""


def test_smaller_weights_are_made_at_load_or_read(folder: Path, tmp_path: Path) -> None:
    text, run = str(folder / "one.txt"), folder / "run"
    export_quantized(run, tmp_path / "small", "int8")
    told = []
    for words in ([str(run)], [str(run), "--weights", "int8"], [str(tmp_path / "small")]):
        result = CliRunner().invoke(app, ["eval", words[0], text, *words[1:], "--json", "--device", "cpu"])
        assert result.exit_code == 0, result.output
        told.append(json.loads(result.stdout))
    assert [each["weights"] for each in told] == ["float32", "int8", "int8"]
    assert told[1]["nats"] == told[2]["nats"] != told[0]["nats"]
    result = CliRunner().invoke(app, ["eval", str(tmp_path / "small"), text, "--weights", "int4"])
    assert (result.exit_code, "the weights are int8 already" in result.stderr) == (2, True)
