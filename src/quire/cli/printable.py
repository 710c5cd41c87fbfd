"""Text of others on the terminal: a file's name may hold what moves the cursor or renames the window."""

from __future__ import annotations

import re
import sys

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: object, *, keep: str = "") -> str:
    r"""Return `text` with what steers a terminal or turns its lines around written out, as `\x1b` or `\u202e`.

    Args:
        text: anything; its `str` is taken.
        keep: characters that stay as they are, such as line ends in the text of a document.
    """
    return _CONTROLS.sub(lambda match: match[0] if match[0] in keep else _written(match[0]), str(text))


def _written(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def print_utf8() -> None:
    """Let standard output have characters that the terminal's encoding has not."""
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
