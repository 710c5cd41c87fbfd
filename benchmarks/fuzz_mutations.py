"""Ways to break a file for benchmarks/fuzz.py, from outside and inside of what is packed."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

MAX_BYTES = 1 << 18
"""Longer files are cut: each case is to be quick."""

_Way = Callable[[bytes, bytes, Sequence[bytes], random.Random], bytes]
Packed = tuple[list[bytes], Callable[[Sequence[bytes]], bytes]]

_NUMBERS = (b"0", b"-1", b"1", b"65535", b"65536", b"2147483647", b"2147483648", b"4294967295", b"1e999", b"9" * 30)
_LENGTHS = (0, 1, 2**7 - 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_STREAM = re.compile(rb"(?<=stream\n)(.*?)(?=\n?endstream)|(?<=stream\r\n)(.*?)(?=\r?\n?endstream)", re.DOTALL)
_BASE64 = re.compile(rb"(?<=base64)(?:\r?\n[\w-]+:[^\n]*)*\r?\n\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)", re.IGNORECASE)
_PNG = b"\x89PNG\r\n\x1a\n"


def broken(data: bytes, other: bytes, tokens: Sequence[bytes], chance: random.Random) -> bytes:
    """Return `data` with one to thirty things wrong with it, on the outside or in what it packs.

    Args:
        data: a sound file.
        other: one to splice it with.
        tokens: pieces that mean something in its format.
        chance: makes every choice.
    """
    inside = pieces(data) if chance.random() < 0.6 else None
    if inside is not None and inside[0]:
        parts, packed = inside
        for number in chance.sample(range(len(parts)), min(len(parts), chance.choice((1, 1, 1, 2, 3)))):
            parts[number] = broken(parts[number], chance.choice(parts), tokens, chance)
        if chance.random() < 0.1:
            parts.insert(chance.randrange(len(parts) + 1), chance.choice(parts))
        data = packed(parts)
        if chance.random() < 0.8:
            return data[:MAX_BYTES]
    ways: Sequence[_Way] = _WAYS
    if chance.random() < 0.5:  # what is still well-formed gets further
        ways = _ELEMENT_WAYS if b"</" in data else _JSON_WAYS if data[:1] in (b"{", b"[") else _WAYS
    clean = b"\0" not in data and chance.random() < 0.9  # a NUL is enough for a text to be dropped
    for _ in range(chance.choice((1, 1, 2, 4, 8, 30))):
        data = chance.choice(ways)(data, other, tokens, chance)[:MAX_BYTES]
    return data.replace(b"\0", b"") if clean else data


def _flip(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    old = data[place : place + 1]
    new = chance.choice((0, 255, chance.randrange(256), old[0] ^ 1 << chance.randrange(8) if old else 10))
    return data[:place] + bytes([new]) + data[place + 1 :]


def _cut(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _range(data, chance)
    return chance.choice((data[:start] + data[end:], data[:start] + data[end:], data[:end], data[start:]))


def _insert(data: bytes, _: bytes, tokens: Sequence[bytes], chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    token = chance.choice((chance.choice(tokens), chance.choice(tokens), chance.randbytes(chance.randint(1, 8))))
    return data[:place] + token * _times(token, chance) + data[place:]


def _repeat(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _range(data, chance)
    place = chance.choice((end, chance.randrange(len(data) + 1)))
    return data[:place] + data[start:end] * _times(data[start:end], chance) + data[place:]


def _swap(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _range(data, chance)
    place = chance.randrange(end, len(data) + 1)
    return data[:start] + data[end:place] + data[start:end] + data[place:]


def _splice(data: bytes, other: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    start, end = _range(other, chance)
    place = chance.randrange(len(data) + 1)
    return chance.choice((data[:place] + other[start:], data[:place] + other[start:end] + data[place:]))


def _length(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    size = chance.choice((1, 2, 4, 4, 8))
    place = chance.randrange(len(data) + 1)
    order: Literal["little", "big"] = "little" if chance.random() < 0.5 else "big"
    old = int.from_bytes(data[place : place + size], order)
    new: int = chance.choice((*_LENGTHS, old + 1, old - 1, old * 2, old // 2)) % 256**size
    return data[:place] + new.to_bytes(size, order) + data[place + size :]


def _number(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+", data))
    if not found:
        return data
    match = chance.choice(found)
    new = chance.choice((*_NUMBERS, chance.choice(found)[0], str(chance.randrange(1000)).encode()))
    return data[: match.start()] + new + data[match.end() :]


def _element(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    """Take out an element, say it again, put it inside of itself, or put it elsewhere."""
    found = list(_TAG.finditer(data))
    if not found:
        return data
    match, target = chance.choice(found), chance.choice(found)
    close = b"</" + match[1] + b">"
    end = data.find(close, match.end())
    whole = data[match.start() : end + len(close)] if end >= 0 else match[0]
    end = match.start() + len(whole)
    times = _times(whole, chance)
    if end > match.end() and chance.random() < 0.3:
        return data[: match.start()] + match[0] * times + whole + close * times + data[end:]
    if chance.random() < 0.3:
        return data[: match.start()] + data[end:]
    return data[: target.start()] + whole * times + data[target.start() :]


def _attribute(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    """Give an attribute the value of another one, or a number, or take it out."""
    found = list(_ATTRIBUTE.finditer(data))
    if not found:
        return data
    match = chance.choice(found)
    new = chance.choice((match[1] + chance.choice((*_NUMBERS, b"", chance.choice(found)[2])), b""))
    return data[: match.start()] + (new and new + b'"') + data[match.end() :]


def _value(data: bytes, _: bytes, __: Sequence[bytes], chance: random.Random) -> bytes:
    """Change, take out or double a value of the first JSON that stands in `data`."""
    try:
        whole, end = json.JSONDecoder().raw_decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return data
    holders: list[tuple[Any, Any]] = []
    below = [whole]
    while below:
        value = below.pop()
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:
            holders.append((value, key))
            below.append(child)
    if not holders:
        return data
    (holder, key), (other, name) = chance.choice(holders), chance.choice(holders)
    copied = json.dumps(other[name])
    odd: Any = chance.choice((None, True, -1, 10**30, 0.1, "", "\ud800", [], {}, [[]] * 3, {"text": ["x"]}, copied))
    way = chance.random()
    if way < 0.2:
        del holder[key]
    elif way < 0.4 and isinstance(holder, list):
        holder[key:key] = [json.loads(copied)] * _times(copied.encode(), chance)
    else:
        holder[key] = json.loads(copied) if way < 0.6 else odd
    return json.dumps(whole).encode() + data.decode("utf-8")[end:].encode()


_TAG = re.compile(rb"<([\w:.-]+)(?:\s[^<>]*)?>")
_ATTRIBUTE = re.compile(rb'(\s[\w:.-]+=")([^"<>]*)"')
_ELEMENT_WAYS = (_element, _element, _attribute)
_JSON_WAYS = (_value,)
_WAYS = (_flip, _flip, _cut, _insert, _insert, _repeat, _swap, _splice, _length, _number)


def _times(piece: bytes, chance: random.Random) -> int:
    many = 10_000 if chance.random() < 0.2 else 1
    return min(chance.choice((1, 1, 1, 1, 2, 50, many)), 1 + MAX_BYTES // (len(piece) + 1))


def _range(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    longest = chance.choice((4, 40, 400, len(data)))
    return start, min(len(data), start + chance.randint(0, longest))


# ---- what is packed --------------------------------------------------------------------------------------------------


def pieces(data: bytes) -> Packed | None:
    """Return what `data` packs, and what packs it again with sums and lengths that fit; None where it packs nothing."""
    try:
        for start, unpack in _PACKED:
            if data.startswith(start):
                return unpack(data)
        if data[257:262] == b"ustar":
            return _tar(data)
        return _base64(data)
    except (OSError, EOFError, ValueError, KeyError, zlib.error, lzma.LZMAError, struct.error, zipfile.BadZipFile):
        return None  # broken already
    except (NotImplementedError, RuntimeError):
        return None  # a zip of a newer kind, or locked


def _zip(data: bytes) -> Packed:
    """The names and the contents of the members, in turn."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > 10 * MAX_BYTES:
            raise ValueError("too large")
        parts = [part for info in infos for part in (info.filename.encode("utf-8", "replace"), archive.read(info))]

    def packed(parts: Sequence[bytes]) -> bytes:
        buffer = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
            warnings.simplefilter("ignore")  # of two members of one name
            for name, content in zip(parts[::2], parts[1::2], strict=False):
                info = zipfile.ZipInfo(name.decode("utf-8", "replace")[:1000])
                kind = zipfile.ZIP_STORED if name == b"mimetype" else zipfile.ZIP_DEFLATED
                archive.writestr(info, content, kind)
        return buffer.getvalue()

    return parts, packed


