"""Databases as sources: "postgresql://ada@host/library?table=notes&column=body", each row a document.

A source of this kind is queried by the process that ingests, which alone knows its password, and streamed into a file
that is read like any other: hashed, in a worker, and only when what it holds has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from quire.documents.document import counted
from quire.documents.formats.columns import SAMPLE_ROWS, joined, others_detail, others_in_sample, text_columns, text_of
from quire.documents.formats.rows import write_rows
from quire.documents.settings import ReadSettings
from quire.documents.sql_errors import explained
from quire.documents.walk import unused
from quire.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Executable

PARAMETERS = ("table", "column", "key", "schema", "query")
"""What a source may say besides what its driver knows: the table, the column of the text, the column of the key, the
schema the table is in, or a query in place of a table."""

DRIVERS = {"postgres": "postgresql+pg8000", "postgresql": "postgresql+pg8000"}
"""Drivers for URLs that name none; pg8000 comes with the extra."""

_FETCHED = (
    "quire fetches nothing from the network: a source is a folder, a file or a database",
    "Save what is there as a file, and give its path",
)
_NOT_DATABASES = {
    **dict.fromkeys(("http", "https", "ftp", "ftps", "sftp", "s3", "gs"), _FETCHED),
    "file": ("a file is given by its path and not by a URL", "Leave out file:// in front of the path"),
}  # schemes of URLs that people try: what is wrong, and what to do

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+_.-]*://")
_SLASHES = "sqlite:///notes.db is a file of this folder, sqlite:////home/ada/notes.db a path from the root"
_SECRET = re.compile(r"(://[^:/@]*):[^@]*@")
_BATCH = 500  # rows a round trip to the server
_NAMED = 10  # tables or columns that an error names


@dataclass(frozen=True, slots=True)
class Rows:
    """What one table or query gave.

    Args:
        source: what it is called in the corpus: "DATABASE/TABLE".
        path: the file that its rows are in.
        size: bytes of the file.
    """

    source: str
    path: Path
    size: int


class _Plan(NamedTuple):
    name: str
    columns: list[str]  # of the text
    width: int
    statement: Executable | None
    key: list[int]  # where in what the statement gives the key stands; where it is nowhere, rows are numbered
    text: list[int]
    unique: bool
    others: str | None = None  # the sentence about columns that are not of the text


class _Chosen(NamedTuple):
    columns: list[str]
    others: str | None = None


def is_database(source: object) -> bool:
    """Return whether a source is the URL of a database and no path."""
    return isinstance(source, str) and _URL.match(source) is not None


def database_name(source: str) -> str:
    """Return what a database is called in the corpus, without anything that leads to it. Raises `UsageError`."""
    return _name(_parse(source)[0])


def located(source: str) -> tuple[str, Path | None, str]:
    """Return what tells a source from another: its name, the file of a SQLite address, and what it is asked for.

    Where there is no file, the last of them is a digest of the address. Neither user nor password is part of it.
    Raises `UsageError`.
    """
    url, told = _parse(source)
    asked = _asked(told)
    if url.get_backend_name() == "sqlite":
        return _name(url), Path(url.database or ""), asked
    address = json.dumps([url.drivername, url.host, url.port, url.database, asked])
    return _name(url), None, hashlib.sha256(address.encode()).hexdigest()


@contextlib.contextmanager
def queried(sources: Sequence[str], folder: Path, settings: ReadSettings) -> Iterator[list[Rows]]:
    """Query databases into files in `folder`, which is made for it and removed at the end.

    Columns are chosen as `text_columns` says where none is told. A second database of one name is called "NAME (2)",
    and a second source of one table "DATABASE/TABLE (2)". Rows come in the order of their primary key, or of their text
    where there is none. Nothing is ever written to a database; names are quoted.

    Args:
        sources: URLs as SQLAlchemy has them, with `PARAMETERS`.
        folder: a new one, or one that an earlier run left.
        settings: `text_column` and `text_table` are used where a source names none.

    Raises:
        UsageError: a source is no URL of a database, or names a table or column that is not there; or SQLAlchemy or a
            driver is missing; or it is given twice.
        QuireError: the database cannot be reached or refuses the query. No message holds a password.
    """
    shutil.rmtree(folder, ignore_errors=True)
    found: list[Rows] = []
    given: set[tuple[str, str]] = set()
    names: dict[str, str] = {}  # of the databases, by where they are
    taken: set[str] = set()
    try:
        if sources:
            folder.mkdir()
        for source in sources:
            url, told = _parse(source)
            place = _place(url)
            if (place, _asked(told)) in given:
                raise UsageError("is given twice", where=_name(url), hint="Give it once")
            given.add((place, _asked(told)))
            if place not in names:
                names[place] = unused(_name(url), taken)
            with explained(url, _name(url)), _engine(url).connect() as connection:
                _only_read(connection)
                for plan in _plans(connection, told, settings):
                    path = folder / f"{len(found)}.rows"
                    size = write_rows(path, plan.columns, plan.width, _rows(connection, plan), plan.others)
                    found.append(Rows(unused(f"{names[place]}/{plan.name}", taken), path, size))
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parse(source: str) -> tuple[URL, dict[str, str]]:
    shown = _SECRET.sub(r"\1:***@", source).partition("?")[0]
    scheme = source.partition("://")[0].lower()
    if scheme in _NOT_DATABASES:
        what, hint = _NOT_DATABASES[scheme]
        raise UsageError(what, where=shown, hint=hint)
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        hint = "Install it with: pip install 'quire[sql]'"
        raise UsageError("reading a database needs SQLAlchemy", where=shown, hint=hint) from None
    try:
        url = make_url(source)
    except (ArgumentError, ValueError):
        raise UsageError("not a URL of a database", where=shown) from None
    told = {}
    for name in PARAMETERS:
        value = url.query.get(name)
        if value is not None:
            told[name] = value if isinstance(value, str) else value[-1]
    if "query" in told and "table" in told:
        raise UsageError("a source names a table or a query, not both", where=_name(url))
    url = url.difference_update_query(PARAMETERS)
    if url.get_backend_name() == "sqlite" and url.host:
        raise UsageError("two slashes name a server, and SQLite has none", where=shown, hint=_SLASHES)
    if url.get_backend_name() == "sqlite" and url.query:  # other drivers refuse themselves what they do not know
        unknown = ", ".join(sorted(url.query))
        raise UsageError(f"unknown in the address: {unknown}; known: {', '.join(PARAMETERS)}", where=_name(url))
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername)), told


def _asked(told: dict[str, str]) -> str:
    return "&".join(f"{name}={told[name]}" for name in PARAMETERS if name in told)


def _place(url: URL) -> str:
    """What tells a database from others of its name: where its file is, or its address without who asks."""
    if url.get_backend_name() == "sqlite":
        return os.path.realpath(url.database or "")
    return str(url.set(username=None, password=None))


def _name(url: URL) -> str:
    return (url.database or url.host or url.drivername).replace("\\", "/").rstrip("/").rpartition("/")[2] or "database"


def _engine(url: URL) -> Engine:
    import sqlalchemy

    if url.get_backend_name() != "sqlite":
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    path = Path(url.database or "")
    if not path.is_file():
        raise UsageError("no such file", where=url.database or "sqlite://", hint=_SLASHES)

    def opened() -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA query_only=ON")
        connection.set_authorizer(_unless_attached)  # what is attached is made where it is not there
        return connection

    return sqlalchemy.create_engine("sqlite://", creator=opened, poolclass=sqlalchemy.NullPool)


def _unless_attached(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _only_read(connection: Connection) -> None:
    import sqlalchemy

    if connection.dialect.name in ("postgresql", "mysql", "mariadb"):
        connection.execute(sqlalchemy.text("SET TRANSACTION READ ONLY"))


def _plans(connection: Connection, told: dict[str, str], settings: ReadSettings) -> Iterator[_Plan]:
    import sqlalchemy

    if "query" in told:
        yield _query_plan(connection, told, settings)
        return
    inspector = sqlalchemy.inspect(connection)
    schema = told.get("schema")
    if schema is not None and schema not in inspector.get_schema_names():
        raise _missing("schema", schema, inspector.get_schema_names())
    tables = inspector.get_table_names(schema)
    name = told.get("table")
    if name is None and settings.text_table in tables:
        name = settings.text_table
    if name is not None and name not in tables + inspector.get_view_names(schema):
        raise _missing("table", name, tables)
    for table in sorted(tables) if name is None else [name]:
        columns = [column["name"] for column in inspector.get_columns(table, schema)]
        keys = [told["key"]] if "key" in told else inspector.get_pk_constraint(table, schema)["constrained_columns"]
        for kind in ("column", "key"):
            if name is not None and kind in told and told[kind] not in columns:
                raise _missing(f"{kind} of {name}", told[kind], columns)
        yield _table_plan(connection, table, schema, columns, keys, told.get("column"), settings, "key" not in told)


def _missing(what: str, name: str, there: Sequence[str]) -> UsageError:
    names = ", ".join(map(repr, sorted(there)[:_NAMED])) + (" and others" if len(there) > _NAMED else "")
    hint = f"There are: {names}" if there else "There is none at all"
    return UsageError(f"there is no {what} called {name!r}", hint=hint)


def _table_plan(
    connection: Connection,
    name: str,
    schema: str | None,
    columns: list[str],
    keys: list[str],
    told: str | None,
    settings: ReadSettings,
    unique: bool,
) -> _Plan:
    import sqlalchemy
    from sqlalchemy.sql import quoted_name

    named: dict[str, Any] = {column: sqlalchemy.column(quoted_name(column, True)) for column in columns}
    in_schema = None if schema is None else quoted_name(schema, True)
    table = sqlalchemy.table(quoted_name(name, True), *named.values(), schema=in_schema)
    key = [named[column] for column in keys if column in named]
    if not key and connection.dialect.name == "sqlite" and name in sqlalchemy.inspect(connection).get_table_names():
        key = [sqlalchemy.literal_column("rowid")]
    called = (name if schema is None else f"{schema}.{name}").replace("%", "%25").replace("/", "%2F")
    chosen, others = (
        _Chosen([told]) if told in columns else _chosen(connection, sqlalchemy.select(table), columns, settings)
    )
    if not chosen:
        return _Plan(called, [], len(columns), None, [], [], True)
    texts = [named[column] for column in chosen]
    statement = sqlalchemy.select(*key, *texts).select_from(table).order_by(*(key or texts))
    width = len(key)
    text = list(range(width, width + len(texts)))
    return _Plan(called, chosen, len(columns), statement, list(range(width)), text, unique, others)


def _query_plan(connection: Connection, told: dict[str, str], settings: ReadSettings) -> _Plan:
    import sqlalchemy

    # A colon in it is a colon, and no parameter.
    query = sqlalchemy.text(told["query"].strip().rstrip(";").replace(":", "\\:"))
    name = f"query-{hashlib.sha256(told['query'].encode()).hexdigest()[:8]}"
    with connection.execution_options(stream_results=True, yield_per=_BATCH).execute(query) as result:
        columns = list(result.keys())
    for kind in ("column", "key"):
        if kind in told and told[kind] not in columns:
            raise _missing(f"{kind} of the query", told[kind], columns)
    chosen, others = _Chosen([told["column"]]) if "column" in told else _chosen(connection, query, columns, settings)
    key = [columns.index(told["key"])] if "key" in told else []
    text = [columns.index(column) for column in chosen]
    return _Plan(name, chosen, len(columns), query, key, text, not key, others)


def _chosen(connection: Connection, statement: Any, columns: list[str], settings: ReadSettings) -> _Chosen:
    """Return the columns of the text, by the setting or by a look at the first rows."""
    if hasattr(statement, "limit"):
        statement = statement.limit(SAMPLE_ROWS)
    with connection.execution_options(stream_results=True, yield_per=_BATCH).execute(statement) as result:
        rows = [[cell if isinstance(cell, str) else None for cell in row] for row in result.fetchmany(SAMPLE_ROWS)]
    if not rows:
        return _Chosen([])
    taken = text_columns(rows, columns, settings.text_column)
    characters, names = others_in_sample(rows, columns, taken)
    others = None
    if taken and names:
        others = others_detail(characters, names, where=f" of the first {counted(len(rows), 'row')}")
    return _Chosen([columns[number] for number in taken], others)


def _rows(connection: Connection, plan: _Plan) -> Iterator[tuple[str, str]]:
    """Yield the key and the text of each row, a batch at a time from the server."""
    if plan.statement is None:
        return
    seen: dict[str, int] = {}
    with connection.execution_options(stream_results=True, yield_per=_BATCH).execute(plan.statement) as result:
        for number, row in enumerate(result, start=1):
            key = _key([row[place] for place in plan.key], number)
            if not plan.unique:
                seen[key] = seen.get(key, 0) + 1
                key = key if seen[key] == 1 else f"{key} ({seen[key]})"
            yield key, joined(_text(row[place]) for place in plan.text)


def _key(values: list[Any], number: int) -> str:
    if not values:
        return str(number)
    return str(values[0]) if len(values) == 1 else json.dumps(values, default=str, ensure_ascii=False)


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return text_of(bytes(value))
    return "" if value is None else str(value)
