"""How many threads a step should have now: all, or one where other programs need the processors.

Threads wait for each other several times in every layer. Where another program has the processor of one of them, all
stand still until it comes back: two threads on a busy machine took ten times as long as one. What is computed is the
same to the bit with any number, so it may change from step to step.
"""

from __future__ import annotations

SLOWNESS = 0.3  # share that a new time has in a running mean
DISTURBED = 1.5  # times the best time of all threads, from which one alone is tried
AGAIN = 32  # steps of one thread, after which all are tried again


class Pace:
    """Times of steps of one size.

    Args:
        threads: as many as there are.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._mean = {1: 0.0, threads: 0.0}  # seconds, 0 where not known
        self._best = 0.0  # of all threads
        self._alone = False
        self._since = 0  # steps since the other number was tried

    def choose(self) -> int:
        """Return how many threads the next step should have."""
        if self.threads == 1:
            return 1
        self._since += 1
        everyone, alone = self._mean[self.threads], self._mean[1]
        if self._alone:
            if self._since >= AGAIN:
                self._since = 0
                return self.threads
            return 1
        untried = everyone > 0 and alone == 0 and self._since > 2
        disturbed = everyone > DISTURBED * self._best and self._since >= 4
        if untried or disturbed:
            self._since = 0
            return 1
        return self.threads

    def took(self, threads: int, seconds: float) -> None:
        """Take note of the time of a step."""
        before = self._mean[threads]
        fresh = before == 0 or (threads == 1) is not self._alone  # a try counts by itself
        self._mean[threads] = seconds if fresh else before + SLOWNESS * (seconds - before)
        if threads == self.threads:
            self._best = min(self._best, seconds) if self._best else seconds
            self._best *= 1.001  # what was possible once may not be any more
        if self.threads > 1 and self._mean[1] and self._mean[self.threads]:
            self._alone = self._mean[1] < self._mean[self.threads]
