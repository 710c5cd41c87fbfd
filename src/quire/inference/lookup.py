"""Guesses of what comes next, from what the text held before: words that were written once are often written again.

A guess costs little where it is wrong: the step that reads the newest token reads the guessed ones too, at less than
their number times the price, and those that were not what the model would have written are forgotten. So the text
never changes; only the number of steps does.

Source: Saxena 2023, "Prompt Lookup Decoding"; Leviathan et al. 2023, "Fast Inference from Transformers via Speculative
Decoding", for the checking of guesses.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from functools import partial

NGRAM = 3  # tokens that must have stood together before, for what followed them to be guessed
SLOWNESS = 0.1  # share that a new measurement has in a running mean
STEPS = 8  # of a size, the quickest of which says what such a step takes
RETRY, MOST_RETRY = 64, 1024  # tokens of a text without guesses, after which one is tried; twice as many each time


class Lookup:
    """What followed each run of three tokens in a text, the last time it was there."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        self._known = NGRAM

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """Return up to `most` tokens that may come after `tokens`, which has grown since the last call."""
        for end in range(self._known, len(tokens)):
            self._after[tuple(tokens[end - NGRAM : end])] = end
        self._known = max(self._known, len(tokens))
        place = self._after.get(tuple(tokens[-NGRAM:])) if len(tokens) >= NGRAM else None
        guessed: list[int] = []
        if place is not None:
            for after in range(place, place + most):  # what comes after the end of the text is what was guessed for it
                guessed.append(tokens[after] if after < len(tokens) else guessed[after - len(tokens)])
        return guessed


class Trust:
    """Whether a text is guessed for: while that pays, and from time to time once, to see whether it does by now.

    Args:
        right: share of guessed tokens that is expected to be right; of other texts, as long as nothing else is known.
    """

    __slots__ = ("_patience", "_rest", "_trial", "right")

    def __init__(self, right: float) -> None:
        self.right = right
        self._rest, self._patience, self._trial = 0, RETRY, False

    def rests(self) -> bool:
        """Return whether nothing is to be guessed; asked once for each token."""
        self._rest -= self._rest > 0
        return self._rest > 0

    def allows(self, pays: bool) -> bool:
        """Return whether to guess, where guesses of which `right` is right pay or do not."""
        if pays or self._trial:
            return True
        self._rest, self._patience, self._trial = self._patience, min(2 * self._patience, MOST_RETRY), True
        return False

    def learn(self, share: float, paid: bool) -> None:
        """Take note of which share of some guessed tokens was right, and whether they paid."""
        self.right += SLOWNESS * (share - self.right)
        if self._trial:
            self._trial = paid  # then another one follows
            self._patience = RETRY if paid else self._patience


class Worth:
    """Whether guesses pay: what steps of so many tokens take, and how many guesses were right.

    What a step takes is the least of the last few: most of what makes one longer has nothing to do with its size. The
    text that is written does not depend on any of it.
    """

    def __init__(self) -> None:
        self._seconds: defaultdict[int, deque[float]] = defaultdict(partial(deque, maxlen=STEPS))
        self.right = 1.0  # of all texts

    def took(self, tokens: int, seconds: float) -> None:
        """Take note of how long a step that wrote only, of so many tokens, took."""
        self._seconds[tokens].append(seconds)

    def pays(self, tokens: int, guesses: int, right: float) -> bool:
        """Say whether to read `guesses` more beside `tokens`, where the share `right` of them is taken."""
        alone, together = self._seconds[tokens], self._seconds[tokens + guesses]
        if not alone or not together:
            return True
        return (1 + right * guesses / tokens) * min(alone) > min(together)
