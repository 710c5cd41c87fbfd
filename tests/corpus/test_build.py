"""The laws of an ingestion: the account closes; killed and resumed, or with more workers, the corpus is the same."""

import dataclasses
import errno
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import FILES, contents, ingest_marked, make_tree, settings_with

from quire.corpus.build import ingest
from quire.corpus.store import Corpus
from quire.errors import QuireError, UsageError

names = st.text(st.sampled_from("abé .-_%"), min_size=1, max_size=6).filter(lambda name: name.strip(". "))
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
contents_of_files = st.one_of(
    st.sampled_from(["", "one text", "drop it", "damaged x", "locked x", "bug x", "blank", "surrogate", "crash"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)
trees = st.dictionaries(paths, contents_of_files, min_size=1, max_size=8)


@given(trees)
@settings(max_examples=12, deadline=None)
def test_the_account_closes_in_files_and_bytes_for_any_tree(tree):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "in"
        folder.mkdir()
        (folder / "kept.txt").write_text("something to keep")
        for name, text in tree.items():
            path = folder / name
            if not any(parent.is_file() for parent in path.parents) and not path.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode())
        there = [path for path in folder.rglob("*") if path.is_file()]
        account = ingest_marked(folder, Path(temporary) / "out", walk={"hidden": True})
        account.verify()
        ended = account.kept + account.dropped + account.failed
        assert account.found == ended
        assert ended.files == len(there)
        assert ended.bytes == sum(path.stat().st_size for path in there)
        corpus = Corpus.open(Path(temporary) / "out")
        kept = [row for row in corpus.files() if row.outcome == "kept" and row.member is None]
        assert sum(row.documents for row in kept) == corpus.num_documents == len(list(corpus.documents()))
        texts = [document.document.text for document in corpus.documents()]
        assert sum(len(text.encode()) for text in texts) == corpus.num_bytes
        assert len(set(texts)) == len(texts)
        assert all(row.rule and row.detail for row in corpus.files() if row.outcome != "kept")


def test_every_file_ends_with_its_reason(tmp_path):
    account = ingest_marked(make_tree(tmp_path / "in"), tmp_path / "out")
    ends = {
        (row.path, row.member): (row.outcome, row.rule, row.detail) for row in Corpus.open(tmp_path / "out").files()
    }
    assert ends["a.txt", None] == ("kept", None, None)
    assert ends["b/copy of a.txt", None] == ("dropped", "duplicate", "the same bytes as a.txt")
    assert ends["b/c/damaged.pdf", None] == ("failed", "damaged", "the cross-reference table is broken")
    assert ends["b/c/locked.pdf", None] == ("failed", "password", "it needs a password")
    assert ends["crash.pdf", None] == ("failed", "crashed", "the reader crashed with signal 11 (SIGSEGV)")
    assert ends["drop.bin", None] == ("dropped", "binary", "it says so")
    assert ends["empty text.txt", None][:2] == ("dropped", "no-text")
    assert ends["z.zip", None] == ("kept", None, None)
    assert ends["z.zip", "1.txt"] == ("dropped", "duplicate", "the same text as a.txt")
    assert ends["zz.zip", None] == ("dropped", "duplicate", "the same text as z.zip")
    assert account.duplicates == 4
    assert account.found.files == len(FILES)
    assert [failed.source for failed in account.failures] == ["b/c/damaged.pdf", "b/c/locked.pdf", "crash.pdf"]


def test_one_worker_makes_the_same_corpus_as_three(tmp_path):
    folder = make_tree(tmp_path / "in")
    ingest_marked(folder, tmp_path / "one", workers=1)
    ingest_marked(folder, tmp_path / "three", workers=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_without_deduplication_every_text_is_kept(tmp_path):
    folder = make_tree(tmp_path / "in")
    account = ingest_marked(folder, tmp_path / "out", corpus={"deduplicate": False})
    assert account.duplicates == 0
    assert account.documents == 9


def test_a_second_run_reads_only_what_changed(tmp_path, monkeypatch):
    folder = make_tree(tmp_path / "in")
    out = tmp_path / "out"
    assert ingest_marked(folder, out).files_read == len(FILES)
    first = contents(out)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != "readings.sqlite"}

    log = tmp_path / "log"
    monkeypatch.setenv("MARKED_READER_LOG", str(log))
    assert ingest_marked(folder, out).files_read == 0
    assert not log.exists()
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times

    # Touched, moved and copied files have the same content; a changed and a new one do not; a deleted one leaves.
    (folder / "a.txt").touch()
    (folder / "two.txt").rename(folder / "b" / "two.txt")
    (folder / "z.zip").unlink()
    # The same size and time as before: only the content tells.
    (folder / "b" / "long.txt").write_text("text " * 5000)
    os.utime(folder / "b" / "long.txt", ns=(10**18, 10**18))
    make_tree(folder, {"new.txt": "new text"})
    account = ingest_marked(folder, out)
    assert sorted(log.read_text().split("\n")) == ["", "b/long.txt", "new.txt"]
    assert account.files_read == 2
    assert contents(out) != first
    assert "z.zip" not in {row.path for row in Corpus.open(out).files()}

    ingest_marked(folder, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_copy_takes_the_place_of_a_deleted_original_without_being_read_again(tmp_path):
    folder = make_tree(tmp_path / "in")
    ingest_marked(folder, tmp_path / "out")
    (folder / "a.txt").unlink()
    assert ingest_marked(folder, tmp_path / "out").files_read == 0
    ends = {row.path: row.outcome for row in Corpus.open(tmp_path / "out").files()}
    assert ends["b/copy of a.txt"] == "kept"


def test_deleted_text_is_gone_from_every_file_of_the_corpus(tmp_path):
    folder = make_tree(tmp_path / "in", {"keep.txt": "something else", "secret.txt": "the secret word"})
    ingest_marked(folder, tmp_path / "out")
    (folder / "secret.txt").unlink()
    ingest_marked(folder, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").iterdir() if b"secret.txt" in path.read_bytes()]


def test_failures_by_a_limit_are_tried_again_under_another_one_and_others_on_request(tmp_path):
    folder = make_tree(tmp_path / "in", {"a.txt": "text", "hang.pdf": "hang now", "damaged.pdf": "damaged"})
    account = ingest_marked(folder, tmp_path / "out", seconds=0.5)
    assert {rule.rule for rule in account.rules} == {"time-limit", "damaged"}
    assert "took longer than 0.5 s" in [failed.detail for failed in account.failures]
    assert ingest_marked(folder, tmp_path / "out", seconds=0.5).files_read == 0
    account = ingest_marked(folder, tmp_path / "out", seconds=0.6)
    assert account.files_read == 1
    assert "took longer than 0.6 s" in [failed.detail for failed in account.failures]
    assert ingest_marked(folder, tmp_path / "out", seconds=0.6, corpus={"retry_failed": True}).files_read == 2


def test_what_is_measured_of_every_text_is_measured_again_when_that_changes(tmp_path):
    folder = make_tree(tmp_path / "in", {"a.txt": "text", "b.txt": "another"})
    ingest_marked(folder, tmp_path / "out")
    assert ingest_marked(folder, tmp_path / "out", copies={"min_words": 7}).files_read == 2


def test_a_folder_that_cannot_be_listed_has_failed(tmp_path, monkeypatch):
    folder = make_tree(tmp_path / "in", {"a.txt": "text", "shut/b.txt": "another"})
    scandir = os.scandir

    def refusing(path="."):
        if isinstance(path, str) and os.path.basename(path) == "shut":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    account = ingest_marked(folder, tmp_path / "out")
    assert (account.kept.files, account.dropped.files, account.failed.files) == (1, 0, 1)
    (failed,) = account.failures
    assert (failed.source, failed.rule) == ("shut", "unreadable")
    assert failed.detail == "a folder that cannot be listed: Permission denied"


def test_a_file_that_changes_while_it_is_read_fails_and_is_read_again(tmp_path):
    folder = make_tree(tmp_path / "in", {"a.txt": "text", "moving.txt": "change now"})
    account = ingest_marked(folder, tmp_path / "out")
    assert [(failed.source, failed.rule) for failed in account.failures] == [("moving.txt", "changed")]
    account = ingest_marked(folder, tmp_path / "out")
    assert account.failed.files == 0
    assert account.kept.files == 2


def test_without_readings_nothing_is_left_of_them_and_nothing_is_known(tmp_path):
    folder = make_tree(tmp_path / "in", {"a.txt": "text"})
    account = ingest_marked(folder, tmp_path / "out", corpus={"keep_readings": False})
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "documents-00000.parquet",
        "manifest.sqlite",
        "report.html",
        "report.json",
        "sources.json",
    ]
    again = ingest_marked(folder, tmp_path / "out", corpus={"keep_readings": False})
    assert again.fingerprint == account.fingerprint


def test_a_corpus_inside_its_source_never_eats_itself(tmp_path):
    folder = make_tree(tmp_path / "in")
    one = ingest_marked(folder, folder / "corpora" / "mine")
    two = ingest_marked(folder, folder / "corpora" / "mine")
    assert one.found == two.found
    assert one.found.files == len(FILES)
    # Another corpus there is met, and left out with a reason.
    other = ingest_marked(folder, folder / "corpora" / "other")
    assert other.fingerprint == one.fingerprint
    assert {rule.rule for rule in other.rules} >= {"quire-output"}


def test_the_fingerprint_changes_with_the_documents_and_with_nothing_else(tmp_path):
    folder = make_tree(tmp_path / "in")
    first = ingest_marked(folder, tmp_path / "out")
    make_tree(folder, {"more.bin": "drop this too"})
    assert ingest_marked(folder, tmp_path / "out").fingerprint == first.fingerprint
    make_tree(folder, {"a.txt": "one other text"})
    assert ingest_marked(folder, tmp_path / "out").fingerprint != first.fingerprint


def test_several_sources_and_single_files(tmp_path):
    make_tree(tmp_path / "x", {"a.txt": "from x"})
    make_tree(tmp_path / "y", {"a.txt": "from y"})
    make_tree(tmp_path, {"single.txt": "alone"})
    ingest_marked([tmp_path / "x", tmp_path / "y", tmp_path / "single.txt"], tmp_path / "out")
    sources = [document.document.source for document in Corpus.open(tmp_path / "out").documents()]
    assert sources == ["single.txt", "x/a.txt", "y/a.txt"]


def test_names_that_are_no_text_are_read_and_named(tmp_path):
    folder = make_tree(tmp_path / "in", {"a.txt": "text"})
    with open(os.fsencode(folder) + b"/caf\xe9.txt", "w", encoding="utf-8") as file:
        file.write("more text")
    account = ingest_marked(folder, tmp_path / "out")
    assert account.kept.files == 2
    assert all(row.path.isprintable() for row in Corpus.open(tmp_path / "out").files())


def test_wrong_words_are_said_before_anything_is_written(tmp_path):
    folder = make_tree(tmp_path / "in")
    with pytest.raises(UsageError, match="no such file"):
        ingest_marked(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(UsageError, match="is a file"):
        ingest_marked(folder, folder / "a.txt")
    for over in (folder, tmp_path):
        with pytest.raises(UsageError, match="lie over the source"):
            ingest_marked(folder, over)
    make_tree(tmp_path / "diary", {"monday.txt": "dear diary"})
    with pytest.raises(UsageError, match="something else"):
        ingest_marked(folder, tmp_path / "diary")
    with pytest.raises(UsageError, match="no folder was given"):
        ingest_marked([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_engine_that_is_not_installed_is_said_before_anything_is_done(tmp_path, monkeypatch):
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails, as where it is not installed
    folder = make_tree(tmp_path / "in")
    steps = []
    with pytest.raises(QuireError, match=r"needs Ray Data, which is not installed\..*pip install 'quire\[ray\]'"):
        ingest_marked(folder, tmp_path / "out", engine={"name": "ray"}, progress=steps.append)
    assert not steps
    assert not (tmp_path / "out").exists()


def test_nothing_found_or_nothing_kept_is_an_error_that_says_why(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(QuireError, match="no files were found"):
        ingest_marked(tmp_path / "in", tmp_path / "out")
    make_tree(tmp_path / "in", {"drop.bin": "drop this", "x.pdf": "locked"})
    with pytest.raises(QuireError, match=r"no document was kept of 2 files: .*binary.*password"):
        ingest_marked(tmp_path / "in", tmp_path / "out")


def test_when_nothing_is_left_the_old_corpus_stays(tmp_path):
    folder = make_tree(tmp_path / "in", {"a.txt": "text"})
    ingest_marked(folder, tmp_path / "out")
    old = contents(tmp_path / "out")
    (folder / "a.txt").unlink()
    with pytest.raises(QuireError, match="no files were found"):
        ingest_marked(folder, tmp_path / "out")
    assert contents(tmp_path / "out") == old


def test_a_full_disk_is_said_in_plain_words(tmp_path):
    folder = make_tree(tmp_path / "in", {"a.txt": "x" * 3_000_000})
    script = textwrap.dedent(
        """
        import resource, signal, sys
        sys.path.insert(0, sys.argv[1])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # a write past this fails, as on a full disk
        from quire.errors import QuireError
        from ingesting import ingest_marked
        try:
            ingest_marked(sys.argv[2], sys.argv[3])
        except QuireError as error:
            print(error)
        """
    )
    words = [str(Path(__file__).parent), str(folder), str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "out") in done.stdout
    assert "choose another place with --out" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said(tmp_path):
    folder = make_tree(tmp_path / "in")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(QuireError, match="ermission"):
        ingest_marked(folder, tmp_path / "locked" / "out")


def test_two_runs_do_not_write_one_corpus_at_once(tmp_path):
    folder = make_tree(tmp_path / "in")
    met = []

    def second(step):
        if step.stage == "writing" and not met:
            with pytest.raises(QuireError, match="another quire") as error:
                ingest_marked(folder, tmp_path / "out")
            met.append(error)

    ingest_marked(folder, tmp_path / "out", progress=second)
    assert met


def test_progress_counts_up_to_what_there_is(tmp_path):
    steps = []
    ingest_marked(make_tree(tmp_path / "in"), tmp_path / "out", progress=steps.append)
    assert list(dict.fromkeys(step.stage for step in steps)) == ["finding", "reading", "writing"]
    reading = [step for step in steps if step.stage == "reading"]
    assert [step.files for step in reading] == list(range(len(FILES) + 1))
    assert reading[-1].bytes == reading[-1].total_bytes == sum(len(text.encode()) for text in FILES.values())
    assert reading[-1].failed == 3


def test_the_real_readers_from_a_plain_call(tmp_path):
    folder = make_tree(
        tmp_path / "in", {"a.py": "def f():\n    return 1\n", "b.md": "# Title\n\nWords.\n", "c.txt": ""}
    )
    account = ingest(folder, tmp_path / "out", settings_with())
    assert account.kept.files == 2
    assert {rule.rule for rule in account.rules} == {"empty"}
    documents = [document.document for document in Corpus.open(tmp_path / "out").documents()]
    assert [document.text for document in documents] == ["def f():\n    return 1\n", "# Title\n\nWords.\n"]
    assert documents[0].language == "Python"
    assert dataclasses.astuple(account)[0] == (3, sum(path.stat().st_size for path in folder.iterdir()))
