from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quire.documents.settings import WalkSettings
from quire.documents.walk import Found, walk
from quire.errors import UsageError

DEFAULT = WalkSettings()


def make(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, "utf-8")
    return root


def rules(found: list[Found]) -> dict[str, str | None]:
    return {one.source: one.rule for one in found}


NAMES = st.sampled_from(["a", "b", "ab", "a.txt", "b.py", "ab.log", "build", ".c", "ä", "x y", "[a]"])
FOLDERS = st.lists(st.sampled_from(["a", "b", "build", "sub"]), max_size=3)
FILES = st.lists(st.tuples(FOLDERS, NAMES), min_size=1, max_size=12)
SEGMENTS = st.sampled_from(
    ["a", "b", "*", "**", "a*", "*.py", "*.log", "build", "?b", "[ab]", "[!a]*", "sub", "ä", "x y", "\\[a]"]
)
PATTERNS = st.builds(
    lambda negated, rooted, parts, folder: f"{'!' * negated}{'/' * rooted}{'/'.join(parts)}{'/' * folder}",
    st.booleans(),
    st.booleans(),
    st.lists(SEGMENTS, min_size=1, max_size=3),
    st.booleans(),
)
LINES = st.lists(st.one_of(PATTERNS, st.sampled_from(["", "# a", "/", "\\#a", "a  ", "\\!a"])), max_size=6)
IGNORE_FILES = st.lists(st.tuples(FOLDERS, LINES), max_size=3)


def plant_where_free(
    root: Path, files: list[tuple[list[str], str]], ignores: list[tuple[list[str], list[str]]]
) -> None:
    wanted = [(root.joinpath(*folders, name), "/".join(folders)) for folders, name in files]
    wanted += [(root.joinpath(*folders, ".gitignore"), "\n".join(lines)) for folders, lines in ignores]
    for path, content in wanted:
        # A name that is a folder already, or a folder's name that is a file already, is passed over.
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")


