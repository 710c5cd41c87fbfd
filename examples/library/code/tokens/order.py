"""A shuffle that needs no memory: a keyed permutation of range(n) that can be asked for any place at once.

The permutation is a Feistel network (Luby & Rackoff 1988) over the next power of four, walked again until it lands
inside the range (cycle walking: Black & Rogaway 2002). It is integer arithmetic alone, so that it does not change with
the version of any random number library.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Integers = np.ndarray[Any, np.dtype[np.uint64]]

_ROUNDS = 6  # four make a permutation no one can tell from a random one where halves are wide; ours may be 3 bits
_ALL = 2**64 - 1


def mix(value: int) -> int:
    """Scramble 64 bits: the finalizer of splitmix64 (Steele, Lea & Flood 2014)."""
    value &= _ALL
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _ALL
    return value ^ (value >> 31)


def mix_array(values: Integers) -> Integers:
    """Scramble each of `values` as `mix` does."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Integers = values ^ (values >> np.uint64(31))
    return mixed


def key_of(*numbers: int) -> int:
    """Make one 64-bit key of several integers, in their order."""
    key = 0
    for number in numbers:
        key = mix(mix(key + 0x9E3779B97F4A7C15) ^ number)
    return key


def permuted(places: Integers, size: int, key: int) -> Integers:
    """Return what stands at `places` of the permutation of range(size) that `key` chooses.

    Args:
        places: any shape, each below `size`.
        size: at least 1.
        key: 64 bits, see `key_of`.
    """
    half = np.uint64(max(3, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = [np.uint64(key_of(key, turn)) for turn in range(_ROUNDS)]
    result = _feistel(places.astype(np.uint64), half, mask, keys)
    while (outside := result >= np.uint64(size)).any():
        result[outside] = _feistel(result[outside], half, mask, keys)
    return result


def _feistel(values: Integers, half: np.uint64, mask: np.uint64, keys: list[np.uint64]) -> Integers:
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (mix_array(right ^ key) & mask)
    return (left << half) | right
