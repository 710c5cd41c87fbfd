"""What benchmarks/engine.py measures: every number is there, and guesses that change a text end it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TINY = ModelConfig(vocab_size=300, hidden_size=64, num_layers=2, num_heads=2, context_length=1024, tie_embeddings=False)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("engine")
    monkeypatch.setattr(module, "WRITTEN", 8)
    monkeypatch.setattr(module, "LARGE", 1 << 20)
    monkeypatch.setattr(module, "product_rate", lambda device, kind: 100.0)
    return module


def test_a_model_gets_all_of_its_numbers(engine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, text, out = tmp_path / "run", tmp_path / "text.py", tmp_path / "out.json"
    save_model_folder(run, *engine.random_model(TINY.model_copy(update={"context_length": 64})))
    text.write_text("for each in range(10):\n    print(each)\n" * 20, "utf-8")
    words = ["--out", str(out), "--models", "tiny", "--rounds", "1", "--threads", "1"]
    engine.main([*words, "--run", str(run), "--code", str(text)], {"tiny": TINY})
    result = json.loads(out.read_text("utf-8"))
    tiny = result["models"]["tiny"]
    assert list(tiny["positions"]) == list(tiny["batches"]) == ["float32", "float16"]
    for kind, found in tiny["positions"].items():
        assert len(found["milliseconds"]) == len(found["position"]) == (1024 - 16) // 16
        assert tiny["batches"][kind]["batch"] == [1, 2, 4, 8, 16]
        assert tiny["batches"][kind]["to_one"][0] == tiny["weights"]["to_float32"][0] == 1
    assert tiny["cache_bytes_per_token"]["float32"] == 2 * tiny["cache_bytes_per_token"]["float16"]
    assert tiny["weights"]["bytes"][0] == tiny["weight_bytes"]
    assert tiny["weights"]["bytes"] == sorted(tiny["weights"]["bytes"], reverse=True)
    assert tiny["prefix"]["known_tokens"] == 384
    assert all(tiny["machine"].values())
    assert [row["draft_tokens"] for row in result["guessing"]] == [0, 2, 4, 8] * 2
    assert {row["tokens"] for row in result["guessing"]} == {6 * 32}
    assert result["guessing"][0]["steps"] >= 6 * 32
    assert "tiny: " in capsys.readouterr().out


def test_another_text_ends_the_run(engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model_folder(tmp_path / "run", *engine.random_model(TINY.model_copy(update={"context_length": 32})))
    text = tmp_path / "text"
    text.write_text("a b c d " * 40, "utf-8")
    monkeypatch.setattr(engine, "follow", lambda language, starts, sampling: (1.0, [[language.settings.draft_tokens]]))
    with pytest.raises(SystemExit, match="with 2 tokens guessed ahead another text"):
        engine.guessing(tmp_path / "run", {"prose": text}, 1, 1)


def test_guesses_need_a_run_and_a_text(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        engine.main(["--out", str(tmp_path / "out.json"), "--run", str(tmp_path)])
