"""Mail: a message is its From, To, Date and Subject and what was written; attachments are members of it."""

from __future__ import annotations

import email.message
import email.policy
import email.utils
import io
import mimetypes
import re
from collections.abc import Iterator
from email.errors import MessageError
from email.parser import BytesParser
from typing import Any, cast

from quire.documents.document import Document, DroppedFile, Part, Span
from quire.documents.formats.encoded_words import header_pieces
from quire.documents.formats.encodings import decode
from quire.documents.formats.html import read_html
from quire.documents.formats.members import Members
from quire.documents.formats.normal_form import normal
from quire.documents.formats.reader import SourceFile
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

MESSAGE = "message/rfc822"
EXTENSIONS: dict[str, str] = {".eml": MESSAGE, ".mht": MESSAGE, ".mhtml": MESSAGE}
"""Extension to media type of what this module reads."""

SHOWN = ("From", "To", "Date", "Subject")
"""Header lines that stand above the text."""

MAX_PARTS = 10_000
"""Parts of one message; a digest of a busy list has hundreds."""

MAX_MULTIPARTS = 100
"""Parts of one message that hold parts; they may all lie in one another, and each costs time with every line."""

MAX_HEADERS = 100_000
"""Header lines of one message and all of its parts."""

MAX_PARAMETERS = 10_000
"""Characters of a header line that says what a part is, such as Content-Type; what is behind them is not looked at.

A name of 255 letters written as RFC 2231 has it takes 3,000. The standard library's time for parameters grows with the
square of their length, 3 s for 250,000 semicolons.
"""

PLAIN_SHARE = 0.5
"""A plain text with less than this share of the words of the HTML beside it is no version of it but a note."""

# What the standard library's parser and decoders raise on damaged messages, by its bug tracker and by fuzzing.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, AssertionError, MessageError, RecursionError)

# Encodings whose bytes can pass for UTF-8, and which seldom decode what is in another: for them the header is believed.
_STATED_FIRST = re.compile(r"iso-?2022|utf-?7$|utf-?16|utf-?32|hz|gb|big5|euc|shift|sjis|ks_c|cp9", re.IGNORECASE)

_WORDS_OF = 50_000  # characters of a text, enough to tell two versions from two texts
_WORD = re.compile(r"[\u2e80-\U0003ffff]|[^\W\d_]+")  # signs of scripts without spaces stand alone
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)
_HEADER = re.compile(rb"(?:From [^\n]*|[!-9;-~]+:[^\n]*)\n")
_FOLDED = re.compile(rb"[ \t][^\n]*\n")
_TYPES = mimetypes.MimeTypes(filenames=())  # what the library knows, not what this machine knows


def looks_like_mail(head: bytes) -> bool:
    """Return whether a file begins with the header lines of a message: only such, From and one that mail has."""
    names: set[bytes] = set()
    for line in io.BytesIO(head[:65536].replace(b"\r\n", b"\n")):
        if line == b"\n":
            break
        if not (_HEADER.match(line) or (names and _FOLDED.match(line))):
            return False
        names.add(line.partition(b":")[0].lower())
    return b"from" in names and bool(names & {b"message-id", b"received", b"return-path", b"subject"})


