"""Bytes of tokens to text that may be shown: never half a character, never the beginning of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class Detokenizer:
    """Turns the bytes of one text, as they come, into pieces whose sum is the whole text.

    A token may end inside a character: its bytes wait for the rest. Bytes that are no UTF-8 become U+FFFD, exactly
    as when the whole is decoded at once. The end of the text that could be the beginning of a stop string waits
    too, until it is one or cannot be any more.

    A stop string is found where it ends first, character by character, so what is written does not depend on how
    the text falls into tokens; of several that end there, the longest is cut off.

    Args:
        stop: strings that end the text; none is empty.

    Attributes:
        stopped: whether a stop string was found; nothing follows then.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False

    def push(self, data: bytes) -> str:
        """Return the text that can be shown now that `data` has come."""
        text = self._decoder.decode(data)
        return self._show(text) if self._stop else text

    def finish(self) -> str:
        """Return what was held back, because no more will come; an unfinished character gives U+FFFD."""
        shown = self._show(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return shown + held

    def _show(self, text: str) -> str:
        if self.stopped:
            return ""
        text = self._held + text
        found = self._first_stop(text)
        if found is not None:
            self.stopped, self._held = True, ""
            return text[:found]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        shown = len(text) - held
        self._held = text[shown:]
        return text[:shown]

    def _first_stop(self, text: str) -> int | None:
        places = [(place + len(stop), place) for stop in self._stop if (place := text.find(stop)) >= 0]
        return min(places)[1] if places else None


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that is a beginning of `stop` and not all of it."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
