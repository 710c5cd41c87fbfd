"""Which of many texts are nearly the same, and which one of them is kept.

Signatures are cut into bands; texts that agree in one whole band are candidates (locality-sensitive hashing, Indyk and
Motwani 1998), and candidates whose signatures agree in a large enough share of all places are copies. The texts come in
the order in which they are preferred: one is left out if a text that is kept already is nearly the same. So a chain of
small changes never makes two very different texts copies of one another, and the result depends on the order alone.

In memory are 8 bytes of a band's keys for every text, 8 for the order, 12 for the result, and about 2 kB for each text
that has a candidate at all; signatures lie in a file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from quire.corpus.shingles import Signatures

SURE = 0.99  # of two texts at the threshold, the least share that become candidates
MOST_KEPT = 64  # texts compared with for one band: what agrees in it with more is nearly always boilerplate
_CHUNK = 65536

Order = np.ndarray[Any, np.dtype[np.int64]]


class SignatureFile:
    """Signatures one after another in a temporary file that no name leads to.

    Args:
        folder: on the disk that holds it.
        permutations: places of each.
    """

    def __init__(self, folder: Path, permutations: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._permutations = permutations
        self.count = 0

    def add(self, signature: bytes) -> int:
        """Append one and return its number."""
        self._file.write(signature)
        self.count += 1
        return self.count - 1

    def rows(self) -> Signatures:
        """Return all of them, mapped from the file: (count, permutations)."""
        self._file.flush()
        if not self.count:
            return np.empty((0, self._permutations), dtype="<u2")
        return np.memmap(self._file, dtype="<u2", mode="r", shape=(self.count, self._permutations))

    def close(self) -> None:
        """Let go of the file, which is gone then."""
        self._file.close()


def bands_for(permutations: int, threshold: float) -> tuple[int, int]:
    """Return how many bands of how many places find `SURE` of the pairs that are just at the threshold.

    Two signatures agree in a band of r places with probability J^r, and in at least one of b with 1 - (1 - J^r)^b. The
    most places that are sure enough leave the fewest false candidates.
    """
    for places in range(permutations, 0, -1):
        bands = permutations // places
        if 1 - (1 - threshold**places) ** bands >= SURE:
            return bands, places
    return permutations, 1


def near_copies(rows: Signatures, which: Order, order: Order, threshold: float) -> tuple[Order, np.ndarray[Any, Any]]:
    """Return for each text the one that is kept in its place, or -1 where it is kept itself; and how alike they are.

    Args:
        rows: signatures, perhaps mapped from a file: (rows, permutations).
        which: the row of each text.
        order: numbers of the texts, the most preferred first.
        threshold: the estimated Jaccard similarity from which two are copies.
    """
    count = len(which)
    kept_for = np.full(count, -1, dtype=np.int64)
    likeness = np.zeros(count, dtype=np.float32)
    bands, places = bands_for(rows.shape[1], threshold)
    candidates = np.zeros(count, dtype=bool)
    for band in range(bands):
        keys = _keys(rows, which, band, places)
        by_key = np.argsort(keys, kind="stable")
        same = keys[by_key[1:]] == keys[by_key[:-1]]
        candidates[by_key[1:][same]] = True
        candidates[by_key[:-1][same]] = True
    kept: dict[tuple[int, int], list[int]] = {}
    ordered = order[candidates[order]]
    for start in range(0, len(ordered), _CHUNK):
        chunk = ordered[start : start + _CHUNK]
        keys_of = np.stack([_keys(rows, which[chunk], band, places) for band in range(bands)], axis=1)
        for text, keys in zip(chunk.tolist(), keys_of.tolist(), strict=True):
            lists = [kept.setdefault((band, key), []) for band, key in enumerate(keys)]
            others = sorted(set().union(*lists))
            if others:
                shares = (rows[which[others]] == rows[which[text]]).mean(axis=1)
                best = int(shares.argmax())
                if shares[best] >= threshold:
                    kept_for[text], likeness[text] = others[best], shares[best]
                    continue
            for known in lists:
                if len(known) < MOST_KEPT:
                    known.append(text)
    return kept_for, likeness


def _keys(rows: Signatures, which: Order, band: int, places: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    keys = np.zeros(len(which), dtype=np.uint64)
    for start in range(0, len(which), _CHUNK):
        part = rows[which[start : start + _CHUNK], band * places : (band + 1) * places].astype(np.uint64)
        key = keys[start : start + _CHUNK]
        for column in range(places):
            key *= np.uint64(0x9E3779B97F4A7C15)
            key ^= part[:, column] + np.uint64(1)
            key ^= key >> np.uint64(29)
    return keys


def first_of_each(digests: np.ndarray[Any, Any]) -> Order:
    """Return for each row of `digests`, (texts, words of 8 bytes), the first row that is the same: perhaps itself."""
    count = len(digests)
    if not count:
        return np.empty(0, dtype=np.int64)
    by_digest = np.lexsort((np.arange(count), *digests.T))
    fresh = np.ones(count, dtype=bool)
    fresh[1:] = (digests[by_digest[1:]] != digests[by_digest[:-1]]).any(axis=1)
    starts = np.flatnonzero(fresh)
    firsts = np.empty(count, dtype=np.int64)
    firsts[by_digest] = by_digest[starts[np.cumsum(fresh) - 1]]
    return firsts
