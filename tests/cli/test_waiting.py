"""Threads wait without holding a core where other programs need it, and only there."""

import os

import pytest

from quire.cli import waiting
from quire.cli.waiting import SET_BY_USER, SHORT_WAIT, wait_kindly


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A process that has not loaded torch, on four cores."""
    monkeypatch.delitem(waiting.sys.modules, "torch", raising=False)
    monkeypatch.setattr(waiting.psutil, "cpu_count", lambda: 4)
    for name in SET_BY_USER:
        monkeypatch.setenv(name, "")  # so that what a test sets is undone
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("percent", "told"), [(0.0, None), (6.0, None), (6.3, "0.3 of the 4"), (80.0, "3.2 of the 4")])
def test_only_where_others_need_the_cores(percent, told, monkeypatch):
    monkeypatch.setattr(waiting.psutil, "cpu_percent", lambda seconds: percent)
    text = wait_kindly()
    assert (text is None) == (told is None)
    assert told is None or told in text
    assert os.environ.get("GOMP_SPINCOUNT") == (None if told is None else SHORT_WAIT)


@pytest.mark.parametrize("name", SET_BY_USER)
def test_what_the_user_set_stays(name, monkeypatch):
    monkeypatch.setenv(name, "active")
    monkeypatch.setattr(waiting.psutil, "cpu_percent", lambda seconds: 100.0)
    assert wait_kindly() is None
    assert (os.environ[name], os.environ.get("GOMP_SPINCOUNT", "active")) == ("active", "active")


def test_too_late_once_torch_is_loaded(monkeypatch):
    monkeypatch.setitem(waiting.sys.modules, "torch", object())
    monkeypatch.setattr(waiting.psutil, "cpu_percent", lambda seconds: 100.0)
    assert wait_kindly() is None
    assert "GOMP_SPINCOUNT" not in os.environ
