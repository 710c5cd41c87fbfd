"""Keys, tokens, addresses and numbers that a person would not want a model to learn, found by what they are.

Each kind has a shape that is searched for and, where its issuer defined one, a check: Luhn's sum of a card number, the
remainder modulo 97 of an IBAN, the CRC-32 in a GitHub or npm token. What has no shape of its own is known by its name
(`client_secret: ...`) or by its place in a URL (user:password@host). Text without the first sign of a kind (an "@", a
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

from quire.corpus.hints import FEWEST_CHARACTERS, Hints, hints_of


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Characters `start:end` of a text are a value of this kind."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    signs: tuple[bytes, ...]  # one of them is in every token of the kind
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

# Up to its END or, of a key that is cut before it, as far as lines of base64 go (with the headers of RFC 1421 before).
_KEY_BLOCK = re.compile(
    r"-----BEGIN (?P<of>[A-Z0-9 ]{0,40}?)PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[^-]|-(?!----)){40,20000}?-----END (?P=of)PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:\s{1,4}[A-Za-z-]{4,20}: [^\n]{1,80}){0,4}(?:\s{1,8}[A-Za-z0-9+/]{40,80}={0,2}(?![A-Za-z0-9+/=])){1,300}"
    r"(?:\n[ \t]{0,8}[A-Za-z0-9+/]{1,79}={0,2}(?=\r?\n|\Z))?)"
)


def _token(kind: str, signs: bytes, pattern: str, check: Callable[[str], bool] = _is_mixed) -> _Token:
    whole = re.compile(rf"(?<![A-Za-z0-9_])(?:{pattern})(?![A-Za-z0-9_])")
    return _Token(kind, tuple(signs.split()), whole, check)


_TOKENS = (
    _token("github-token", b"ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36}", _has_crc),
    _token("github-token", b"github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _token("npm-token", b"npm_", r"npm_[A-Za-z0-9]{36}", _has_crc),
    _token("gitlab-token", b"glpat-", r"glpat-[A-Za-z0-9_-]{20}"),
    _token("aws-key", b"AKIA ASIA", r"A[KS]IA[A-Z2-7]{16}"),
    _token("google-key", b"AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _token("slack-token", b"xox", r"xox[abeprs]-[0-9]{6,}-[A-Za-z0-9-]{16,200}"),
    _token("stripe-key", b"k_live_", r"[rs]k_live_[A-Za-z0-9]{24,99}"),
    _token("openai-key", b"T3BlbkFJ", r"sk-[A-Za-z0-9_-]{16,180}T3BlbkFJ[A-Za-z0-9_-]{16,180}"),
    _token("anthropic-key", b"sk-ant-", r"sk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{80,120}"),
    _token("huggingface-token", b"hf_", r"hf_[A-Za-z]{34}"),
    _token("sendgrid-key", b"SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _token("pypi-token", b"pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,500}"),
)
_SIGNS = [(sign, token) for token in _TOKENS for sign in token.signs]

# The first two parts of a JSON Web Token are JSON objects in base64, and may be short.
_WEB_TOKEN = _token(
    "web-token", b".eyJ", r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}", _is_web_token
)

# Every token is a run of these characters.
_IN_TOKEN = bytes((chr(code).isalnum() and code < 128) or code in b"_.-" for code in range(256))

# Letters of scripts that put spaces between words. In others an address stands among letters that are none of it, so
# there, as in Korean with its endings, an address is ASCII.
_LETTERS = (
    "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u037d\u037f-\u0386\u0388-\u0559\u0561-\u0588\u05d0-\u05ea"
    "\u0620-\u064a\u0671-\u06d3\u10a0-\u10ff\u1e00-\u1fff"
)
_MARKS = "\u0300-\u036f"  # accents that stand as characters of their own
_INNER = f"{_LETTERS}{_MARKS}0-9_"
# RFC 5322 and RFC 6531 allow far more; this is what addresses in use look like. A name has at most 64 characters
# (RFC 5321), a domain 255. The last part of a domain is letters: "x@2x.png" is a picture.
_NAME = re.compile(rf"(?<![{_INNER}.+%/-])[{_LETTERS}0-9](?:[{_INNER}.%+-]{{0,62}}[{_INNER}+-])?\Z")
_DOMAIN = re.compile(
    rf"(?:[{_LETTERS}0-9](?:[{_LETTERS}{_MARKS}0-9-]{{0,61}}[{_LETTERS}{_MARKS}0-9])?\.){{1,8}}"
    rf"(?:xn--[A-Za-z0-9-]{{1,59}}|[{_LETTERS}][{_LETTERS}{_MARKS}]{{1,23}})(?![{_INNER}-])"
)
_AROUND_SIGN = re.compile(rf"[{_INNER}+%-]@[{_LETTERS}0-9]")
# Names kept for examples (RFC 2606) are nobody's, nor is the "git@" of an address that is cloned from.
_NOBODY = re.compile(
    r"(?i)@(?:.*\.)?(?:example(?:\.(?:com|net|org))?|invalid|test|localhost)$|\.(?:png|jpe?g|gif|svg|webp)$|^git@"
)

# RFC 3986, section 3.2.1. A password that has an "@" ends at the last one; what begins so is filled in by a program.
_IN_URL = re.compile(r"""://[^\s/:@"'<>]{0,256}:(?![${<%[*])([^\s/"'<>]{1,256})@(?=[A-Za-z0-9\[])""")

