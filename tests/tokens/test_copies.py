"""Near copies are found through scans and parts, and other texts are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_texts import misread, prose

from quire.tokens import copies
from quire.tokens.copies import THRESHOLD, groups_of_copies, sampling_bits, shingles


def sets_of(*texts: str, bits: int = 0) -> list[np.ndarray]:
    return [np.unique(shingles(text, bits)[0]) for text in texts]


@given(st.text(max_size=300))
@settings(deadline=None)
def test_shingles_are_the_runs_of_four_words(text: str) -> None:
    hashes, places = shingles(text)
    assert len(hashes) == len(places)
    assert (np.diff(places) > 0).all()
    # Case and the marks between words make no difference; where the words begin does not either.
    other, _ = shingles("... " + text.replace(" ", " -- "))
    assert other.tolist() == hashes.tolist()


def test_equal_words_give_equal_shingles_and_others_do_not() -> None:
    hashes, places = shingles("One two three four. ONE, two;\nthree four five")
    assert len(hashes) == 6  # 9 words, less three
    assert hashes[0] == hashes[4]
    assert len(set(hashes.tolist())) == 5
    assert places.tolist() == [0, 4, 8, 14, 20, 25]
    assert len(shingles("ab cd ef gh")[0]) == 1
    assert shingles("ba cd ef gh")[0] != shingles("ab cd ef gh")[0]
    assert len(shingles("one two three")[0]) == 0
    assert len(shingles("漢字かな交じり文")[0]) == 5  # each a word by itself


def test_a_long_text_is_hashed_in_blocks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    text = prose(1, 3000)
    whole = {*zip(*map(np.ndarray.tolist, shingles(text)), strict=True)}
    monkeypatch.setattr(copies, "_BLOCK", 5000)
    blocks = {*zip(*map(np.ndarray.tolist, shingles(text)), strict=True)}
    joints = len(text) // 5000
    assert len(whole - blocks) <= joints * 5  # only what spans a joint is missing


def test_a_sample_keeps_about_its_share_and_the_same_ones() -> None:
    text = prose(2, 20_000)
    everything = set(shingles(text)[0].tolist())
    sample = set(shingles(text, 4)[0].tolist())
    assert sample < everything
    assert 0.8 < len(sample) * 16 / len(everything) < 1.2
    assert sampling_bits(10**6) == 0
    assert sampling_bits(10**9) == 5


@pytest.mark.parametrize("bits", [0, 2])
def test_a_scan_a_part_and_a_copy_of_a_copy_are_one_group(bits: int) -> None:
    page = prose(3, 1500)
    other = prose(4, 1500)
    scan = misread(page, 0.03, seed=1)
    chapter = scan[len(scan) // 2 :]
    leaders = groups_of_copies(sets_of(other, page, prose(5, 900), scan, chapter, other[:3000], bits=bits))
    assert leaders == [0, 1, 2, 1, 1, 0]


def test_a_shared_licence_or_phrase_makes_no_copies() -> None:
    licence = prose(6, 60)
    leaders = groups_of_copies(sets_of(*(licence + prose(seed, 400) for seed in range(10, 30))))
    assert leaders == list(range(20))


def test_many_versions_of_one_text_are_one_group() -> None:
    page = prose(7, 400)
    leaders = groups_of_copies(sets_of(*(misread(page, 0.01, seed) for seed in range(80))))
    assert set(leaders) == {0}


def test_short_or_no_texts_are_groups_by_themselves() -> None:
    assert groups_of_copies([]) == []
    assert groups_of_copies(sets_of("a few words here", "a few words here too", "")) == [0, 1, 2]


def test_the_threshold_is_a_share_of_the_smaller() -> None:
    base = np.arange(1000, dtype=np.uint64)
    for share, grouped in ((THRESHOLD + 0.05, True), (THRESHOLD - 0.05, False)):
        common = round(100 * share)
        small = np.concatenate([base[:common], np.arange(5000, 5100 - common, dtype=np.uint64)])
        assert (groups_of_copies([base, small]) == [0, 0]) is grouped
