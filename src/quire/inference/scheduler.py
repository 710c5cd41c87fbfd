"""Who reads what in a step: texts that write before texts that read their prompts, those that came first before others.

Each text that writes reads its newest token, and tokens that are guessed to come after it where that pays. What is
left of a step's tokens reads prompts, in parts. Texts that wait come in where there is room for them; where there is
none for those that go on, the one that came last gives way, and waits to be read again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from quire.inference.blocks import BLOCK, BlockPool
from quire.inference.lookup import SLOWNESS, Trust, Worth
from quire.inference.sequence import Batch, Row, State
from quire.inference.settings import InferenceSettings


@dataclass(slots=True)
class Reading:
    """What a row reads in a step: `count` of its tokens, then guessed ones; logits after the last `wanted`."""

    row: Row
    count: int
    guessed: list[int]
    wanted: int
    right: int = 0  # guessed tokens that were taken


def _plan(batch: Batch, row: Row, count: int, guessed: list[int]) -> Reading:
    """Add what a row reads to the batch; return it."""
    begin = row.start + row.computed
    tokens = [*row.tokens[begin : begin + count], *guessed]
    wanted = count if row.tells_prompt else (1 + len(guessed) if count == row.unread else 0)
    batch.add(row, tokens, wanted)
    return Reading(row, count, guessed, wanted)


class Scheduler:
    """The texts of an engine, and their room in the cache.

    Args:
        settings: limits.
        blocks: of the cache.
        context: the most tokens that a model sees.

    Attributes:
        waiting: texts that are not in the cache, the next one first.
        running: texts that are, those that came first before others.
        tokens_found: of prompts, that the cache held already.
        pushed_out: how often a text had to give way.
        guessed: tokens that were guessed.
        guessed_right: those of them that were taken.
        worth: what guesses cost and gain.
    """

    def __init__(self, settings: InferenceSettings, blocks: int, context: int) -> None:
        self.settings, self.context = settings, context
        self.pool = BlockPool(blocks)
        self.waiting: deque[Row] = deque()
        self.running: list[Row] = []
        self.tokens_found = self.pushed_out = self.guessed = self.guessed_right = 0
        self.worth = Worth()

    def schedule(self) -> tuple[Batch, list[Reading]]:
        """Decide who reads what in this step."""
        left = self.settings.step_tokens
        counts: dict[Row, int] = {}
        pushed_out = self.pushed_out
        writers: list[Row] = []
        readers: list[Row] = []
        for row in self.running:
            (writers if row.unread == 1 else readers).append(row)
        for row in (*writers, *readers):
            if not left:
                break
            if row.state is not State.RUNNING:  # it gave way to one before it
                continue
            count = min(row.unread, left)
            if self._make_room(row, row.computed + count, counts):
                counts[row] = count
                left -= count
        while left and self.waiting and len(self.running) < self.settings.max_rows and pushed_out == self.pushed_out:
            admitted = self._admit(left)
            if admitted is None:
                break
            counts[admitted] = min(admitted.unread, left)
            left -= counts[admitted]
        guesses = {}
        if self.settings.draft_tokens:
            for row in writers:  # with what all that is to be read has left
                if row in counts:
                    guesses[row] = self._guess(row, left)
                    left -= len(guesses[row])
        batch = Batch()
        plan = [_plan(batch, row, count, guesses.get(row, [])) for row, count in counts.items()]
        return batch, plan

    def _admit(self, left: int) -> Row | None:
        """Let the first of the waiting texts in for which there is room; None where there is none."""
        for place, row in enumerate(self.waiting):
            if row.first is not None and row.first.reads_prompt:
                continue  # it will find in the cache what the first sample reads now
            if self.settings.prefix_cache and not row.tells_prompt:
                row.nodes = self.pool.find(row.tokens[row.start : -1])  # the last token is read for its logits
            row.blocks = [node.block for node in row.nodes]
            row.computed = len(row.nodes) * BLOCK
            if not self._take_blocks(row, row.computed + min(row.unread, left)):
                row.release(self.pool)
                return None
            self.tokens_found += row.computed
            del self.waiting[place]
            row.state = State.RUNNING
            self.running.append(row)
            return row
        return None

    def _make_room(self, row: Row, positions: int, planned: Collection[Row]) -> bool:
        """Get blocks for so many positions of a row, others' if need be; False where it gives way itself."""
        while not self._take_blocks(row, positions):
            others = (other for other in reversed(self.running) if other not in planned and other is not row)
            self._push_out(next(others, row))
            if row.state is State.WAITING:
                return False
        return True

    def _take_blocks(self, row: Row, positions: int) -> bool:
        while len(row.blocks) * BLOCK < positions:
            block = self.pool.take()
            if block is None:
                return False
            row.blocks.append(block)
        return True

    def _push_out(self, row: Row) -> None:
        """Take a row's room in the cache; it waits before all others, to be read again."""
        row.release(self.pool)
        row.state = State.WAITING
        self.running.remove(row)
        self.waiting.appendleft(row)
        self.pushed_out += 1

    def _guess(self, row: Row, left: int) -> list[int]:
        """Guess the next tokens of a row, where that pays: only such as the context and the text have room for."""
        row.trust = row.trust or Trust(self.worth.right)
        if row.trust.rests() or row.tells_prompt:
            return []
        most = min(
            left,
            self.settings.draft_tokens,
            self.context - row.length,
            row.settings.max_tokens - row.sampling.num_written - 1,
        )
        most = min(most, (len(row.blocks) + self.pool.available) * BLOCK - row.computed - 1)
        guessed = row.lookup.guess(row.tokens, most) if most > 0 else []
        if guessed and not row.trust.allows(self.worth.pays(len(self.running), len(guessed), row.trust.right)):
            return []
        self._take_blocks(row, row.computed + 1 + len(guessed))
        return guessed

    def settle(self, reading: Reading) -> None:
        """Share what is full, learn from the guesses, and move a view that has outgrown the context."""
        row = reading.row
        if reading.guessed:
            self.guessed += len(reading.guessed)
            self.guessed_right += reading.right
            self._learn(row, reading.right / len(reading.guessed), len(reading.guessed))
        if row.state is State.RUNNING:
            row.settle(self.pool)
            if row.length > self.context:
                row.slide(self.context, self.pool)

    def _learn(self, row: Row, share: float, guesses: int) -> None:
        self.worth.right += SLOWNESS * (share - self.worth.right)
        if row.trust is not None:
            row.trust.learn(share, self.worth.pays(max(1, len(self.running)), guesses, share))

    def forget(self) -> None:
        """Forget all that was read: the weights are others. Texts that go on are read again, from their beginning."""
        for row in self.running:
            row.release(self.pool)
        self.pool.forget()

    def end(self, row: Row, *, sound: bool = True) -> None:
        """Take a row out, whatever it was doing; others may find in the cache what it read, if that is sound."""
        if row.state is State.RUNNING:
            if sound:
                row.settle(self.pool)
            self.running.remove(row)
        elif row in self.waiting:
            self.waiting.remove(row)
        row.release(self.pool)
        row.state = State.FINISHED
