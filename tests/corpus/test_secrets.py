"""Every valid number is found wherever it stands, and with one digit changed it is not."""

import itertools
import re
import string
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.corpus import hints
from quire.corpus.secrets import _IBAN_LENGTHS, KINDS, find_secrets, is_iban, is_luhn

digits = st.text(string.digits, min_size=20, max_size=20)
around = st.sampled_from(
    [("", ""), ("card: ", "."), ("(", ")"), ("é ", ", and"), ("日本", "。"), ("\n", "\n"), ("x ", " 7")]
)


def with_luhn(body):
    return next(body + digit for digit in string.digits if is_luhn(body + digit))


@st.composite
def cards(draw):
    prefix, length = draw(
        st.sampled_from([("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("36", 14), ("6011", 16), ("62", 19)])
    )
    number = with_luhn((prefix + draw(digits))[: length - 1])
    mark = draw(st.sampled_from(["", " ", "-"]))
    sizes = (4, 6, 5) if length in (14, 15) else (4, 4, 4, 4, 3)
    groups, rest = [], number
    for size in sizes:
        groups, rest = [*groups, rest[:size]], rest[size:]
    return mark.join(group for group in groups if group)


@st.composite
def ibans(draw):
    country, length = draw(st.sampled_from(sorted(_IBAN_LENGTHS.items())))
    body = draw(st.text(string.digits + string.ascii_uppercase, min_size=length - 4, max_size=length - 4))
    number = "".join(str(int(char, 36)) for char in f"{body}{country}00")
    plain = f"{country}{98 - int(number) % 97:02d}{body}"
    return " ".join(plain[at : at + 4] for at in range(0, length, 4)) if draw(st.booleans()) else plain


def of_kind(text, kind):
    return [text[found.start : found.end] for found in find_secrets(text) if found.kind == kind]


@given(cards(), around)
def test_every_valid_card_is_found(number, sides):
    assert of_kind(f"{sides[0]}{number}{sides[1]}", "card") == [number]


@given(cards(), around, st.data())
def test_a_card_with_one_digit_changed_is_not(number, sides, data):
    place = data.draw(st.sampled_from([at for at, char in enumerate(number) if char.isdigit()]))
    other = data.draw(st.sampled_from([digit for digit in string.digits if digit != number[place]]))
    changed = f"{number[:place]}{other}{number[place + 1 :]}"
    assert of_kind(f"{sides[0]}{changed}{sides[1]}", "card") == []


@given(ibans(), around)
def test_every_valid_iban_is_found(number, sides):
    assert is_iban(number)
    assert of_kind(f"{sides[0]}{number}{sides[1]}", "iban") == [number]


@given(ibans(), around, st.data())
def test_an_iban_with_one_digit_changed_is_not(number, sides, data):
    place = data.draw(st.sampled_from([at for at, char in enumerate(number) if char.isdigit()]))
    other = data.draw(st.sampled_from([digit for digit in string.digits if digit != number[place]]))
    changed = f"{number[:place]}{other}{number[place + 1 :]}"
    assert of_kind(f"{sides[0]}{changed}{sides[1]}", "iban") == []


@given(st.text(st.characters(codec="utf-8"), max_size=80), st.text(st.characters(codec="utf-8"), max_size=80))
def test_findings_are_in_order_and_disjoint_in_any_text(one, other):
    text = f"{one} jane.doe@quire-mail.org {other} 4111 1111 1111 1111 DE89 3704 0044 0532 0130 00"
    found = find_secrets(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert all(0 <= a.start < a.end <= len(text) for a in found)
    assert {a.kind for a in found} <= set(KINDS)


def base62(number):
    signs = string.digits + string.ascii_uppercase + string.ascii_lowercase
    return "".join(signs[number // 62**place % 62] for place in range(5, -1, -1))


@given(st.text(string.ascii_letters + string.digits, min_size=30, max_size=30), st.sampled_from(["ghp", "ghs", "npm"]))
def test_tokens_with_a_checksum_are_found_and_those_that_only_look_so_are_not(body, prefix):
    token = f"{prefix}_{body}{base62(zlib.crc32(body.encode()))}"
    assert [found.kind for found in find_secrets(f'token = "{token}"')] == [
        {"npm": "npm-token"}.get(prefix, "github-token")
    ]
    assert not find_secrets(f'token = "{token[:-1]}{"a" if token[-1] != "a" else "b"}"')


BODY = "MIIEpAIBAAKCAQEA1c7+9z5Pad7OejecsQ0buw3aUR" * 3
FOUND = [
    (f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----", "private-key"),
    (f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----", "private-key"),
    (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{BODY}\n-----END PGP PRIVATE KEY BLOCK-----", "private-key"),
    ("AKIA" + "QYLPMN5HFIQR7XYA", "aws-key"),
    ("AIza" + "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe", "google-key"),
    ("sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "stripe-key"),
    ("glpat-" + "Zx9_kQ2mN4pR7sT1vW3y", "gitlab-token"),
    ("xoxb-" + "123456789012-ABCdefGHIjklMNOpqrSTU", "slack-token"),
    ("hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH", "huggingface-token"),
    (
        "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "web-token",
    ),
    ("eyJhbGciOiJIUzI1NiJ9.eyJhIjoiYmMifQ." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "web-token"),
    ("SG." + "Zx9_kQ2mN4pR7sT1vW3yAb" + "." + "dozjgNryP4J3jVmNHl0w5NXgL0n3I9PlFUP0THsR8Ua", "sendgrid-key"),
    ("4111 1111 1111 1111", "card"),
    ("DE89 3704 0044 0532 0130 00", "iban"),
    ("jane.doe+list@mail.quire-books.co.uk", "email"),
    ("j@bücher.de".replace("ü", "ue"), "email"),
]


@pytest.mark.parametrize(("value", "kind"), FOUND, ids=[kind for _, kind in FOUND])
def test_each_kind_is_found_whole(value, kind):
    assert of_kind(f"before {value} after", kind) == [value]
    assert of_kind(f'key = "{value}"', kind) == [value]


@pytest.mark.parametrize(("value", "kind"), FOUND, ids=[kind for _, kind in FOUND])
def test_the_size_of_blocks_and_the_place_in_them_change_nothing(value, kind, monkeypatch):
    monkeypatch.setattr(hints, "_BLOCK", 64)
    for place in range(70):
        text = f"{'é' * place} {value} {'words ' * 20}"
        assert of_kind(text, kind) == [value]


SEEN = (".eyJ", "PRIVATE KEY", "é.eyJ", "xPRIVATE KEYx")
pieces = (
    st.text("aA0_-. é日", max_size=9)
    | st.text("aA0_-", min_size=18, max_size=40)
    | st.sampled_from(SEEN)
    | cards()
    | ibans()
)


@given(st.lists(pieces, max_size=12).map(" ".join), st.sampled_from([8, 64, 1 << 16]))
def test_where_there_is_no_hint_there_is_nothing(text, block):
    before = hints._BLOCK
    hints._BLOCK = block
    try:
        hinted = hints.hints_of(text)
    finally:
        hints._BLOCK = before
    for run in re.finditer(r"[A-Za-z0-9_-]{20,}", text):
        for start in range(max(0, run.start() - 3), run.end() - 10):
            part = text[start : start + 11].encode("latin-1", "replace")
            assert any(part in seen for seen in hinted.runs)
    for number in re.finditer(r"(?=[0-9])", text):
        if sum(char.isdigit() for char in text[number.start() : number.start() + 16]) >= 13:
            assert number.start() // 4 * 4 in hinted.digits
    assert hinted.words or (".eyJ" not in text and "PRIVATE KEY" not in text)
    assert hinted.capitals == [pair.start() for pair in re.finditer(r"(?=[A-Z]{2}[0-9]{2})", text)]


@pytest.mark.parametrize(
    "text",
    [
        "someone@example.com and git@github.com:quire/quire.git and logo@2x.png and a@b and @decorator",
        "-----BEGIN PUBLIC KEY-----\n" + BODY + "\n-----END PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "AKIAXXXXXXXXXXXXXXXX sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
        "4111 1111 1111 1112, 0.4111111111111111, 1700000000000, 4444444444444440, 41111111111111111111",
        "DE89 3704 0044 0532 0130 01 and DEADBEEF and XX12 3456 7890 1234 5678",
        "eyJub3QiOiJhIHRva2VuIn0.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        "",
    ],
)
def test_what_only_looks_like_a_secret_is_none(text):
    assert find_secrets(text) == []


def test_hostile_text_takes_no_longer_than_other_text():
    texts = [
        "@" * 200_000,
        "a@" * 100_000,
        "1" * 200_000,
        "-----BEGIN PRIVATE KEY-----" * 8000,
        "DE89" * 50_000,
        "4 " * 100_000,
    ]
    texts += [
        "a." * 100_000 + "@",
        "a@" + "a." * 100_000,
        "-----BEGIN " * 20_000 + "PRIVATE KEY",
        "eyJ" * 60_000,
        "4111 " * 40_000,
    ]
    begun = time.process_time()
    for text in texts:
        find_secrets(text)
    assert time.process_time() - begun < 8
