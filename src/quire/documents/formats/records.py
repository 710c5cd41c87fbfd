"""JSON and JSON Lines: each record is a document where one field of them holds the text."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from quire.documents.document import Document, LeftOut, Part, Span
from quire.documents.formats.code import read_code
from quire.documents.formats.columns import (
    SAMPLE_CELLS,
    SAMPLE_ROWS,
    OtherColumns,
    joined,
    text_columns,
    with_column,
    without_text,
)
from quire.documents.formats.encodings import decode
from quire.documents.formats.lines import Lines, in_memory
from quire.documents.formats.reader import SourceFile
from quire.documents.sandbox import page_done
from quire.documents.settings import ReadSettings

LINES = "application/jsonl"
JSON = "application/json"
MEDIA_TYPES: dict[str, str] = {".json": JSON, ".jsonl": LINES, ".ndjson": LINES}
"""Extension to media type of what this module reads."""

CHATS = (("role", "content"), ("from", "value"))
"""Keys of a message: who said it, and what."""

TOLD = 100
"""Broken records that are told one by one; the others of a file are added up."""

_BLANK = re.compile(r"[ \t\r\n\ufeff\x1e]*")  # with the separator of RFC 7464
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_RECORDS_A_PAGE = 1000
# Only strings are wanted: numbers become floats, because a million digits take minutes to become an int.
_DECODER = json.JSONDecoder(parse_int=float)


class _Record(NamedTuple):
    """A JSON value, or why there is none, and the bytes where it stands."""

    value: Any
    start: int
    end: int
    wrong: str | None = None


def read_json_lines(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield a document for each line of `file` that is a record with text; see `read_json`."""
    lines = Lines(file, settings)
    return _read(file, settings, _Lines(lines), lines.exact)


def read_json(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield a document for each record of `file`: a list of objects, or objects one after another.

    The field is the one of the setting; else fields are chosen as the columns of a table are (see `text_columns`).
    A list of messages, each with its role and content, is a field with the text of what was said, in that order.
    What the others hold is counted and told. What is no list of records, or has no such field, is kept as it stands.

    Raises:
        DroppedFile: "binary", or "empty" where there is only white space.
    """
    text, encoding, mark = decode(file.data)
    exact = mark + len(text.encode(encoding, "replace")) == len(file.data)  # not where broken bytes were replaced
    values = _Values(text, encoding, mark)
    return _read(file, settings, values, exact, least=1 if values.in_list else 2)


def _read(
    file: SourceFile, settings: ReadSettings, records: Iterable[_Record], exact: bool, least: int = 1
) -> Iterator[Part]:
    sample = list(itertools.islice(records, SAMPLE_ROWS))
    objects = [record.value for record in sample if isinstance(record.value, dict)]
    fields = _fields(objects, settings.text_field) if 2 * len(objects) > len(sample) else []
    if not fields or (len(sample) < least and fields != [settings.text_field]):
        yield from read_code(in_memory(file, settings), settings)
        return
    media_type = with_column(file.media_type, ", ".join(fields)).replace("column=", "field=")
    blank = 0
    others = OtherColumns()
    broken = _Broken(file)
    for number, record in enumerate(records):
        if number % _RECORDS_A_PAGE == 0:
            page_done()
        if record.wrong is not None:
            yield from broken.one(number + 1, record)
            continue
        _count_others(record.value, fields, others)
        texts = [_value(record.value, field) for field in fields]
        text = texts[0] if len(fields) == 1 else joined(texts)
        if text is None or not text.strip():
            blank += 1
            continue
        span = Span(0, len(text), None, record.start, record.end) if exact else Span(0, len(text))
        yield Document(text, file.source, media_type, file.sha256, file.member, (span,))
    yield from broken.others()
    yield from others.left_out(file.named("other fields"), "fields")
    if blank:
        detail = without_text(blank, "record", f" in {', '.join(map(repr, fields))}")
        yield LeftOut(file.named("records without text"), 0, "dropped", "empty", detail)


def _fields(objects: list[dict[str, Any]], told: str | None) -> list[str]:
    if told is not None and any(_value(record, told) is not None for record in objects):
        return [told]
    # Keys in the order in which they are met, and not more of them than are looked at.
    names: dict[str, int] = {}
    for record in objects:
        for name, value in record.items():
            if _string(value) is not None and len(names) < SAMPLE_CELLS // SAMPLE_ROWS:
                names.setdefault(name, len(names))
    rows = [[_string(record.get(name)) for name in names] for record in objects]
    known = list(names)
    chosen = [known[column] for column in text_columns(rows, known)]
    return chosen or [name for name in known if any(_chat(record.get(name)) is not None for record in objects)][:1]


def _count_others(record: Any, fields: list[str], others: OtherColumns) -> None:
    """Count every string that stands in no field of the text, under the name of the field that holds it."""
    if not isinstance(record, dict):
        return
    for name, value in record.items():
        if isinstance(value, str):
            if name not in fields:
                others.add(name, value)
        elif isinstance(value, (dict, list)):
            _count_inside(_unsaid(value) if name in fields else value, name, fields, others)


def _count_inside(value: dict[str, Any] | list[Any], name: str, fields: list[str], others: OtherColumns) -> None:
    inside = [(name, value)]
    while inside:  # no recursion: what is nested ten thousand deep is read, too
        path, outer = inside.pop()
        for key, inner in outer.items() if isinstance(outer, dict) else (("[]", item) for item in outer):
            place = f"{path}.{key}"
            if isinstance(inner, str):
                if place not in fields:
                    others.add(name, inner)
            elif isinstance(inner, (dict, list)):
                inside.append((place, _unsaid(inner) if place in fields else inner))


def _value(record: Any, field: str) -> str | None:
    """Return the text of a field; "a.b" is the field b of the object a, unless there is a field of that whole name."""
    if not isinstance(record, dict):
        return None
    if field in record:
        return _string(record[field])
    for key in field.split("."):
        if not isinstance(record, dict):
            return None
        record = record.get(key)
    return _string(record)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else _chat(value)


def _chat(value: Any) -> str | None:
    """Return what was said in a list of messages, with a blank line between two; None where it is no such list."""
    if isinstance(value, list) and value and all(isinstance(message, dict) for message in value):
        for speaker, words in CHATS:
            if all(isinstance(message.get(speaker), str) for message in value):
                said = [message.get(words) for message in value]
                if any(isinstance(text, str) for text in said):
                    return joined(text for text in said if isinstance(text, str))
    return None


def _unsaid(value: Any) -> Any:
    """Return a field without what `_chat` takes of it, and without who said it."""
    if _chat(value) is None:
        return value
    keys = {key for keys in CHATS for key in keys}
    return [{k: v for k, v in message.items() if k not in keys or not isinstance(v, str)} for message in value]


class _Lines:
    """The records of JSON Lines."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[_Record]:
        for line in self._lines:
            if line.text is None:
                yield _Record(None, line.start, line.end, "a line longer than max_file_bytes")
            elif line.text and not line.text.isspace():
                yield _parsed(line.text)._replace(start=line.start, end=line.end)


def _parsed(text: str) -> _Record:
    try:
        begin = _end_of(_BLANK, text, 0)
        value, end = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError) as error:
        return _Record(None, 0, 0, _reason(error))
    if _end_of(_BLANK, text, end) != len(text):
        return _Record(None, 0, 0, f"not JSON: more text behind the value, at character {end + 1}")
    return _Record(value, 0, 0)


