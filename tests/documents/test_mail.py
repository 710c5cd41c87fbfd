"""Mail: what was written, once; attachments by their kind; mailboxes message by message."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import zipfile
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.mails import mailbox_bytes, message, message_bytes
from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.formats.mail import MAX_MULTIPARTS, MAX_PARTS
from quire.documents.formats.normal_form import normal
from quire.documents.read import read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()
SHOWN = (
    "From: Alice Example <alice@example.com>\nTo: Bob Example <bob@example.com>\n"
    "Date: Tue, 02 Jul 2002 12:03:44 +0200\nSubject: About the river\n\n"
)
LINES = st.lists(
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=30)
    | st.sampled_from(["From here on", ">From", "> From quoted", "--", "-- ", ""]),
    min_size=1,
).map("\n".join)


def read(data, name="a.eml", settings=DEFAULT):
    return list(read_bytes(data, name, settings))


@given(LINES, st.sampled_from(["utf-8", "gb18030"]))
def test_what_was_written_comes_out(text, charset):
    (document,) = read(message_bytes(text, charset=charset))
    assert document.text == normal(SHOWN + text.strip("\n")).rstrip()
    assert (document.media_type, document.member) == ("message/rfc822", None)


def test_plain_text_goes_before_html():
    (document,) = read(message_bytes("plain words", html="<p>other words</p>"))
    assert document.text == SHOWN + "plain words"
    (document,) = read(message_bytes(None, html="<p>only <b>these</b> words</p><script>var x</script>"))
    assert document.text == SHOWN + "only these words"
    (document,) = read(message_bytes("  \n", html="<p>other words</p>"))
    assert document.text == SHOWN + "other words"


WORDS = [f"{first}{second}" for first in "abcdefgh" for second in "klmnopqr"]


@given(st.sets(st.sampled_from(WORDS), min_size=1), st.sets(st.sampled_from(WORDS), min_size=1))
def test_the_html_is_read_where_a_shorter_plain_text_lacks_most_of_its_words(plain, rich):
    plain_text, rich_text = " ".join(sorted(plain)), " ".join(sorted(rich))
    document, *others = read(message_bytes(plain_text, html=f"<p>{rich_text}</p>"))
    if len(plain) < len(rich) and 2 * len(plain & rich) < len(rich):
        assert document.text == SHOWN + rich_text
        (stub,) = others
        assert (stub.member, stub.outcome, stub.rule) == ("plain text", "dropped", "stub")
        assert f"{len(plain & rich)} of the {len(rich)} words" in stub.detail
    else:
        assert document.text == SHOWN + plain_text
        assert others == []


def test_addresses_and_letter_case_make_no_stub_of_a_plain_text():
    links = "".join(f"<a href='https://track.example/{word}/{word}?q={word}'>Deep</a> " for word in WORDS)
    (document,) = read(message_bytes("The pond is DEEP.", html=f"<p>The Pond is {links}</p>"))
    assert document.text == SHOWN + "The pond is DEEP."
    online = "Online: https://track.example/" + "/".join(WORDS)
    document, stub = read(message_bytes(online, html="<p>The pond is deep.</p>"))
    assert document.text == SHOWN + "The pond is deep."
    assert stub.rule == "stub"


def test_a_stub_in_nested_alternatives_is_told_once():
    inner = message("No HTML here.", html="<p>All the many words of this mail about the pond.</p>")
    outer = EmailMessage()
    outer.make_alternative()
    outer.attach(inner)
    document, stub = read(outer.as_bytes())
    assert document.text == "All the many words of this mail about the pond."
    assert (stub.rule, stub.size) == ("stub", len("No HTML here.\n"))


def test_quoted_replies_stay_and_flowed_lines_are_joined():
    mail = message("x").as_bytes().replace(b'charset="utf-8"', b'charset="utf-8"; format=flowed')
    mail = mail[: mail.index(b"\n\n") + 2] + b"> quoted one \n> goes on\nmy long \nline\n-- \nAlice\n"
    (document,) = read(mail)
    assert document.text == SHOWN + "> quoted one goes on\nmy long line\n-- \nAlice"
    (document,) = read(message_bytes("> quoted\n>> twice\nanswer"))
    assert document.text == SHOWN + "> quoted\n>> twice\nanswer"


def test_headers_are_decoded():
    sender = b"From: =?utf-8?b?QW5uYSBNw7xsbGVy?= <a@b.c>\n"
    (document,) = read(sender + b"Subject: =?iso-8859-1?q?Gr=FC=DFe?= und\n =?utf-8?q?_mehr?=\n\nwords\n")
    assert document.text == "From: Anna Müller <a@b.c>\nSubject: Grüße und mehr\n\nwords"
    for subject in (b"caf\xe9", "café".encode(), b"=?x-none?q?caf=E9?=", b"=?utf-8?b?!!!?=", b"=?\0?q?a?="):
        (document,) = read(b"From: a\nSubject: " + subject + b"\n\nwords")
        assert "Subject: " in document.text


def test_names_between_encoded_words_keep_their_letters():
    (document,) = read("From: Анна =?utf-8?q?M=C3=BCller?= <a@b.c>\nSubject: b\n\nwords".encode())
    assert document.text == "From: Анна Müller <a@b.c>\nSubject: b\n\nwords"


@pytest.mark.parametrize(
    "head",
    [
        b"Subject: " + b"=?utf-8?q?" * 200_000,
        b"Subject: " + b"=?utf-8?q?a?= " * 200_000,
        b"Content-Type: text/plain" + b";" * 2_000_000,
        b"Content-Type: text/plain; name=" + b'"a;' * 500_000,
        b"Content-Type: text/plain" + b"; name*0*=utf-8''a" * 200_000,
        b"Content-Type: text/plain; format=flowed\n\n" + b"a \n" * 500_000,
    ],
)
def test_the_time_of_a_message_grows_with_its_length_alone(head):
    # Where it grows with the square, each of these takes minutes.
    (document,) = [part for part in read(b"From: a\n" + head + b"\n\nwords") if part.member is None]
    assert document.text.startswith("From: a")


def test_japanese_mail_is_read_by_its_stated_encoding():
    head = b"From: a\nSubject: b\nContent-Type: text/plain; charset=iso-2022-jp\n\n"
    (document,) = read(head + "川の話".encode("iso-2022-jp"))
    assert document.text.endswith("川の話")


def test_attachments_are_members_of_their_own_kind():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("c.py", b"x = 1\n")
    inner = message_bytes("inner words", subject="Inner", attachments=[("deep.txt", b"deep words")])
    attachments = [
        ("a.txt", b"attached words"),
        ("b.zip", buffer.getvalue()),
        ("n.bin", b"\0\1"),
        ("../../u.html", b"<p>page</p>"),
        ("forwarded.eml", inner),
        ("a.txt", b"again"),
    ]
    parts = read(message_bytes("words", attachments=attachments))
    ended = {part.member: part.text if isinstance(part, Document) else part.rule for part in parts}
    assert ended[None] == SHOWN + "words"
    assert ended["a.txt"] == "attached words"
    assert ended["b.zip!c.py"] == "x = 1\n"
    assert ended["n.bin"] == "binary"
    assert ended["../../u.html"] == "page"
    assert ended["forwarded.eml"].endswith("Subject: Inner\n\ninner words")
    assert ended["forwarded.eml!deep.txt"] == "deep words"
    assert ended["a.txt (2)"] == "again"
    assert len(ended) == len(parts) == 8


def test_a_forwarded_message_is_a_member_with_its_own_bytes():
    mail = message("see below")
    mail.add_attachment(message("inner words", subject="Inner"))
    outer, inner = read(mail.as_bytes())
    assert outer.text == SHOWN + "see below"
    assert inner.member == "message-1.eml"
    assert inner.text.endswith("Subject: Inner\n\ninner words")


def test_signatures_and_encrypted_mail_are_told():
    mail = (
        b'From: a\nSubject: b\nContent-Type: multipart/signed; boundary="x"\n\n--x\n\nwords\n--x\n'
        b"Content-Type: application/pgp-signature\n\n-----BEGIN PGP SIGNATURE-----\n--x--\n"
    )
    document, left = read(mail)
    assert document.text.endswith("words")
    assert (left.rule, left.outcome) == ("signature", "dropped")
    parts = read(mail.replace(b"pgp-signature", b"pgp-encrypted"))
    assert (parts[1].rule, parts[1].outcome) == ("password", "failed")


def test_mail_is_known_by_its_content():
    data = message_bytes("words")
    for name in ("1234.host:2,S", "51121", "saved"):
        assert read(data, name)[0].media_type == "message/rfc822"
    assert read(b"From: the beginning\n\nA letter.", "letter")[0].media_type == "text/plain"
    assert read(b"Dear Bob,\n\nFrom: nowhere\nSubject: none", "letter")[0].media_type == "text/plain"
    assert read(mailbox_bytes([data]), "Inbox")[0].member == "1.eml"


@given(st.lists(LINES, min_size=1, max_size=5), st.booleans())
def test_a_mailbox_holds_its_messages(texts, strict):
    line = b"From alice@example.com Tue Jul  2 12:03:44 2002" if strict else b"From alice"
    messages = [message_bytes(text, subject=f"Number {number}") for number, text in enumerate(texts)]
    documents = read(mailbox_bytes(messages, line), "a.mbox")
    assert [document.member for document in documents] == [f"{number}.eml" for number in range(1, len(texts) + 1)]
    for number, (document, text) in enumerate(zip(documents, texts, strict=True)):
        expected = SHOWN.replace("About the river", f"Number {number}") + text.strip("\n")
        assert document.text == normal(expected).rstrip()


def test_damaged_messages_cost_no_other(tmp_path):
    good = message_bytes("words")
    bomb = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n\n" * (MAX_PARTS + 1)
    path = tmp_path / "a.mbox"
    path.write_bytes(mailbox_bytes([good, b"\n\n\n", bomb, b"Subject: long\n\n" + b"words " * 50_000, good]))
    parts = list(read_file(path, "a.mbox", ReadSettings(max_file_bytes=200_000)))
    ended = {part.member: "kept" if isinstance(part, Document) else part.rule for part in parts}
    assert ended == {"1.eml": "kept", "2.eml": "damaged", "3.eml": "too-many", "4.eml": "too-large", "5.eml": "kept"}


def test_long_lines_of_times_take_a_time_that_grows_with_their_length():
    # By one expression for both, of every time and no year behind it, this takes minutes.
    times = b"From alice@example.com 2002" + b" 12:03:44" * 100_000 + b"\n"
    one = mailbox_bytes([message_bytes("words")])
    documents = read(one + times + b"more words\n\n" + one, "a.mbox")
    assert [document.member for document in documents] == ["1.eml", "2.eml"]
    assert documents[0].text.endswith("more words")


def test_what_is_no_mailbox_is_told():
    with pytest.raises(ReadError, match="not a mailbox"):
        read(b"words\n", "a.mbox")
    with pytest.raises(DroppedFile, match="empty"):
        read(b"\n\n", "a.mbox")


MEMORY = """
import resource, sys
from pathlib import Path
from quire.documents.read import read_file
from quire.documents.settings import ReadSettings
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for part in read_file(Path(sys.argv[1]), "a.mbox", ReadSettings()))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_mailbox_takes_the_memory_of_one_message(tmp_path):
    path = tmp_path / "a.mbox"
    one = mailbox_bytes([message_bytes("words and words " * 20_000)])
    with open(path, "wb") as file:
        for _ in range(200):
            file.write(one)
    assert path.stat().st_size > 60_000_000
    answer = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
    count, kilobytes = map(int, answer.stdout.split())
    assert count == 200
    assert kilobytes < 30_000


