"""Bits per byte without a network: the laws of the n-gram model, and both measures on texts whose cost is known."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.documents.document import Document
from quire.errors import QuireError, UsageError
from quire.evaluation.baselines import LONGEST, NGram, compare, compare_dataset, split_bytes, xz_size
from quire.tokens.dataset import TokenDataset
from quire.tokens.settings import TokenSettings
from quire.tokens.shards import prepare

PROSE = b"The folder is folded, the sheet is counted, and the binder folds the sheet again. " * 40


def distribution(model: NGram, context: bytes) -> np.ndarray:
    return np.array([model.probabilities(context + bytes([byte]))[-1] for byte in range(256)])


@settings(max_examples=40, deadline=None)
@given(train=st.binary(max_size=300), context=st.binary(max_size=10), order=st.integers(1, LONGEST))
def test_the_probabilities_of_all_bytes_sum_to_one(train: bytes, context: bytes, order: int) -> None:
    p = distribution(NGram(train, order), context)
    assert (p > 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("context", [b"", b"th", b"the shee", b"zzz"])
def test_they_do_so_after_real_text_too(context: bytes) -> None:
    p = distribution(NGram(PROSE), context)
    assert p.sum() == pytest.approx(1, abs=1e-9)


def test_what_was_always_so_is_expected() -> None:
    p = distribution(NGram(PROSE), b"the shee")
    assert p.argmax() == ord("t")
    assert p.max() > 0.9


def test_kneser_ney_by_hand() -> None:
    """Bigrams of `abab`: ab twice, ba once.

    Discounts from n1 = 1, n2 = 1, n3 = n4 = 0 (taken as 1): y = 1/3, D1 = 1 - 2/3 = 1/3, D2 = 2 - 3/3 = 1.
    Below, a and b each stand after one other byte: n1 = 2, n2 taken as 1, so y = 2/4, D1 = 1 - 2 * 1/2 * 1/2 = 1/2.
    p(b) = (1 - 1/2) / 2 + (1/2 + 1/2) / 2 * 1/256; p(b | a) = (2 - 1) / 2 + 1/2 p(b).
    """
    below = 0.25 + 0.5 / 256
    model = NGram(b"abab", 2)
    assert model.probabilities(b"ab")[1] == pytest.approx(0.5 + 0.5 * below, rel=1e-12)
    assert model.probabilities(b"ba")[1] == pytest.approx((1 - 1 / 3) / 1 + 1 / 3 * below, rel=1e-12)
    assert model.probabilities(b"zb")[1] == pytest.approx(below, rel=1e-12)  # z was never seen


def test_a_text_of_one_byte_costs_nearly_nothing() -> None:
    result = compare(b"a" * 50_000, b"a" * 5_000)
    assert 0 <= result.xz < 0.05
    assert 0 <= result.ngram < 0.01


def test_random_bytes_cost_eight_bits() -> None:
    draw = random.Random(0)
    train, validation = bytes(draw.choices(range(1, 256), k=100_000)), bytes(draw.choices(range(1, 256), k=10_000))
    result = compare(train, validation)
    assert math.log2(255) - 0.01 < result.ngram < 8.2
    assert math.log2(255) - 0.01 < result.xz < 8.2


def test_more_of_the_same_text_costs_less() -> None:
    again = compare(PROSE, PROSE[:820])
    new = compare(b"\n", PROSE[:820])
    assert again.ngram < new.ngram / 4
    assert again.xz < new.xz / 4


def test_separators_are_foretold_and_are_no_text() -> None:
    with_ends = compare(b"abc\0" * 400, b"abc\0" * 50)
    assert with_ends.train_bytes == 1200
    assert with_ends.validation_bytes == 150
    assert with_ends.ngram == pytest.approx(NGram(b"abc\0" * 400).bits(b"abc\0" * 50) / 150)


def test_the_size_is_that_of_the_xz_program_less_its_container() -> None:
    import lzma

    whole = lzma.compress(PROSE, preset=9 | lzma.PRESET_EXTREME)
    assert len(whole) - 80 <= xz_size(PROSE) < len(whole)


@pytest.mark.parametrize("order", [0, LONGEST + 1])
def test_an_order_out_of_bounds_is_named(order: int) -> None:
    with pytest.raises(UsageError, match=f"{order} bytes: 1 to {LONGEST}"):
        NGram(PROSE, order)


def test_no_text_is_an_error() -> None:
    with pytest.raises(QuireError, match="no text"):
        compare(PROSE, b"\0")


@dataclass(frozen=True)
class Numbered:
    id: int
    document: Document


class Texts:
    """Documents as `prepare` takes them."""

    fingerprint = "made here"

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.num_documents = len(texts)
        self.num_bytes = sum(len(text.encode()) for text in texts)

    def documents(self) -> Iterator[Numbered]:
        for number in range(self.num_documents):
            yield Numbered(number, self.document(number))

    def document(self, id: int) -> Document:
        return Document(self.texts[id], f"{id}.txt", "text/plain", f"{id:064x}")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TokenDataset:
    draw = random.Random(1)
    words = ("Größe", "sheet", "漢字", "folds", "a", "quire", "🙂", "\n")
    texts = [" ".join(draw.choices(words, k=600)) for _ in range(20)]
    return prepare(Texts(texts), tmp_path_factory.mktemp("tokens"), TokenSettings(vocab_size=300))


def test_the_bytes_of_a_split_are_its_texts(data: TokenDataset) -> None:
    for split in (data.train, data.validation):
        text = split_bytes(split, data.tokenizer)
        assert text.count(b"\0") == split.num_documents
        assert len(text) - split.num_documents == split.num_bytes
        text.decode()


def test_a_large_split_is_taken_in_even_blocks(data: TokenDataset) -> None:
    whole = split_bytes(data.train, data.tokenizer)
    part = split_bytes(data.train, data.tokenizer, len(whole) // 2)
    assert abs(len(part) - len(whole) // 2) <= 1 << 14
    assert part[:1000] == whole[:1000]
    assert part[-1000:] in whole[len(whole) // 2 :]


def test_a_dataset_is_measured_whole_or_in_part(data: TokenDataset) -> None:
    whole = compare_dataset(data)
    assert whole.whole
    assert whole.train_bytes == data.train.num_bytes
    assert whole.validation_bytes == data.validation.num_bytes
    part = compare_dataset(data, most_train=20_000)
    assert not part.whole
    assert part.train_bytes < whole.train_bytes
    # Words drawn at random from eight cost at least three bits each, with the blank about seven bytes.
    mean = sum(len(word.encode()) + 1 for word in ("Größe", "sheet", "漢字", "folds", "a", "quire", "🙂", "\n")) / 8
    assert 3 / mean < whole.ngram < 3 / mean * 1.1
    assert whole.ngram < whole.xz
