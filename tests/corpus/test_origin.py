"""A corpus at a place that nobody named is replaced only by one of the same sources, or of more."""

import json
import os
import shutil

import pytest
from ingesting import contents, ingest_marked, make_tree

from fixtures.databases import notes
from quire.corpus.origin import NAME, check_origin
from quire.errors import QuireError, UsageError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project: a/papers, b/papers and the corpus of the first in corpora/papers."""
    project = tmp_path / "project"
    for name in ("a", "b"):
        make_tree(project / name / "papers", {"x.txt": f"text of {name}"})
    monkeypatch.chdir(project)
    ingest_marked("a/papers", "corpora/papers")
    return project


def test_the_same_sources_go_on_however_they_are_written(place):
    os.symlink(place / "a", place / "link")
    for source in ("a/papers", "a/papers/", place / "a/papers", "link/papers", "b/../a/papers"):
        check_origin([source], "corpora/papers", option="--out")
    check_origin(["b/papers", "a/papers"], "corpora/papers", option="--out")  # nothing is lost by one more


def test_another_source_is_refused_and_the_message_says_how_to_go_on(place):
    with pytest.raises(UsageError) as refused:
        check_origin(["b/papers"], "corpora/papers", option="--out")
    said = str(refused.value)
    assert f"was made of {place / 'a/papers'}, which" in said
    assert "--out corpora/papers to replace" in said
    ingest_marked("b/papers", "corpora/papers")  # whoever names the place means it
    check_origin(["b/papers"], "corpora/papers", option="--out")
    with pytest.raises(UsageError):
        check_origin(["a/papers"], "corpora/papers", option="--out")


def test_a_source_that_is_not_there_is_left_to_be_told_as_such(place):
    check_origin(["c/papers"], "corpora/papers", option="--out")
    check_origin(["a/papers", "sqlite:///none.db"], "corpora/papers", option="--out")


def test_one_source_less_is_refused(place):
    ingest_marked(["a/papers", "b/papers"], "corpora/papers")
    with pytest.raises(UsageError) as refused:
        check_origin(["a/papers"], "corpora/papers", option="--corpus")
    assert f"was made of {place / 'b/papers'}, which" in str(refused.value)
    assert "--corpus" in str(refused.value)


def test_a_project_that_moved_as_a_whole_is_the_same_and_one_that_was_copied_is_another(place, monkeypatch):
    shutil.copytree(place, place.with_name("copy"))
    monkeypatch.chdir(place.with_name("copy"))
    with pytest.raises(UsageError, match="project/a/papers"):
        check_origin(["a/papers"], "corpora/papers", option="--out")
    place.rename(place.with_name("gone"))
    check_origin(["a/papers"], "corpora/papers", option="--out")
    monkeypatch.chdir(place.with_name("gone"))
    check_origin(["a/papers"], "corpora/papers", option="--out")


def test_a_folder_that_moved_is_taken_where_the_place_is_named_and_nothing_is_read_again(place):
    (place / "a").rename(place / "c")
    with pytest.raises(UsageError):
        check_origin(["c/papers"], "corpora/papers", option="--out")
    assert ingest_marked("c/papers", "corpora/papers").files_read == 0
    check_origin(["c/papers"], "corpora/papers", option="--out")


def test_databases_are_told_by_their_address_without_what_is_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notes(tmp_path / "notes.db")
    ingest_marked("sqlite:///notes.db?table=notes&column=body", "out")
    check_origin([f"sqlite:///{tmp_path}/notes.db?column=body&table=notes"], "out", option="--out")
    with pytest.raises(UsageError, match=r"made of .*notes.db\?table=notes&column=body, which"):
        check_origin(["sqlite:///notes.db?table=notes&column=title"], "out", option="--out")


def test_no_server_user_or_password_is_written(tmp_path):
    from quire.corpus.origin import origins, write_origins

    address = "postgresql://{}@db.example.org:5432/library?table=notes&password={}&query_timeout=3"
    write_origins(tmp_path, origins([address.format("ada:spring", "autumn")], tmp_path))
    written = (tmp_path / NAME).read_text()
    assert "library" in written
    for word in ("ada", "spring", "autumn", "example", "5432"):
        assert word not in written
    check_origin([address.format("bob:winter", "summer")], tmp_path, option="--out")
    for other in (address.replace("db.", "dc."), address.replace("notes", "letters"), address.replace("5432", "5433")):
        with pytest.raises(UsageError, match="made of library, which"):
            check_origin([other.format("ada:spring", "autumn")], tmp_path, option="--out")


def test_what_a_first_run_has_read_is_not_taken_by_another_before_it_is_done(place, monkeypatch):
    def stop(step):
        if step.stage == "reading" and step.files:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_marked("b/papers", "corpora/first", progress=stop)
    with pytest.raises(UsageError, match="b/papers"):
        check_origin(["a/papers"], "corpora/first", option="--out")
    with pytest.raises(KeyboardInterrupt):  # the old corpus and its sources stay until the new one is there
        ingest_marked("b/papers", "corpora/papers", progress=stop)
    check_origin(["a/papers"], "corpora/papers", option="--out")


def test_where_nothing_was_kept_the_next_sources_are_welcome(tmp_path):
    folder = make_tree(tmp_path / "in", {"drop.bin": "drop this"})
    with pytest.raises(QuireError, match="no document was kept"):
        ingest_marked(folder, tmp_path / "out")
    check_origin([tmp_path], tmp_path / "out", option="--out")
    (folder / "drop.bin").unlink()
    make_tree(tmp_path / "other", {"a.txt": "text"})
    ingest_marked(tmp_path / "other", tmp_path / "out")
    with pytest.raises(QuireError, match="no files were found"):
        ingest_marked(folder, tmp_path / "out")
    check_origin([tmp_path / "other"], tmp_path / "out", option="--out")


def test_a_corpus_that_does_not_say_what_it_was_made_of_is_replaced_and_says_it_then(place):
    old = contents(place / "corpora/papers")
    for damage in (None, "", "{}", "[3]", '[{"path": 3}]', "[[]]"):
        (place / "corpora/papers" / NAME).unlink()
        if damage is not None:
            (place / "corpora/papers" / NAME).write_text(damage)
        check_origin(["b/papers"], "corpora/papers", option="--out")
        ingest_marked("a/papers", "corpora/papers")
        assert json.loads((place / "corpora/papers" / NAME).read_text())
        assert contents(place / "corpora/papers") == old
