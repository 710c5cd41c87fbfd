"""For any tree of files, archives and mails the account closes; a corpus is the same for any workers and any reader."""

import dataclasses
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import contents, settings_with
from PIL import Image
from trees import NOTICE, SECRET, prose, put, tarred, zipped

from fixtures.pdfs import blank, pdf, printed, scanned
from quire.corpus.build import ingest
from quire.corpus.store import Corpus

snippets = st.one_of(
    st.integers(0, 3).map(lambda seed: prose(seed, 80)),
    st.integers(0, 3).map(lambda seed: prose(seed, 80) + " changed"),
    st.sampled_from(["", "x", "--", "page\n" * 30, SECRET, NOTICE.format(year=1) + "x = 1\n", NOTICE.format(year=2)]),
    st.integers(0, 1).map(lambda seed: f"{prose(seed, 60)}\n\n{prose(99, 200)}\n\n{prose(seed + 5, 60)}"),
    st.text(st.characters(codec="utf-8"), max_size=40),
)
names = st.sampled_from(["a.txt", "b.py", "c.md", "d/e.txt", "../up.txt", "/abs.txt", "f.csv", "g.html", "h.bin"])
files = st.dictionaries(names, snippets, max_size=4)
mails = snippets.map(
    lambda text: f"From: a@quire-mail.org\nSubject: words\nContent-Type: text/plain; charset=utf-8\n\n{text}"
)
archives = st.one_of(
    files.map(zipped), files.map(tarred), files.map(lambda held: zipped({"in.zip": zipped(held), **held}))
)
sheets = st.sampled_from([printed([prose(7, 8)]), scanned(Image.linear_gradient("L")), blank])
papers = st.lists(sheets, min_size=1, max_size=6).map(pdf)
trees = st.dictionaries(
    st.sampled_from(["1", "2", "3", "x/4", "x/5"]),
    st.one_of(
        st.tuples(st.sampled_from([".txt", ".py", ".md", ".csv"]), snippets),
        st.tuples(st.just(".eml"), mails),
        st.tuples(st.just(".zip"), archives),
        st.tuples(st.just(".pdf"), papers),
        st.tuples(st.just(".zip"), papers.map(lambda paper: zipped({"a.txt": "words", "b.pdf": paper}))),
        st.tuples(st.sampled_from([".zip", ".pdf"]), st.binary(max_size=30)),
    ),
    min_size=1,
    max_size=5,
)


@given(trees, st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=8, deadline=None)
def test_the_account_closes_in_files_bytes_members_and_characters_for_any_tree(tree, redact, once, deduplicate):
    with tempfile.TemporaryDirectory() as temporary:
        named = {f"{name}{end}": content for name, (end, content) in tree.items()}
        folder = put(Path(temporary) / "in", {"kept.txt": "something to keep here", **named})
        corpus = {"redact": redact, "license_once": once, "deduplicate": deduplicate}
        account = ingest(folder, Path(temporary) / "out", settings_with(corpus=corpus, read={"ocr": False}))
        there = [path for path in folder.rglob("*") if path.is_file()]
        ended = account.kept + account.dropped + account.failed
        assert (ended.files, ended.bytes) == (len(there), sum(path.stat().st_size for path in there))

        corpus = Corpus.open(Path(temporary) / "out")
        documents = [found.document for found in corpus.documents()]
        rows = list(corpus.files())
        members = [row for row in rows if row.member is not None]
        for outcome, tally in account.members.items():
            assert tally.files == sum(row.outcome == outcome for row in members)
        letters = account.characters
        assert letters.kept == sum(len(document.text) for document in documents)
        assert letters.read == sum(row.characters_read for row in rows if row.member is None)
        assert letters.kept == sum(row.characters for row in rows if row.member is None)
        gone = [*letters.left_out.values(), *letters.cut.values()]
        assert letters.read + letters.added == letters.kept + sum(part.characters for part in gone)
        kept_members = sum(row.documents for row in members)
        assert kept_members == sum(document.member is not None for document in documents)
        for row in rows:
            assert (row.outcome == "kept") == (row.documents > 0)
            assert row.outcome == "kept" or (row.rule and row.detail)
            if row.duplicate_of is not None:
                path, _, member = row.duplicate_of.partition("!")
                assert any(end.path == path and end.outcome == "kept" and end.member in (None, member) for end in rows)
        if redact:
            assert all("quire-mail.org" not in document.text for document in documents)


