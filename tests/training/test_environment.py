"""A run says with what and how it was started, each time, and gives no password away."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import quire
from quire.errors import FormatError, QuireError
from quire.training.config import RunConfig
from quire.training.environment import command_line, environment_path, read_starts, record_start


def test_each_start_is_a_line(
    tmp_path: Path, config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/quire", "train", "my notes", "--steps", "8"])
    first = record_start(tmp_path, config(), resumed=False)
    second = record_start(tmp_path, config(), resumed=True)
    assert read_starts(tmp_path) == [first, second]
    assert (first["resumed"], second["resumed"]) == (False, True)
    assert first["command"] == "quire train 'my notes' --steps 8"
    assert first["torch"] == torch.__version__
    assert first["quire"] == quire.__version__
    assert first["threads"] == torch.get_num_threads()
    assert first["gflops"] > 0
    assert first["processes"] == 1
    assert record_start(tmp_path, config(), resumed=True, processes=4)["processes"] == 4
    third = record_start(tmp_path, config(), resumed=False)  # the run was replaced
    assert read_starts(tmp_path) == [third]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/x/quire/__main__.py", "train", "a"], "quire train a"),
        (["quire", "train", "postgresql://ann:se/cret@db:5432/notes?table=t"], "//…@db:5432/notes"),
        (["quire", "train", "postgresql://ann:secret@db/notes"], "//…@db/notes"),
        (["quire", "train", "mysql://db/notes?user=ann&password=secret&table=t"], "password=…&table=t"),
        (["quire", "train", "a", "--set", "read.password=secret"], "read.password=…"),
        ([], ""),
    ],
)
def test_passwords_do_not_reach_the_record(words: list[str], told: str) -> None:
    line = command_line(words)
    assert told in line
    assert "secret" not in line.replace("…", "")
    assert "se/cret" not in line


def test_a_line_cut_off_by_a_kill_is_passed_over_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    assert read_starts(tmp_path) == []
    path = environment_path(tmp_path)
    path.parent.mkdir()
    path.write_text(json.dumps({"date": "1"}) + '\n{"date": ')
    assert read_starts(tmp_path) == [{"date": "1"}]
    path.write_text('{"da\n{"date": "1"}\n')
    with pytest.raises(FormatError, match="line 1 is not JSON"):
        read_starts(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, config: Callable[..., RunConfig]) -> None:
    (tmp_path / "quire").write_text("a file")
    with pytest.raises(QuireError, match="quire"):
        record_start(tmp_path, config(), resumed=False)
