"""What a text is like, in a few numbers, and the rules that leave out what is no text at all."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass

from pydantic import Field

from quire.settings import Settings

SAMPLE = 20_000  # characters that are looked at, in ten pieces, where a text has more
_PIECES = 10

_WHITE = bytes(range(9, 14)) + b" \x1c\x1d\x1e\x1f"
_NOT_WHITE = bytes(set(range(256)) - set(_WHITE))
_ASCII = bytes(range(128))
_DIGITS = b"0123456789"
_NOT_LETTERS = bytes(code for code in range(256) if not (code < 128 and chr(code).isalpha()))
_CONTROLS = bytes(set(range(32)) - set(_WHITE)) + b"\x7f"


class FilterSettings(Settings):
    """Rules that leave out documents that are no text: gentle as they come, never for code and tables unless set.

    Of 25,311 files of text and code of a Debian system and its Python packages the defaults leave out three: stack
    traces folded into words of 317 letters, a table of glyph names, and a test in another encoding.
    """

    code: bool = False
    """Apply the rules to code, tables and data too, not only to prose."""
    min_characters: int = Field(default=2, ge=0)
    """Fewer characters than this, white space aside, are too short."""
    min_word_share: float = Field(default=0.15, ge=0, le=1)
    """At least this share of the characters, white space aside, must be letters or digits."""
    max_digit_share: float = Field(default=1.0, ge=0, le=1)
    """At most this share of the characters, white space aside, may be digits; 1 = any."""
    max_garbled_share: float = Field(default=0.1, ge=0, le=1)
    """At most this share may be replacement, private-use, unassigned or control characters."""
    max_repeated_lines: float = Field(default=0.9, ge=0, le=1)
    """At most this share of the lines may repeat an earlier one, where there are at least 20."""
    max_word_length: float = Field(default=100, ge=1)
    """Latin words may be this long on average; longer ones are encoded data."""
    min_ocr_confidence: float = Field(default=0.6, ge=0, le=1)
    """Text recognised from pictures must be at least this sure on average."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What a text is like; shares are of its characters without white space.

    Args:
        characters: of the text, white space aside; of a long text, in the pieces looked at.
        letters: share of letters.
        digits: share of digits.
        garbled: share of characters that no text has.
        lines: lines that are not blank.
        repeated: share of them that repeat an earlier one.
        word_length: characters a word on average, or 0 where words are not parted by spaces.
    """

    characters: int
    letters: float
    digits: float
    garbled: float
    lines: int
    repeated: float
    word_length: float


def quality_of(text: str) -> Quality:
    """Measure `text`, or ten pieces of it that are `SAMPLE` characters together."""
    if len(text) > SAMPLE:
        size = SAMPLE // _PIECES
        step = (len(text) - size) // (_PIECES - 1)
        text = "\n".join(text[piece * step : piece * step + size] for piece in range(_PIECES))
    characters, letters, digits, garbled, latin = _count_ascii(text.encode("ascii")) if text.isascii() else _count(text)
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    whole = max(characters, 1)
    return Quality(
        characters=characters,
        letters=round(letters / whole, 4),
        digits=round(digits / whole, 4),
        garbled=round(garbled / whole, 4),
        lines=len(lines),
        repeated=round((len(lines) - len(set(lines))) / max(len(lines), 1), 4),
        word_length=round(characters / max(len(text.split()), 1), 1) if 2 * latin > letters else 0.0,
    )


def _count_ascii(data: bytes) -> tuple[int, int, int, int, int]:
    characters = len(data.translate(None, _WHITE))
    letters = len(data.translate(None, _NOT_LETTERS))
    digits = len(data) - len(data.translate(None, _DIGITS))
    garbled = len(data) - len(data.translate(None, _CONTROLS))
    return characters, letters, digits, garbled, letters


def _count(text: str) -> tuple[int, int, int, int, int]:
    """Count what is ASCII byte by byte in C, and only the rest character by character."""
    plain = text.encode("ascii", "ignore")
    characters, letters, digits, garbled, latin = _count_ascii(plain)
    if 2 * len(plain) > len(text):
        text = text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")
    for char, count in Counter(text).items():
        if char.isascii() or char.isspace():
            continue
        characters += count
        kind = unicodedata.category(char)
        if kind[0] in "LM":  # marks too: the vowels of Hindi and Thai are marks
            letters += count
            latin += count * (char < "\u0250")
        elif kind[0] == "N":
            digits += count
        elif kind in ("Co", "Cn", "Cc") or char == "\ufffd":
            garbled += count
    return characters, letters, digits, garbled, latin


FEWEST_JUDGED = 50  # characters below which shares say nothing
FEWEST_LINES = 20


def rejected(quality: Quality, ocr_confidence: float | None, settings: FilterSettings) -> tuple[str, str] | None:
    """Return the rule that leaves a text out and a sentence that says why, or None for a text that is kept."""
    words = quality.letters + quality.digits
    if quality.characters < settings.min_characters:
        return "too-short", f"{quality.characters} characters, fewer than min_characters = {settings.min_characters}"
    if ocr_confidence is not None and ocr_confidence < settings.min_ocr_confidence:
        least = settings.min_ocr_confidence
        return (
            "unsure-ocr",
            f"recognised with confidence {ocr_confidence:.2f}, less than min_ocr_confidence = {least:g}",
        )
    if words == 0 and settings.min_word_share > 0:
        return "no-words", "neither letters nor digits"
    if quality.characters < FEWEST_JUDGED:
        return None
    if quality.garbled > settings.max_garbled_share:
        most = settings.max_garbled_share
        return (
            "garbled",
            f"{quality.garbled:.0%} of it are no characters of text, more than max_garbled_share = {most:g}",
        )
    if words < settings.min_word_share:
        least = settings.min_word_share
        return "symbols", f"{words:.0%} of it are letters and digits, less than min_word_share = {least:g}"
    if quality.digits > settings.max_digit_share:
        return (
            "digits",
            f"{quality.digits:.0%} of it are digits, more than max_digit_share = {settings.max_digit_share:g}",
        )
    if quality.lines >= FEWEST_LINES and quality.repeated > settings.max_repeated_lines:
        most = settings.max_repeated_lines
        return "repeated-lines", f"{quality.repeated:.0%} of its lines repeat, more than max_repeated_lines = {most:g}"
    if quality.word_length > settings.max_word_length:
        most = settings.max_word_length
        return "no-spaces", f"words of {quality.word_length:g} characters, more than max_word_length = {most:g}"
    return None
