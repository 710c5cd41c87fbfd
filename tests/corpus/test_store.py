"""What was kept comes back exactly, one by one and in order; what is not a whole corpus is refused."""

import json
import sqlite3

import pyarrow.parquet as pq
import pytest
from ingesting import ingest_marked, make_tree

from quire.corpus import shards
from quire.corpus.shards import SCHEMA, ShardWriter, read_around, read_shard
from quire.corpus.store import Corpus
from quire.documents.document import Document, Span
from quire.errors import FormatError, QuireError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    ingest_marked(make_tree(folder / "in"), folder / "out")
    return Corpus.open(folder / "out")


def test_each_document_is_the_one_of_its_number(corpus):
    in_order = list(corpus.documents())
    assert [document.id for document in in_order] == list(range(corpus.num_documents))
    assert [corpus.document(document.id) for document in reversed(in_order)] == [d.document for d in reversed(in_order)]
    with pytest.raises(QuireError, match="no document"):
        corpus.document(corpus.num_documents)
    with pytest.raises(QuireError, match="no document"):
        corpus.document(-1)


def test_documents_keep_everything_the_reader_said(corpus):
    first = corpus.document(0)
    assert first.text == "one text"
    assert first.pages == (Span(0, 8, page=1, byte_start=0, byte_end=8),)
    assert (first.source, first.media_type, first.language, first.ocr_confidence) == (
        "a.txt",
        "text/x-test",
        "Test",
        0.5,
    )


def test_the_manifest_points_from_files_to_their_documents(corpus):
    for row in corpus.files():
        for identity in range(row.first_document or 0, (row.first_document or 0) + row.documents):
            assert corpus.document(identity).source == row.path
            assert row.member is None or corpus.document(identity).member == row.member


def test_any_program_can_read_the_parquet_files(corpus):
    table = pq.read_table(corpus.path / "documents-00000.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.column("id").to_pylist() == list(range(corpus.num_documents))
    assert table.column("text")[0].as_py() == "one text"


def test_shards_and_row_groups_do_not_change_what_is_read(tmp_path, monkeypatch):
    documents = [Document(f"text {number} " * 20, f"{number}", "text/plain", "") for number in range(40)]
    monkeypatch.setattr(shards, "GROUP_ROWS", 3)
    prints = set()
    for shard_bytes in (1, 2000, 10**9):
        folder = tmp_path / str(shard_bytes)
        folder.mkdir()
        writer = ShardWriter(folder, shard_bytes)
        assert [writer.add(document) for document in documents] == list(range(40))
        writer.finish()
        prints.add(writer.fingerprint)
        rows = [row for shard in writer.shards for row in read_shard(folder / shard.name)]
        assert rows == list(enumerate(documents))
        for shard in writer.shards:
            for row in range(shard.documents):
                assert dict(read_around(folder / shard.name, row))[shard.first + row] == documents[shard.first + row]
    assert len(prints) == 1
    assert len(list((tmp_path / "1").iterdir())) == 40


def test_what_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no such folder"):
        Corpus.open(tmp_path / "nothing")
    with pytest.raises(FormatError, match="no corpus is in this folder"):
        Corpus.open(tmp_path)
    (tmp_path / "manifest.sqlite").write_text("this is no database")
    with pytest.raises(FormatError, match="cannot be read"):
        Corpus.open(tmp_path)
    with pytest.raises(FormatError, match="a file, where a folder is needed"):
        Corpus.open(tmp_path / "manifest.sqlite")


def test_a_corpus_that_lost_something_is_refused_and_the_next_run_mends_it(tmp_path):
    folder, out = make_tree(tmp_path / "in"), tmp_path / "out"
    ingest_marked(folder, out)
    shard = out / "documents-00000.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    with pytest.raises(FormatError, match="cut short"):
        Corpus.open(out)
    assert ingest_marked(folder, out).files_read == 0
    assert shard.read_bytes() == whole
    base = sqlite3.connect(out / "manifest.sqlite")
    base.execute("UPDATE meta SET value='99' WHERE key='version'")
    base.commit()
    base.close()
    with pytest.raises(FormatError, match="format 99"):
        Corpus.open(out)


def test_the_report_says_what_the_account_says(corpus):
    values = json.loads((corpus.path / "report.json").read_text("utf-8"))
    account = corpus.account()
    assert values["account"] == json.loads(json.dumps(account.as_dict()))
    assert values["settings"]["pool"]["workers"] == 1
