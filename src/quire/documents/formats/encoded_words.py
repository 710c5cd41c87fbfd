"""Encoded words of mail headers (RFC 2047), in a time that grows with the length of the header and no faster."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

# The language behind the character set is that of RFC 2231, section 5. No name of a set has a hundred letters.
_BEGINNING = re.compile(r"=\?([^?*\s]{1,100})(?:\*[^?\s]{0,100})?\?([bq])\?", re.IGNORECASE)


class Piece(NamedTuple):
    """A piece of a header: what stands there, or the bytes of encoded words and the character set they name."""

    content: str | bytes
    charset: str | None


def header_pieces(value: str) -> Iterator[Piece]:
    """Yield the pieces of a header in their order.

    White space between two encoded words is none of the text. The bytes of neighbours in one character set come
    together, since some programs cut between the bytes of a character. A word may be longer than the 75 characters
    allowed, hold spaces and question marks and run over a line end, as those of careless programs do. One that does not
    end, or is no Base64, stays as it is.
    """
    place = 0
    known: str | None = None
    held = bytearray()
    beginning = _BEGINNING.search(value)
    while beginning is not None:
        # Not by the expression: it would look through the rest of the header for every word that does not end.
        end = value.find("?=", beginning.end())
        if end < 0:
            break
        data = _unpacked(value[beginning.end() : end], beginning[2])
        if data is not None:
            charset = beginning[1].lower()
            between = value[place : beginning.start()]
            if known is not None and (charset != known or between.strip()):
                yield Piece(bytes(held), known)
                held.clear()
            if between and (known is None or between.strip()):
                yield Piece(between, None)
            held += data
            known, place = charset, end + 2
        beginning = _BEGINNING.search(value, end + 2)
    if known is not None:
        yield Piece(bytes(held), known)
    if place < len(value):
        yield Piece(value[place:], None)


def _unpacked(word: str, kind: str) -> bytes | None:
    data = word.encode("utf-8", "surrogateescape")
    if kind in "qQ":
        return binascii.a2b_qp(data, header=True)
    try:
        return binascii.a2b_base64(data + b"==")
    except binascii.Error:
        return None
