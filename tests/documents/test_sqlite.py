"""SQLite files: every row with text once, nothing in them runs, damage is told."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.databases import PROSE, database, notes
from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.read import read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()


def read(path, settings=DEFAULT):
    return list(read_file(path, path.name, settings))


def documents_of(parts):
    return [part for part in parts if isinstance(part, Document)]


def told(parts):
    return {part.member: part.text if isinstance(part, Document) else part.rule for part in parts}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_every_row_with_text_is_a_document_that_leads_back_to_it(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("base") / "a.db"
    database(path, "CREATE TABLE t (k INTEGER PRIMARY KEY, text)", rows=list(enumerate(texts, -1)), into="t")
    parts = read(path)
    documents = {part.member: part.text for part in parts if isinstance(part, Document)}
    connection = sqlite3.connect(path)
    for member, text in documents.items():
        assert connection.execute("SELECT text FROM t WHERE k = ?", (member.removeprefix("t/"),)).fetchone() == (text,)
    connection.close()
    has_letters = 2 * sum(any(map(str.isalpha, text)) for text in texts[:200]) >= min(len(texts), 200)
    assert len(documents) == (sum(bool(text.strip()) for text in texts) if has_letters else 0)


def test_a_row_says_its_column_and_size(tmp_path):
    left, *parts = read(notes(tmp_path / "notes.db"))
    assert (left.member, left.rule) == ("notes/(other columns)", "other-columns")
    assert left.detail == "21 characters of the first 3 rows in columns that are not taken: title"
    assert [part.member for part in parts] == ["notes/1", "notes/2", "notes/3"]
    first = parts[0]
    assert first.text == f"{PROSE}, number 1"
    assert (first.source, first.size) == ("notes.db", len(first.text))
    assert first.media_type == 'application/vnd.sqlite3; column="body"'


def test_the_table_and_the_column_can_be_told(tmp_path):
    path = notes(tmp_path / "notes.db")
    database(path, "CREATE TABLE other (text)", rows=[("short",)], into="other")
    assert {part.member for part in documents_of(read(path))} == {"notes/1", "notes/2", "notes/3", "other/1"}
    assert told(read(path, ReadSettings(text_table="other"))) == {"other/1": "short"}
    assert told(read(path, ReadSettings(text_table="notes", text_column="title")))["notes/2"] == "Title 2"
    assert len(documents_of(read(path, ReadSettings(text_table="none", text_column="none")))) == 4


def test_blobs_of_a_column_that_is_told_are_text_where_their_bytes_are(tmp_path):
    blobs = [(PROSE.encode(),), (PROSE.encode("utf-16-le"),), ("naïve café".encode("cp1252"),), ("a string",)]
    rows = [*blobs, (b"\0\1\2",), (b"  ",), (None,), (7,)]
    path = database(tmp_path / "a.db", "CREATE TABLE t (body BLOB)", rows=rows, into="t")
    parts = read(path, ReadSettings(text_column="body"))
    assert [part.text for part in parts[:-1]] == [PROSE, PROSE, "naïve café", "a string"]
    assert parts[-1].detail == "4 rows have no text in ['body']; 1 of them with bytes there that are none"
    path = database(tmp_path / "b.db", "CREATE TABLE t (body BLOB)", rows=blobs[:3], into="t")
    (left,) = read(path)
    assert left.detail == "no column of text among 1; text_column can name one"


@pytest.mark.parametrize("name", ["notes", "saved", "a.sqlite3", "a.gpkg"])
def test_a_database_is_known_by_its_first_bytes(tmp_path, name):
    assert len(documents_of(read(notes(tmp_path / name)))) == 3


def test_a_database_in_an_archive(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(notes(tmp_path / "notes.db"), "in/notes.db")
    parts = read_bytes(buffer.getvalue(), "a.zip", DEFAULT)
    assert [part.member for part in documents_of(parts)] == [f"in/notes.db!notes/{key}" for key in (1, 2, 3)]


def test_tables_of_other_shapes(tmp_path):
    path = database(
        tmp_path / "a.db",
        "CREATE TABLE keyed (a TEXT, b INTEGER, text, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "INSERT INTO keyed VALUES ('x/y', 2, 'two'), ('x/y', 1, 'one')",
        'CREATE TABLE "odd ""name"" / of" ("rowid" TEXT, "te""xt" TEXT, body TEXT)',
        "INSERT INTO \"odd \"\"name\"\" / of\" VALUES ('r', 't', 'words')",
        "CREATE TABLE pairs (question, answer)",
        f"INSERT INTO pairs VALUES ('{PROSE}?', '{PROSE}.')",
        "CREATE TABLE numbers (a, b)",
        "INSERT INTO numbers VALUES (1, 2)",
        "CREATE TABLE void (text)",
        "CREATE TABLE blanks (text, n)",
        "INSERT INTO blanks VALUES ('words', 1), (NULL, 2), (' ', 3), ('more', 4), ('also', 5)",
        "CREATE INDEX by_text ON blanks (text)",
        "CREATE TABLE made (text, n GENERATED ALWAYS AS (length(text)) STORED, v AS (upper(text)))",
        "INSERT INTO made (text) VALUES ('words')",
    )
    assert told(read(path)) == {
        "keyed/x/y,1": "one",
        "keyed/x/y,2": "two",
        "keyed/(other columns)": "other-columns",
        'odd "name" %2F of/1': "words",
        'odd "name" %2F of/(other columns)': "other-columns",
        "pairs/1": f"{PROSE}?\n\n{PROSE}.",
        "numbers": "no-text",
        "void": "no-text",
        "blanks/1": "words",
        "blanks/4": "more",
        "blanks/5": "also",
        "blanks/(rows without text)": "empty",
        "made/1": "words",
    }


def test_nothing_in_the_database_runs(tmp_path):
    path = notes(tmp_path / "a.db")
    database(
        path,
        "CREATE VIEW loops AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n AS text FROM r",
        "CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM notes; END",
        "CREATE TABLE d (text DEFAULT (hex(zeroblob(1000000))), b AS (hex(zeroblob(100000000))))",
        "INSERT INTO d (text) VALUES ('words')",
        "CREATE VIRTUAL TABLE search USING fts5(body)",
        "INSERT INTO search VALUES ('words to search for')",
    )
    ended = told(read(path))
    assert ended["search"] == "unsupported"
    assert ended["d/1"] == "words"
    assert not any("loops" in member for member in ended)
    assert sum(member.startswith("notes/") for member in ended) == 4


def test_a_view_under_the_name_of_a_table_is_not_read(tmp_path):
    path = notes(tmp_path / "a.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema=ON")
    loops = "CREATE VIEW notes AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) SELECT n AS body FROM r"
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'notes'", (loops,))
    connection.commit()
    connection.close()
    try:
        parts = read(path)
    except (ReadError, DroppedFile):
        return
    assert all(isinstance(part, LeftOut) for part in parts)


def test_nothing_is_written_beside_it(tmp_path):
    path = tmp_path / "wal.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (text)")
    connection.execute("INSERT INTO t VALUES ('written')")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO t VALUES ('not yet')")
    connection.commit()
    before = {entry: entry.read_bytes() for entry in tmp_path.iterdir()}
    assert told(read(path)) == {"t/1": "written"}
    assert {entry: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    with pytest.raises(DroppedFile, match="yet to write"):
        read(tmp_path / "wal.db-wal")
    connection.close()


def test_what_is_no_database_is_told(tmp_path):
    (tmp_path / "a.db").write_bytes(b"words\n")
    with pytest.raises(DroppedFile, match="not one of SQLite"):
        read(tmp_path / "a.db")
    for data in (b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 5000):
        (tmp_path / "a.db").write_bytes(data)
        with pytest.raises(ReadError, match="not a SQLite"):
            read(tmp_path / "a.db")
    with pytest.raises(DroppedFile, match="no-text"):
        read(database(tmp_path / "empty.db", "CREATE TABLE a (b)", "DROP TABLE a"))


def test_a_database_that_is_cut_short_says_so(tmp_path):
    whole = notes(tmp_path / "a.db", 20).read_bytes()
    path = tmp_path / "cut.db"
    path.write_bytes(whole[:6000])
    left = read(path)
    assert {(part.outcome, part.rule) for part in left} == {("failed", "damaged")}
    assert left[-1].detail == f"cut short: {len(whole) - 6000:,} bytes are missing"
    whole = notes(tmp_path / "b.db", 500).read_bytes()
    for size in range(6000, len(whole), 5000):
        path.write_bytes(whole[:size])
        with contextlib.suppress(ReadError):
            assert ("failed", "damaged") in {
                (part.outcome, part.rule) for part in read(path) if isinstance(part, LeftOut)
            }


def test_names_that_are_no_text_are_damage(tmp_path):
    path = notes(tmp_path / "a.db")
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE notes", b"CREATE TABL\xff notes"))
    with pytest.raises(ReadError, match="not a SQLite database that can be read"):
        read(path)


def test_many_tables_have_a_limit(tmp_path):
    path = database(tmp_path / "a.db", *[f"CREATE TABLE t{n} (text)" for n in range(20)])
    parts = read(path, ReadSettings(max_members=5))
    assert [part.rule for part in parts] == ["no-text"] * 5 + ["too-many"]


def test_pages_that_come_twice_are_damage(tmp_path):
    path = notes(tmp_path / "a.db", 2000)
    data = bytearray(path.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    root = next(n for n in range(1, len(data) // page) if data[n * page] == 5)  # a page that leads to other pages
    cells = root * page + 12
    data[cells + 2 : cells + 40] = data[cells : cells + 2] * 19  # all of them lead to the first
    path.write_bytes(data)
    *kept, last = read(path)
    assert 0 < len(kept) < 2000
    assert len({part.member for part in kept}) == len(kept)
    assert (last.outcome, last.rule) == ("failed", "damaged")


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    path = notes(tmp_path_factory.mktemp("seed") / "seed.db", 60)
    database(path, "CREATE TABLE w (k TEXT PRIMARY KEY, text) WITHOUT ROWID", "INSERT INTO w VALUES ('a', 'words')")
    return path.read_bytes()


@settings(max_examples=300)
@given(data=st.data())
def test_broken_databases_end_in_documents_or_a_reason(seed, data):
    broken = bytearray(seed)
    places = st.integers(0, len(seed) - 1) | st.integers(0, 200) | st.integers(4096, 4200)
    for place, new in data.draw(st.lists(st.tuples(places, st.binary(min_size=1, max_size=4)), max_size=6)):
        broken[place : place + len(new)] = new
    broken = broken[: data.draw(st.integers(16, len(seed)) | st.just(len(seed)))]
    try:
        parts = list(read_bytes(bytes(broken), "a", DEFAULT))
    except (DroppedFile, ReadError):
        return
    assert all(part.text if isinstance(part, Document) else part.detail for part in parts)
    members = [part.member for part in parts if part.member is not None]
    assert len(set(members)) == len(members)
