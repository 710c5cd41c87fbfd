"""Runs every ```python block of docs/*.md and README.md, in order, a page at a time, inside a temporary folder.

Loaded by `pytest docs README.md`. The collector is registered as a plugin, because hooks of a conftest.py reach only
files beside and below it, and README.md lies above.
"""

import os
import tempfile
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

REPOSITORY = Path(__file__).resolve().parent.parent


def enter_temporary_folder(namespace):
    namespace["_left"] = Path.cwd()
    namespace["_folder"] = tempfile.TemporaryDirectory()
    os.chdir(namespace["_folder"].name)


def leave_temporary_folder(namespace):
    os.chdir(namespace["_left"])
    namespace["_folder"].cleanup()


class Pages:
    """A plugin that collects the pages."""

    pytest_collect_file = staticmethod(
        Sybil(
            parsers=[PythonCodeBlockParser()],
            path=str(REPOSITORY),
            patterns=["docs/*.md", "README.md"],
            setup=enter_temporary_folder,
            teardown=leave_temporary_folder,
        ).pytest()
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Pages(), "pages-of-the-documentation")
