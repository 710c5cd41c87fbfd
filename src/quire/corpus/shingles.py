"""Runs of words as numbers: what two texts have in common is counted in them.

A *shingle* is a run of `SHINGLE_WORDS` words (Broder 1997), here as a 64-bit hash. Words are runs of letters and digits
without regard to case; an ideograph or kana is a word by itself. The signature of a text is MinHash's (Broder 1997):
the smallest hash of its shingles under each of many permutations. Two texts share a place of their signatures as often
as they share shingles, so the share of equal places estimates their Jaccard similarity.
"""

from __future__ import annotations

import itertools
from array import array
from typing import Any

import numpy as np

SHINGLE_WORDS = 5
SEED = 20  # of the permutations

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Places = np.ndarray[Any, np.dtype[np.int64]]
Positions = np.ndarray[Any, np.dtype[np.int32]]
Signatures = np.ndarray[Any, np.dtype[np.uint16]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_BLOCK = 1 << 16  # characters hashed at once: what is computed of them stays in the cache of a core
_OVERLAP = 4096  # of two blocks: more than a run of words of text

# Letters and digits of ASCII in lower case, bytes of characters beyond it, and 0 for everything else.
_WORDS = bytes(code if code > 127 else ord(chr(code).lower()) if chr(code).isalnum() else 0 for code in range(256))
_NO_ASCII = bytes(range(128))


def _number(value: int, kind: type[np.integer[Any]]) -> np.ndarray[Any, Any]:
    """A number as an array without a dimension: NumPy takes one in half the time that it takes a scalar."""
    return np.array(value, dtype=kind)


_CASE, _A, _LETTERS, _ZERO, _DIGITS = (_number(value, np.uint8) for value in (0x20, ord("a"), 26, ord("0"), 10))
_ODD = [_number(2 * (0x9E3779B97F4A7C15 * offset % (1 << 63)) + 1, np.uint64) for offset in range(SHINGLE_WORDS)]
_MASKS = np.array([(1 << 8 * length) - 1 for length in range(9)], dtype=np.uint64)
_LAST_BEHIND = _number(0xBF - 0x100, np.int8)
_EIGHT = _number(8, np.int64)
_EIGHTS = np.dtype("<u8")
_BEFORE, _BEHIND = b"\0", bytes(8)  # so that the first word has an edge, and the last one eight bytes to be read

# The last step of splitmix64 (Steele, Lea and Flood 2014): shifts to the right, and factors.
_SHIFTS = tuple(_number(bits, np.uint64) for bits in (30, 27, 31))
_FACTORS = tuple(_number(factor, np.uint64) for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def shingles(text: str) -> tuple[Hashes, Places]:
    """Return the shingles of `text` in order, with repeats, and the character that each begins at."""
    if len(text) <= _BLOCK + _OVERLAP:
        return _shingles_of_block(text)
    found, places, start = [], [], 0
    while True:
        hashes, begins = _shingles_of_block(text[start : start + _BLOCK + _OVERLAP])
        last = start + _BLOCK + _OVERLAP >= len(text)
        inside = len(begins) if last else int(np.searchsorted(begins, _BLOCK))
        found.append(hashes[:inside])
        places.append(begins[:inside] + start)
        if last:
            return np.concatenate(found), np.concatenate(places)
        # The next block begins with a word, so that none is cut in two.
        start += int(begins[inside]) if inside < len(begins) else _BLOCK


def _shingles_of_block(text: str) -> tuple[Hashes, Places]:
    data, inside, whole, positions = _word_bytes(text)
    edges = (inside[1:] != inside[:-1]).nonzero()[0]  # where words begin and end, in turn
    starts, ends = edges[::2], edges[1::2]
    if whole is not None:
        first = inside[1:-8] & whole
        first[starts] = True
        starts = np.flatnonzero(first)
        ends = np.minimum(ends[np.searchsorted(ends, starts, side="right")], np.append(starts[1:], len(whole)))
    count = len(starts) - SHINGLE_WORDS + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    words = _hash_words(data, starts, ends)
    hashes, scratch = words[:count].copy(), np.empty(count, dtype=np.uint64)
    for offset in range(1, SHINGLE_WORDS):  # one word here is not the same word there
        np.multiply(words[offset : offset + count], _ODD[offset], scratch)
        hashes += scratch
    begins = starts[:count]
    return _mix(hashes, scratch), begins if positions is None else positions[begins].astype(np.int64)


def _word_bytes(text: str) -> tuple[Bytes, Flags, Flags | None, Positions | None]:
    """Return the text's words in UTF-8 and lower case with 0 between them, one before and eight behind; which of these
    bytes are of words; where a word begins inside of a run, and the character that each byte is of; None where no word
    begins so, and where characters are bytes.
    """
    if text.isascii():
        # Computed, sixteen and more bytes at a time: half the time of a look at a table for each of them.
        plain = np.frombuffer(b"".join((_BEFORE, text.encode("ascii"), _BEHIND)), dtype=np.uint8)
        lowered = plain | _CASE
        inside = (lowered - _A) < _LETTERS
        inside |= (plain - _ZERO) < _DIGITS
        lowered *= inside.view(np.uint8)
        return lowered, inside, None, None
    encoded = text.encode()
    foreign = encoded.translate(None, _NO_ASCII).decode()
    if foreign.lower() != foreign:
        in_small = text.lower()
        if len(in_small) == len(text):
            encoded = in_small.encode()
    bare = np.frombuffer(encoded, dtype=np.uint8)
    padded = np.frombuffer(bytearray().join((_BEFORE, encoded.translate(_WORDS), _BEHIND)), dtype=np.uint8)
    data = padded[1:-8]
    # Signs and punctuation: U+0080 to U+00BF is C2 and another byte, U+2000 to U+2FFF is E2 and two more, U+3000 to
    # U+303F is E3 80 and one more.
    _blank(data, np.flatnonzero(bare == 0xC2), 2)
    _blank(data, np.flatnonzero(bare == 0xE2), 3)
    east = np.flatnonzero((bare >= 0xE3) & (bare <= 0xE9))
    _blank(data, east[(bare[east] == 0xE3) & (bare[np.minimum(east + 1, len(bare) - 1)] == 0x80)], 3)
    # Bytes of 0x80 to 0xBF go on with a character. Sums of 32 bits, enough for a block, take a tenth of the time of 64.
    positions = np.cumsum(bare.view(np.int8) > _LAST_BEHIND, dtype=np.int32)
    positions -= 1
    # U+3040 to U+9FFF, and beyond U+FFFF: a character is a word, and what follows it begins one.
    alone = east[data[east] != 0]
    far = np.flatnonzero(bare >= 0xF0)
    if not len(alone) and not len(far):
        return padded, padded != 0, None, positions
    whole = np.zeros(len(data) + 4, dtype=bool)
    for begins, size in ((alone, 3), (far, 4)):
        whole[begins] = True
        whole[begins + size] = True
    return padded, padded != 0, whole[: len(data)], positions


def _blank(data: Bytes, begins: Places, size: int) -> None:
    for offset in range(size):
        data[begins + offset] = 0


def _hash_words(data: Bytes, starts: Places, ends: Places) -> Hashes:
    """Hash the bytes of every word, eight at a time: a word of eight letters costs one look."""
    eights = np.ndarray((len(data) - 8,), _EIGHTS, data.data, 1, (1,))
    lengths = ends - starts
    words: Hashes = eights[starts]
    words &= _MASKS.take(lengths, mode="clip")
    scratch = np.empty(len(words), np.uint64)
    _mix(words, scratch)
    longer = (lengths > _EIGHT).nonzero()[0]
    if not len(longer):
        return words
    places, left, values = starts[longer], lengths[longer], words[longer]
    while True:
        places += _EIGHT
        left -= _EIGHT
        values += eights[places] & _MASKS.take(left, mode="clip")
        words[longer] = _mix(values, scratch[: len(values)])
        more = (left > _EIGHT).nonzero()[0]
        if not len(more):
            return words
        longer, places, left, values = longer[more], places[more], left[more], values[more]


def _mix(values: Hashes, scratch: Hashes) -> Hashes:
    """Scramble 64-bit numbers where they stand."""
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        values ^= np.right_shift(values, shift, scratch)
        values *= factor
    values ^= np.right_shift(values, _SHIFTS[-1], scratch)
    return values


def signatures(hashes: Hashes, ends: list[int], permutations: int) -> Signatures:
    """Return one MinHash signature for each run of `hashes`.

    The lowest 16 bits of each minimum are kept (Li and König 2010): two different minima agree in them once in 65,536
    times, which is nothing beside the error of the estimate.

    Args:
        hashes: shingles of all texts, one text after another.
        ends: where each text's shingles end; each holds at least one.
        permutations: places of a signature; the estimate's standard deviation is sqrt(J (1 - J) / permutations).
    """
    import rensa

    minhash: Any = rensa
    rows = minhash.RMinHash.digest_matrix_from_flat_token_hashes(hashes, [0, *ends], permutations, SEED).to_rows()
    numbers = np.frombuffer(array("Q", itertools.chain.from_iterable(rows)), dtype=np.uint64)
    return numbers.reshape(len(ends), permutations).astype(np.uint16)


def algorithm() -> str:
    """Return what a signature depends on besides the text: signatures of another algorithm cannot be compared."""
    import rensa

    minhash: Any = rensa
    return f"rensa {minhash.RMinHash.ALGORITHM_VERSION}, {SHINGLE_WORDS} words, seed {SEED}"
