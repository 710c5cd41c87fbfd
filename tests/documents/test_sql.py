"""Databases as sources: every row once, by its key, read-only, and no password anywhere."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fixtures.databases import PROSE, database, notes
from fixtures.postgres import postgres, programs
from quire.cli.main import app
from quire.corpus.build import ingest
from quire.corpus.settings import IngestSettings
from quire.corpus.store import Corpus
from quire.documents.document import Document, DroppedFile
from quire.documents.formats.rows import HEADER, write_rows
from quire.documents.read import read_bytes, read_file
from quire.documents.sandbox import PoolSettings
from quire.documents.settings import ReadSettings
from quire.documents.sql import database_name, is_database, queried
from quire.errors import QuireError, ReadError, UsageError

DEFAULT = ReadSettings()
ONE_WORKER = IngestSettings(pool=PoolSettings(workers=1))


def read(source, folder, settings=DEFAULT):
    """Return what every row gave, by "DATABASE/TABLE!KEY"."""
    parts = []
    with queried([str(source)], folder / "rows", settings) as tables:
        for table in tables:
            parts += read_file(table.path, table.source, settings)
    assert not (folder / "rows").exists()
    texts = [part.text if isinstance(part, Document) else part.rule for part in parts]
    return {
        f"{part.source if isinstance(part, Document) else ''}!{part.member}": text
        for part, text in zip(parts, texts, strict=True)
    }


def test_what_is_a_database():
    assert is_database("sqlite:///notes.db")
    assert is_database("postgresql+pg8000://a@b/c")
    assert not is_database("notes.db")
    assert not is_database("C:/notes")
    assert database_name("sqlite:////home/ada/notes.db?table=t") == "notes.db"
    assert database_name("postgresql://ada:secret@host/library?table=t") == "library"


def test_importing_it_loads_no_driver():
    code = "import sys, quire.documents.sql, quire.corpus.build; print({'sqlalchemy', 'pg8000'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


def test_rows_of_a_table(tmp_path):
    path = notes(tmp_path / "notes.db")
    expected = {f"notes.db/notes!{key}": f"{PROSE}, number {key}" for key in (1, 2, 3)}
    assert read(f"sqlite:///{path}?table=notes&column=body", tmp_path) == expected
    guessed = {"!(other columns)": "other-columns", **expected}
    assert read(f"sqlite:///{path}?table=notes", tmp_path) == guessed
    assert read(f"sqlite:///{path}", tmp_path) == guessed
    titles = read(f"sqlite:///{path}?table=notes&column=title&key=body", tmp_path)
    assert titles[f"notes.db/notes!{PROSE}, number 2"] == "Title 2"


def test_blobs_of_a_column_that_is_told_are_text_where_their_bytes_are(tmp_path):
    rows = [(PROSE.encode(),), (PROSE.encode("utf-16-le"),), ("naïve café".encode("cp1252"),), (b"\0\1\2",)]
    path = database(tmp_path / "a.db", "CREATE TABLE t (body BLOB)", rows=rows, into="t")
    texts = read(f"sqlite:///{path}?table=t&column=body", tmp_path)
    assert list(texts.values()) == [PROSE, PROSE, "naïve café", "empty"]


def test_a_table_without_rows_is_told(tmp_path):
    path = tmp_path / "a.rows"
    write_rows(path, ["text"], 1, [])
    with pytest.raises(DroppedFile, match="no-text: a table without rows"):
        list(read_file(path, "base/table", DEFAULT))


def test_rows_of_a_query(tmp_path):
    path = notes(tmp_path / "notes.db")
    query = "SELECT id %25 2 AS odd, title || '::' || id AS t FROM notes ORDER BY id DESC;"
    rows = read(f"sqlite:///{path}?query={query}&column=t&key=odd", tmp_path)
    assert {key.partition("!")[2]: text for key, text in rows.items()} == {
        "1": "Title 3::3",
        "0": "Title 2::2",
        "1 (2)": "Title 1::1",
    }
    rows = read(f"sqlite:///{path}?query=SELECT body FROM notes", tmp_path)
    assert [key.partition("!")[2] for key in rows] == ["1", "2", "3"]


NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=6).filter(
    lambda name: not name.lower().startswith("sqlite_")
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(NAMES | st.sampled_from(['"; DROP TABLE t; --', "a/b", "%41", ":x", "select"]), NAMES | st.just('x" FROM "y'))
def test_any_name_can_be_asked_for(tmp_path, table, column):
    from urllib.parse import quote

    path = tmp_path / "names.db"
    path.unlink(missing_ok=True)
    quoted = [name.replace('"', '""') for name in (table, column)]
    database(path, 'CREATE TABLE "{}" ("{}")'.format(*quoted), rows=[("words",)], into=f'"{quoted[0]}"')
    rows = read(f"sqlite:///{path}?table={quote(table, safe='')}&column={quote(column, safe='')}", tmp_path)
    place = table.replace("%", "%25").replace("/", "%2F")
    assert rows == {f"names.db/{place}!1": "words"}


def test_tables_without_a_key_with_two_and_without_text(tmp_path):
    path = database(
        tmp_path / "a.db",
        "CREATE TABLE pairs (a, b, text, PRIMARY KEY (a, b))",
        "INSERT INTO pairs VALUES (1, 'x', 'one'), (1, 'y', NULL), (2, 'x', X'68c3a9'), (3, 'x', 4.5)",
        "CREATE TABLE numbers (a)",
        "INSERT INTO numbers VALUES (1)",
        "CREATE VIEW seen AS SELECT text FROM pairs WHERE a = 1",
    )
    rows = read(f"sqlite:///{path}?table=pairs&column=text", tmp_path)
    assert list(rows.values()) == ["one", "hé", "4.5", "empty"]
    assert 'a.db/pairs![1, "x"]' in rows
    assert list(read(f"sqlite:///{path}?table=seen&column=text", tmp_path)) == ["a.db/seen!2", "!(rows without text)"]


def test_databases_of_one_name_and_columns_of_one_table_have_names_of_their_own(tmp_path):
    for place in "xyz":
        (tmp_path / place).mkdir()
        path = notes(tmp_path / place / "notes.db")
    sources = [f"sqlite:///{tmp_path}/{place}/notes.db?table=notes&column=body" for place in "xyz"]
    sources += [
        f"sqlite:///{path}?table=notes&column=title",
        f"sqlite:///{tmp_path}/x/notes.db?query=SELECT 'other words' AS a&column=a",
    ]
    with queried(sources, tmp_path / "rows", DEFAULT) as tables:
        names = [table.source for table in tables]
    assert names[:4] == ["notes.db/notes", "notes.db (2)/notes", "notes.db (3)/notes", "notes.db (3)/notes (2)"]
    assert names[4].startswith("notes.db/query-")
    ingest(sources, tmp_path / "out", ONE_WORKER)
    assert {row.path: row.outcome for row in Corpus.open(tmp_path / "out").files() if row.member is None} == {
        "notes.db (2)/notes": "kept",  # of copies the one whose name comes first
        "notes.db (3)/notes": "dropped",
        "notes.db (3)/notes (2)": "kept",
        names[4]: "kept",
        "notes.db/notes": "dropped",
    }


def test_an_address_given_twice_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notes(tmp_path / "notes.db")
    sources = ["sqlite:///notes.db?table=notes&column=body", f"sqlite:///{tmp_path}/notes.db?column=body&table=notes"]
    with pytest.raises(UsageError, match=r"notes.db: is given twice\. Give it once"):
        ingest(sources, tmp_path / "out", ONE_WORKER)


def test_a_table_and_a_file_of_one_name_are_the_words_at_fault(tmp_path):
    (tmp_path / "in" / "notes.db").mkdir(parents=True)
    (tmp_path / "in" / "notes.db" / "notes").write_text("words")
    notes(tmp_path / "notes.db")
    with pytest.raises(UsageError, match=r"notes.db/notes: two sources have this name.*corpus of its own"):
        ingest([tmp_path / "in", f"sqlite:///{tmp_path}/notes.db"], tmp_path / "out", ONE_WORKER)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("sqlite:///{}/none.db", "no such file"),
        ("sqlite://", "no such file"),
        ("sqlite:///{}/notes.db?table=letters", "no table called 'letters'. There are: 'notes'"),
        ("sqlite:///{}/notes.db?table=notes&column=text", "no column of notes called 'text'. There are: 'body', 'id'"),
        ("sqlite:///{}/notes.db?table=notes&key=text", "no key of notes called"),
        ("sqlite:///{}/notes.db?table=notes&query=SELECT 1", "not both"),
        ("sqlite:///{}/notes.db?schema=none", "no schema called"),
        ("sqlite:///{}/notes.db?query=SELECT body FROM notes&column=x", "no column of the query"),
        (
            "sqlite:///{}/notes.db?tabel=notes",
            "unknown in the address: tabel; known: table, column, key, schema, query",
        ),
        ("http://ada:secret@host/page", "host/page: quire fetches nothing from the network"),
        ("HTTPS://host/page", "Save what is there as a file, and give its path"),
        ("file:///home/ada/notes.txt", "by its path"),
        ("nodb://ada:secret@host/page", "no database of the kind 'nodb' is known. Known are sqlite, "),
        ("sqlite://notes.db?table=notes", "sqlite:///notes.db is a file of this folder, sqlite:////home"),
        ("sqlite:///none.db", "no such file. sqlite:///notes.db is a file of this folder, sqlite:////home"),
        ("mysql+none://ada:secret@host/page", "no database of the kind"),
        ("postgresql://ada:secret@host:port/page", "not a URL of a database"),
    ],
)
def test_what_is_wrong_with_a_source(tmp_path, source, what):
    notes(tmp_path / "notes.db")
    with pytest.raises(UsageError) as wrong, queried([source.format(tmp_path)], tmp_path / "rows", DEFAULT):
        raise AssertionError
    assert what in str(wrong.value)
    assert "secret" not in str(wrong.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["notes.db"]


def test_nothing_is_written(tmp_path):
    path = notes(tmp_path / "notes.db")
    before = path.read_bytes()
    only_reads = "Only queries that read are allowed"
    for query, said in (
        ("DELETE FROM notes", only_reads),
        ("DELETE FROM notes RETURNING body", only_reads),
        ("CREATE TABLE a AS SELECT 1", only_reads),
        (f"ATTACH '{tmp_path}/new.db' AS new", only_reads),
        (f"VACUUM INTO '{tmp_path}/new.db'", only_reads),
        ("broken", 'near "broken": syntax error'),
    ):
        with (
            pytest.raises(QuireError, match=rf"notes\.db: .*{said}"),
            queried([f"sqlite:///{path}?query={query}"], tmp_path / "rows", DEFAULT),
        ):
            raise AssertionError
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.db"]


def test_a_server_that_is_not_there_is_told_with_what_to_look_at(tmp_path):
    with pytest.raises(QuireError) as wrong:
        read("postgresql://ada:secret@127.0.0.1:1/library?table=notes", tmp_path)
    assert str(wrong.value).startswith("library: no connection to 127.0.0.1, port 1: ")
    assert "Is the server running" in str(wrong.value)
    assert "secret" not in str(wrong.value)


def test_the_corpus_leads_back_to_the_row(tmp_path):
    path = notes(tmp_path / "notes.db", 5)
    source = f"sqlite:///{path}?table=notes&column=body"
    account = ingest([source], tmp_path / "corpus", ONE_WORKER)
    assert (account.documents, account.files_read, account.found.files) == (5, 1, 1)
    corpus = Corpus.open(tmp_path / "corpus")
    documents = [entry.document for entry in corpus.documents()]
    connection = sqlite3.connect(path)
    for document in documents:
        assert document.source == "notes.db/notes"
        row = connection.execute("SELECT body FROM notes WHERE id = ?", (document.member,)).fetchone()
        assert row == (document.text,)
    again = ingest(source, tmp_path / "corpus", ONE_WORKER)
    assert (again.fingerprint, again.files_read) == (account.fingerprint, 0)
    with connection:
        connection.execute("UPDATE notes SET body = 'other words' WHERE id = 3")
    connection.close()
    assert ingest(source, tmp_path / "corpus", ONE_WORKER).files_read == 1
    assert not (tmp_path / "corpus" / ".rows").exists()


def test_the_command_takes_databases_beside_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notes(tmp_path / "notes.db")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("words")
    words = ["ingest", "sqlite:///notes.db?table=notes&column=body", "folder", "--json", "--workers", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["corpus"] == "corpora/notes.db"
    assert (told["account"]["documents"], told["account"]["found"]["files"]) == (4, 2)


def test_rows_that_quire_did_not_write(tmp_path):
    path = tmp_path / "a.rows"
    write_rows(path, ["text"], 2, [("1", "one"), ("2", ""), ("3", "three" * 1000)])
    assert path.read_bytes().startswith(HEADER)
    parts = list(read_file(path, "base/table.exe", ReadSettings(max_file_bytes=1000)))
    assert [part.member for part in parts] == ["1", "(row 3)", "(rows without text)"]
    for rest in (
        b"",
        b"[",
        b'"columns": 3}',
        b'"columns": ["a"]}\n[1]',
        b'"columns": ["a"]}\n["1", "a"]\n["1", "b"]\n',
    ):
        with pytest.raises(ReadError):
            list(read_bytes(HEADER + rest, "table", DEFAULT))
    write_rows(path, ["text"], 2, [])
    with pytest.raises(DroppedFile, match="no-text: a table without rows"):
        list(read_file(path, "base/table", DEFAULT))


# ---- PostgreSQL -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL server is installed (initdb and postgres; on Debian: apt install postgresql)")
    with postgres(folder) as running:
        execute(
            running,
            "CREATE TABLE notes (id int PRIMARY KEY, title text, body text)",
            f"INSERT INTO notes SELECT n, 'Title ' || n, '{PROSE}, number ' || n FROM generate_series(1, 1234) AS n",
            'CREATE SCHEMA "Odd ""one"',
            'CREATE TABLE "Odd ""one"."Some ""table""" ("Key" text, "Te""xt" text, PRIMARY KEY ("Key"))',
            'INSERT INTO "Odd ""one"."Some ""table""" VALUES (\'k/1\', \'wörds\'), (\'k/2\', NULL)',
        )
        yield running


