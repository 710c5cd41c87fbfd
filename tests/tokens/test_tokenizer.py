"""The laws of the tokenizer: exact round trips, specials stay apart, training is a function of the text."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import FormatError, QuireError, UsageError
from quire.tokens.tokenizer import SPECIAL_TOKENS, Tokenizer

TEXTS = [
    "The quire is a folded stack of pages. The pages are folded; the stack isn't.\n\n" * 5,
    "def fold(pages):\n    return [page * 2 for page in pages]  # 1234567890\n" * 5,
    "Größe, naïve, 漢字かな, 🙂🙂, ελληνικά\r\n" * 3,
]
# Whole Unicode without surrogates, mixed with the pieces that break tokenizers.
ANY_TEXT = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_categories=["Cs"])),
        st.sampled_from(
            [*SPECIAL_TOKENS, "\0", "\r\n", "\n\n \n", "\u0301", "e\u0301", "\ufeff", "\u200d", "  ", "Ġ", "ﬁ"]
        ),
    ),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return Tokenizer.train(TEXTS, 400)


BOTH = [Tokenizer.train(TEXTS, 400), Tokenizer.byte()]


@pytest.mark.parametrize("tokenizer", BOTH, ids=["bpe", "byte"])
@given(text=ANY_TEXT)
@settings(deadline=None)
def test_any_text_survives_and_never_becomes_a_special_token(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode("utf-8")
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.special_tokens.values())
    assert sum(tokenizer.token_lengths()[ids]) == len(text.encode("utf-8"))


@given(st.lists(ANY_TEXT, max_size=5))
@settings(deadline=None, max_examples=30)
def test_a_batch_is_its_texts_one_by_one(texts: list[str]) -> None:
    assert BOTH[0].encode_batch(texts) == [BOTH[0].encode(text) for text in texts]


def test_byte_ids_are_the_bytes() -> None:
    text = "Größe\0\n"
    assert Tokenizer.byte().encode(text) == list(text.encode("utf-8"))
    assert Tokenizer.byte().kind == "byte"
    assert Tokenizer.byte().vocab_size == 259


def test_ids_are_bytes_then_merges_then_specials(bpe: Tokenizer) -> None:
    assert bpe.kind == "bpe"
    assert [bpe.token_bytes(id) for id in range(256)] == [bytes([byte]) for byte in range(256)]
    assert [bpe.token_bytes(256 + rank) for rank in range(len(bpe.merges()))] == [a + b for a, b in bpe.merges()]
    assert list(bpe.special_tokens.values()) == list(range(bpe.vocab_size - 3, bpe.vocab_size))
    assert tuple(bpe.special_tokens) == SPECIAL_TOKENS
    assert bpe.end_of_text == bpe.vocab_size - 3
    assert bpe.decode([bpe.end_of_text, *bpe.encode("x")]) == "x"


def test_a_merge_is_applied_where_its_pair_stands(bpe: Tokenizer) -> None:
    # The oracle: the definition of BPE, merging the earliest-learned pair again and again inside one word.
    ranks = {pair: rank for rank, pair in enumerate(bpe.merges())}
    for word in (" folded", " pages", "return", " quirestack", "Größe"):
        parts = [bytes([byte]) for byte in word.encode("utf-8")]
        while pairs := [pair for pair in itertools.pairwise(parts) if pair in ranks]:
            first = min(pairs, key=ranks.__getitem__)
            at = next(i for i, pair in enumerate(itertools.pairwise(parts)) if pair == first)
            parts[at : at + 2] = [first[0] + first[1]]
        assert [bpe.token_bytes(id) for id in bpe.encode(word)] == parts


def test_no_token_crosses_the_split_pattern(bpe: Tokenizer) -> None:
    tokens = [bpe.token_bytes(id) for id in range(256, bpe.vocab_size - 3)]
    digits = [token for token in tokens if set(token) & set(b"0123456789")]
    assert digits == []  # 1234567890 stands there 5 times and is still ten tokens
    assert not [token for token in tokens if b" " in token.strip(b" ")]
    assert [bpe.decode([id]) for id in bpe.encode("1234")] == ["1", "2", "3", "4"]


def test_training_gives_the_same_bytes_in_another_process(bpe: Tokenizer, tmp_path: Path) -> None:
    bpe.save(tmp_path / "here")
    code = (
        "import json, sys; from pathlib import Path; from quire.tokens.tokenizer import Tokenizer; "
        "Tokenizer.train(iter(json.loads(sys.argv[1])), 400).save(Path(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, json.dumps(TEXTS), str(tmp_path / "there")], check=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_training_sees_one_text_at_a_time_and_may_find_less_than_asked() -> None:
    seen = []

    def texts():  # type: ignore[no-untyped-def]
        for text in ("ab ab", "ab"):
            seen.append(text)
            yield text

    tokenizer = Tokenizer.train(texts(), 5000)
    assert seen == ["ab ab", "ab"]
    assert tokenizer.merges() == [(b"a", b"b"), (b" ", b"ab")]
    assert tokenizer.vocab_size == 256 + 2 + 3


@pytest.mark.parametrize("texts", [[], [""], ["", "\n"]])
def test_training_on_next_to_nothing_gives_the_bytes(texts: list[str]) -> None:
    tokenizer = Tokenizer.train(texts, 300)
    assert tokenizer.vocab_size == 259
    assert tokenizer.decode(tokenizer.encode("Größe")) == "Größe"


def test_one_endless_word_is_learned_and_encoded() -> None:
    word = "ACGT" * 50_000
    tokenizer = Tokenizer.train([word], 270)
    assert b"ACGT" in {tokenizer.token_bytes(id) for id in range(256, 267)}
    assert tokenizer.decode(tokenizer.encode(word)) == word


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 259"):
        Tokenizer.train(["text"], 258)


def test_lone_surrogates_and_unknown_ids_are_refused(bpe: Tokenizer) -> None:
    with pytest.raises(QuireError, match=r"lone surrogate .* at character 2"):
        bpe.encode("ab\ud800")
    for id in (-1, bpe.vocab_size):
        with pytest.raises(QuireError, match="not in the vocabulary"):
            bpe.decode([id])


def test_cut_characters_are_shown_as_such(bpe: Tokenizer) -> None:
    assert Tokenizer.byte().decode("é".encode()[:1]) == "�"


@pytest.mark.parametrize("tokenizer", BOTH, ids=["bpe", "byte"])
def test_saved_and_loaded_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert (loaded.kind, loaded.vocab_size, loaded.special_tokens) == (
        tokenizer.kind,
        tokenizer.vocab_size,
        tokenizer.special_tokens,
    )
    for text in (*TEXTS, "a<|endoftext|>b"):
        assert loaded.encode(text) == tokenizer.encode(text)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again/tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("tokenizer", BOTH, ids=["bpe", "byte"])
@pytest.mark.parametrize("beside_a_model", [False, True])
def test_transformers_opens_it_and_agrees(
    tokenizer: Tokenizer, beside_a_model: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    if beside_a_model:
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]})
        )
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(theirs) == tokenizer.vocab_size
    assert theirs.eos_token_id == tokenizer.end_of_text
    for text in (*TEXTS, "e\u0301 ﬁ \0 don't  stop \n\n  x", ""):
        assert theirs(text)["input_ids"] == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text


def test_a_folder_without_or_with_a_broken_tokenizer_is_a_format_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "trunc')
    with pytest.raises(FormatError, match="not a tokenizer file"):
        Tokenizer.load(tmp_path)


def test_a_tokenizer_without_end_of_text_or_bytes_is_a_format_error(tmp_path: Path) -> None:
    Tokenizer.byte().save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    with pytest.raises(FormatError, match="'</s>'"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace('"!"', '"▁word"'))
    with pytest.raises(FormatError, match="no byte-level BPE"):
        Tokenizer.load(tmp_path)