_URL_REACH = 520

# Names whose values are secret, in front of "=", ":" or "=>".
_NAMED = re.compile(
    r"""(?:secret|token|passw(?:or)?d|passphrase|credentials?
        |(?:api|app|access|account|auth|client|encryption|master|private|service|shared|signing|storage)[_-]?key)
        (?:[_-]?(?:id|key|base|value|string|prod|live|dev|test)){0,2}["'\]]{0,2}\s{0,8}(?:=>|:=|[:=])\s{0,8}["'`]?\Z
      |\bauthorization["']?\s{0,8}[:=]\s{0,8}["'`]?(?:bearer|basic|token)\s\Z""",
    re.IGNORECASE | re.VERBOSE,
)
_NAME_REACH = 80
_SIGNS_OF_NAME, _AFTER_SIGN = ("=", ":", "=>", "earer", "asic", "oken"), "\"'` \t"
_IN_VALUE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-/+")
_RUN = re.compile(r"[A-Za-z0-9_/+-]*")
_VALUE = re.compile(r"(?!/)[A-Za-z0-9_/+.~-]{20,500}={0,2}(?![A-Za-z0-9_/+.~(\[-])")

_BETWEEN = "[ \u00a0\u202f-]"  # the groups of a number: blanks at which no line is broken, too
_CARD = re.compile(
    rf"(?<![A-Za-z0-9_.,:/-])[2-6]"
    rf"(?:\d{{12,18}}|\d{{3}}({_BETWEEN})\d{{4}}\1\d{{4}}\1\d{{4}}(\1\d{{1,3}})?|\d{{3}}({_BETWEEN})\d{{6}}\3\d{{4,5}})"
    r"(?![A-Za-z0-9_]|[.,:-]\d)"
)
_REACH = 28  # a number begins in the four characters of a hint and has 23 at most; two behind it are looked at

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
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \u00a0\u202f\n-]?[A-Za-z0-9]){11,29}")
# With other marks than blanks between its groups, a line's end among them, all but the last have four characters.
_GROUPED_IBAN = re.compile(
    r"[A-Za-z]{2}\d{2}(?:[ \u00a0\u202f\n-][A-Za-z0-9]{4})+(?:[ \u00a0\u202f\n-][A-Za-z0-9]{1,3})?"
)
# Without capitals it may be an identifier or words: then it has no space, or one after every fourth character.
_PLAIN_IBAN = re.compile(r"[A-Za-z]{2}\d{2}(?:(?:[A-Z0-9]+|[a-z0-9]+)|(?: (?:[A-Z0-9]{4}|[a-z0-9]{4}))*(?: \w{1,3})?)")

KINDS = (
    "private-key",
    "email",
    "card",
    "iban",
    "password",
    "secret",
    *dict.fromkeys(token.kind for token in (*_TOKENS, _WEB_TOKEN)),
)
"""Every kind that is searched for."""


def find_secrets(text: str) -> list[Finding]:
    """Return what is found in `text`, in order and without overlap."""
    found = list(_addresses(text))
    if len(text) >= FEWEST_CHARACTERS:
        hints = hints_of(text)
        found += [*_keys(text, hints), *_tokens(text, hints), *_named(text, hints), *_numbers(text, hints)]
    kept: list[Finding] = []
    for finding in sorted(found, key=lambda finding: (finding.start, -finding.end, finding.kind)):
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return kept


def mask_of(kind: str) -> str:
    """Return what stands in a text where a value of this kind was."""
    return f"[{kind}]"


def _keys(text: str, hints: Hints) -> Iterator[Finding]:
    if hints.words and "PRIVATE KEY" in text:
        for match in _KEY_BLOCK.finditer(text):
            yield Finding(match.start(), match.end(), "private-key")


