"""`quire export` writes what `quire.interop.gguf` does, and says it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import gguf
import pytest
import torch
from typer.testing import CliRunner

from quire.cli.main import app
from quire.corpus.build import ingest
from quire.corpus.store import Corpus
from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.settings import TokenSettings
from quire.tokens.shards import prepare
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
        (["{run}", "--to", "onnx"], 2, "--to: 'onnx' is not one of gguf, int8, int4"),
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


def told_by(result: object) -> dict[str, object]:
    assert result.exit_code == 0, result.output  # type: ignore[attr-defined]
    return dict(json.loads(result.stdout))  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_smaller_weights_are_a_folder_beside_the_run(run: Path, kind: str) -> None:
    result = CliRunner().invoke(app, ["export", str(run), "--to", kind])
    place = run.parent / f"notes-{kind}"
    after = (place / "model.safetensors").stat().st_size
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{place}:\nweights: {(run / 'model.safetensors').stat().st_size:,} bytes before")
    assert f"{after:,} in {kind}" in result.stdout
    assert "not measured, the folder holds no validation text" in result.stdout
    again = CliRunner().invoke(app, ["export", str(run), "--to", kind])
    assert (again.exit_code, "Choose another --out" in again.stderr) == (2, True)
    told = told_by(CliRunner().invoke(app, ["export", str(run), "--to", kind, "--out", f"{place}2", "--json"]))
    assert (told["path"], told["bytes"], told["bits_per_byte"]) == (f"{place}2", after, None)
    assert CliRunner().invoke(app, ["generate", str(place), "a", "--max-tokens", "3"]).exit_code == 0


@pytest.mark.parametrize("words", [["--type", "f32"], ["--overwrite"]])
def test_options_of_gguf_files_do_not_go_with_smaller_weights(run: Path, words: list[str]) -> None:
    result = CliRunner().invoke(app, ["export", str(run), "--to", "int8", *words])
    assert (result.exit_code, words[0] in result.stderr) == (2, True)


def test_a_loss_above_one_percent_is_warned_of(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    drawn = random.Random(0)
    for number in range(24):
        (texts / f"{number}.txt").write_text(" ".join(drawn.choice(["quire", "page", "leaf"]) for _ in range(400)))
    ingest(texts, tmp_path / "corpus")
    data = prepare(
        Corpus.open(tmp_path / "corpus"), tmp_path / "run" / "quire" / "tokens", TokenSettings(vocab_size=300)
    )
    torch.manual_seed(0)
    shape = {"vocab_size": data.tokenizer.vocab_size, "hidden_size": 32, "num_layers": 1, "num_heads": 2}
    model = Transformer(ModelConfig.model_validate(shape | {"context_length": 16}))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    ids = torch.tensor(data.tokenizer.encode(" ".join(["quire", "page", "leaf", "page", "quire", "leaf"] * 200))[:1020])
    for _ in range(40):
        optimizer.zero_grad()
        rows = ids[: len(ids) // 17 * 17].view(-1, 17)
        (model.loss(rows[:, :-1], rows[:, 1:]) / rows.numel()).backward()
        optimizer.step()
    with torch.no_grad():  # numbers that are always multiplied by 0, and so large that int4 rounds the others to 0
        block = model.model.layers[0]
        block.input_layernorm.weight[0] = block.post_attention_layernorm.weight[0] = 0
        for matrix in (block.self_attn.v_proj, block.mlp.gate_proj, block.mlp.up_proj):
            matrix.weight[:, 0] = 1e4
    save_model_folder(tmp_path / "run", model, data.tokenizer)
    result = CliRunner().invoke(app, ["export", str(tmp_path / "run"), "--to", "int4", "--json"])
    told = told_by(result)
    assert told["change"] > 0.01  # type: ignore[operator]
    assert result.stderr == f"quire: {told['warning']}\n"
    assert "more than 1%, int8 costs less" in result.stderr
