"""Ctrl-C, or SIGTERM (a queue whose time is up): the step is finished and saved before the run ends.

A process that torchrun started is told of Ctrl-C by torchrun, perhaps more than once, and of other ends by SIGTERM; it
has half a minute (torchrun's --shutdown-timeout) to save, together with the other ranks, and so heeds the first alone.
Where another rank has died, SIGTERM comes while this one is about to say so.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Whether Ctrl-C was pressed.

    Args:
        patient: one of several processes: a second signal does not interrupt at once. Once an error is on its way to
            be told, none does any more: where the end hangs, torchrun's SIGKILL is what is left.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.pressed = False
        self.agreed = False  # of several processes: that it was pressed in one of them is known to all
        self._patient = patient

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Turn the first signal into a flag that is looked at after the step; the second one interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread is told of signals
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.pressed = True
            if not self._patient:
                signal.signal(number, before[number])

        before = {int(number): signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, note)
        failed = True
        try:
            yield
            failed = False
        finally:
            if not (failed and self._patient):
                for each, handler in before.items():
                    signal.signal(each, handler)