def execute(server, *statements):
    import sqlalchemy

    engine = sqlalchemy.create_engine(server.url.replace("postgresql:", "postgresql+pg8000:"))
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_postgres_rows_come_by_their_key(server, tmp_path):
    rows = read(f"{server.url}?table=notes&column=body", tmp_path)
    assert rows == {f"quire/notes!{n}": f"{PROSE}, number {n}" for n in range(1, 1235)}
    assert list(rows)[:3] == [f"quire/notes!{n}" for n in (1, 2, 3)]
    guessed = {"!(other columns)": "other-columns", **rows}
    assert read(f"{server.url}?table=notes", tmp_path) == guessed
    assert read(server.url, tmp_path) == guessed


def test_postgres_names_are_quoted(server, tmp_path):
    from urllib.parse import quote

    told = {"schema": 'Odd "one', "table": 'Some "table"', "column": 'Te"xt'}
    rows = read(f"{server.url}?" + "&".join(f"{name}={quote(value)}" for name, value in told.items()), tmp_path)
    assert rows == {'quire/Odd "one.Some "table"!k/1': "wörds", "!(rows without text)": "empty"}


def test_postgres_queries_are_only_read(server, tmp_path):
    rows = read(f"{server.url}?query=SELECT id::text || ':' || title AS t FROM notes WHERE id < 3&column=t", tmp_path)
    assert list(rows.values()) == ["1:Title 1", "2:Title 2"]
    for query in ("DELETE FROM notes RETURNING body", "SELECT nextval('none')", "DROP TABLE notes"):
        with pytest.raises(QuireError, match=r"quire: "):
            read(f"{server.url}?query={query}", tmp_path)
    assert len(read(f"{server.url}?table=notes", tmp_path)) == 1235


