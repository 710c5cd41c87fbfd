"""`quire export` writes what `quire.interop.gguf` does, and says it."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest
import torch
from typer.testing import CliRunner

from quire.cli.main import app
from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=259, hidden_size=32, num_layers=1, num_heads=2, context_length=32, intermediate_size=40
    )
    save_model_folder(tmp_path / "notes", Transformer(config), Tokenizer.byte())
    return tmp_path / "notes"


def test_without_out_the_file_lies_beside_the_run(run: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(run), "--to", "gguf"])
    assert result.exit_code == 0, result.output
    path = run.parent / "notes-f32.gguf"
    assert result.stdout.startswith(f"{path}: {path.stat().st_size:,} bytes, ")
    assert gguf.GGUFReader(path).fields["general.name"].contents() == "notes"
    again = CliRunner().invoke(app, ["export", str(run), "--to", "gguf"])
    assert (again.exit_code, "--overwrite" in again.stderr) == (2, True)
    assert CliRunner().invoke(app, ["export", str(run), "--to", "gguf", "--overwrite"]).exit_code == 0


def test_json_is_one_object_and_what_stays_wider_is_said(run: Path, tmp_path: Path) -> None:
    words = ["export", str(run), "--to", "gguf", "--type", "q8_0"]
    out = tmp_path / "new" / "model.gguf"
    told = json.loads(CliRunner().invoke(app, [*words, "--out", str(out), "--json"]).stdout)
    assert told == {
        "run": str(run),
        "format": "gguf",
        "path": str(out),
        "architecture": "qwen3",
        "type": "q8_0",
        "parameters": 16_352,
        "tensors": 13,
        "bytes": out.stat().st_size,
        "wider": ["blk.0.ffn_down.weight"],
    }
    plain = CliRunner().invoke(app, words)
    assert "1 of 13 tensors stay float32, as their rows are no multiple of 32 numbers: blk.0.ffn_down" in plain.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{run}", "--to", "onnx"], 2, "--to: 'onnx' is not one of gguf"),
        (["{run}", "--to", "huggingface"], 2, "A run is a Hugging Face folder as it stands"),
        (["{run}", "--to", "gguf", "--type", "q4"], 2, "--type: 'q4' is not one of f32, bf16, q8_0"),
        (["{run}/none", "--to", "gguf"], 2, "no such folder"),
        (["{run}/config.json", "--to", "gguf"], 2, "a file, where a folder is needed"),
        (["{run}/..", "--to", "gguf"], 1, "Is this the folder of a model or a run?"),
    ],
)
def test_what_is_wrong_is_said(run: Path, words: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(app, ["export", *(word.format(run=run) for word in words)])
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
