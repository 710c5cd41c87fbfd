"""An ingestion that is killed, or ended by Ctrl-C, and resumed is the one that was not, and does nothing twice."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ingesting import FILES, contents, ingest_marked, make_tree

from quire.corpus.store import Corpus
from quire.errors import FormatError

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import quire.corpus.publish as publish
from ingesting import ingest_marked
stage, left = sys.argv[4], int(sys.argv[5])
def count(*args):
    global left
    left -= 1
    if left <= 0:
        os.kill(os.getpid(), int(sys.argv[6]))
def progress(step):
    if step.stage == stage and step.files:
        count()
if stage == "publishing":
    replace = os.replace
    def counted(source, target):
        if str(target).startswith(sys.argv[3] + os.sep + "documents") or "manifest" in str(target):
            count()
        replace(source, target)
    publish.os.replace = counted
kept = {"shard_mb": 1, "trust_timestamps": False}  # what is known is known by content, however long this takes
ingest_marked(sys.argv[2], sys.argv[3], workers=1, progress=progress, corpus=kept)
"""


def ingest_until(folder, out, stage, count, signum=signal.SIGKILL):
    here = str(Path(__file__).parent)
    words = [here, str(folder), str(out), stage, str(count), str(int(signum))]
    return subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def large_tree(tmp_path_factory):
    files = FILES | {f"big/{number}.txt": f"{number} text " * 60_000 for number in range(4)}
    return make_tree(tmp_path_factory.mktemp("large"), files)


@pytest.fixture(scope="module")
def uninterrupted(large_tree, tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    ingest_marked(large_tree, out, corpus={"shard_mb": 1})
    assert len(list(out.glob("documents-*.parquet"))) == 2
    return contents(out)


@pytest.mark.parametrize(
    "moment",
    [("reading", 1), ("reading", 5), ("reading", 15), ("writing", 3), ("publishing", 1), ("publishing", 2)],
)
def test_killed_and_resumed_is_uninterrupted_and_redoes_nothing(
    large_tree, uninterrupted, tmp_path, monkeypatch, moment
):
    stage, count = moment
    log = tmp_path / "log"
    monkeypatch.setenv("MARKED_READER_LOG", str(log))
    assert ingest_until(large_tree, tmp_path / "out", stage, count).returncode == -signal.SIGKILL
    with pytest.raises(FormatError):
        Corpus.open(tmp_path / "out")
    before = Counter(log.read_text().split("\n"))
    log.write_text("")
    ingest_marked(large_tree, tmp_path / "out", corpus={"shard_mb": 1})
    again = [line for line in log.read_text().split("\n") if line in before and line]
    files = len([path for path in large_tree.rglob("*") if path.is_file()])
    # One file was being read, and perhaps finished but not recorded, when the kill came.
    assert len(again) <= 1
    assert len(again) == 0 or stage == "reading"
    assert len(log.read_text().split("\n")) - 1 <= files - (count if stage == "reading" else files)
    assert contents(tmp_path / "out") == uninterrupted
    assert not (tmp_path / "out" / ".new").exists()


def test_ctrl_c_leaves_the_old_corpus_and_what_was_read(tmp_path, monkeypatch):
    folder = make_tree(tmp_path / "in")
    ingest_marked(folder, tmp_path / "out", corpus={"shard_mb": 1})
    old = contents(tmp_path / "out")
    make_tree(folder, {f"new {number}.txt": f"new text {number}" for number in range(6)})
    done = ingest_until(folder, tmp_path / "out", "reading", 14, signal.SIGINT)  # 11 of 17 are known by content
    assert "KeyboardInterrupt" in done.stderr
    assert contents(tmp_path / "out") == old
    log = tmp_path / "log"
    monkeypatch.setenv("MARKED_READER_LOG", str(log))
    account = ingest_marked(folder, tmp_path / "out", corpus={"shard_mb": 1})
    assert account.files_read <= 3
    assert account.documents == old[3].documents + 6
