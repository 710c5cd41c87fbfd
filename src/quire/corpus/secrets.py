"""Keys, tokens, addresses and numbers that a person would not want a model to learn, found by what they are.

Each kind has a shape that is searched for and, where its issuer defined one, a check: Luhn's sum of a card number, the
remainder modulo 97 of an IBAN, the CRC-32 in a GitHub or npm token. Text without the first sign of a kind (an "@", a
long run of letters and digits) is not searched for it at all, which is nearly all text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Characters `start:end` of a text are a value of this kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool]


def _has_crc(value: str) -> bool:
    """The last six characters of GitHub's and npm's tokens are the CRC-32 of those before, in base 62."""
    body, digits = value.partition("_")[2][:-6], value[-6:]
    number = 0
    for digit in digits:
        number = number * 62 + _BASE62.index(digit)
    return zlib.crc32(body.encode()) == number


def _is_web_token(value: str) -> bool:
    """The first part of a JSON Web Token is the base64 of a JSON object that names an algorithm (RFC 7519)."""
    head = value.partition(".")[0]
    try:
        return "alg" in json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, binascii.Error, TypeError):
        return False


def _is_mixed(value: str) -> bool:
    """Made by chance: not one letter again and again, as in a placeholder."""
    return len(set(value[-20:])) >= 8


_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_KEY_BLOCK = re.compile(
    r"-----BEGIN (?P<of>[A-Z0-9 ]{0,40}?)PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^-]|-(?!----)){40,20000}?-----END (?P=of)PRIVATE KEY(?: BLOCK)?-----"
)


def _token(kind: str, pattern: str, check: Callable[[str], bool] = _is_mixed) -> _Token:
    return _Token(kind, re.compile(rf"(?<![A-Za-z0-9_])(?:{pattern})(?![A-Za-z0-9_])"), check)


_TOKENS = (
    _token("github-token", r"gh[pousr]_[A-Za-z0-9]{36}", _has_crc),
    _token("github-token", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _token("npm-token", r"npm_[A-Za-z0-9]{36}", _has_crc),
    _token("gitlab-token", r"glpat-[A-Za-z0-9_-]{20}"),
    _token("aws-key", r"A[KS]IA[A-Z2-7]{16}"),
    _token("google-key", r"AIza[A-Za-z0-9_-]{35}"),
    _token("slack-token", r"xox[abeprs]-[0-9]{6,}-[A-Za-z0-9-]{16,200}"),
    _token("stripe-key", r"[rs]k_live_[A-Za-z0-9]{24,99}"),
    _token("openai-key", r"sk-[A-Za-z0-9_-]{16,180}T3BlbkFJ[A-Za-z0-9_-]{16,180}"),
    _token("anthropic-key", r"sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{80,120}"),
    _token("huggingface-token", r"hf_[A-Za-z]{34}"),
    _token("sendgrid-key", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _token("pypi-token", r"pypi-AgE[A-Za-z0-9_-]{50,500}"),
    _token("web-token", r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}", _is_web_token),
)
_SIGNS = (
    *(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_", b"npm_", b"glpat-", b"AKIA", b"ASIA", b"AIza"),
    *(b"xox", b"k_live_", b"T3BlbkFJ", b"sk-ant-", b"hf_", b"SG.", b"pypi-AgE", b"eyJ"),
)

# Every token is a run of at least 20 of these characters, of which text has few: to find such runs is to find 20 equal
# bytes in a row.
_RUN = b"x" * 20
_IN_TOKEN = bytes(ord("x") if (chr(code).isalnum() and code < 128) or code in b"_.-" else 0 for code in range(256))

# RFC 5322 allows far more; this is what addresses in use look like. The last part is letters: "x@2x.png" is a picture.
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9_.+%/-])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_+-])?"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9_-])"
)
_AROUND_SIGN = re.compile(r"[A-Za-z0-9_+%-]@[A-Za-z0-9]")
# Names kept for examples (RFC 2606) are nobody's, nor is the "git@" of an address that is cloned from.
_NOBODY = re.compile(
    r"(?i)@(?:.*\.)?(?:example(?:\.(?:com|net|org))?|invalid|test|localhost)$|\.(?:png|jpe?g|gif|svg|webp)$|^git@"
)

_CARD = re.compile(
    r"(?<![A-Za-z0-9_.,:/-])[2-6](?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{4}(\1\d{1,3})?|\d{3}([ -])\d{6}\3\d{4,5})"
    r"(?![A-Za-z0-9_]|[.,:-]\d)"
)

# First digits and lengths of the cards in use (ISO/IEC 7812; the issuers' own pages).
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|6(?:011\d{2}|5\d{4}|4[4-9]\d{3})\d{10}(?:\d{3})?"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}(?:\d{3})?"  # JCB
    r"|62\d{14,17}"  # UnionPay
)

# https://www.swift.com/standards/data-standards/iban-international-bank-account-number: letters and length.
_IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FK", "FO", "GL", "NL", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"), 20),
    **dict.fromkeys(("CH", "CR", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HN", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    **dict.fromkeys(("LC",), 32),
    **dict.fromkeys(("RU",), 33),
}
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,29}")

KINDS = ("private-key", "email", "card", "iban", *dict.fromkeys(token.kind for token in _TOKENS))
"""Every kind that is searched for."""


def find_secrets(text: str) -> list[Finding]:
    """Return what is found in `text`, in order and without overlap."""
    data = text.encode("latin-1", "replace")  # one byte a character, whatever it is
    found = [*_keys(text), *_tokens(text, data), *_emails(text), *_numbers(text, data)]
    kept: list[Finding] = []
    for finding in sorted(found, key=lambda finding: (finding.start, -finding.end, finding.kind)):
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return kept


def mask_of(kind: str) -> str:
    """Return what stands in a text where a value of this kind was."""
    return f"[{kind}]"


def _keys(text: str) -> Iterator[Finding]:
    if "PRIVATE KEY" in text:
        for match in _KEY_BLOCK.finditer(text):
            yield Finding(match.start(), match.end(), "private-key")


def _tokens(text: str, data: bytes) -> Iterator[Finding]:
    runs = data.translate(_IN_TOKEN)
    bounds = []
    start = runs.find(_RUN)
    while start >= 0:
        end = runs.find(b"\0", start)
        end = len(runs) if end < 0 else end
        bounds.append((start, end))
        start = runs.find(_RUN, end)
    together = b" ".join([data[start:end] for start, end in bounds])
    if not any(sign in together for sign in _SIGNS):
        return
    for start, end in bounds:
        for token in _TOKENS:
            for match in token.pattern.finditer(text, start, end):
                if token.check(match[0]):
                    yield Finding(match.start(), match.end(), token.kind)


def _emails(text: str) -> Iterator[Finding]:
    place, last = text.find("@"), 0
    while place >= 0:
        if not _AROUND_SIGN.match(text, max(0, place - 1), place + 2):
            place = text.find("@", place + 1)
            continue
        # From the sign outwards: a name before it is at most 64 characters (RFC 5321), a domain after it 255.
        for match in _EMAIL.finditer(text, max(last, place - 65), place + 256):
            if match.start() < place < match.end() and not _NOBODY.search(match[0]):
                yield Finding(match.start(), match.end(), "email")
                last = match.end()
            if match.start() > place:
                break
        place = text.find("@", max(place + 1, last))


# ---- numbers with check digits --------------------------------------------------------------------------------------


def _numbers(text: str, data: bytes) -> Iterator[Finding]:
    """Look for card and bank account numbers only where digits stand close together."""
    codes = np.frombuffer(data, dtype=np.uint8)
    digits = np.flatnonzero((codes - np.uint8(48)) < 10)
    if len(digits) >= 13:
        # 13 digits within 13 + 6 characters: up to six spaces or hyphens between them.
        dense = np.flatnonzero(digits[12:] - digits[:-12] <= 18)
        for start, end in _stretches(digits[dense], 26):
            yield from _cards(text, start, end)
    pairs = digits[:-1][(np.diff(digits) == 1) & (digits[:-1] >= 2)]
    upper = (codes[pairs - 1] - np.uint8(65) < 26) & (codes[pairs - 2] - np.uint8(65) < 26)
    for place in pairs[upper].tolist():
        yield from _ibans(text, place - 2)


def _stretches(places: np.ndarray[Any, np.dtype[np.int64]], reach: int) -> Iterator[tuple[int, int]]:
    """Yield where places less than `reach` apart begin, and `reach` after where they end."""
    if not len(places):
        return
    cuts = np.flatnonzero(np.diff(places) > reach) + 1
    for run in np.split(places, cuts):
        yield int(run[0]), int(run[-1]) + reach


def _cards(text: str, start: int, end: int) -> Iterator[Finding]:
    for match in _CARD.finditer(text, start, min(end, len(text))):
        # One or two digits behind 16 may be something else's; three belong to a card of 19.
        ends = [match.end(), match.start(2)] if match[2] and len(match[2]) < 4 else [match.end()]
        for stop in ends:
            digits = re.sub(r"\D", "", text[match.start() : stop])
            if _ISSUERS.fullmatch(digits) and is_luhn(digits):
                yield Finding(match.start(), stop, "card")
                break


def _ibans(text: str, start: int) -> Iterator[Finding]:
    length = _IBAN_LENGTHS.get(text[start : start + 2])
    match = _IBAN.match(text, start) if length is not None else None
    if match is None or length is None:
        return
    # Words in capitals may follow: as many characters as the country has belong to the number.
    count, end = 0, start
    while count < length and end < match.end():
        count += text[end] != " "
        end += 1
    after = text[end : end + 1]
    if count == length and is_iban(text[start:end]) and not (after.isascii() and after.isalnum()):
        yield Finding(start, end, "iban")


def is_luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Return whether the remainder modulo 97 of the number, its first four characters put last, is 1 (ISO 13616)."""
    number = text.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1