@given(FILES, IGNORE_FILES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_every_file_is_met_once_in_order_with_its_size(
    files: list[tuple[list[str], str]], ignores: list[tuple[list[str], list[str]]]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        plant_where_free(root, files, ignores)
        found = list(walk([root], DEFAULT))
        there = {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()}
        assert {one.source: one.size for one in found} == there
        assert [one.source for one in found] == sorted(there, key=lambda source: source.split("/"))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle here")
@given(FILES, IGNORE_FILES)
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_ignores_what_git_ignores(
    files: list[tuple[list[str], str]], ignores: list[tuple[list[str], list[str]]]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        plant_where_free(root, files, ignores)
        ours = {one.source for one in walk([root], WalkSettings(hidden=True)) if one.rule == "ignored"}
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        subprocess.run(["git", "init", "-q", str(root)], check=True, env=environment)
        everything = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        everything = [path for path in everything if not path.startswith(".git/")]
        answer = subprocess.run(
            ["git", "-C", str(root), "check-ignore", "--no-index", "-z", "--stdin"],
            input="\0".join(everything).encode(),
            capture_output=True,
            check=False,
            env=environment,
        )
        assert answer.returncode in (0, 1), answer.stderr
        assert ours == set(filter(None, answer.stdout.decode().split("\0")))


def test_says_which_pattern_of_which_file_ignores(tmp_path: Path) -> None:
    make(tmp_path, "sub/secret.txt", "sub/open.txt")
    (tmp_path / "sub" / ".gitignore").write_text("# keep out\nsecret*\n")
    found = {one.source: one for one in walk([tmp_path], DEFAULT)}
    assert found["sub/secret.txt"].detail == "matches 'secret*' in sub/.gitignore"
    assert found["sub/open.txt"].rule is None


def test_all_that_is_below_an_ignored_or_hidden_folder_is_counted_and_left_out(tmp_path: Path) -> None:
    make(tmp_path, "out/deep/a.txt", "out/b.txt", ".git/objects/pack", "keep.txt")
    (tmp_path / ".gitignore").write_text("out/\n!out/b.txt\n")
    assert rules(list(walk([tmp_path], DEFAULT))) == {
        ".git/objects/pack": "hidden",
        ".gitignore": "hidden",
        "keep.txt": None,
        "out/b.txt": "ignored",
        "out/deep/a.txt": "ignored",
    }


def test_settings_switch_rules_off_and_add_patterns(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "b.log", ".c.txt")
    (tmp_path / ".gitignore").write_text("a.txt\n!b.log\n")
    taken = WalkSettings(gitignore=False, hidden=True, exclude=("*.log",))
    assert rules(list(walk([tmp_path], taken))) == {
        ".c.txt": None,
        ".gitignore": None,
        "a.txt": None,
        "b.log": "excluded",
    }
    # No .gitignore file takes back what the settings exclude.
    both = WalkSettings(exclude=("*.log",))
    assert rules(list(walk([tmp_path], both)))["b.log"] == "excluded"


def test_links_are_named_and_not_followed(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", "private.txt")
    root = make(tmp_path / "root", "sub/a.txt")
    (root / "sub" / "loop").symlink_to("..", target_is_directory=True)
    (root / "out").symlink_to(outside, target_is_directory=True)
    (root / "file").symlink_to(outside / "private.txt")
    (root / "dangling").symlink_to("nowhere")
    found = list(walk([root], DEFAULT))
    assert rules(found) == {"dangling": "link", "file": "link", "out": "link", "sub/a.txt": None, "sub/loop": "link"}
    assert all(one.size == 0 for one in found if one.rule == "link")


def test_a_root_may_be_a_link_a_hidden_folder_or_a_file(tmp_path: Path) -> None:
    make(tmp_path, ".hidden/a.txt", ".one")
    (tmp_path / "link").symlink_to(".hidden")
    assert rules(list(walk([tmp_path / "link"], DEFAULT))) == {"a.txt": None}
    assert rules(list(walk([tmp_path / ".hidden"], DEFAULT))) == {"a.txt": None}
    assert rules(list(walk([tmp_path / ".one"], DEFAULT))) == {".one": None}


def test_several_roots_carry_their_names_and_stay_apart(tmp_path: Path) -> None:
    make(tmp_path, "x/docs/a.txt", "y/docs/a.txt", "a.txt")
    roots = [tmp_path / "x" / "docs", tmp_path / "y" / "docs", tmp_path / "a.txt"]
    assert rules(list(walk(roots, DEFAULT))) == {"docs/a.txt": None, "docs (2)/a.txt": None, "a.txt": None}


def test_a_root_inside_another_is_walked_once_and_on_its_own_terms(tmp_path: Path) -> None:
    make(tmp_path, "build/a.txt", "build/b.txt", "c.txt")
    (tmp_path / ".gitignore").write_text("build/\n")
    found = list(walk([tmp_path, tmp_path / "build", tmp_path / "c.txt"], DEFAULT))
    taken = sorted(one.path.relative_to(tmp_path).as_posix() for one in found if one.rule is None)
    assert taken == ["build/a.txt", "build/b.txt", "c.txt"]
    assert len(found) == 4


@pytest.mark.parametrize("name", ["missing", "dangling"])
def test_a_source_that_is_not_there_is_an_error_before_anything_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match=name):
        walk([tmp_path, tmp_path / name], DEFAULT)


def test_the_same_source_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="given too"):
        walk([tmp_path, tmp_path / ".." / tmp_path.name], DEFAULT)


def test_pipes_are_special_and_names_that_are_not_utf8_stay_readable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt"), "w") as file:
        file.write("x")
    found = list(walk([tmp_path], DEFAULT))
    assert rules(found) == {"caf\\xe9.txt": None, "pipe": "special"}
    assert found[0].path.read_text() == "x"
    found[0].source.encode("utf-8")  # can be stored


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "z/b.txt")
    walking = walk([tmp_path], DEFAULT)
    assert next(walking).source == "a.txt"
    shutil.rmtree(tmp_path / "z")  # gone after the folder above was listed
    (gone,) = walking
    assert (gone.source, gone.rule, gone.size, gone.failed) == ("z", "unreadable", 0, True)


def test_a_folder_left_out_by_a_rule_has_that_rule_even_where_it_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.txt", ".cache/b.txt", "y/b.txt", "z/b.txt")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.path.basename(path) in (".cache", "y", "z"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = list(walk([tmp_path], WalkSettings(exclude=("y/",))))
    assert {met.source: (met.rule, met.failed) for met in found} == {
        ".cache": ("hidden", False),
        "a.txt": (None, False),
        "y": ("excluded", False),
        "z": ("unreadable", True),
    }
    assert "Permission denied" in str(found[-1].detail)
    (alone,) = walk([tmp_path / "z"], DEFAULT)
    assert (alone.source, alone.rule) == ("z", "unreadable")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "z/b.txt")
    (tmp_path / "z").chmod(0)
    found = list(walk([tmp_path], DEFAULT))
    (tmp_path / "z").chmod(0o700)
    assert rules(found) == {"a.txt": None, "z": "unreadable"}
    assert "Permission denied" in str(found[1].detail)


def test_depth_is_no_limit(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(400):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("x")
    assert [one.source for one in walk([tmp_path], DEFAULT)] == ["d/" * 400 + "a.txt"]


@given(st.sets(st.lists(st.sampled_from([b"\xff", b"\\", b"x", b"f", b"5", b"c", b"a"]), min_size=1).map(b"".join)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_two_names_become_one(names: set[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            with open(os.path.join(os.fsencode(folder), name), "w") as file:
                file.write("x")
        assert len({found.source for found in walk([Path(folder)], DEFAULT)}) == len(names)