def nested(depth):
    head = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(depth))
    return b"From: a\nSubject: b\n" + head + b"\nwords\n"


@pytest.mark.parametrize(
    "bomb",
    [
        nested(MAX_MULTIPARTS + 1),
        nested(50_000),
        b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n\n" * 500_000,
        b"a: b\n" * 2_000_000 + b"\nwords",
    ],
    ids=["deep", "very deep", "many parts", "many headers"],
)
def test_bombs_are_dropped(bomb):
    with pytest.raises(DroppedFile, match="too-many"):
        read(bomb)


def test_nesting_that_people_use_is_read():
    assert read(nested(20))[0].text.endswith("words")
    inner = message("innermost")
    for _ in range(10):
        outer = message("around")
        outer.add_attachment(inner)
        inner = outer
    parts = read(inner.as_bytes())
    assert [type(part) for part in parts] == [Document] * DEFAULT.max_depth + [LeftOut]
    assert parts[-1].rule == "too-deep"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: multipart/mixed",
        b"Content-Type: multipart/mixed; boundary=",
        b"Content-Type: text/plain; charset=\0",
        b"Content-Type: text/plain; charset=base64",
        b"Content-Type: application/x; charset=\0; name=x",
        b"Content-Type: text/plain; charset*0*=utf-8''x; charset*1=y",
        b"Content-Disposition: attachment; filename*99*='''",
        b"Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename*0*=%%%",
        b"Content-Transfer-Encoding: x-uuencode",
        b"Content-Transfer-Encoding: quoted-printable\n =3",
        b": no name\nX",
    ],
)
def test_broken_headers(head):
    parts = read(b"From: a\nSubject: b\n" + head + b"\n\nbegin 666 a\n=ZZ \xff words\n")
    assert parts[0].text.startswith("From: a\nSubject: b")


SEED = message_bytes(
    "wörds\n> quoted", html="<p>wörds</p>", attachments=[("a b.txt", b"text"), ("ü.eml", message_bytes("inner"))]
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(max_size=4)), max_size=12),
    st.integers(0, len(SEED)),
    st.sampled_from(["a.eml", "a.mbox", "a"]),
)
def test_broken_mail_ends_in_documents_or_a_reason(changes, cut, name):
    data = bytearray(mailbox_bytes([SEED, SEED]) if name == "a.mbox" else SEED)
    for place, new in changes:
        data[place : place + len(new)] = new
    try:
        parts = read(bytes(data[:cut]) or b" ", name)
    except (DroppedFile, ReadError):
        return
    assert all(part.text if isinstance(part, Document) else part.detail for part in parts)


def test_broken_base64_gives_what_it_can():
    body = base64.b64encode(b"words and words and words")[:-3]
    (document,) = read(b"From: a\nSubject: b\nContent-Transfer-Encoding: base64\n\n" + body)
    assert len(document.text) > len("From: a\nSubject: b\n\n")
