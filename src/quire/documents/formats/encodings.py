"""Bytes to text: strict UTF-8 first, over the whole file; then what the whole file speaks for."""

from __future__ import annotations

import codecs
import contextlib
import re
import unicodedata
from collections import Counter
from typing import NamedTuple

from quire.documents.document import DroppedFile
from quire.documents.formats.code_pages import OTHERS, best_page

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

# UTF-16 without a mark is believed from eight characters on, where half of them are letters, digits or white space and
# one in a hundred is a space, a line end or a full stop or comma of Chinese and Japanese, in which few spaces are
# written. Of 82,000 binary files with a NUL (programs, libraries, pictures, archives, caches) none decodes at all: two
# NULs in a row, one in nine of the other pairs of random bytes, and the numbers of tables are no characters of a text.
_MIN_WIDE = 8
_MIN_LETTERS = 1 / 2
_MIN_BREAKS = 1 / 100
_BREAKS = " \n\r\u2028\u3001\u3002\uff0c"
_WIDE_CONTROLS = frozenset("\b\t\n\v\f\r\x1a\x1b\x85")
_NO_TEXT = frozenset(("Cc", "Cn", "Co", "Cs"))  # controls; what is not assigned, private, or half of a pair

# Encodings of Latin scripts, of which the detector names one for texts of DOS, and cp852 for some of Windows. Where it
# names one of another script or of East Asia, the letters are where those have theirs.
_LATIN = re.compile(r"(windows-|cp)?(125[0247]|437|85[0278]|86[0135])|iso-?8859-?([123490]|1[03456])|latin-?\d+")

_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


class Decoded(NamedTuple):
    """Text, the encoding it was in, and the length in bytes of the byte order mark before it."""

    text: str
    encoding: str
    mark: int


def decode(data: bytes, stated: str | None = None) -> Decoded:
    """Return the text of `data`, without its byte order mark.

    A byte order mark decides; else, of bytes that hold a NUL, whether they are words in UTF-16; else strict UTF-8 over
    the whole of `data`; else what the file states; else the single-byte or East Asian encoding that the whole of it
    fits: of Latin scripts, that of DOS or of a Mac where letters stand better in words than in that of Windows (see
    `best_page`). Line ends stay as they are.

    Args:
        data: a whole file: the first kilobytes of one say nothing of a single £ at its end.
        stated: the encoding that the file itself names, if it does; "iso-8859-1" is taken for cp1252, as browsers do.

    Raises:
        DroppedFile: with rule "binary", where the bytes are no text: they hold a NUL and are no UTF-16, or too many
            controls.
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
        wide = _decode_wide(data)
        if wide is not None:
            return wide
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


def is_wide(head: bytes) -> bool:
    """Return whether a file that begins with `head` is in UTF-16 or UTF-32, whose line ends are no single bytes."""
    marked = any(head.startswith(mark) for mark, _ in _BOMS[1:])
    return marked or (b"\0" in head and _decode_wide(head, whole=False) is not None)


def _decode_wide(data: bytes, whole: bool = True) -> Decoded | None:
    """Return the text of UTF-16 that has no mark, in the byte order that gives more breaks between words, or None."""
    if (whole and len(data) % 2) or len(data) < 2 * _MIN_WIDE:
        return None
    orders = []
    for encoding in ("utf-16-le", "utf-16-be"):
        with contextlib.suppress(UnicodeDecodeError):
            head = codecs.getincrementaldecoder(encoding)().decode(data[:4096])  # most binary files end here
            if _is_printable(head):
                orders.append((-sum(map(head.count, _BREAKS)), encoding))
    for _, encoding in sorted(orders):
        with contextlib.suppress(UnicodeDecodeError):
            text = codecs.getincrementaldecoder(encoding)().decode(data, whole)
            if _is_printable(text) and _reads_like_words(text):
                return Decoded(text, encoding, 0)
    return None


def _is_printable(text: str) -> bool:
    return all(unicodedata.category(sign) not in _NO_TEXT or sign in _WIDE_CONTROLS for sign in set(text))


def _reads_like_words(text: str) -> bool:
    counts = Counter(text)
    letters = sum(count for sign, count in counts.items() if sign.isspace() or unicodedata.category(sign)[0] in "LMN")
    breaks = sum(counts[sign] for sign in _BREAKS)
    return letters >= _MIN_LETTERS * len(text) and breaks >= _MIN_BREAKS * len(text)


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
    if _LATIN.fullmatch(encoding):
        encoding = best_page(data, encoding, [page for page in ("cp1252", *OTHERS) if page != encoding])
    try:
        return Decoded(data.decode(encoding), encoding, 0)
    except (UnicodeDecodeError, LookupError):
        return Decoded(data.decode("latin-1"), "latin-1", 0)  # cp1252 leaves five bytes undefined, Latin-1 none
