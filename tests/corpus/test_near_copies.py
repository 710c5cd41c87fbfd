"""MinHash estimates what it claims to; near copies are found, different texts are not, and the order decides alone."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.corpus import shingles as module
from quire.corpus.copies import SURE, SignatureFile, bands_for, first_of_each, near_copies
from quire.corpus.shingles import SHINGLE_WORDS, shingles, signatures

WORDS = [f"word{number}" for number in range(3000)]
texts = st.text(st.sampled_from("ab c\n,ßé日本の😀İ0-"), max_size=120)


def words_of(count, seed):
    return random.Random(seed).choices(WORDS, k=count)


def signed(texts, permutations=128):
    hashes = [shingles(text)[0] for text in texts]
    ends = np.cumsum([len(some) for some in hashes]).tolist()
    return signatures(np.concatenate(hashes), ends, permutations)


def jaccard(one, other):
    a, b = (set(shingles(text)[0].tolist()) for text in (one, other))
    return len(a & b) / len(a | b)


@given(texts)
def test_shingles_are_counted_and_placed_where_their_words_begin(text):
    hashes, places = shingles(text)
    assert len(hashes) == len(places)
    assert all(char.isalnum() or ord(char) > 0xFF for char in (text[place] for place in places))
    assert (np.diff(places) > 0).all()


@given(texts, st.integers(5, 40))
@settings(max_examples=200)
def test_the_size_of_blocks_changes_nothing(text, block):
    whole = shingles(text)
    size = module._BLOCK
    module._BLOCK = block
    try:
        cut = shingles(text)
    finally:
        module._BLOCK = size
    assert [part.tolist() for part in cut] == [part.tolist() for part in whole]


def test_words_are_the_same_whatever_stands_between_them_and_whatever_case_they_have():
    plain = shingles("the quick brown fox jumps over the very lazy dogs of internationalization")[0]
    for text in (
        "The QUICK brown\n\nfox, jumps – over the 'very' lazy dogs of internationalization.",
        "“The quick brown fox” jumps… over\u00a0the very lazy dogs of Internationalization",
    ):
        assert shingles(text)[0].tolist() == plain.tolist()
    assert (
        shingles("the quick brown fox jumped over the very lazy dogs of internationalization")[0].tolist()
        != plain.tolist()
    )
    assert len(shingles("日本語の文章です")[0]) == 8 - SHINGLE_WORDS + 1
    assert len(shingles("four words are few")[0]) == 0


def test_the_order_of_words_counts():
    one, other = (set(shingles(text)[0].tolist()) for text in ("a b c d e f", "f e d c b a"))
    assert not one & other


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_the_estimate_is_as_close_to_jaccard_as_its_standard_deviation_says(share):
    errors = []
    for seed in range(60):
        first = words_of(400, seed)
        changed = words_of(400, seed + 1000)
        other = [a if at < share * 400 else b for at, (a, b) in enumerate(zip(first, changed, strict=True))]
        one, two = " ".join(first), " ".join(other)
        rows = signed([one, two])
        truth = jaccard(one, two)
        errors.append(((rows[0] == rows[1]).mean() - truth) / math.sqrt(truth * (1 - truth) / 128))
    assert abs(np.mean(errors)) < 4 / math.sqrt(60)
    assert 0.6 < np.std(errors) < 1.4


@given(st.floats(0.3, 1), st.sampled_from([16, 64, 128, 256, 1024]))
def test_bands_find_nearly_all_pairs_at_the_threshold_with_the_most_places_that_do(threshold, permutations):
    bands, places = bands_for(permutations, threshold)
    assert bands * places <= permutations
    if places > 1:
        assert 1 - (1 - threshold**places) ** bands >= SURE
    if places < permutations:
        assert 1 - (1 - threshold ** (places + 1)) ** (permutations // (places + 1)) < SURE


def changed(words, count, seed):
    rng = random.Random(seed)
    words = list(words)
    for place in rng.sample(range(len(words)), count):
        words[place] = rng.choice(WORDS)
    return words


def test_near_copies_give_way_to_what_is_preferred_and_others_stay():
    first = words_of(500, 1)
    family = [" ".join(changed(first, count, seed)) for seed, count in enumerate((0, 2, 4, 3))]
    others = [" ".join(words_of(500, seed)) for seed in range(10, 14)]
    rows = signed([family[0], others[0], family[1], others[1], family[2], others[2], family[3], others[3]])
    which = np.arange(8)
    for preferred in (0, 2, 4, 6):
        order = np.array([preferred, *(text for text in range(8) if text != preferred)])
        kept_for, likeness = near_copies(rows, which, order, 0.8)
        assert [text for text in range(8) if kept_for[text] < 0] == sorted({preferred, 1, 3, 5, 7})
        assert all(kept_for[text] == preferred for text in (0, 2, 4, 6) if text != preferred)
        assert all(likeness[text] >= 0.8 for text in range(8) if kept_for[text] >= 0)


def test_a_chain_of_small_changes_makes_no_copies_of_different_texts():
    chain = [words_of(400, 5)]
    for seed in range(30):
        chain.append(changed(chain[-1], 8, seed))
    texts = [" ".join(words) for words in chain]
    kept_for, _ = near_copies(signed(texts), np.arange(31), np.arange(31), 0.8)
    kept = [number for number in range(31) if kept_for[number] < 0]
    assert len(kept) > 3
    for number, other in enumerate(kept_for):
        if other >= 0:
            assert other in kept
            assert jaccard(texts[number], texts[other]) > 0.65
    assert all(jaccard(texts[a], texts[b]) < 0.95 for a in kept for b in kept if a < b)


def test_a_thousand_copies_cost_one_comparison_each_and_not_a_thousand():
    first = words_of(300, 1)
    rows = signed([" ".join(changed(first, seed % 3, seed)) for seed in range(1000)])
    kept_for, _ = near_copies(rows, np.arange(1000), np.arange(1000), 0.8)
    assert (kept_for[1:] == 0).mean() > 0.99


@given(st.lists(st.integers(0, 5), max_size=30))
def test_the_first_of_each_is_the_first_with_that_digest(numbers):
    digests = np.array([[number, number * 7] for number in numbers], dtype="<u8").reshape(-1, 2)
    assert first_of_each(digests).tolist() == [numbers.index(number) for number in numbers]


def test_signatures_lie_in_a_file_that_no_name_leads_to(tmp_path):
    rows = signed([" ".join(words_of(100, seed)) for seed in range(5)], 16)
    file = SignatureFile(tmp_path, 16)
    assert file.rows().shape == (0, 16)
    assert [file.add(row.astype("<u2").tobytes()) for row in rows] == list(range(5))
    assert (file.rows() == rows).all()
    assert not list(tmp_path.iterdir())
    file.close()
