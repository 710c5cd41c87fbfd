"""What benchmarks/decode.py says: who is left out and why, and rows only after the engines wrote the same tokens."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from quire.model.config import ModelConfig

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TINY = ModelConfig(vocab_size=300, hidden_size=64, num_layers=2, num_heads=2, context_length=1024, tie_embeddings=False)


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("decode")


def test_every_engine_that_is_there_gets_its_row(
    decode: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    words = ["--out", str(out), "--rounds", "1", "--threads", "1", "--batches", "1"]
    decode.main([*words, "--engines", "quire,llama.cpp,transformers", "--weights", "f32"], {"tiny": TINY})
    rows, said = json.loads(out.read_text()), capsys.readouterr().out
    here = ["quire", *(["llama.cpp"] if "llama.cpp is left out" not in said else []), "transformers"]
    assert [row["engine"] for row in rows] == here
    rates = ["decode_tokens_per_second", "prefill_tokens_per_second"]
    for row in rows:
        assert list(row) == ["model", "weights", "engine", "batch", *rates]
        assert (row["model"], row["weights"], row["batch"]) == ("tiny", "f32", 1)
        assert all(row[rate] > 0 for rate in rates)
    assert "tiny: the same 64 tokens" in said


def test_other_tokens_end_the_run(decode: Any) -> None:
    class Fake:
        version = "1"

        def __init__(self, *tokens: int) -> None:
            self.tokens = list(tokens)

        def ask(self, do: str, prompts: list[str], tokens: int) -> dict[str, Any]:
            assert (do, len(prompts), len(prompts[0])) == ("exact", 1, decode.PROMPT)
            return {"tokens": [self.tokens]}

    decode.check("tiny", {"quire": Fake(1, 2), "llama.cpp": Fake(1, 2), "transformers": Fake(1, 3)})
    with pytest.raises(SystemExit, match=r"quire and llama\.cpp write different tokens"):
        decode.check("tiny", {"quire": Fake(1, 2), "llama.cpp": Fake(1, 3)})


def test_an_engine_that_cannot_start_says_why(decode: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(decode.AnswerError, match="no such folder"),
        decode.Worker(sys.executable, "quire", tmp_path / "none", "f32", 1, tmp_path / "log"),
    ):
        pass