def read_mail(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield the text of a message, then the documents of its attachments, each by its own kind.

    Of alternatives the plain text is taken, or else the HTML; the HTML too where the plain text says less and lacks
    most of its words. Quoted replies are kept. Other messages inside of it are attachments. Signatures of programs are
    left out.

    Raises:
        DroppedFile: "too-deep" or "too-many".
        ReadError: no message can be made of it.
    """
    with Members(file, settings) as members:
        message = _parse(file)
        body = _Body(settings)
        body.take(message)
        texts = [text for text in (body.text_of(part) for part in body.texts) if text]
        shown = [f"{name}: {value}" for name in SHOWN if (value := _header(message, name))]
        if not texts and not body.attached and not shown:
            raise ReadError("no header line and no text, so this is not a message", where=file.where)
        text = normal("\n\n".join((["\n".join(shown)] if shown else []) + texts)).rstrip()
        if text.strip():
            span = Span(0, len(text), byte_start=0, byte_end=len(file.data))
            yield Document(text, file.source, file.media_type, file.sha256, file.member, (span,), size=None)
        for part, detail in body.stubs:
            yield members.left_out("plain text", len(_bytes_of(part)), "stub", detail)
        for number, part in enumerate(body.attached, start=1):
            yield from _attachment(members, part, number)


def _attachment(members: Members, part: _Message, number: int) -> Iterator[Part]:
    kind, name = part.get_content_type(), _name_of(part, number)
    if kind in ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"):
        yield members.left_out(name, 0, "signature", "a signature made by a program")
        return
    if kind == "application/pgp-encrypted" or (
        kind == "application/pkcs7-mime" and "enveloped" in (_parameter(part, "smime-type") or "")
    ):
        yield members.left_out(name, 0, "password", "encrypted mail", "failed")
        return
    data = _bytes_of(part)
    yield from members.read(name, len(data), None, lambda: io.BytesIO(data))


class _Policy(email.policy.Compat32):
    """Counts what a message is made of while it is parsed."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.__dict__["counts"] = [0, 0, 0]  # header lines, parts with parts, parts; a policy refuses other ways

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        counts = self.__dict__["counts"]
        name, value = super().header_source_parse(sourcelines)
        if name.lower().startswith("content-"):
            value = value[:MAX_PARAMETERS]
        counts[0] += 1
        counts[1] += name.lower() == "content-type" and "multipart" in value.lower()
        self._check()
        return name, value

    def part(self, policy: Any = None) -> _Message:
        self.__dict__["counts"][2] += 1
        self._check()
        return _Message(policy=self)

    def _check(self) -> None:
        headers, multiparts, parts = self.__dict__["counts"]
        if headers > MAX_HEADERS or multiparts > MAX_MULTIPARTS or parts > MAX_PARTS:
            what = f"{parts:,} parts, {multiparts:,} of them with parts, and {headers:,} header lines"
            raise DroppedFile("too-many", f"a message of {what} or more")


class _Message(email.message.Message):
    """A message in which other messages are leaves, with their bytes as they stand."""

    def get_content_maintype(self) -> str:
        kind: str = super().get_content_maintype()
        return "attached" if kind == "message" else kind


def _parse(file: SourceFile) -> _Message:
    policy = _Policy()
    try:
        message = cast(_Message, BytesParser(policy.part, policy=policy).parsebytes(file.data))
    except _BROKEN as error:
        what = "parts nested too deep" if isinstance(error, RecursionError) else f"a message that is broken: {error}"
        raise ReadError(what, where=file.where) from error
    return message


class _Body:
    """What was written, and what was attached."""

    def __init__(self, settings: ReadSettings, known: dict[int, str] | None = None) -> None:
        self.texts: list[_Message] = []
        self.attached: list[_Message] = []
        self.stubs: list[tuple[_Message, str]] = []  # plain texts that are no version of the HTML, and why
        self._settings = settings
        self._known: dict[int, str] = {} if known is None else known

    def take(self, part: _Message) -> None:
        """Sort the parts of a message, in their order."""
        if part.is_multipart():
            parts: list[_Message] = part.get_payload()  # type: ignore[assignment]
            if part.get_content_type() == "multipart/alternative":
                self._take_best(parts)
            else:
                for inner in parts:
                    self.take(inner)
        elif part.get_content_type() in ("text/plain", "text/html") and not self._is_attached(part):
            self.texts.append(part)
        elif _bytes_of(part):
            self.attached.append(part)

    def _take_best(self, parts: list[_Message]) -> None:
        choices = []
        for part in parts:
            choice = _Body(self._settings, self._known)
            choice.take(part)
            choices.append(choice)
        written = [choice for choice in choices if any(map(choice.text_of, choice.texts))]
        plain = [choice for choice in written if all(text.get_content_type() == "text/plain" for text in choice.texts)]
        rich = [choice for choice in written if choice not in plain]
        best = (plain or written or choices)[:1]
        if plain and rich:
            missing = _missing(_vocabulary(plain[0]), _vocabulary(rich[0]))
            if missing is not None:
                best = rich[:1]
                self.stubs += [(text, missing) for text in plain[0].texts]
        for choice in choices:
            if choice in best:
                self.texts += choice.texts
                self.stubs += choice.stubs
            self.attached += choice.attached

    def _is_attached(self, part: _Message) -> bool:
        try:
            return part.get_content_disposition() == "attachment" or bool(part.get_filename())
        except _BROKEN:
            return False

    def text_of(self, part: _Message) -> str:
        """Return what a part of text says, without white space around it."""
        if id(part) not in self._known:
            self._known[id(part)] = self._read(part)
        return self._known[id(part)]

    def _read(self, part: _Message) -> str:
        data = _bytes_of(part)
        stated = _parameter(part, "charset")
        if part.get_content_type() == "text/html":
            return self._html(data, stated)
        text = _decoded(data, stated).replace("\r\n", "\n")
        if "flowed" in (_parameter(part, "format") or "").lower():
            text = _unflowed(text, "yes" in (_parameter(part, "delsp") or "").lower())
        return text.strip("\n").rstrip()

    def _html(self, data: bytes, stated: str | None) -> str:
        page = _decoded(data, stated)
        try:
            return "\n\n".join(
                part.text
                for part in read_html(SourceFile(page.encode("utf-8", "replace"), "", "text/html"), self._settings)
                if isinstance(part, Document)
            )
        except DroppedFile:
            return ""


def _vocabulary(body: _Body) -> set[str]:
    text = "\n".join(body.text_of(part)[:_WORDS_OF] for part in body.texts)[:_WORDS_OF]
    return set(_WORD.findall(_ADDRESS.sub(" ", text).casefold()))


def _missing(plain: set[str], rich: set[str]) -> str | None:
    """Return what a plain text lacks of the HTML beside it; None where it is a version of it, or says more."""
    shared = len(plain & rich)
    if len(plain) >= len(rich) or shared >= PLAIN_SHARE * len(rich):
        return None
    return f"it has {shared:,} of the {len(rich):,} words of the HTML, which is read in its place"


def _unflowed(text: str, delete_space: bool) -> str:
    """Join the lines that a mail program broke (RFC 3676): those that end in a space, as deep in quotes as the next."""
    pieces: list[str] = []
    open_depth = -1
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        if depth != open_depth or content == "-- ":
            pieces.append(("\n" if pieces else "") + ">" * depth + (" " if depth and content else ""))
        flows = content.endswith(" ") and content != "-- "
        pieces.append(content[:-1] if flows and delete_space else content)
        open_depth = depth if flows else -1
    return "".join(pieces)


def _decoded(data: bytes, stated: str | None) -> str:
    if stated is not None and _STATED_FIRST.match(stated):
        try:
            return data.decode(stated)
        except (ValueError, LookupError):
            pass
    try:
        return decode(data, stated).text
    except DroppedFile:
        return data.replace(b"\0", b"").decode("latin-1")
    except (ValueError, TypeError):  # a name of an encoding with a NUL in it; a codec that makes no text
        return decode(data).text


def _bytes_of(part: _Message) -> bytes:
    """Return what a part holds, unpacked; of a transfer encoding that is broken, as it stands."""
    try:
        data = part.get_payload(decode=True)
    except _BROKEN:
        return b""
    return data if isinstance(data, bytes) else b""


def _parameter(part: _Message, name: str) -> str | None:
    try:
        value = part.get_param(name)
        return None if value is None else email.utils.collapse_rfc2231_value(value).strip() or None
    except _BROKEN:
        return None


def _name_of(part: _Message, number: int) -> str:
    try:
        name = part.get_filename()
    except _BROKEN:
        name = None
    name = " ".join(_words(name).split()) if name else ""
    if part.get_content_maintype() == "attached":
        return name if name.lower().endswith(".eml") else f"{name or f'message-{number}'}.eml"
    if name:
        return name
    kind = part.get_content_type()
    extension = ".txt" if kind in ("text/plain", "message/delivery-status") else _TYPES.guess_extension(kind)
    return f"part-{number}{extension or ''}"


def _header(message: _Message, name: str) -> str:
    for key, value in message.raw_items():
        if key.lower() == name.lower():
            return " ".join(_words(str(value)).split())
    return ""


def _words(value: str) -> str:
    """Return a header with its encoded words decoded (RFC 2047), and its bytes, where it holds any."""
    with_bytes = value.encode("utf-8", "surrogateescape")
    value = _decoded(with_bytes, None) if not value.isascii() else value
    if "=?" not in value:
        return value
    pieces = [
        content if isinstance(content, str) else _decoded(content, charset) for content, charset in header_pieces(value)
    ]
    decoded = "".join(pieces)
    return decoded if decoded.strip() else value