class _Values:
    """The elements of a list, or values one after another, with the bytes where each of them stands."""

    def __init__(self, text: str, encoding: str, mark: int) -> None:
        self._text = text
        self._encoding = encoding
        self._mark = mark
        self._first = _end_of(_BLANK, text, 0)
        self.in_list = text.startswith("[", self._first)

    def __iter__(self) -> Iterator[_Record]:
        text, place, in_list = self._text, self._first, self.in_list
        if in_list:
            place = _end_of(_BLANK, text, place + 1)
        known, bytes_before = 0, self._mark
        while place < len(text) and not (in_list and text[place] == "]"):
            bytes_before += self._bytes(known, place)
            known = place
            try:
                value, end = _DECODER.raw_decode(text, place)
                if in_list:
                    after = _COMMA.match(text, end)
                    following = after.end() if after else _end_of(_BLANK, text, end)
                    if after is None and not text.startswith("]", following):
                        raise ValueError("neither a comma nor the end of the list behind a record")
                else:
                    following = _end_of(_BLANK, text, end)
            except (ValueError, RecursionError) as error:
                rest = bytes_before + self._bytes(place, len(text))
                yield _Record(None, bytes_before, rest, f"broken from here on: {_reason(error)}")
                return
            start = bytes_before
            bytes_before += self._bytes(place, end)
            yield _Record(value, start, bytes_before)
            known, place = end, following

    def _bytes(self, start: int, end: int) -> int:
        return len(self._text[start:end].encode(self._encoding, "replace"))


class _Broken:
    """Accounts for records that are no JSON."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file
        self._count = self._size = 0

    def one(self, number: int, record: _Record) -> Iterator[LeftOut]:
        self._count += 1
        if self._count > TOLD:
            self._size += record.end - record.start
            return
        name = self._file.named(f"record {number:,}")
        yield LeftOut(name, record.end - record.start, "failed", "damaged", record.wrong or "")

    def others(self) -> Iterator[LeftOut]:
        if self._count > TOLD:
            name = self._file.named("other broken records")
            yield LeftOut(name, self._size, "failed", "damaged", f"{self._count - TOLD:,} more records are not JSON")


def _end_of(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return place if match is None else match.end()


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "objects or lists nested too deep"
    return f"not JSON: {error}"
