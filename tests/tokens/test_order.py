"""The laws of the shuffle: a permutation, the same from any side, and without visible pattern."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.tokens.order import key_of, mix, mix_array, permuted


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
@settings(deadline=None)
def test_it_is_a_permutation(size: int, key: int) -> None:
    result = permuted(np.arange(size, dtype=np.uint64), size, key)
    assert sorted(result.tolist()) == list(range(size))


@given(st.integers(1, 2**62), st.integers(0, 2**64 - 1), st.data())
@settings(deadline=None)
def test_any_place_can_be_asked_alone_in_ranges_of_any_size(size: int, key: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5, unique=True))
    together = permuted(np.array(places, dtype=np.uint64), size, key)
    assert len(set(together.tolist())) == len(places)
    assert (together < size).all()
    for place, expected in zip(places, together, strict=True):
        assert permuted(np.array([place], dtype=np.uint64), size, key)[0] == expected


def test_small_ranges_take_every_order_about_equally_often() -> None:
    counts = dict.fromkeys(permutations(range(4)), 0)
    draws = 2400
    for seed in range(draws):
        counts[tuple(permuted(np.arange(4, dtype=np.uint64), 4, key_of(seed)).tolist())] += 1
    expected = draws / len(counts)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < 50  # 23 degrees of freedom: exceeded by chance once in a thousand. The seeds are fixed


def test_neighbours_do_not_stay_neighbours() -> None:
    size = 4096
    result = permuted(np.arange(size, dtype=np.uint64), size, key_of(5)).tolist()
    assert sum(abs(a - b) == 1 for a, b in pairwise(result)) < 12  # a random order has 2 on average
    assert abs(np.corrcoef(np.arange(size), result)[0, 1]) < 0.05


def test_mix_is_splitmix64_and_the_same_for_arrays() -> None:
    # The first outputs of splitmix64 with seed 1234567, from the reference implementation by Vigna.
    state, outputs = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        outputs.append(mix(state))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    values = np.array([0, 1, 2**64 - 1, 1234567], dtype=np.uint64)
    assert mix_array(values).tolist() == [mix(int(value)) for value in values]


def test_keys_depend_on_each_number_and_their_order() -> None:
    keys = [key_of(0), key_of(1), key_of(0, 0), key_of(0, 1), key_of(1, 0), key_of(2**64 - 1, 0)]
    assert len(set(keys)) == len(keys)