def _whole(unpack: Callable[[bytes], bytes], pack: Callable[[bytes], bytes]) -> Callable[[bytes], Packed]:
    return lambda data: ([unpack(data)], lambda parts: pack(b"".join(parts)))


def _tar(data: bytes) -> Packed:
    """Every header with what follows it up to the next one."""
    starts = [place for place in range(0, len(data), 512) if data[place + 257 : place + 262] == b"ustar"]
    parts = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]

    def packed(parts: Sequence[bytes]) -> bytes:
        blocks = []
        for part in parts:
            header = part[:148].ljust(148, b"\0") + b" " * 8 + part[156:512].ljust(356, b"\0")
            header = header[:148] + f"{sum(header):06o}\0 ".encode() + header[156:]
            body = part[512:]
            blocks.append(header + body + bytes(-len(body) % 512))
        return b"".join(blocks)

    return parts, packed


def _png(data: bytes) -> Packed:
    """The type and content of every chunk; that of pixels unpacked."""
    parts = []
    place = len(_PNG)
    while place < len(data):
        size = struct.unpack(">I", data[place : place + 4])[0]
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        parts.append(kind + (zlib.decompress(content) if kind == b"IDAT" else content))
        place += size + 12

    def packed(parts: Sequence[bytes]) -> bytes:
        chunks = [_PNG]
        for part in parts:
            kind, content = part[:4].ljust(4, b"x"), part[4:]
            content = zlib.compress(content) if kind == b"IDAT" else content
            sum_of = zlib.crc32(kind + content)
            chunks.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_of))
        return b"".join(chunks)

    return parts, packed


