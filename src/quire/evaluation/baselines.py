"""What text costs without a neural network: bits a byte by xz, and by counting which bytes follow which.

Both see the bytes that a model was trained on and are asked for those that it is validated on, so that their figures
stand beside its bits per byte. A model that is no better has learned nothing that counting does not give.

- xz: how much longer the output of `xz -9e` becomes when the validation text follows the training text. It goes on
  learning from the validation text as it reads it.
- n-grams: an interpolated n-gram model of bytes with modified Kneser-Ney smoothing (Chen and Goodman 1999, section 3),
  fixed after the training text, as the model is.
"""

from __future__ import annotations

import lzma
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from quire.errors import QuireError, UsageError
from quire.tokens.dataset import Split, TokenDataset
from quire.tokens.tokenizer import Tokenizer

# Each byte from the six before it. On 1.0 MB of plays 5, 6, 7 and 8 gave 2.253, 2.198, 2.189 and 2.193 bits a byte, on
# 0.4 MB of documentation 2.204, 2.135, 2.099 and 2.084; Witten-Bell smoothing at its best 2.408 and 2.384.
ORDER = 7
LONGEST = 8
"""The longest n-gram: its bytes are one 64-bit number."""
# xz -9e looks back over 64 MiB; what lies further back is training text that it would not use.
XZ_DICTIONARY = 64 << 20
# After a run, both together take two to five seconds on two cores for so much.
MOST_TRAIN_BYTES = 1 << 20
MOST_VALIDATION_BYTES = 1 << 17
BLOCK_BYTES = 1 << 14
SEPARATOR = b"\0"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Baselines:
    """Bits per byte of validation text, given training text.

    Attributes:
        xz: by `xz -9e`.
        ngram: by n-grams of bytes.
        order: their length n: a byte is foretold from the n - 1 before it.
        train_bytes: bytes of training text that both were given.
        validation_bytes: bytes of validation text that was measured.
        whole: whether these are all bytes of both splits, and not blocks taken evenly from them.
    """

    xz: float
    ngram: float
    order: int
    train_bytes: int
    validation_bytes: int
    whole: bool = True


@dataclass(frozen=True)
class _Level:
    # The n-grams of one length, each as a number; sorted, so that those of one context stand together.
    grams: Array  # (G,) uint64
    counts: Array  # (G,) how often seen, or, below the highest order, after how many different bytes
    contexts: Array  # (C,) uint64: the n - 1 bytes before the last
    totals: Array  # (C,) sum of the counts of a context
    left: Array  # (C,) what discounting takes from them: the weight of the shorter context
    discounts: Array  # (4,) taken from counts of 0, 1, 2 and 3 or more


class NGram:
    """An n-gram model of bytes with interpolated modified Kneser-Ney smoothing.

    The longest n-grams are counted; of a shorter one it counts after how many different bytes it stood. From each count
    a discount is taken, and what was taken goes to the shorter context, down to the uniform distribution.

    Args:
        train: the bytes to count.
        order: n, 1 to 8.

    Raises:
        UsageError: the order is out of bounds.
    """

    def __init__(self, train: bytes, order: int = ORDER) -> None:
        if not 1 <= order <= LONGEST:
            raise UsageError(f"an n-gram of {order} bytes: 1 to {LONGEST} are possible")
        self.order = order
        data = np.frombuffer(train, dtype=np.uint8)
        whole = [np.unique(_grams(data, n), return_counts=True) for n in range(1, order + 1)]
        self._levels = []
        for n in range(1, order + 1):
            if n == order:
                grams, counts = whole[-1]
            else:
                longer = whole[n][0]
                grams, counts = np.unique(longer & np.uint64((1 << (8 * n)) - 1), return_counts=True)
            self._levels.append(_level(grams, counts))

    def probabilities(self, text: bytes) -> Array:
        """Return the probability of each byte of `text` (len(text),) float64, from the bytes before it.

        The first bytes are foretold as after zero bytes, which also separate documents.
        """
        padding = SEPARATOR * (self.order - 1)
        data = np.frombuffer(padding + text, dtype=np.uint8)
        p = np.full(len(text), 1 / 256)
        for n, level in enumerate(self._levels, start=1):
            if not len(level.grams):
                continue  # the training text is shorter than n
            grams = _grams(data, n)[self.order - n :]  # (len(text),), each ends with its byte
            counts = _look_up(level.grams, level.counts, grams)
            contexts = grams >> np.uint64(8)
            totals = _look_up(level.contexts, level.totals, contexts)
            left = _look_up(level.contexts, level.left, contexts)
            taken = level.discounts[np.minimum(counts, 3)]
            p = np.where(totals > 0, (counts - taken + left * p) / np.maximum(totals, 1), p)
        return p

    def bits(self, text: bytes) -> float:
        """Return how many bits `text` costs: the sum of -log2 p over its bytes."""
        return float(-np.log2(self.probabilities(text)).sum())


