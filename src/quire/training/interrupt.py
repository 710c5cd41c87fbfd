"""Ctrl-C: the step is finished and saved before the run ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.pressed = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Turn the first Ctrl-C into a flag that is looked at after the step; the second one interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread is told of signals
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.pressed = True
            signal.signal(signal.SIGINT, before)

        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
