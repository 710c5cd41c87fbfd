"""Tables: which column is the text, what a row leads back to, and what quotes can break."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from quire.documents.document import Document, DroppedFile, LeftOut
from quire.documents.formats.lines import SAMPLE
from quire.documents.kinds import kind_of
from quire.documents.read import read_bytes, read_file
from quire.documents.settings import ReadSettings
from quire.errors import ReadError

DEFAULT = ReadSettings()
PROSE = "It rained all night, and in the morning the whole street was a river of leaves"
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)


def written(rows, delimiter=","):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def read(data, name="a.csv", settings=DEFAULT):
    return list(read_bytes(data if isinstance(data, bytes) else data.encode(), name, settings))


def texts(data, settings=DEFAULT):
    return [part.text for part in read(data, settings=settings) if isinstance(part, Document)]


def told(data):
    return [(part.member, part.rule, part.detail) for part in read(data) if isinstance(part, LeftOut)]


@given(
    st.lists(st.tuples(st.integers(0, 999), st.just(PROSE) | WORDS.map(PROSE.__add__)), min_size=1),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_each_row_of_the_column_of_prose_is_a_document(rows, delimiter, encoding):
    data = written([("id", "review"), *rows], delimiter).encode(encoding)
    documents = read(data)
    assert [document.text for document in documents] == [text for _, text in rows]
    assert {document.media_type for document in documents} == {'text/csv; column="review"'}
    for document, row in zip(documents, rows, strict=True):
        (span,) = document.pages
        assert (span.start, span.end) == (0, len(document.text))
        there = data[span.byte_start : span.byte_end].decode()
        assert next(csv.reader(io.StringIO(there), delimiter=delimiter)) == [str(cell) for cell in row]


@given(
    st.lists(st.lists(st.sampled_from(["a", "b c", "12", "x;y", 'say "so"', "é"]), min_size=3, max_size=3), min_size=2)
)
def test_a_table_without_prose_is_one_document_of_its_rows(rows):
    assume(any(cell != "x;y" for row in rows for cell in row))  # else a semicolon parts the rows into more cells
    data = written(rows).encode()
    (document,) = read(data)
    assert document.text == "\n".join("| " + " | ".join(row) + " |" for row in rows)
    assert document.media_type == "text/csv"
    assert "".join(document.text[span.start : span.end] for span in document.pages) == document.text
    assert (document.pages[0].byte_start, document.pages[-1].byte_end) == (0, len(data))


def test_spans_of_a_long_table_lead_to_its_rows():
    rows = [[str(number), f"name {number}", "x" * 20] for number in range(1000)]
    data = written(rows).encode()
    (document,) = read(data)
    assert len(document.pages) > 5
    place = document.text.index("name 700")
    (span,) = [span for span in document.pages if span.start <= place < span.end]
    assert b"name 700" in data[span.byte_start : span.byte_end]
    assert span.byte_end - span.byte_start < len(data) / 5


def test_the_column_can_be_told():
    data = written([("id", "title", "review"), *[(n, f"Title {n}", PROSE) for n in range(3)]])
    for name in ("title", "Title", "2"):
        assert texts(data, ReadSettings(text_column=name)) == ["Title 0", "Title 1", "Title 2"]
    assert texts(data, ReadSettings(text_column="body")) == [PROSE] * 3


def test_a_column_of_the_usual_name_is_taken_however_short():
    data = written([("label", "text"), ("pos", "good"), ("neg", "bad")])
    assert texts(data) == ["good", "bad"]
    assert told(data) == [("other columns", "other-columns", "6 characters in columns that are not taken: label")]


def test_a_usual_name_over_codes_is_not_believed():
    bought = [("INV-1", "Ada Lovelace", "Pump for the pond delivered"), ("INV-2", "Grace Hopper", "Two hoses")]
    (document,) = read(written([("document", "customer", "description"), *bought]))
    assert all(cell in document.text for row in bought for cell in row)
    long = [(*row[:2], PROSE) for row in bought]
    data = written([("document", "customer", "description"), *long])
    assert texts(data) == [PROSE, PROSE]
    assert told(data) == [
        ("other columns", "other-columns", "34 characters in columns that are not taken: document, customer")
    ]


def test_a_usual_name_is_not_believed_where_another_column_holds_more():
    rows = [(f"On ponds {n}", PROSE, f"{PROSE}. " * 60) for n in range(3)]
    assert texts(written([("title", "abstract", "fulltext"), *rows])) == [f"{row[1]}\n\n{row[2]}" for row in rows]
    # A short text of a usual name stands beside the prose that outweighs it.
    short = [("frogs came at night", PROSE) for _ in range(3)]
    assert texts(written([("text", "about_the_author"), *short])) == ["\n\n".join(row) for row in short]


def test_addresses_keys_and_paths_do_not_outweigh_a_short_text():
    row = ("good", "https://example.org/pages/a-good-one", "src/quire/documents/columns.py", "dGhlIGZyb2dzIGNhbWUgYXQ")
    assert texts(written([("text", "page", "path", "key"), *[row] * 3])) == ["good"] * 3
    code = ("for x in [0] * 9: (y[x:], z[x]) = (-x, {x: +x})", "kendryte", "MIT")
    assert texts(written([("content", "owner", "license"), *[code] * 3])) == [code[0]] * 3


@given(st.lists(st.tuples(WORDS, st.just(PROSE), WORDS, st.just(PROSE.upper())), min_size=2))
def test_every_character_with_letters_is_in_a_text_or_told(rows):
    rows = [(f"a{row[0]}", row[1], f"b{row[2]}", row[3]) for row in rows]
    *documents, left = read(written([("label", "question", "note", "answer"), *rows]))
    assert [document.text for document in documents] == [f"{row[1]}\n\n{row[3]}" for row in rows]
    count = sum(len(row[0]) + len(row[2]) for row in rows)
    assert left.detail == f"{count:,} characters in columns that are not taken: label, note"
    assert left.size == sum(len((row[0] + row[2]).encode()) for row in rows)


def test_rows_of_two_columns_of_prose_hold_both():
    documents = read(written([("question", "answer"), *[(PROSE, PROSE.upper())] * 3]))
    assert [document.text for document in documents] == [f"{PROSE}\n\n{PROSE.upper()}"] * 3
    assert {document.media_type for document in documents} == {'text/csv; column="question, answer"'}


def test_a_table_without_titles():
    documents = read(written([(n, PROSE) for n in range(3)]))
    assert len(documents) == 3
    assert documents[0].media_type == 'text/csv; column="2"'


@pytest.mark.parametrize(("rows", "said"), [(1, "1 row has no text there"), (2, "2 rows have no text there")])
def test_rows_without_text_are_told_in_words(rows, said):
    assert read("id,text\n1,words\n2,words\n" + "3,\n" * rows)[-1].detail == said


def test_rows_without_text_are_counted():
    *documents, left = read(written([("id", "text"), (1, "one"), (2, ""), (3, "three"), (4, "  ")]))
    assert [document.text for document in documents] == ["one", "three"]
    assert (left.rule, left.outcome) == ("empty", "dropped")
    assert left.detail.startswith("2 rows")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-8"])
def test_encodings(encoding):
    rows = [("id", "text"), *[(n, f"café number {n}, à la carte") for n in range(5)]]
    documents = read(written(rows).encode(encoding))
    assert [document.text for document in documents] == [row[1] for row in rows[1:]]


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_large_table_in_sixteen_bits(tmp_path, mark, encoding):
    # Its start ends behind the first byte of a line end, or between the two halves of an emoji.
    rows = [("id", "text"), *[(n, f"{PROSE}, {n} \U0001f30a") for n in range(SAMPLE // 150)]]
    path = tmp_path / "a.csv"
    path.write_bytes((mark + written(rows)).encode(encoding))
    assert path.stat().st_size > SAMPLE
    assert [document.text for document in read_file(path, "a.csv", DEFAULT)] == [text for _, text in rows[1:]]


def test_line_ends_of_old_programs_and_the_separator_line():
    assert [d.text for d in read(b"id,text\r1,one\r2,two\r")] == ["one", "two"]
    assert [d.text for d in read(b"id,text\r\n1,one\r\n2,two")] == ["one", "two"]
    assert [d.text for d in read(b"sep=!\r\nid!text\r\n1!one, two\r\n")] == ["one, two"]


def test_titles_over_no_row_give_no_text():
    for table in ("text", "id,text\n", "text\n\n\n"):
        with pytest.raises(DroppedFile, match="no-text: no row below the title 'text'"):
            read(table, settings=ReadSettings(text_column="text"))


def test_a_list_stays_a_list():
    (document,) = read("apple\nbanana\nJohn's, plural\n")
    assert document.text == "apple\nbanana\nJohn's, plural\n"


def test_a_lone_quote_costs_no_other_row():
    rows = "".join(f"{n},row {n}\n" for n in range(5000))
    documents = read(f'id,text\n0,"never closed\n{rows}')
    assert len(documents) == 5001
    assert documents[0].text.endswith("never closed")
    assert documents[5000].text == "row 4999"
    many = "".join(f'{n},"row {n}\n' for n in range(3001))
    documents = read(f"id,text\n{many}")
    assert len(documents) >= 3001 - 32  # two quotes of the first rows may close one another
    assert documents[-1].text.endswith("row 3000")


@pytest.mark.parametrize("blank", [0, 50])
def test_the_parsers_of_a_table_do_not_grow_with_its_rows(monkeypatch, blank):
    made = []

    class Counted:
        Error = csv.Error
        field_size_limit = staticmethod(csv.field_size_limit)

        @staticmethod
        def reader(source, **options):
            made.append([])
            return csv.reader((made[-1].append(line) or line for line in source), **options)

    monkeypatch.setattr("quire.documents.formats.table.csv", Counted)
    counts = []
    for rows in (1000, 4000):
        made.clear()
        documents = read("id,text\n" + "".join(f'{n},"row\n{n}"\n' + "\n" * blank for n in range(rows)))
        assert [document.text for document in documents] == [f"row\n{n}" for n in range(rows)]
        counts.append(len(made))
        assert max(map(len, made)) == 2 * rows + 1  # the empty lines come to none
    assert counts[0] == counts[1]


def test_a_million_columns():
    row = ",".join(map(str, range(1_000_000)))
    (document,) = read(f"{row}\n{row}\n")
    assert document.text.endswith("| 999999 |")


def test_nul_bytes_and_control_characters():
    with pytest.raises(DroppedFile, match="binary"):
        read(b"a,b\n1,\0\n")
    head = b"id,text\n" + b"1,some words%s\n" % (b"." * 500) * 9000
    *documents, last = read(head + b"2,a\0b\n")
    assert last.text == "a\ufffdb"
    assert len(documents) == 9000


def test_a_huge_table_is_read_row_by_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(written([("id", "text"), *[(n, f"row {n}") for n in range(2000)]]))
    settings = ReadSettings(max_file_bytes=5000)
    assert path.stat().st_size > 5000
    assert len(list(read_file(path, "a.csv", settings))) == 2000
    path.write_text(written([(n, n) for n in range(2000)]))
    with pytest.raises(DroppedFile, match="too-large"):
        list(read_file(path, "a.csv", settings))


def test_a_line_that_is_too_long_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"id,text\n1,one\n2,{'long ' * 2000}\n3,three\n")
    *documents, left = read_file(path, "a.csv", ReadSettings(max_file_bytes=5000))
    assert [document.text for document in documents] == ["one", "three"]
    assert isinstance(left, LeftOut)
    assert (left.rule, left.size) == ("too-large", 10_003)


SEED = written([("id", "text"), *[(n, f'words "{n}", and more\nlines') for n in range(9)]]).encode()


@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(max_size=3)), max_size=8), st.integers(0, len(SEED)))
@example([(108, b"\x1f\x8b"), (0, bytes(3))], 110)
def test_broken_tables_end_in_documents_or_a_rule(changes, cut):
    data = bytearray(SEED)
    for place, new in changes:
        data[place : place + 1] = new
    try:
        parts = read(bytes(data[cut:]) or b" ")
    except DroppedFile:
        return
    except ReadError:  # bytes that begin as something else, an archive say, are no table any more
        assert kind_of("a.csv", bytes(data[cut:])).reader != "table"
        return
    assert all(part.text if isinstance(part, Document) else part.detail for part in parts)
