"""The token shards of a run are made again from its corpus, to the byte, or it is said why they cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from quire.errors import FormatError
from quire.tokens.shards import prepare
from quire.training.config import load_config
from quire.training.run import resume, train
from quire.training.run_folder import mend_tokens, tokens_folder

TINY = {
    "model": {"hidden_size": 16, "num_layers": 1, "context_length": 16},
    "training": {"steps": 2, "batch_size": 2, "precision": "float32", "sample_tokens": 0},
    "tokens": {"vocab_size": 270},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("mend")
    (place / "notes").mkdir()
    for number in range(12):
        lines = "".join(f"Note {number} says in line {line} that the pond is deep.\n" for line in range(30))
        (place / "notes" / f"{number}.txt").write_text(lines)
    train(place / "notes", place / "run", settings=TINY, corpus=place / "corpus")
    return place / "run", place / "corpus"


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npy"))}


@pytest.fixture
def again(trained: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path, dict[str, Any]]:
    run, corpus = (shutil.copytree(path, tmp_path / path.name) for path in trained)
    return run, corpus, {**load_config(run)[2], "corpus": str(corpus)}


@pytest.mark.parametrize("damage", ["gone", "a shard gone", "cut short", "other bytes"])
def test_damaged_tokens_are_made_again_and_it_is_said(damage: str, again: Any) -> None:
    run, _, source = again
    whole = shards(tokens_folder(run))
    first = tokens_folder(run) / next(iter(whole))
    if damage == "gone":
        shutil.rmtree(tokens_folder(run))
    elif damage == "a shard gone":
        first.unlink()
    elif damage == "other bytes":
        first.write_bytes(first.read_bytes()[:-7] + bytes(7))
    else:
        first.write_bytes(first.read_bytes()[:-7])
    told: list[Any] = []
    mend_tokens(run, load_config(run)[0].tokens, source, told.append)
    assert shards(tokens_folder(run)) == whole
    assert "the tokens are made again from" in told[0]["text"]
    mend_tokens(run, load_config(run)[0].tokens, source, told.append)
    assert len(told) == 1


def test_a_run_without_tokens_is_resumed(trained: tuple[Path, Path]) -> None:
    run, _ = trained
    weights = (run / "model.safetensors").read_bytes()
    shutil.rmtree(tokens_folder(run))
    resume(run)
    assert (run / "model.safetensors").read_bytes() == weights


def test_without_the_corpus_or_with_another_one_it_is_said_what_to_do(again: Any) -> None:
    run, corpus, source = again
    settings = load_config(run)[0].tokens
    shutil.rmtree(tokens_folder(run))
    with pytest.raises(FormatError, match="is no longer the one that they were made of"):
        mend_tokens(run, settings, {**source, "fingerprint": "another"}, print)
    shutil.rmtree(corpus)
    with pytest.raises(FormatError, match="the corpus cannot be opened") as raised:
        mend_tokens(run, settings, source, print)
    assert "quire ingest" in str(raised.value.hint)


def test_another_tokenizer_is_refused(again: Any) -> None:
    from quire.corpus.store import Corpus

    run, corpus, source = again
    shutil.rmtree(tokens_folder(run))
    other = load_config(run)[0].tokens.model_copy(update={"vocab_size": 265})
    prepare(Corpus.open(corpus), run / "other", other)
    shutil.copy(run / "other" / "tokenizer.json", run / "tokenizer.json")
    with pytest.raises(FormatError, match="not the one that the model was trained with"):
        mend_tokens(run, load_config(run)[0].tokens, source, print)