def test_postgres_says_what_is_wrong_without_the_password(server, tmp_path):
    for source, what in (
        (server.url.replace(server.password, "wrong%40secret"), "password authentication failed"),
        (server.url.replace(f":{server.port}/", ":1/"), "connection"),
        (server.url + "none?table=a", "does not exist"),
        (server.url + "?table=none", "no table called 'none'"),
    ):
        with pytest.raises(QuireError) as wrong:
            read(source, tmp_path)
        assert what in str(wrong.value)
        for secret in (server.password, server.password.replace("%40", "@").replace("%2F", "/"), "secret"):
            assert secret not in str(wrong.value)


def test_no_password_is_in_the_corpus(server, tmp_path):
    source = f"{server.url}?table=notes&column=title"
    result = CliRunner().invoke(app, ["ingest", source, "--out", str(tmp_path / "corpus"), "--workers", "1"])
    assert result.exit_code == 0, result.output
    plain = server.password.replace("%40", "@").replace("%2F", "/")
    files = [entry.read_bytes() for entry in (tmp_path / "corpus").rglob("*") if entry.is_file()]
    assert len(files) >= 4
    for secret in (server.password, plain):
        assert secret not in result.output
        assert not any(secret.encode() in data for data in files)


MEMORY = """
import resource, sys
from pathlib import Path
from quire.documents.settings import ReadSettings
from quire.documents.sql import queried
with queried([sys.argv[1] + "?query=SELECT 1 AS n"], Path(sys.argv[2], "rows"), ReadSettings()):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with queried([sys.argv[1] + "?table=big&column=text"], Path(sys.argv[2], "rows"), ReadSettings()) as tables:
    print(tables[0].size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_postgres_rows_are_streamed(server, tmp_path):
    execute(
        server,
        "CREATE TABLE big (id int PRIMARY KEY, text text)",
        "INSERT INTO big SELECT n, repeat('words and ' || n || ' ', 100) FROM generate_series(1, 30000) AS n",
    )
    try:
        words = [sys.executable, "-c", MEMORY, server.url, str(tmp_path)]
        size, kilobytes = map(int, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    finally:
        execute(server, "DROP TABLE big")
    assert size > 45_000_000
    assert kilobytes < 20_000
