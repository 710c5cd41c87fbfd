"""Bytes to text: strict UTF-8 first, over the whole file; then what the whole file speaks for."""

from __future__ import annotations

import codecs
import contextlib
import re
from typing import NamedTuple

from quire.documents.document import DroppedFile

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Control characters that no text holds: all of C0 but backspace, tab, line feed, vertical tab, form feed, carriage
# return, end of file (DOS), escape (terminal logs).
_CONTROLS = bytes(set(range(32)) - {8, 9, 10, 11, 12, 13, 26, 27}) + b"\x7f"

# One control in 200 bytes: random bytes hold one in 10, compressed data about as many; DOS box drawings hold none.
_MAX_CONTROL_SHARE = 1 / 200

# Below this share of bytes outside ASCII a detector guesses: English with 2 % of accents was called ISO-8859-2 and
# cp852. French has 4 to 5 % (and is recognised as Western), Polish 9 %, other scripts over 40 %.
_MIN_FOREIGN_SHARE = 0.05

_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


class Decoded(NamedTuple):
    """Text, the encoding it was in, and the length in bytes of the byte order mark before it."""

    text: str
    encoding: str
    mark: int


def decode(data: bytes, stated: str | None = None) -> Decoded:
    """Return the text of `data`, without its byte order mark.

    A byte order mark decides; else strict UTF-8 over the whole of `data`; else what the file states; else the
    single-byte or East Asian encoding that the whole of it fits. Line ends stay as they are.

    Args:
        data: a whole file: the first kilobytes of one say nothing of a single £ at its end.
        stated: the encoding that the file itself names, if it does; "iso-8859-1" is taken for cp1252, as browsers do.

    Raises:
        DroppedFile: with rule "binary", where the bytes are no text: they hold a NUL, or too many controls.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                text = data[len(mark) :].decode(encoding)
            except UnicodeDecodeError:
                continue
            if "\0" not in text:
                return Decoded(text, encoding, len(mark))
    if b"\0" in data:
        raise DroppedFile("binary", f"a NUL byte at offset {data.index(0)}")
    try:
        return Decoded(data.decode("utf-8"), "utf-8", 0)
    except UnicodeDecodeError as error:
        wrong = error.start
    if stated is not None:
        encoding = "cp1252" if stated.lower() in ("iso-8859-1", "latin1", "us-ascii", "ascii") else stated
        with contextlib.suppress(UnicodeDecodeError, LookupError):
            return Decoded(data.decode(encoding), encoding, 0)
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if controls > _MAX_CONTROL_SHARE * len(data):
        raise DroppedFile("binary", f"not UTF-8 at offset {wrong}, and {controls} of {len(data)} bytes are controls")
    if _is_damaged_utf8(data):
        start = len(data) - len(data.removeprefix(codecs.BOM_UTF8))
        return Decoded(data[start:].decode("utf-8", "replace"), "utf-8", start)
    return _decode_legacy(data)


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether nearly all that is not ASCII is valid UTF-8: then a few bytes are broken, not the whole file foreign."""
    rest = data.translate(None, bytes(range(128)))
    valid = sum(len(match) for match in _MULTIBYTE.findall(data))
    return valid >= 20 * (len(rest) - valid)


def _decode_legacy(data: bytes) -> Decoded:
    from resiliparse.parse.encoding import detect_encoding

    encoding = "cp1252"
    if len(data.translate(None, bytes(range(128)))) >= _MIN_FOREIGN_SHARE * len(data):
        detected = (detect_encoding(data, max_len=len(data), html5_compatible=False) or encoding).lower()
        # cp1252 holds all that ISO-8859-1 can print; UTF was tried before.
        if detected != "iso8859-1" and not detected.startswith("utf"):
            encoding = detected
    try:
        return Decoded(data.decode(encoding), encoding, 0)
    except (UnicodeDecodeError, LookupError):
        return Decoded(data.decode("latin-1"), "latin-1", 0)  # cp1252 leaves five bytes undefined, Latin-1 none
