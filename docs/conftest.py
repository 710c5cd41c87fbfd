"""Executes every page of docs and README.md, in order, a page at a time, each in a temporary folder.

`pytest docs README.md` runs ```python blocks and compares what they print with the ```text block after them, runs
`$ quire learn …` and `$ quire plan --params …` in ```console blocks, writes ```toml blocks that begin with
`# file: NAME`, and compares the `<!-- computed: EXPRESSION -->` regions. The collector is registered as a plugin,
because hooks of a conftest.py reach only files beside and below it, and README.md lies above.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sybil import Document, Example, Region, Sybil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from _checks.pages import REPOSITORY, parts  # noqa: E402
from _checks.running import PageRun  # noqa: E402

RUN = "_run"


def parse(document: Document) -> Iterable[Region]:
    for part in parts(document.text):
        yield Region(part.start, part.end, part, evaluate)


def evaluate(example: Example) -> str | None:
    run = example.namespace[RUN]
    run.page = Path(example.path)
    problem: str | None = run.problem(example.parsed)
    return problem


def enter(namespace: dict[str, Any]) -> None:
    namespace[RUN] = PageRun(REPOSITORY, namespace).__enter__()


def leave(namespace: dict[str, Any]) -> None:
    namespace[RUN].__exit__()


class Pages:
    """A plugin that collects the pages."""

    pytest_collect_file = staticmethod(
        Sybil(
            parsers=[parse],
            path=str(REPOSITORY),
            patterns=["docs/*.md", "docs/*/*.md", "README.md"],
            excludes=["docs/_*/*.md"],
            setup=enter,
            teardown=leave,
        ).pytest()
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Pages(), "pages-of-the-documentation")
