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
    mark = draw(st.sampled_from(["", " ", "-", "\u00a0", "\u202f"]))
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
    mark = draw(st.sampled_from(["", " ", "-", "\u00a0", "\u202f", "\n"]))
    number = mark.join(plain[at : at + 4] for at in range(0, length, 4))
    return number.lower() if draw(st.booleans()) else number


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
    assert [found.kind for found in find_secrets(f'this = "{token}"')] == [
        {"npm": "npm-token"}.get(prefix, "github-token")
    ]
    assert not find_secrets(f'this = "{token[:-1]}{"a" if token[-1] != "a" else "b"}"')


BODY = "MIIEpAIBAAKCAQEA1c7+9z5Pad7OejecsQ0buw3aUR" * 3
FOUND = [
    (f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----", "private-key"),
    (f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----", "private-key"),
    (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{BODY}\n-----END PGP PRIVATE KEY BLOCK-----", "private-key"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\n" + "\n".join([BODY[:70], BODY[:70]]), "private-key"),
    (
        f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,1A\n\n{BODY[:64]}",
        "private-key",
    ),
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
    ("j@bücher.de", "email"),
    ("josé.garcía+añadir@peña.example.es", "email"),
    ("иван.петров@почта.рф", "email"),
    ("δοκιμή@παράδειγμα.ελ", "email"),
    ("cafe\u0301@quire-mail.org", "email"),
    ("ada@xn--bcher-kva.xn--p1ai", "email"),
    ("de89 3704 0044 0532 0130 00", "iban"),
    ("gb82west12345698765432", "iban"),
    ("De89370400440532013000", "iban"),
    ("DE89-3704-0044-0532-0130-00", "iban"),
    ("DE89 3704 0044\n0532 0130 00", "iban"),
    ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "iban"),
    ("4111\u202f1111\u202f1111\u202f1111", "card"),
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


AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HEX = "9f86d081884c7d659a2feaa0c55ad015"
NAMED = [
    ("aws_secret_access_key = {}", AWS),
    ("AWS_SECRET_ACCESS_KEY={}", AWS),
    ('{{"SecretAccessKey": "{}"}}', AWS),
    ("export GITHUB_TOKEN='{}'", HEX),
    ("client_secret: {}", "3f2b8c1e-77aa-4a0b-9c3d-1f5e6a7b8c9d"),
    ('api_key="{}")', "Zx9kQ2mN4pR7sT1vW3yAbdozjg"),
    ("    'apiKey' => '{}',", "Zx9kQ2mN4pR7sT1vW3yAbdozjg"),
    ("DB_PASSWORD={}", "Zx9kQ2mN4pR7sT1vW3yA"),
    ("AccountKey={};EndpointSuffix=x", "dozjgNryP4J3jVmNHl0w5N+XgL0n3I9PlFUP0THsR8U=="),
    ("Authorization: Bearer {}", "dozjgNryP4J3jVmNHl0w5NXgL0n3I9"),
    ('"private_key_id": "{}"', HEX),
    ("SECRET_KEY_BASE: {}", HEX * 4),
]


@pytest.mark.parametrize(("line", "value"), NAMED, ids=[line.strip() for line, _ in NAMED])
@pytest.mark.parametrize("block", [64, 1 << 16])
def test_values_that_are_called_secret_are_found(line, value, block, monkeypatch):
    monkeypatch.setattr(hints, "_BLOCK", block)
    for place in range(0, 70, 3):
        text = f"{'é' * place}\n{line.format(value)}\n{'words ' * 20}"
        assert of_kind(text, "secret") == [value]


@given(
    st.text(string.ascii_letters + string.digits + "+/", min_size=40, max_size=40), st.sampled_from([8, 64, 1 << 16])
)
def test_any_key_of_40_characters_under_its_name_is_found(value, block):
    before = hints._BLOCK
    hints._BLOCK = block
    try:
        found = of_kind(f"[default]\naws_secret_access_key = {value}\nregion = eu-west-1\n", "secret")
    finally:
        hints._BLOCK = before
    mixed = not value.islower() and not value.isupper()
    count = sum(char.isdigit() for char in value)
    random = count >= (1 if mixed else 3) and len(set(value[-20:])) >= 8 and count < 40 and value[0] != "/"
    assert found == ([value] if random else [])


URLS = [
    ("postgres://app:{}@db.quire-mail.org:5432/notes", "s3cr3t"),
    ("https://ada:{}@quire-mail.org/", "correct-horse!"),
    ("redis://:{}@10.0.0.1/0", "hunter2"),
    ("mongodb+srv://u:{}@cluster0", "p@ss:w0rd"),
    ("amqp://ü:{}@[::1]/", "ключ"),
]


@pytest.mark.parametrize(("url", "value"), URLS)
def test_passwords_in_urls_are_found_and_the_rest_is_left(url, value):
    text = f"see {url.format(value)} and <{url.format(value)}>, or ada@quire-mail.org"
    assert [(found.kind, text[found.start : found.end]) for found in find_secrets(text)] == [
        ("password", value),
        ("password", value),
        ("email", "ada@quire-mail.org"),
    ]


def test_an_address_among_letters_without_spaces_is_found_alone():
    assert of_kind("联系我们ada@pond.org或者打电话", "email") == ["ada@pond.org"]
    assert of_kind("메일은 ada@pond.org로 보내세요", "email") == ["ada@pond.org"]


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
    pairs = re.finditer(r"(?<![A-Za-z0-9])(?=[A-Za-z]{2}[0-9]{2})", text)
    assert hinted.countries == [pair.start() for pair in pairs]
    for run in re.finditer(r"[A-Za-z0-9_/+-]{20,}", text):
        if any(char in string.digits for char in run[0]):
            assert any(run.start() <= place < run.end() for place in hinted.values)


@pytest.mark.parametrize(
    "text",
    [
        "someone@example.com and git@github.com:quire/quire.git and logo@2x.png and a@b and @decorator",
        "-----BEGIN PUBLIC KEY-----\n" + BODY + "\n-----END PUBLIC KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n...\nand the words of a manual that go on about how such a file is to be kept",
        "de8937040044-0532-0130-00 and DE89\n370400440532013000 and DE89-37-0400440532013000",
        "AKIAXXXXXXXXXXXXXXXX sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
        "4111 1111 1111 1112, 0.4111111111111111, 1700000000000, 4444444444444440, 41111111111111111111",
        "DE89 3704 0044 0532 0130 01 and DEADBEEF and XX12 3456 7890 1234 5678",
        "de8937040044 0532 0130 00 and de89 3704 0044 0532 0130 00x",
        "https://quire.dev/a@b and http://user@quire and ://: @ and postgres://app:${PASSWORD}@db and u://a:<word>@b",
        "secret_key = generate_a_new_secret_key_v2() and token = NAME_OF_ANOTHER_CONSTANT_1",
        "token: /usr/local/share/Secrets/token2 and token = ************************1",
        "secret = '11111111111111111111111' and commit 9f86d081884c7d659a2feaa0c55ad015",
        "9f86d081884c7d659a2feaa0c55ad015 is the sum of a file, and sha = '9f86d081884c7d659a2feaa0c55ad015'",
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
        "a@a." * 50_000,
        "é@" * 100_000,
        "://a:" * 40_000 + "@",
        "://" + "a:" * 100_000 + "@b",
        "://a:b@c" * 25_000,
        "secret=" * 30_000,
        "token=a1B2c3D4e5F6g7H8i9J0 " * 8_000,
        "secret=" + "a1B2/" * 40_000,
        "de89 " * 40_000,
        "DE89-" * 40_000,
        "DE89\n3704\n" * 20_000,
        "-----BEGIN PRIVATE KEY-----\n" + f"{BODY[:64]}\n" * 3_000,
        f"-----BEGIN PRIVATE KEY-----\n{BODY[:64]}\n" * 2_000,
        "-----BEGIN PRIVATE KEY-----" + "\n" * 200_000,
    ]
    begun = time.process_time()
    for text in texts:
        find_secrets(text)
    assert time.process_time() - begun < 8


def test_the_last_line_of_a_key_that_is_cut_belongs_to_it():
    key = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY[:70]}\n{BODY[:20]}=="
    assert of_kind(f"{key}\nAnd so on.", "private-key") == [key]
    assert of_kind(f"{key[:-23]}\nAnd so on.", "private-key") == [key[:-23]]