def test_what_recognition_would_have_read_is_told_where_it_is_off(tmp_path):
    letters, dots = printed(["These words are in it."]), scanned(Image.linear_gradient("L"))
    files = {"half.pdf": pdf([letters, dots, dots, blank, dots]), "dots.pdf": pdf([dots] * 3)}
    files |= {"old.zip": zipped({"half.pdf": pdf([dots, letters, letters]), "dots.pdf": files["dots.pdf"]})}
    account = ingest(put(tmp_path / "in", files), tmp_path / "out", settings_with(read={"ocr": False}))
    why = "no usable text layer, and recognition of text is off"
    told = {(row.path, row.member, row.size): (row.rule, row.detail) for row in Corpus.open(tmp_path / "out").files()}
    size = {name: len(content) for name, content in files.items()}
    assert {where: told[where] for where in told if told[where][0] is not None} == {
        ("dots.pdf", None, size["dots.pdf"]): ("not-recognised", f"no text on 3 pages: {why}"),
        ("half.pdf", "pages 2-3", 0): ("not-recognised", why),
        ("half.pdf", "page 5", 0): ("not-recognised", why),
        ("old.zip", "half.pdf!page 1", 0): ("not-recognised", why),
        ("old.zip", "dots.pdf", size["dots.pdf"]): ("not-recognised", f"no text on 3 pages: {why}"),
    }
    (rule,) = account.rules
    (members,) = account.member_rules
    assert (rule.rule, rule.files, rule.bytes) == ("not-recognised", 1, size["dots.pdf"])
    assert (members.rule, members.files, members.bytes) == ("not-recognised", 4, size["dots.pdf"])


def rows_of(out, table):
    base = sqlite3.connect(out / "manifest.sqlite")
    try:
        return base.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        base.close()


def test_one_worker_decides_as_three_do(tmp_path):
    files = {f"{n:02d}.txt": f"{prose(n % 5, 100)} {'more ' * (n % 3)}\n\n{prose(99, 200)}" for n in range(12)}
    files |= {f"{n}.py": NOTICE.format(year=n) + f"x = {n}\n" for n in range(4)}
    files["z.zip"] = zipped({"a.txt": prose(1, 100), "b.txt": SECRET})
    folder = put(tmp_path / "in", files)
    one = ingest(folder, tmp_path / "one", settings_with(workers=1, corpus={"redact": True}))
    ingest(folder, tmp_path / "three", settings_with(workers=3, corpus={"redact": True}))
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    for table in ("left_out", "edits", "secrets"):
        assert rows_of(tmp_path / "one", table) == rows_of(tmp_path / "three", table)
        assert rows_of(tmp_path / "one", table)
    assert dataclasses.replace(one, seconds=0, files_read=0) == contents(tmp_path / "one")[3]


def test_tables_are_one_format_whatever_their_columns_are_called(tmp_path):
    files = {f"{name}.csv": f"n,{name}\n1,{prose(n)}\n" for n, name in enumerate(("text", "body", "review"))}
    account = ingest(put(tmp_path / "in", files), tmp_path / "out", settings_with())
    assert {kind: share.documents for kind, share in account.formats.items()} == {"text/csv": 3}
    assert len({found.document.media_type for found in Corpus.open(tmp_path / "out").documents()}) == 3
    assert "column=" not in (tmp_path / "out" / "report.html").read_text()


# ---- as others see it -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    files = {"a.txt": prose(1), "b.py": "x = 1\n", "c.zip": zipped({"d.txt": SECRET})}
    ingest(put(folder / "in", files), folder / "out", settings_with())
    return Corpus.open(folder / "out")


def test_pandas_reads_the_corpus_as_it_lies(corpus):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(sorted(corpus.path.glob("*.parquet")))
    assert frame["text"].tolist() == [found.document.text for found in corpus.documents()]
    assert frame["member"].tolist()[-1] == "d.txt"


def test_duckdb_reads_the_corpus_as_it_lies(corpus):
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(
        f"SELECT source, language, spans[1].byte_end FROM '{corpus.path}/*.parquet' ORDER BY id"
    ).fetchall()
    assert rows[1] == ("b.py", "Python", 6)
    assert len(rows) == corpus.num_documents


def test_datasets_reads_the_corpus_as_it_lies(corpus, tmp_path):
    """By `datasets` itself where it is installed, else by the Arrow reader that it is made of."""
    paths = sorted(str(path) for path in corpus.path.glob("*.parquet"))
    try:
        import datasets
    except ImportError:
        import pyarrow.dataset

        texts = pyarrow.dataset.dataset(paths).to_table(columns=["text"]).column("text").to_pylist()
    else:
        texts = datasets.load_dataset("parquet", data_files=paths, split="train", cache_dir=str(tmp_path))["text"]
    assert list(texts) == [found.document.text for found in corpus.documents()]
