"""What commands that write have in common."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from quire.inference.native.forward import _telling

SOURCE = """
import numba

def compile():
    return numba.njit("int64(int64)", cache=True)(after)

def after(number):
    return number + 1
"""


def fresh(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("steps", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_compiling_is_told_once_and_reading_from_the_cache_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "steps.py").write_text(SOURCE)
    told: list[int] = []
    for expected in (1, 1):
        with _telling(lambda: told.append(1)):
            assert fresh(tmp_path / "steps.py").compile()(1) == 2
        assert len(told) == expected