def _grams(data: Array, n: int) -> Array:
    # (max(0, len(data) - n + 1),): n bytes as one number, the last byte lowest
    length = max(0, len(data) - n + 1)
    numbers = np.zeros(length, dtype=np.uint64)
    for i in range(n):
        numbers = (numbers << np.uint64(8)) | data[i : i + length].astype(np.uint64)
    return numbers


def _level(grams: Array, counts: Array) -> _Level:
    contexts = grams >> np.uint64(8)
    first = np.flatnonzero(np.append(True, contexts[1:] != contexts[:-1])) if len(grams) else np.zeros(0, np.int64)
    discounts = _discounts(counts)
    taken = discounts[np.minimum(counts, 3)]
    if not len(grams):
        return _Level(grams, counts, contexts, counts, taken, discounts)
    return _Level(
        grams, counts, contexts[first], np.add.reduceat(counts, first), np.add.reduceat(taken, first), discounts
    )


def _discounts(counts: Array) -> Array:
    # Chen and Goodman 1999, equation 26; a count never loses more than it is.
    once, twice, thrice, four = (max(1, int(np.count_nonzero(counts == k))) for k in (1, 2, 3, 4))
    y = once / (once + 2 * twice)
    wanted = [0.0, 1 - 2 * y * twice / once, 2 - 3 * y * thrice / twice, 3 - 4 * y * four / thrice]
    return np.clip(wanted, 0.0, [0.0, 1.0, 2.0, 3.0])


def _look_up(keys: Array, values: Array, wanted: Array) -> Array:
    # The value of each wanted key, 0 where it is not among the sorted keys.
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], np.zeros((), values.dtype))


def xz_size(data: bytes) -> int:
    """Return how many bytes `xz -9e` makes of `data`, without the file's header and index."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    return len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))


def compare(train: bytes, validation: bytes, *, order: int = ORDER) -> Baselines:
    """Measure `validation` by xz and by n-grams, both given `train`.

    Args:
        train: what a model was trained on; documents end with a zero byte, which is foretold as the model foretells
            its end-of-text, and is no byte of text.
        validation: what it is validated on, likewise.
        order: the length of the n-grams.

    Raises:
        QuireError: the validation text is empty.
        UsageError: the order is out of bounds.
    """
    num_bytes = len(validation) - validation.count(SEPARATOR)
    if not num_bytes:
        raise QuireError("there is no text to measure")
    back = max(0, XZ_DICTIONARY - len(validation))
    seen = train[-back:] if back else b""
    # liblzma lets go of Python's lock, so its two runs and the counting share the cores.
    with ThreadPoolExecutor(2) as pool:
        sizes = [pool.submit(xz_size, data) for data in (seen + validation, seen)]
        ngram = NGram(train, order).bits(validation) / num_bytes
        with_text, without = (size.result() for size in sizes)
    return Baselines(
        8 * (with_text - without) / num_bytes, ngram, order, len(train) - train.count(SEPARATOR), num_bytes
    )


def compare_dataset(
    data: TokenDataset,
    *,
    order: int = ORDER,
    most_train: int | None = MOST_TRAIN_BYTES,
    most_validation: int | None = MOST_VALIDATION_BYTES,
) -> Baselines:
    """Measure the validation split of `data` as `compare` does, in blocks taken evenly where a split is larger.

    Args:
        data: token shards.
        order: the length of the n-grams.
        most_train: about the most bytes of training text to use; None uses all.
        most_validation: likewise of validation text.
    """
    train = split_bytes(data.train, data.tokenizer, most_train)
    validation = split_bytes(data.validation, data.tokenizer, most_validation)
    result = compare(train, validation, order=order)
    whole = (most_train is None or data.train.num_bytes <= most_train) and (
        most_validation is None or data.validation.num_bytes <= most_validation
    )
    return Baselines(result.xz, result.ngram, result.order, result.train_bytes, result.validation_bytes, whole)


def split_bytes(split: Split, tokenizer: Tokenizer, most: int | None = None) -> bytes:
    """Return the text of a split as UTF-8, each document followed by a zero byte.

    Args:
        split: its tokens.
        tokenizer: theirs.
        most: where the split has more bytes, about so many in blocks of 16 KiB, taken evenly.
    """
    pieces = [tokenizer.token_bytes(id) for id in range(tokenizer.vocab_size)]
    pieces[split.end_of_text] = SEPARATOR
    block = max(1, round(BLOCK_BYTES / max(split.bytes_per_token, 1e-9)))
    blocks = -(-split.num_tokens // block)
    wanted = blocks
    if most is not None and split.num_bytes > most:
        wanted = max(1, round(blocks * most / split.num_bytes))
    found = []
    for number in range(wanted):
        start = number * blocks // wanted * block
        ids = split.tokens(start, min(start + block, split.num_tokens))
        found.append(b"".join(pieces[id] for id in ids.tolist()))
    return b"".join(found)
