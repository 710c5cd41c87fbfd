"""`quire ingest`: the account on stdout, progress on stderr, exit codes as promised."""

import json
import os
import signal
import subprocess
import sys
import zipfile

import psutil
import pytest
from typer.testing import CliRunner

from quire.cli.main import app
from quire.corpus.store import Corpus


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "papers"
    (folder / "code").mkdir(parents=True)
    (folder / "note.md").write_text("# A note\n\nWith words.\n")
    (folder / "code" / "f.py").write_text("def f():\n    return 1\n")
    (folder / "copy.md").write_text("# A note\n\nWith words.\n")
    (folder / "blob.bin").write_bytes(bytes(range(256)))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    return folder


def quire(*words):
    return CliRunner().invoke(app, ["ingest", *map(str, words)])


def test_a_folder_becomes_a_corpus_of_its_name_and_the_account_is_printed(folder, tmp_path):
    result = quire(folder, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert Corpus.open(tmp_path / "corpora" / "papers").num_documents == 2
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["found", "5", str(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())), "B"] in lines
    assert ["=", "kept", "2"] in [line[:3] for line in lines]
    assert ["+", "dropped", "2"] in [line[:3] for line in lines]
    assert ["+", "failed", "1"] in [line[:3] for line in lines]
    assert "the same bytes as copy.md" in result.stdout
    assert "Reading" in result.stderr
    assert "Reading" not in result.stdout


def test_json_is_one_object_and_nothing_else(folder, tmp_path):
    result = quire(folder, "--out", "c", "--json", "--workers", 1)
    values = json.loads(result.stdout)
    account = values["account"]
    assert values["corpus"] == "c"
    assert account["found"]["files"] == sum(account[end]["files"] for end in ("kept", "dropped", "failed")) == 5
    again = json.loads(quire(folder, "--out", "c", "--json", "--workers", 1).stdout)["account"]
    assert again["files_read"] == 0
    assert again["fingerprint"] == account["fingerprint"]


def test_the_corpus_of_another_folder_of_the_same_name_is_not_replaced_unasked(folder, tmp_path):
    assert quire(folder, "--workers", 1).exit_code == 0
    other = tmp_path / "other" / "papers"
    other.mkdir(parents=True)
    (other / "a.txt").write_text("Other words.")
    refused = quire(other, "--workers", 1)
    assert refused.exit_code == 2
    assert f"corpora/papers: the corpus here was made of {folder}, which" in refused.stderr
    assert Corpus.open(tmp_path / "corpora" / "papers").num_documents == 2
    assert json.loads(quire(folder, "--json", "--workers", 1).stdout)["account"]["files_read"] == 0
    assert quire(other, "--workers", 1, "--out", "corpora/papers").exit_code == 0
    assert Corpus.open(tmp_path / "corpora" / "papers").num_documents == 1
    assert quire(other, "--workers", 1).exit_code == 0


def test_secrets_are_counted_and_masked_when_asked_and_members_are_in_the_sum(folder, tmp_path):
    (folder / "mail.txt").write_text("Write to jane.doe@quire-mail.org at once.")
    with zipfile.ZipFile(folder / "held.zip", "w") as archive:
        archive.writestr("in.txt", "words of a member")
        archive.writestr("empty.txt", "")
    printed = quire(folder, "--out", "c", "--workers", 1).stdout
    assert "Secrets found, --redact masks them: 1 email in 1 file" in printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["=", "kept", "4"] in [line[:3] for line in lines]
    assert ["17", "B"] in [line[-2:] for line in lines if line[:2] == ["=", "kept"]]
    assert ["dropped", "empty", "1", "0", "B", "held.zip!empty.txt:", "0", "bytes"] in lines
    printed = quire(folder, "--out", "c", "--workers", 1, "--redact").stdout
    assert "Secrets masked: 1 email in 1 file" in printed
    assert "23 redacted (1 place)" in printed
    texts = [document.document.text for document in Corpus.open(tmp_path / "c").documents()]
    assert "Write to [email] at once." in texts


