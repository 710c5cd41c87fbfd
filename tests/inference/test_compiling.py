"""Laws of the compiler's cache: compiled once on a machine, told once, and never in the way."""

from __future__ import annotations

import gc
import importlib.util
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import pytest

from quire.inference.native.compiling import compiled, telling

SOURCE = """
def after(number):
    return number + 1
"""
SIGNATURE = "int64(int64)"


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Import a file anew and return its function, as a new process would."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setitem(sys.modules, "steps", ModuleType("steps"))
    path = tmp_path / "steps.py"
    path.write_text(SOURCE)

    def load() -> Any:
        gc.collect()  # what numba made of an earlier one must be gone, as it is in a new process
        spec = importlib.util.spec_from_file_location("steps", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["steps"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.after

    return load


def test_compiling_is_told_once_and_reading_from_the_cache_is_not(fresh: Callable[[], Any]) -> None:
    told: list[int] = []
    for expected in (1, 1):
        with telling(lambda: told.append(1)):
            assert compiled(fresh(), SIGNATURE)(1) == 2
        assert len(told) == expected


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda kept: b"",
    "cut in half": lambda kept: kept[: len(kept) // 2],
    "text": lambda kept: b"not what was kept",
    "another object": lambda kept: pickle.dumps([1, 2]),
    "a module that is gone": lambda kept: b"cgone.module\nname\n.",
}


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_anew(fresh: Callable[[], Any], tmp_path: Path, suffix: str, damage: str) -> None:
    assert compiled(fresh(), SIGNATURE)(1) == 2
    (kept,) = tmp_path.rglob(f"*{suffix}")
    kept.write_bytes(DAMAGES[damage](kept.read_bytes()))
    told: list[int] = []
    for _ in range(2):
        with telling(lambda: told.append(1)):
            assert compiled(fresh(), SIGNATURE)(1) == 2
        assert told == [1]


def test_no_room_for_the_cache_is_passed_over(fresh: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert compiled(fresh(), SIGNATURE)(1) == 2


def test_what_cannot_be_compiled_is_an_error() -> None:
    with pytest.raises(numba.core.errors.NumbaError):
        compiled(lambda number: number.missing, SIGNATURE)
