"""What comes of a request: its text in pieces, as they come, for loops and for async loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from quire.inference.sequence import Completion, Piece, Row

if TYPE_CHECKING:
    from quire.inference.engine import Engine


class Stream:
    """The texts of one request: iterate, also with `async for`, to get their pieces; then `completions` has the whole.

    Leaving a `with` block, or calling `cancel`, ends texts that are not complete; what was written stays.

    Attributes:
        rows: the texts, those of the first prompt before those of the next.
        seconds_to_first_token: from the first asking for a piece until each row had its first token; 0 before.
    """

    def __init__(self, engine: Engine) -> None:
        self.rows: list[Row] = []
        self.seconds_to_first_token = 0.0
        self._engine = engine
        self._pieces: deque[Piece] = deque()
        self._news = threading.Condition()
        self._listeners: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._began = 0.0
        self._left = 0  # rows that go on
        self._silent = 0  # rows without a token
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Return whether nothing more is written."""
        return self._left == 0

    def completions(self) -> list[Completion]:
        """Return what has been written so far, one completion a row."""
        return [row.completion() for row in self.rows]

    def cancel(self) -> None:
        """End what is not complete: at once where nothing else computes, else after the step that is under way."""
        for row in self.rows:
            row.cancelled = True
        self._engine.tidy()

    def result(self) -> list[Completion]:
        """Wait for the end and return the completions."""
        for _ in self:
            pass
        return self.completions()

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        self._begin()
        while True:
            done = self.done  # before the pieces: the last one comes before the end
            if self._pieces:
                return self._pieces.popleft()
            if done:
                self._raise()
                raise StopIteration
            self._engine.advance(self)

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        self._begin()
        self._engine.start()
        event = asyncio.Event()
        listener = (asyncio.get_running_loop(), event)
        self._listeners.append(listener)
        try:
            while True:
                event.clear()
                done = self.done
                if self._pieces:
                    return self._pieces.popleft()
                if done:
                    self._raise()
                    raise StopAsyncIteration
                await event.wait()
        finally:
            self._listeners.remove(listener)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self.done:
            self.cancel()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, at)

    def open(self, rows: list[Row]) -> None:
        """Begin with these rows; for the engine."""
        self.rows = rows
        self._left = self._silent = len(rows)

    def put(self, row: Row, text: str) -> None:
        """Take what a token of a row gave, which may be nothing; for the engine."""
        if row.first_token:
            row.first_token = False
            self._silent -= 1
            if self._silent == 0 and self._began:
                self.seconds_to_first_token = time.perf_counter() - self._began
        if text:
            row.shown.append(text)
            self._pieces.append(Piece(row.index, text))
        if row.finish is not None:
            self._left -= 1
        if text or self.done:
            self._tell()

    def fail(self, row: Row, error: BaseException) -> None:
        """End a row by an error, of which whoever reads the stream is told; for the engine."""
        self._error = error
        self.put(row, "")

    def wait(self, seconds: float) -> None:
        """Wait for news from another thread; for the engine."""
        with self._news:
            if not self._pieces and not self.done:
                self._news.wait(seconds)

    def _begin(self) -> None:
        self._began = self._began or time.perf_counter()

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()
        for loop, event in list(self._listeners):
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