def test_set_reaches_every_group(folder, tmp_path):
    sets = ["walk.exclude=['code/']", "read.max_file_bytes=25", "pool.seconds=9", "corpus.deduplicate=false"]
    words = [word for text in sets for word in ("--set", text)]
    result = quire(folder, "--out", "c", "--json", "--workers", 1, "--no-ocr", *words)
    account = json.loads(result.stdout)["account"]
    rules = {(rule["outcome"], rule["rule"]): rule["files"] for rule in account["rules"]}
    assert rules == {("dropped", "excluded"): 1, ("dropped", "too-large"): 1, ("failed", "damaged"): 1}
    assert account["documents"] == 2
    settings = json.loads((tmp_path / "c" / "report.json").read_text())["settings"]
    assert settings["pool"] == {"workers": 1, "seconds": 9.0, "memory_mb": 4096}
    assert settings["read"]["ocr"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no such file or folder"),
        (["https://example.org/page.html"], "Save what is there as a file, and give its path"),
        (["papers", "nowhere", "--json"], "no such file or folder"),
        (["papers", "--out", "papers/note.md"], "a corpus is a folder"),
        (["papers", "--set", "pool.threads=3"], "unknown key 'pool.threads'"),
        (["papers", "--set", "read.max_pages=0"], "read.max_pages = 0"),
        (["papers", "--workers", "-1"], "pool.workers = -1"),
        (["papers", "--set", "oops"], "key.subkey=value"),
    ],
)
def test_wrong_words_exit_2_and_say_what_is_wrong(folder, words, said):
    result = quire(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not result.stdout


def test_nothing_kept_exits_1_with_the_reasons(folder, tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "blob.bin").write_bytes(bytes(256))
    result = quire("blobs", "--workers", 1)
    assert result.exit_code == 1
    assert "no document was kept of 1 file: 1 dropped (binary: blob.bin)" in result.stderr
    assert "0 documents, 0 B of text; 1 file read" in " ".join(result.stdout.split())
    assert ["+", "dropped", "1", "256", "B"] in [line.split() for line in result.stdout.splitlines()]


def test_nothing_kept_is_one_json_object_too(folder, tmp_path):
    (tmp_path / "blobs").mkdir()
    for files in (0, 1):
        result = quire("blobs", "--workers", 1, "--json")
        assert result.exit_code == 1
        values = json.loads(result.stdout)
        assert values["corpus"] is None
        assert values["account"]["found"]["files"] == values["account"]["dropped"]["files"] == files
        assert ("no document was kept" if files else "no files were found in blobs") in result.stderr
        (tmp_path / "blobs" / "blob.bin").write_bytes(bytes(256))


def test_ctrl_c_exits_130_leaves_no_worker_and_the_next_run_goes_on(folder, tmp_path):
    for number in range(300):
        (folder / f"{number}.txt").write_text(f"text number {number} " * 50)
    words = [sys.executable, "-m", "quire", "ingest", str(folder), "--out", "c", "--workers", "2", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    readings = tmp_path / "c" / "readings.sqlite-wal"
    while process.poll() is None and not (readings.exists() and readings.stat().st_size > 100_000):
        os.sched_yield()
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal sends: to the whole group
    stdout, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert "What was read is kept" in stderr
    assert "Traceback" not in stderr
    assert not stdout
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    result = quire(folder, "--out", "c", "--json", "--workers", 1)
    account = json.loads(result.stdout)["account"]
    assert account["documents"] == 302


def test_the_help_names_every_option_with_its_sentence():
    result = CliRunner().invoke(app, ["ingest", "--help"])
    assert result.exit_code == 0
    for word in ("--out", "--workers", "--no-ocr", "--set", "--json", "one for"):
        assert word in result.stdout
