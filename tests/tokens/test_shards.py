"""The laws of the shards: they hold every text exactly, any token leads back to its place, and damage is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_texts import MemoryCorpus, misread, prose

from quire.documents.document import Span
from quire.errors import FormatError, QuireError, UsageError
from quire.tokens import shards
from quire.tokens.batches import IGNORED, BatchStream
from quire.tokens.shards import Split, TokenDataset, TokenSettings, pieces, prepare
from quire.tokens.split import plan_split
from quire.tokens.tokenizer import Tokenizer

TEXTS = [
    *(prose(seed, 120) for seed in range(30)),
    prose(30, 2500),
    "漢字かな交じり文。\n" * 40 + "🙂 é<|endoftext|>\0\r\n\r\n\tend",
    "x",
    misread(prose(3, 120), 0.01, 0),
]


def documents_of(split: Split, tokenizer: Tokenizer) -> Iterator[str]:
    ids = split.tokens(0, split.num_tokens).tolist()
    while ids:
        end = ids.index(split.end_of_text)
        yield tokenizer.decode(ids[:end])
        ids = ids[end + 1 :]


@pytest.fixture(scope="module", params=["bpe", "byte"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TokenDataset:
    settings = TokenSettings(tokenizer=request.param, vocab_size=500, shard_tokens=700)
    return prepare(MemoryCorpus(TEXTS), tmp_path_factory.mktemp("tokens"), settings)


def test_every_text_is_there_whole_and_once(dataset: TokenDataset) -> None:
    plan = plan_split(MemoryCorpus(TEXTS), TokenSettings())
    cut = [(text, plan.cuts.get(id, len(text))) for id, text in enumerate(TEXTS)]
    train, validation = [text[:at] for text, at in cut if at], [text[at:] for text, at in cut if at < len(text)]
    assert list(documents_of(dataset.train, dataset.tokenizer)) == train
    assert list(documents_of(dataset.validation, dataset.tokenizer)) == validation
    for split, texts in ((dataset.train, train), (dataset.validation, validation)):
        assert split.num_documents == len(texts)
        assert split.num_bytes == sum(len(text.encode()) for text in texts)
        assert split.num_tokens == len(texts) + sum(len(dataset.tokenizer.encode(text)) for text in texts)
        assert split.bytes_per_token == split.num_bytes / split.num_tokens
    assert dataset.notes[0] == plan.rule


def test_shards_read_as_one_row(dataset: TokenDataset) -> None:
    train = dataset.train
    files = sorted(dataset.path.glob("train-*.npy"))
    assert len(files) > 3
    assert {len(np.load(file)) for file in files[:-1]} == {700}
    whole = np.concatenate([np.load(file) for file in files])
    assert whole.dtype == np.uint16
    for start, stop in ((0, 0), (0, 1), (699, 701), (0, train.num_tokens), (650, 2300), (train.num_tokens,) * 2):
        assert (train.tokens(start, stop) == whole[start:stop]).all()
        assert len(train.tokens(start, stop)) == stop - start
    for start, stop in ((-1, 3), (4, 3), (0, train.num_tokens + 1)):
        with pytest.raises(UsageError, match="there are no tokens"):
            train.tokens(start, stop)


def test_batches_of_shards_hold_every_token_once(dataset: TokenDataset) -> None:
    stream = BatchStream(dataset.train, 64, 4, seed=1)
    count = np.zeros(dataset.tokenizer.vocab_size, dtype=np.int64)
    windows = stream.windows_in_epoch
    rows = [row for _ in range(-(-windows // 4)) for row in stream.next_batch().targets]
    for row in rows[:windows]:
        np.add.at(count, row[row != IGNORED], 1)
    assert (count == np.bincount(dataset.train.tokens(0, dataset.train.num_tokens), minlength=len(count))).all()


def test_any_token_leads_back_to_its_characters(dataset: TokenDataset) -> None:
    for split in (dataset.train, dataset.validation):
        for position in [*range(0, split.num_tokens, 37), *range(split.num_tokens - 30, split.num_tokens)]:
            place = split.locate(position)
            text = TEXTS[place.document_id]
            assert place.source == f"folder/{place.document_id}.txt"
            assert place.member is None
            token = int(split.tokens(position, position + 1)[0])
            characters = text[place.char_start : place.char_end]
            if token == split.end_of_text:
                assert characters == ""
            else:
                stands_for = dataset.tokenizer.token_bytes(token)
                assert stands_for in characters.encode()
                assert len(characters.encode()) - len(stands_for) < 7  # no more than its cut characters besides
        for position in (-1, split.num_tokens):
            with pytest.raises(UsageError, match="there is no token"):
                split.locate(position)


def test_a_token_knows_its_page(tmp_path: Path) -> None:
    text = prose(1, 3000)
    third = len(text) // 3
    pages = (Span(0, third, page=1), Span(third + 2, 2 * third, page=3), Span(2 * third, len(text), page=4))
    corpus = MemoryCorpus([text, prose(2, 200)], {0: pages})
    dataset = prepare(corpus, tmp_path, TokenSettings(tokenizer="byte"))
    first_bytes = len(text[: third + 2].encode())
    assert dataset.train.locate(0).page == 1
    assert dataset.train.locate(first_bytes - 1).page == 1
    assert dataset.train.locate(first_bytes).page == 3
    assert dataset.validation.locate(0).page == 4
    assert text[dataset.validation.locate(0).char_start :] == next(documents_of(dataset.validation, dataset.tokenizer))
    without = [
        dataset.train.locate(position) for position in range(dataset.train.num_tokens - 20, dataset.train.num_tokens)
    ]
    assert {(place.document_id, place.page) for place in without} == {(1, None)}


def test_what_is_of_the_same_making_is_used_again(tmp_path: Path) -> None:
    corpus = MemoryCorpus(TEXTS)
    small = TokenSettings(vocab_size=300)
    prepare(corpus, tmp_path, small)
    times, before = corpus.times_read, {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = prepare(corpus, tmp_path, small)
    assert corpus.times_read == times
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert again.tokenizer.vocab_size == 300

    other = prepare(corpus, tmp_path, TokenSettings(vocab_size=310))
    assert other.tokenizer.vocab_size == 310
    more = prepare(MemoryCorpus([*TEXTS, prose(77, 50)]), tmp_path, TokenSettings(vocab_size=310))
    assert more.train.num_documents + more.validation.num_documents > other.train.num_documents
    given = prepare(corpus, tmp_path, small, Tokenizer.byte())
    assert given.tokenizer.kind == "byte"
    assert prepare(corpus, tmp_path, small).tokenizer.kind == "bpe"


def test_making_it_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare(MemoryCorpus(TEXTS), tmp_path / name, TokenSettings(vocab_size=400))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def test_the_vocabulary_is_learned_from_training_text_alone(tmp_path: Path) -> None:
    text = prose(1, 3000)
    tail = " zyxwvut" * 200 + "\n"
    dataset = prepare(MemoryCorpus([text + "\n" + tail]), tmp_path, TokenSettings(vocab_size=2000))
    assert "zyx" in dataset.tokenizer.decode(dataset.validation.tokens(0, dataset.validation.num_tokens))
    assert not [merge for merge in dataset.tokenizer.merges() if b"zyx" in merge[0] + merge[1]]


def test_a_vocabulary_that_the_text_cannot_fill_is_told(tmp_path: Path) -> None:
    dataset = prepare(MemoryCorpus(["ab cd " * 500]), tmp_path, TokenSettings(vocab_size=5000))
    assert f"{dataset.tokenizer.vocab_size} tokens, not 5000" in dataset.notes[1]
    assert dataset.train.num_tokens > 0
    assert dataset.validation.num_tokens > 0


def test_a_large_vocabulary_needs_uint32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.byte()
    monkeypatch.setattr(tokenizer, "vocab_size", 65_537)
    writer_dtype = prepare(MemoryCorpus([prose(1, 600)]), tmp_path, tokenizer=tokenizer).train.tokens(0, 1).dtype
    assert writer_dtype == np.uint32


def test_progress_counts_bytes_to_the_end_of_each_stage(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    corpus = MemoryCorpus(TEXTS)
    prepare(corpus, tmp_path, TokenSettings(vocab_size=300), progress=lambda *step: told.append(step))
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == ["comparing documents", "learning the vocabulary", "encoding"]
    for stage in stages:
        counts = [done for name, done, total in told if name == stage]
        assert counts == sorted(counts)
        assert counts[-1] == corpus.num_bytes


@pytest.mark.parametrize("damage", ["cut", "gone", "header", "index", "no index", "older", "table"])
def test_damage_is_told_and_made_good(damage: str, tmp_path: Path) -> None:
    corpus, wanted = MemoryCorpus(TEXTS), TokenSettings(vocab_size=300, shard_tokens=5000)
    whole = prepare(corpus, tmp_path, wanted).train
    expected = whole.tokens(0, whole.num_tokens).tolist()
    shard, index = tmp_path / "train-00001.npy", tmp_path / "index.json"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-100])
        message = "train-00001.npy: this token shard is cut short or changed"
    elif damage == "gone":
        shard.unlink()
        message = "train-00001.npy: this token shard is missing"
    elif damage == "header":
        shard.write_bytes(b"x" * shard.stat().st_size)
        message = "train-00001.npy: this token shard is damaged"
    elif damage == "index":
        index.write_text(index.read_text()[:100])
        message = "index.json: not an index of tokens"
    elif damage == "no index":
        index.unlink()
        message = "no tokens are here, or they were never finished"
    elif damage == "older":
        content = json.loads(index.read_text())
        content["made_of"]["format"] = 0
        index.write_text(json.dumps(content))
        message = "format 0"
    else:
        (tmp_path / "train.parquet").write_bytes(b"PAR1")
        with pytest.raises(FormatError, match="table of documents cannot be read"):
            TokenDataset.open(tmp_path).train.locate(0)
        return
    with pytest.raises(FormatError, match=message):
        TokenDataset.open(tmp_path)
    again = prepare(corpus, tmp_path, wanted).train
    assert again.tokens(0, again.num_tokens).tolist() == expected


def test_an_interrupted_making_leaves_nothing_that_claims_to_be_whole(tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "encoding":
            raise KeyboardInterrupt

    prepare(MemoryCorpus(TEXTS[:9]), tmp_path, TokenSettings(vocab_size=300))
    with pytest.raises(KeyboardInterrupt):
        prepare(MemoryCorpus(TEXTS), tmp_path, TokenSettings(vocab_size=300), progress=stop)
    with pytest.raises(FormatError, match="never finished"):
        TokenDataset.open(tmp_path)


def test_too_small_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuireError, match="Add documents"):
        prepare(MemoryCorpus(["Hello"]), tmp_path)


PARTS = st.lists(
    st.sampled_from(
        [
            "word",
            " two",
            "\n",
            "\n\n",
            "\r\n",
            " ",
            "\t",
            "!?",
            "'s",
            "1",
            "é",
            "漢",
            "\u00a0",
            "\u2028",
            "\x1c",
            "\u1680",
            "\x85",
        ]
    ),
    max_size=60,
).map("".join)
TOKENIZER = Tokenizer.train([prose(1, 2000), "word word\nword\n\nword!?\n two"], 400)


@given(PARTS, st.integers(1, 20))
@settings(deadline=None, max_examples=400)
def test_pieces_encode_as_the_whole(text: str, size: int) -> None:
    cut = list(pieces(text, size))
    assert "".join(cut) == text
    assert [id for ids in TOKENIZER.encode_batch(cut) for id in ids] == TOKENIZER.encode(text)


def test_pieces_are_of_about_the_size() -> None:
    text = prose(1, 4000)
    cut = list(pieces(text, 1000))
    assert all(1000 <= len(piece) < 3000 for piece in cut[:-1])
    assert len(cut) > 8
    assert list(pieces("x" * 5000, 1000)) == ["x" * 5000]


def test_memory_is_bounded_by_flushing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The same tokens whether the corpus is encoded in one call or in very many.
    one = prepare(MemoryCorpus(TEXTS), tmp_path / "one", TokenSettings(vocab_size=300)).train
    monkeypatch.setattr(shards, "_AT_ONCE", 500)
    monkeypatch.setattr(pieces, "__defaults__", (200,))
    calls: list[int] = []
    encode_batch = Tokenizer.encode_batch
    monkeypatch.setattr(
        Tokenizer,
        "encode_batch",
        lambda self, texts: (calls.append(sum(map(len, texts))), encode_batch(self, texts))[1],
    )
    many = prepare(MemoryCorpus(TEXTS), tmp_path / "many", TokenSettings(vocab_size=300)).train
    assert len(calls) > 20
    assert max(calls) < 1500
    assert many.tokens(0, many.num_tokens).tolist() == one.tokens(0, one.num_tokens).tolist()
