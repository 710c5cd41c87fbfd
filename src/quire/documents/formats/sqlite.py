"""SQLite databases: each row of a table with text is a document; nothing in the database is ever run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from quire.documents.document import Document, DroppedFile, LeftOut, Part, Span, counted
from quire.documents.formats.columns import (
    OTHERS,
    SAMPLE_CELLS,
    SAMPLE_ROWS,
    joined,
    others_detail,
    others_in_sample,
    text_columns,
    text_of,
    with_column,
    without_text,
)
from quire.documents.formats.reader import SourceFile
from quire.documents.sandbox import page_done
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

MEDIA_TYPE = "application/vnd.sqlite3"
EXTENSIONS = frozenset((".sqlite", ".sqlite3", ".sl3", ".s3db", ".db", ".db3"))
HEADER = b"SQLite format 3\0"

LOGS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7")
"""What a write-ahead log and a rollback journal begin with: changes that are not in the database yet."""

# A message about names that are no UTF-8 cannot be made into text (UnicodeDecodeError).
_BROKEN = (sqlite3.Error, ValueError, OverflowError)
_ROWS_A_PAGE = 1000
_SAMPLE_CHARACTERS = 16_000_000
_STEPS = 10_000_000  # of SQLite's machine without a row: a row of 32,767 columns takes a tenth of a million
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
_PRAGMAS = frozenset(("table_xinfo",))
_LIMIT_LENGTH = 0  # https://www.sqlite.org/c3ref/c_limit_attached.html
_STORED = (0, 3)  # columns that are in the file: ordinary ones, and generated ones that are stored


class _Table(NamedTuple):
    name: str
    columns: list[str]
    key: list[str]  # the columns of the primary key; the name of the row number, where there is one
    by_number: bool


def is_log(head: bytes) -> bool:
    """Return whether a file is what SQLite has still to write into a database."""
    return head.startswith(LOGS)


def read_sqlite(file: SourceFile, settings: ReadSettings) -> Iterator[Part]:
    """Yield a document for each row of the tables of `file` that hold text, with the member "TABLE/KEY".

    Columns are chosen as for other tables (see `text_columns`); what the others hold in the first rows is told.
    Blobs are text only in a column that is told, where their bytes are.
    Views and virtual tables are left out, and no trigger, default or function of the database runs: an authorizer
    allows nothing but to read columns. The file is opened read-only and as one that nobody changes.

    Raises:
        DroppedFile: "no-text" where no table holds any.
        ReadError: it is not a database, or broken from the start.
    """
    with _opened(file, settings) as connection:
        try:
            tables = list(_tables(connection))
        except _BROKEN as error:
            raise ReadError(f"not a SQLite database that can be read: {error}", where=file.where) from None
        if settings.text_table in [name for name, _ in tables]:
            tables = [(name, root) for name, root in tables if name == settings.text_table]
        gave = False
        for name, root in tables[: settings.max_members]:
            for part in _read_table(connection, name, root, file, settings):
                gave = True
                yield part
        missing = _missing(file)
        if missing:
            gave = True
            detail = f"cut short: {missing:,} bytes are missing"
            yield LeftOut(file.named("(the rest)"), 0, "failed", "damaged", detail)
        if len(tables) > settings.max_members:
            most = settings.max_members
            yield LeftOut(file.named("(other tables)"), 0, "dropped", "too-many", f"more than max_members = {most:,}")
        elif not gave:
            raise DroppedFile("no-text", "a database without tables")


@contextlib.contextmanager
def _opened(file: SourceFile, settings: ReadSettings) -> Iterator[sqlite3.Connection]:
    connection: Any  # what newer versions of Python have besides is used where it is there
    with contextlib.ExitStack() as stack:
        if file.path is not None:
            connection = sqlite3.connect(_uri(os.fsencode(file.path)), uri=True)
        elif hasattr(sqlite3.Connection, "deserialize"):  # since Python 3.11
            connection = sqlite3.connect(":memory:")
            connection.deserialize(file.data)
        else:
            copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".sqlite"))
            copy.write(file.data)
            copy.flush()
            connection = sqlite3.connect(_uri(os.fsencode(copy.name)), uri=True)
        stack.callback(connection.close)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON", "mmap_size=0"):
                connection.execute(f"PRAGMA {pragma}")
            if hasattr(connection, "setlimit"):
                connection.setlimit(_LIMIT_LENGTH, min(settings.max_file_bytes, 2**31 - 1))
        except _BROKEN as error:
            raise ReadError(f"not a SQLite database that can be read: {error}", where=file.where) from None
        connection.set_authorizer(_allow)
        yield connection


def _missing(file: SourceFile) -> int:
    """Return how many bytes fewer the file has than its header says (https://www.sqlite.org/fileformat.html, 1.3)."""
    with file.open() as stream:
        header = stream.read(100)
    page = int.from_bytes(header[16:18], "big")
    page = 65536 if page == 1 else page
    counted = header[24:28] == header[92:96]  # else a program of before 2010 wrote it, and left the number as it was
    return max(0, page * int.from_bytes(header[28:32], "big") - file.size) if counted else 0


def _uri(path: bytes) -> str:
    return f"file:{quote(path)}?mode=ro&immutable=1"


def _allow(action: int, first: str | None, second: str | None, database: str | None, by: str | None) -> int:
    if by is None and (action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _tables(connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """Yield the names of tables in order, with the page where each begins: 0 for virtual ones."""
    rows = connection.execute("SELECT name, rootpage, type FROM sqlite_master").fetchall()
    tables = [(name, root) for name, root, kind in rows if kind == "table" and isinstance(name, str)]
    yield from sorted((name, root or 0) for name, root in tables if not name.lower().startswith("sqlite_"))


def _read_table(
    connection: sqlite3.Connection, name: str, root: int, file: SourceFile, settings: ReadSettings
) -> Iterator[Part]:
    place = name.replace("%", "%25").replace("/", "%2F")  # so that no table and key are called as another one's
    if not root:
        yield LeftOut(file.named(place), 0, "dropped", "unsupported", "a virtual table: a program keeps its rows")
        return
    try:
        table = _described(connection, name)
        columns, sample = _text_columns(connection, table, file, settings)
        if not columns:
            detail = f"no column of text among {len(table.columns):,}; text_column can name one"
            yield LeftOut(file.named(place), 0, "dropped", "no-text", detail)
            return
        characters, others = others_in_sample(sample, table.columns, columns)
        if others:
            detail = others_detail(characters, others, where=f" of the first {counted(len(sample), 'row')}")
            yield LeftOut(file.named(f"{place}/(other columns)"), 0, "dropped", OTHERS, detail)
        yield from _rows(connection, table, columns, file, place)
    except _BROKEN as error:
        yield LeftOut(file.named(f"{place}/(the rest)"), 0, "failed", "damaged", f"broken from here on: {error}")


def _described(connection: sqlite3.Connection, name: str) -> _Table:
    described = connection.execute(f"PRAGMA table_xinfo({_quoted(name)})").fetchall()
    columns = [column for _, column, _, _, _, _, hidden in described if hidden in _STORED]
    taken = {column.lower() for _, column, *_ in described}
    for number in ("rowid", "_rowid_", "oid"):
        if number not in taken:
            try:
                connection.execute(f"SELECT {number} FROM {_quoted(name)} NOT INDEXED LIMIT 0")
            except sqlite3.OperationalError:  # the table is WITHOUT ROWID
                break
            return _Table(name, columns, [number], True)
    keys = sorted((place, column) for _, column, _, _, _, place, _ in described if place)
    return _Table(name, columns, [_quoted(column) for _, column in keys] or ["NULL"], False)


def _text_columns(
    connection: sqlite3.Connection, table: _Table, file: SourceFile, settings: ReadSettings
) -> tuple[list[int], list[list[str | None]]]:
    """Return the numbers of the columns that are the text of a row, and the rows that speak for them."""
    names = table.columns[: SAMPLE_CELLS // SAMPLE_ROWS]
    told = settings.text_column
    if told in table.columns:
        return [table.columns.index(told)], []
    if not names:
        return [], []
    sample: list[list[str | None]] = []
    characters = 0
    width = len(table.key)
    seen = _Seen(table.by_number, file.size)
    try:
        for row in _select(connection, table, table.key + [_quoted(name) for name in names], SAMPLE_ROWS):
            seen.add(_key(row[:width], seen.rows), row[0], 0)
            sample.append([cell if isinstance(cell, str) else None for cell in row[width:]])
            characters += sum(len(cell) for cell in row if isinstance(cell, (str, bytes)))
            if characters > _SAMPLE_CHARACTERS:
                break
    except sqlite3.Error:
        if not any(any(row) for row in sample):
            raise  # else whoever reads all rows keeps those before the damage, and meets it again
    return (text_columns(sample, names, told) if sample else []), sample


def _select(
    connection: sqlite3.Connection, table: _Table, expressions: list[str], most: int | None = None
) -> Iterator[Any]:
    """Yield rows in the order in which they are stored; without an index, which another order would come from."""
    limit = "" if most is None else f" LIMIT {most}"
    rows = 0

    def stuck() -> bool:
        nonlocal rows
        idle, rows = rows == 0, 0
        return idle

    connection.set_progress_handler(stuck, _STEPS)
    cursor = connection.execute(f"SELECT {', '.join(expressions)} FROM {_quoted(table.name)} NOT INDEXED{limit}")
    with contextlib.closing(cursor):
        for row in cursor:
            rows += 1
            yield row


def _rows(
    connection: sqlite3.Connection, table: _Table, columns: list[int], file: SourceFile, place: str
) -> Iterator[Part]:
    names = [table.columns[column] for column in columns]
    media_type = with_column(file.media_type, ", ".join(names))
    width = len(table.key)
    seen = _Seen(table.by_number, file.size)
    blank = no_text = 0
    try:
        for row in _select(connection, table, table.key + [_quoted(name) for name in names]):
            key = _key(row[:width], seen.rows)
            cells = [text_of(cell) if isinstance(cell, bytes) else cell for cell in row[width:]]
            text = joined(cell for cell in cells if isinstance(cell, str))
            seen.add(key, row[0], len(text))
            if seen.rows % _ROWS_A_PAGE == 0:
                page_done()
            if not text:
                blank += 1
                no_text += any(isinstance(cell, bytes) and cell.strip() != b"" for cell in row[width:])
                continue
            data = text.encode("utf-8", "replace")
            yield Document(
                text=text,
                source=file.source,
                member=file.named(f"{place}/{key}"),
                media_type=media_type,
                sha256=hashlib.sha256(data).hexdigest(),
                pages=(Span(0, len(text)),),
                size=len(data),
            )
    finally:
        connection.set_progress_handler(None, 0)
    if blank:
        detail = without_text(blank, where=f" in {names}")
        if no_text:
            detail += f"; {no_text:,} of them with bytes there that are none"
        yield LeftOut(file.named(f"{place}/(rows without text)"), 0, "dropped", "empty", detail)


class _Seen:
    """Stops at what only a damaged file does: rows that come twice, because pages are used twice."""

    def __init__(self, by_number: bool, size: int) -> None:
        self.rows = 0
        self._by_number = by_number
        self._last: int | None = None
        self._keys: set[bytes] = set()
        self._size = size
        self._characters = 0

    def add(self, key: str, first: Any, characters: int) -> None:
        """Take note of a row. Raises `sqlite3.DatabaseError`."""
        self.rows += 1
        self._characters += characters
        if self._by_number:
            twice = not isinstance(first, int) or (self._last is not None and first <= self._last)
            self._last = first
        else:
            digest = hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest()
            twice = digest in self._keys
            self._keys.add(digest)
        # A row takes four bytes or more, and a character one.
        if twice or self.rows > self._size or self._characters > 2 * self._size:
            raise sqlite3.DatabaseError("rows come twice or in a wrong order")


def _key(values: tuple[Any, ...], number: int) -> str:
    if values == (None,):
        return f"({number + 1})"
    return ",".join(value.hex() if isinstance(value, bytes) else str(value) for value in values)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
