"""Byte-pair encoding: text as bytes, with the pairs that stand together most often joined into tokens.

Ids 0 to 255 are the bytes themselves, so any text can be encoded; each merge learned adds an id.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

WORDS = r" ?\S+|\s+(?!\S)|\s+"
"""How text is cut before pairs are counted: words with the space before them, and what white space is left over."""


class Merge(NamedTuple):
    """Two tokens that become one wherever they stand side by side."""

    left: bytes
    right: bytes
    frequency: int = 0
    """How often the pair stood in the text when it was learned; 0 where that is not known."""


def count_pairs(words: Counter[tuple[bytes, ...]]) -> Counter[tuple[bytes, bytes]]:
    """Return how often each two tokens stand side by side in `words`, each word with its number of occurrences."""
    pairs: Counter[tuple[bytes, bytes]] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            pairs[pair] += count
    return pairs


def merge_pair(word: Sequence[bytes], left: bytes, right: bytes) -> tuple[bytes, ...]:
    """Return `word` with each `left` before a `right` joined to one token, from the left on."""
    joined: list[bytes] = []
    i = 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == (left, right):
            joined.append(left + right)
            i += 2
        else:
            joined.append(word[i])
            i += 1
    return tuple(joined)


class BytePairEncoder:
    """Encodes text with merges in the order in which they were learned, the earliest first.

    Args:
        merges: pairs of tokens; each is a single byte or the result of an earlier merge.
        pattern: regular expression that cuts a text into words; no token crosses from one into the next.

    Attributes:
        merges: as `Merge`, with the frequency seen in training.
        tokens: the bytes of each id.

    Raises:
        ValueError: a merge joins what is no token yet.

    Source: Sennrich, Haddow and Birch 2016; Radford et al. 2019, section 2.2 (over bytes).
    """

    def __init__(self, merges: Iterable[Merge | tuple[bytes, bytes]] = (), pattern: str = WORDS) -> None:
        self.merges: list[Merge] = []
        self.pattern = pattern
        self.tokens = [bytes([byte]) for byte in range(256)]
        self._ids = {token: id for id, token in enumerate(self.tokens)}
        self._ranks: dict[tuple[bytes, bytes], int] = {}
        for merge in merges:
            self._learn(Merge(*merge))

    @classmethod
    def train(cls, text: str, merges: int, pattern: str = WORDS) -> BytePairEncoder:
        """Learn up to `merges` merges: again and again the pair that stands most often in `text`.

        Of several as frequent, the one whose left token has the lowest id is taken, then whose right one has. It ends
        early where no pair stands there twice.

        Raises:
            ValueError: `merges` is negative.
        """
        if merges < 0:
            raise ValueError(f"the number of merges must be 0 or more, not {merges}")
        encoder = cls((), pattern)
        words = Counter(tuple(bytes([byte]) for byte in word) for word in encoder.split(text))
        while len(encoder.merges) < merges:
            pairs = count_pairs(words)
            if not pairs or max(pairs.values()) < 2:
                break
            left, right = min(pairs, key=lambda pair: (-pairs[pair], *(encoder._ids[token] for token in pair)))
            encoder._learn(Merge(left, right, pairs[left, right]))
            words = Counter({merge_pair(word, left, right): count for word, count in words.items()})
        return encoder

    def split(self, text: str) -> list[bytes]:
        """Return the words of `text` as bytes of UTF-8; put together again, they are the text.

        Raises:
            ValueError: the pattern leaves a part of the text out, or the text holds a lone surrogate.
        """
        words = [match.group() for match in re.finditer(self.pattern, text)]
        if "".join(words) != text:
            raise ValueError(f"the pattern {self.pattern!r} leaves out parts of the text")
        return [word.encode("utf-8") for word in words]

    def spell(self, word: bytes) -> tuple[bytes, ...]:
        """Return the tokens of one word: of the pairs in it, the one learned first is merged, until none is left."""
        tokens: tuple[bytes, ...] = tuple(bytes([byte]) for byte in word)
        while True:
            pairs = [pair for pair in pairwise(tokens) if pair in self._ranks]
            if not pairs:
                return tokens
            tokens = merge_pair(tokens, *min(pairs, key=self._ranks.__getitem__))

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`. Raises as `split` does."""
        return [self._ids[token] for word in self.split(text) for token in self.spell(word)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; bytes that are no whole character give U+FFFD.

        Raises:
            ValueError: an id is not in the vocabulary.
        """
        chosen = list(ids)
        for id in chosen:
            if not 0 <= id < len(self.tokens):
                raise ValueError(f"token id {id} is not in the vocabulary of {len(self.tokens)}")
        return b"".join(self.tokens[id] for id in chosen).decode("utf-8", errors="replace")

    def _learn(self, merge: Merge) -> None:
        left, right, _ = merge
        if left not in self._ids or right not in self._ids:
            number = len(self.merges)
            raise ValueError(f"merge {number} joins {left!r} and {right!r}, which are not both tokens before it")
        self._ranks.setdefault((left, right), len(self.merges))
        self.merges.append(merge)
        if left + right not in self._ids:  # two merges may spell the same bytes, as a + bc and ab + c do: one id
            self._ids[left + right] = len(self.tokens)
            self.tokens.append(left + right)
