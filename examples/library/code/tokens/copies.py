"""Which documents are near copies: the same page as PDF, as scan and as Markdown is one text three times.

A document's *shingles* are its runs of `SHINGLE_WORDS` words, hashed (Broder 1997). Two documents are near copies when
at least `THRESHOLD` of the shingles of the one with fewer are shingles of the other. In a large corpus only shingles
whose hash is small are looked at: the same ones in every document, so that shares can still be estimated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from quire.tokens.order import Integers, mix_array

SHINGLE_WORDS = 4
THRESHOLD = 0.35
FEWEST_SHINGLES = 8  # with fewer than these no share can be told
MOST_SHINGLES = 8_000_000  # sampled so that about as many are kept: 100 MB
_BLOCK = 1 << 20  # characters hashed at once

Positions = np.ndarray[Any, np.dtype[np.int64]]


def sampling_bits(num_bytes: int) -> int:
    """Return how many leading bits of a hash must be zero for it to be kept, for a corpus of `num_bytes` of text."""
    words = num_bytes // 6
    return max(0, (words // MOST_SHINGLES).bit_length())


def shingles(text: str, bits: int = 0) -> tuple[Integers, Positions]:
    """Return the kept shingles of `text`, in order, and the character that each begins at.

    Words are runs of letters and digits without regard to case; an ideograph or kana is a word by itself.

    Args:
        text: any text.
        bits: keep one in 2**bits, chosen by value; see `sampling_bits`.
    """
    found, places = [], []
    for start in range(0, len(text), _BLOCK):
        hashes, begins = _shingles_of_block(text[start : start + _BLOCK])
        if bits:
            kept = hashes >> np.uint64(64 - bits) == 0
            hashes, begins = hashes[kept], begins[kept]
        found.append(hashes)
        places.append(begins + start)
    if not found:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    return np.concatenate(found), np.concatenate(places)


def _shingles_of_block(text: str) -> tuple[Integers, Positions]:
    lowered = text.lower()
    codes = np.frombuffer((lowered if len(lowered) == len(text) else text).encode("utf-32-le"), dtype="<u4")
    places = np.flatnonzero(_in_word(codes))
    if not len(places):
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    codes = codes[places]
    first = np.ones(len(places), dtype=bool)
    first[1:] = (np.diff(places) > 1) | _is_whole_word(codes[1:]) | _is_whole_word(codes[:-1])
    begins = np.flatnonzero(first)
    offsets = np.arange(len(codes)) - np.repeat(begins, np.diff(np.append(begins, len(codes))))
    # A sum is the same in any order, so every letter is scrambled together with its place in the word.
    letters = mix_array(codes.astype(np.uint64) + (offsets.astype(np.uint64) << np.uint64(32)))
    words = np.add.reduceat(letters, begins)
    count = len(words) - SHINGLE_WORDS + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(SHINGLE_WORDS):
        hashes = mix_array(hashes + words[offset : offset + count])
    return hashes, places[begins[:count]].astype(np.int64)


def _in_word(codes: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    ascii_word = ((codes >= 48) & (codes <= 57)) | ((codes >= 97) & (codes <= 122)) | ((codes >= 65) & (codes <= 90))
    beyond = (codes >= 0xC0) & ~((codes >= 0x2000) & (codes < 0x2C00)) & ~((codes >= 0x3000) & (codes < 0x3040))
    return np.asarray(ascii_word | beyond)


def _is_whole_word(codes: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(((codes >= 0x3040) & (codes < 0xA000)) | ((codes >= 0x20000) & (codes < 0x33480)))


def groups_of_copies(sets: Iterable[Integers]) -> list[int]:
    """Return for each document the first document of its group; one without near copies is a group by itself.

    Copies of copies are in one group.

    Args:
        sets: the shingles of each document, without repeats (`numpy.unique`).
    """
    sets = list(sets)
    leaders = list(range(len(sets)))

    def leader(document: int) -> int:
        while leaders[document] != document:
            leaders[document] = leaders[leaders[document]]
            document = leaders[document]
        return document

    for one, other in _candidates(sets):
        a, b = leader(one), leader(other)
        if a != b and _share(sets[one], sets[other]) >= THRESHOLD:
            leaders[max(a, b)] = min(a, b)
    return [leader(document) for document in range(len(sets))]


def _share(one: Integers, other: Integers) -> float:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / min(len(one), len(other))


def _candidates(sets: list[Integers]) -> list[tuple[int, int]]:
    # Of the n documents that hold a shingle, each is compared with the first and with its neighbour, not with all:
    # a licence that stands in a hundred thousand files costs as many pairs and not their square.
    large = [document for document, hashes in enumerate(sets) if len(hashes) >= FEWEST_SHINGLES]
    if len(large) < 2:
        return []
    hashes = np.concatenate([sets[document] for document in large])
    owners = np.repeat(np.array(large, dtype=np.int64), [len(sets[document]) for document in large])
    order = np.argsort(hashes, kind="stable")  # owners stay in order inside a run of one hash
    hashes, owners = hashes[order], owners[order]
    same = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
    run_starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    firsts = owners[run_starts[np.searchsorted(run_starts, same, side="right") - 1]]
    count = len(sets)
    pairs = np.concatenate([firsts * count + owners[same], owners[same - 1] * count + owners[same]])
    pairs, times = np.unique(pairs, return_counts=True)
    pairs = pairs[times >= THRESHOLD * FEWEST_SHINGLES]
    return [(int(pair) // count, int(pair) % count) for pair in pairs]
