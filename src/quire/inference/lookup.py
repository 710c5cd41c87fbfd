"""Guesses of what comes next, from what the text held before: words that were written once are often written again.

A guess costs little where it is wrong: the step that reads the newest token reads the guessed ones too, at less than
their number times the price, and those that were not what the model would have written are forgotten. So the text
never changes; only the number of steps does.

Source: Saxena 2023, "Prompt Lookup Decoding"; Leviathan et al. 2023, "Fast Inference from Transformers via Speculative
Decoding", for the checking of guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

NGRAM = 3  # tokens that must have stood together before, for what followed them to be guessed
SLOWNESS = 0.1  # share that a new measurement has in a running mean
RETRY = 64  # tokens of a text without guesses, after which they are tried again


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


class Worth:
    """Whether guesses pay: what steps of so many tokens take, and how many guesses of a text were right.

    Both are running means of what is seen; the text that is written does not depend on them.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def took(self, tokens: int, seconds: float) -> None:
        """Take note of how long a step that wrote only, of so many tokens, took."""
        before = self._seconds.get(tokens)
        self._seconds[tokens] = seconds if before is None else before + SLOWNESS * (seconds - before)

    def pays(self, tokens: int, guesses: int, right: float) -> bool:
        """Say whether to read `guesses` more beside `tokens`, where the share `right` of them is taken."""
        alone, together = self._seconds.get(tokens), self._seconds.get(tokens + guesses)
        if alone is None or together is None:
            return True
        return (1 + right * guesses / tokens) * alone > together
