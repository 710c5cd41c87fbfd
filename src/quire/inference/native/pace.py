"""How many threads a step should have now: all, or one where other programs need the processors.

Threads wait for each other several times in every layer. Where another program has the processor of one of them, all
stand still until it comes back: two threads on a busy machine took ten times as long as one. What is computed is the
same to the bit with any number, so it may change from step to step.
"""

from __future__ import annotations

from collections import defaultdict, deque
from functools import partial

DISTURBED = 1.5  # times the best time of all threads, from which one alone is tried
AGAIN = 32  # steps of one thread, after which all are tried again
TRIES = 3  # steps of all threads in a row, the best of which counts: the first has to wake them
MANY = 64  # tokens from which on a step is arithmetic, and takes as long as it has tokens


class Paces:
    """How many threads steps of any size should have.

    Steps of few tokens are compared with steps of as many; of many, by their time a token, with those of up to twice or
    half as many.

    Args:
        threads: as many as there are.
    """

    def __init__(self, threads: int) -> None:
        self._of: defaultdict[int, Pace] = defaultdict(partial(Pace, threads))

    def choose(self, tokens: int) -> int:
        """Return how many threads the next step, of so many tokens, should have."""
        return self._of[self._size(tokens)].choose()

    def took(self, tokens: int, threads: int, seconds: float) -> None:
        """Take note of the time of a step."""
        self._of[self._size(tokens)].took(threads, seconds if tokens < MANY else seconds / tokens)

    @staticmethod
    def _size(tokens: int) -> int:
        return tokens if tokens < MANY else 1 << tokens.bit_length()


class Pace:
    """Times of steps of one size.

    Args:
        threads: as many as there are.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._seconds: dict[int, deque[float]] = {1: deque(maxlen=TRIES), threads: deque(maxlen=TRIES)}
        self._best = 0.0  # of all threads
        self._usual = threads
        self._tried = 0  # steps that are left of a try of the other number
        self._since = 0  # steps since the last try

    def choose(self) -> int:
        """Return how many threads the next step should have."""
        if self.threads == 1:
            return 1
        other = 1 if self._usual == self.threads else self.threads
        if self._tried:
            return other
        self._since += 1
        if self._to_be_tried():
            self._seconds[other].clear()
            self._tried, self._since = (1 if other == 1 else TRIES), 0
            return other
        return self._usual

    def took(self, threads: int, seconds: float) -> None:
        """Take note of the time of a step."""
        self._seconds[threads].append(seconds)
        if threads == self.threads:
            # What was possible once may not be any more.
            self._best = min(self._best * 1.001, seconds) if self._best else seconds
        if self._tried:
            self._tried -= 1
            if not self._tried:
                alone, everyone = min(self._seconds[1]), min(self._seconds[self.threads])
                self._usual = 1 if alone < everyone else self.threads
                if self._usual == self.threads:
                    self._best = everyone  # no one disturbed them: what is asked for takes longer now

    def _to_be_tried(self) -> bool:
        if self._usual == 1:
            return self._since >= AGAIN
        everyone = self._seconds[self.threads]
        if len(everyone) < TRIES:
            return False
        disturbed = min(everyone) > DISTURBED * self._best and self._since > TRIES
        return disturbed or not self._seconds[1]