def _tokens(text: str, hints: Hints) -> Iterator[Finding]:
    """Look for tokens in the long runs that hold a sign of one."""
    if not hints.runs:
        return
    together = b" ".join(hints.runs)
    signs = [(sign, token) for sign, token in _SIGNS if sign in together]
    if hints.words and ".eyJ" in text:
        signs.append((b".eyJ", _WEB_TOKEN))
    if not signs:
        return
    data = text.encode("latin-1", "replace")  # one byte a character, whatever it is
    kinds = data.translate(_IN_TOKEN)
    for sign, token in signs:
        place = data.find(sign)
        while place >= 0:
            start, end = kinds.rfind(b"\0", 0, place) + 1, kinds.find(b"\0", place)
            end = len(kinds) if end < 0 else end
            for match in token.pattern.finditer(text, start, end):
                if token.check(match[0]):
                    yield Finding(match.start(), match.end(), token.kind)
            place = data.find(sign, end)


def _named(text: str, hints: Hints) -> Iterator[Finding]:
    """Look at long values with a digit for a name before them that says that they are secret."""
    last = 0
    for place in hints.values:
        if place < last:
            continue
        start = place
        while start > last and text[start - 1] in _IN_VALUE:
            start -= 1
        run = _RUN.match(text, place)
        last = place if run is None else run.end()
        if not text[max(0, start - 12) : start].rstrip(_AFTER_SIGN).endswith(_SIGNS_OF_NAME):
            continue
        if not _NAMED.search(text, max(0, start - _NAME_REACH), start):
            continue
        match = _VALUE.match(text, start)
        if match is not None and _is_random(match[0].rstrip("=")):
            last = match.end()
            yield Finding(start, last, "secret")


def _is_random(value: str) -> bool:
    """Made by chance, and not the name of something: digits among small and capital letters, or three and more."""
    digits = sum(char.isdigit() for char in value)
    mixed = not value.islower() and not value.isupper()
    return digits < len(value) and digits >= (1 if mixed else 3) and _is_mixed(value)


def _addresses(text: str) -> Iterator[Finding]:
    """Look at each "@" for the password of a URL before it, or a name before it and a domain behind it."""
    place, last = text.find("@"), 0
    while place >= 0:
        found, end = None, place + 1
        if not text[max(0, place - 1) : place].isspace():
            found, end = _password(text, last, place) or _email(text, last, place) or (None, end)
        if found is not None:
            yield found
        last = end
        place = text.find("@", end)


def _password(text: str, last: int, place: int) -> tuple[Finding, int] | None:
    scheme = text.rfind("://", max(last, place - _URL_REACH), place)
    match = _IN_URL.match(text, scheme) if scheme >= 0 else None
    return None if match is None else (Finding(match.start(1), match.end(1), "password"), match.end())


def _email(text: str, last: int, place: int) -> tuple[Finding | None, int] | None:
    """Return an address, or nothing for one that is nobody's, and where it ends."""
    if not _AROUND_SIGN.match(text, max(0, place - 1), place + 2):
        return None
    domain = _DOMAIN.match(text, place + 1, place + 256)
    name = _NAME.search(text, max(last, place - 65), place) if domain is not None else None
    if name is None or domain is None:
        return None
    nobody = _NOBODY.search(text[name.start() : domain.end()])
    return (None if nobody else Finding(name.start(), domain.end(), "email")), domain.end()


# ---- numbers with check digits --------------------------------------------------------------------------------------


def _numbers(text: str, hints: Hints) -> Iterator[Finding]:
    """Look for card and bank account numbers only where there is a hint of one."""
    for start, end in _stretches(hints.digits):
        yield from _cards(text, start, end)
    for place in hints.countries:
        yield from _ibans(text, place)


def _stretches(places: list[int]) -> Iterator[tuple[int, int]]:
    """Yield where places begin from which a number may reach to the next one, and how far the last may reach."""
    start = end = -1
    for place in places:
        if place > end:
            if end >= 0:
                yield start, end
            start = place
        end = place + _REACH
    if end >= 0:
        yield start, end


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
    length = _IBAN_LENGTHS.get(text[start : start + 2].upper())
    match = _IBAN.match(text, start) if length is not None else None
    if match is None or length is None:
        return
    # Words in capitals may follow: as many characters as the country has belong to the number.
    count, end = 0, start
    while count < length and end < match.end():
        count += text[end].isalnum()
        end += 1
    written, after = text[start:end], text[end : end + 1]
    value = re.sub(r"[^A-Za-z0-9]", " ", written)
    shaped = (value.isupper() or _PLAIN_IBAN.fullmatch(value)) and (
        value == written or _GROUPED_IBAN.fullmatch(written)
    )
    if count == length and shaped and is_iban(value) and not (after.isascii() and after.isalnum()):
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
    number = re.sub(r"[^A-Za-z0-9]", "", text)
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1
