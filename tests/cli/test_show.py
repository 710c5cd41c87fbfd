"""`quire show` says what lies at a path: corpus, run, tokens, weights, file; and where a token came from."""

import json
import os

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from fixtures.pdfs import pdf, printed, scanned
from quire.cli.main import app
from quire.corpus.build import ingest
from quire.corpus.settings import IngestSettings
from quire.corpus.store import Corpus
from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.settings import build
from quire.tokens.dataset import TokenDataset
from quire.tokens.settings import TokenSettings
from quire.tokens.shards import prepare


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a corpus, its tokens, and a run of an untrained model."""
    folder = tmp_path_factory.mktemp("made")
    for number in range(8):
        path = folder / "in" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"Chapter {number}. " + " ".join(f"word{number * 31 + i * i}" for i in range(120)))
    ingest(folder / "in", folder / "corpus", build(IngestSettings, {"pool": {"workers": 1}}))
    run = folder / "run"
    dataset = prepare(Corpus.open(folder / "corpus"), run / "quire" / "tokens", TokenSettings(tokenizer="byte"))
    vocab_size = dataset.tokenizer.vocab_size
    shape = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "head_dim": 8}
    config = ModelConfig(vocab_size=vocab_size, intermediate_size=32, context_length=32, **shape)
    save_model_folder(run, Transformer(config), dataset.tokenizer)
    records = [
        {"kind": "train", "step": 10, "seconds": 3.25, "loss": 5.0},
        {"kind": "validation", "step": 10, "loss": 4.0, "bits_per_byte": 5.77},
        {"kind": "validation", "step": 20, "loss": 4.5, "bits_per_byte": 6.49},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (run / "quire" / "metrics.jsonl").write_text(lines + '{"kind": "trai')
    (run / "quire" / "run.toml").write_text('[source]\ncorpus = "/somewhere/corpus"\n')
    return folder


def show(*words):
    return CliRunner().invoke(app, ["show", *map(str, words)])


def facts(*words):
    result = show(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_corpus(made):
    told = facts(made / "corpus")
    corpus = Corpus.open(made / "corpus")
    assert (told["kind"], told["documents"], told["text_bytes"]) == ("corpus", 8, corpus.num_bytes)
    assert told["account"]["found"]["files"] == 8
    printed = show(made / "corpus").stdout
    assert "= kept" in printed
    assert corpus.fingerprint in printed


def test_it_says_whether_bytes_are_those_of_the_words_or_of_what_holds_them(tmp_path):
    (tmp_path / "in").mkdir()
    text = "的一是不了 frogs of the pond " * 9
    (tmp_path / "in" / "a.txt").write_bytes(text.encode("gb18030"))
    (tmp_path / "in" / "b.txt").write_bytes(("wide " * 9 + "pond").encode("utf-16"))
    ingest(tmp_path / "in", tmp_path / "corpus", build(IngestSettings, {"pool": {"workers": 1}}))
    printed = show(tmp_path / "corpus", "--find", "pond").stdout
    size = len(text.encode("gb18030"))
    assert f"a.txt, within bytes 0 to {size}, characters 19 to 23 of document 0" in printed
    assert "b.txt, bytes 92 to 100, characters 45 to 49 of document 1" in printed


def test_a_locked_file_opens_with_its_password(tmp_path):
    path = tmp_path / "locked.pdf"
    path.write_bytes(pdf([printed(["A page of words that nobody", "may read without the key."])], password="sesame"))
    told = facts(path)
    assert told["outcome"] == "failed"
    assert "password" in told["reason"]
    told = facts(path, "--password", "sesame")
    assert told["outcome"] == "kept"
    assert "without the key" in told["text"]


def test_words_are_found_with_their_files(made):
    told = facts(made / "corpus", "--find", "chapter  3.")
    (hit,) = told["hits"]
    assert (hit["source"], hit["text"], hit["start"], hit["byte_end"]) == ("3.txt", "Chapter 3.", 0, 10)
    printed = show(made / "corpus", "--find", "Chapter").stdout
    assert "3.txt, bytes 0 to 7, characters 0 to 7 of document 3\n    …[[Chapter]] 3. word93" in printed
    assert printed.endswith("8 hits in 8 of 8 documents\n")
    assert show(made / "corpus", "--find", "Chapter 3").stdout.endswith("\n1 hit in 1 of 8 documents\n")
    assert "0 hits" in show(made / "corpus", "--find", "nowhere at all").stdout


def test_a_run(made):
    told = facts(made / "run")
    assert told["kind"] == "run"
    assert (told["layers"], told["hidden_size"], told["context"]) == (1, 16, 32)
    assert (told["steps"], told["training_seconds"]) == (10, 3.2)
    assert (told["best_validation_loss"], told["best_bits_per_byte"]) == (4.0, 5.77)
    assert told["corpus"] == "/somewhere/corpus"
    assert told["train_tokens"] == TokenDataset.open(made / "run" / "quire" / "tokens").train.num_tokens
    assert "hidden size" in show(made / "run").stdout


def test_tokens_and_weights(made):
    told = facts(made / "run" / "quire" / "tokens")
    assert (told["kind"], told["tokenizer"]) == ("tokens", "byte")
    assert facts(made / "run" / "model.safetensors")["parameters"] == facts(made / "run")["parameters"]


def test_weights_are_counted_exactly(tmp_path):
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(7, dtype=torch.float16)}, tmp_path / "w.safetensors")
    told = facts(tmp_path / "w.safetensors")
    assert (told["parameters"], told["tensors"], told["number_formats"]) == (22, 2, "F16, F32")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_any_token_is_traced_to_its_file_and_its_place_there(made, split):
    dataset = TokenDataset.open(made / "run" / "quire" / "tokens")
    tokens = getattr(dataset, split)
    for position in (0, tokens.num_tokens // 2, tokens.num_tokens - 2):
        told = facts(made / "run", "--token", position, "--split", split)
        text = (made / "in" / told["source"]).read_text()
        assert text[told["char_start"] : told["char_end"]] == told["token"]
        assert f"[[{told['token']}]]" in told["text"]
        around = told["text"].strip("…").replace("[[", "").replace("]]", "")
        assert len(around) > 1
        assert around in text
    end = facts(made / "run", "--token", tokens.num_tokens - 1, "--split", split)
    assert end["token"] == "(end of text)"
    assert end["char_start"] == end["char_end"]


@pytest.mark.parametrize(
    ("name", "content", "outcome"),
    [
        ("a.py", b"x = 1\n", "kept"),
        ("empty.txt", b"", "dropped"),
        ("broken.pdf", b"%PDF-1.7 and no more", "failed"),
    ],
)
def test_a_file_is_shown_as_an_ingestion_would_take_it(tmp_path, name, content, outcome):
    (tmp_path / name).write_bytes(content)
    told = facts(tmp_path / name)
    assert (told["kind"], told["outcome"], told["bytes"]) == ("file", outcome, len(content))
    assert (told["reason"] is None) == (outcome == "kept")
    if outcome == "kept":
        assert (told["language"], told["text"]) == ("Python", "x = 1\n")


def test_pages_that_a_file_loses_are_told(tmp_path):
    dots = scanned(Image.linear_gradient("L"))
    (tmp_path / "a.pdf").write_bytes(pdf([printed(["words"]), dots, dots, *([printed(["words"]), dots] * 12)]))
    told = facts(tmp_path / "a.pdf", "--no-ocr")
    assert told["outcome"] == "kept"
    assert [part["member"] for part in told["left_out"][:2]] == ["pages 2-3", "page 5"]
    assert {(part["outcome"], part["rule"]) for part in told["left_out"]} == {("dropped", "not-recognised")}
    assert all("recognition of text is off" in part["detail"] for part in told["left_out"])
    assert len(told["left_out"]) == 13
    assert "pages 2-3 (not-recognised); page 5 " in show(tmp_path / "a.pdf", "--no-ocr").stdout
    assert "; and 3 more" in show(tmp_path / "a.pdf", "--no-ocr").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 2, "no such file or folder"),
        (["."], 2, "neither a corpus, nor a run, nor a folder of tokens"),
        ([".", "--token", 3], 1, "no tokens are here"),
        ([".", "--token", 3, "--split", "test"], 2, "is no split"),
        (["bad.safetensors"], 1, "not a safetensors file"),
        ([".", "--find", "words"], 1, "no corpus is in this folder"),
    ],
)
def test_what_it_cannot_show_it_says(tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 40)
    result = show(*words)
    assert result.exit_code == code
    assert said in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("words", [(), ("--find", "words")])
def test_what_may_not_be_read_is_told_as_an_error_of_quire(tmp_path, words):
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "folder").mkdir()
    for name in ("a.txt", "folder"):
        path = tmp_path / name
        path.chmod(0)
        result = CliRunner().invoke(app, ["show", str(path), *words])
        path.chmod(0o700)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"quire: {path}: no-access: Permission denied. Give yourself the right")


def test_a_token_past_the_end_is_refused(made):
    assert show(made / "run", "--token", 10**9).exit_code == 2