def _pdf(data: bytes) -> Packed:
    """What stands between the streams, and the streams, in turn, those unpacked that can be."""
    parts = []
    forms = []
    place = 0
    for match in _STREAM.finditer(data):
        stream, form = _inflated(match[0])
        parts += [data[place : match.start()], stream]
        forms += ["", form]
        place = match.end()
    parts.append(data[place:])

    def packed(parts: Sequence[bytes]) -> bytes:
        same = len(parts) == len(forms) + 1
        return b"".join(_deflated(part, forms[n] if same and n < len(forms) else "") for n, part in enumerate(parts))

    return parts, packed


def _inflated(stream: bytes) -> tuple[bytes, str]:
    for form in ("a85", "z"):
        try:
            packed = base64.a85decode(b"<~" + stream, adobe=True) if form == "a85" else stream
            return zlib.decompress(packed), form
        except (ValueError, zlib.error):
            continue
    return stream, ""


def _deflated(stream: bytes, form: str) -> bytes:
    if form == "a85":
        return base64.a85encode(zlib.compress(stream), adobe=True)[2:]
    return zlib.compress(stream) if form == "z" else stream


def _base64(data: bytes) -> Packed | None:
    """What stands between attachments, and the attachments, in turn."""
    parts = []
    place = 0
    for match in _BASE64.finditer(data):
        parts += [data[place : match.start(1)], base64.b64decode(match[1])]
        place = match.end(1)
    if not parts:
        return None
    parts.append(data[place:])

    def packed(parts: Sequence[bytes]) -> bytes:
        return b"".join(base64.encodebytes(part) if n % 2 else part for n, part in enumerate(parts))

    return parts, packed


_PACKED: tuple[tuple[bytes, Callable[[bytes], Packed | None]], ...] = (
    (b"PK", _zip),
    (b"\x1f\x8b", _whole(gzip.decompress, lambda data: gzip.compress(data, mtime=0))),
    (b"BZh", _whole(bz2.decompress, bz2.compress)),
    (b"\xfd7zXZ\0", _whole(lzma.decompress, lzma.compress)),
    (_PNG, _png),
    (b"%PDF", _pdf),
)
