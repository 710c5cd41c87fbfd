"""Every law on the page of the engine names a test that is there, and every law that is tested is on the page."""

import ast
import re
from pathlib import Path

import pytest
from _checks.pages import DOCS, REPOSITORY

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LAWS = sorted(set(NAMED.findall((DOCS / "engine.md").read_text("utf-8"))))


def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize(("file", "test"), LAWS, ids=[test for _, test in LAWS])
def test_a_law_names_a_test_that_is_there(file: str, test: str) -> None:
    assert test in names_in(REPOSITORY / file)


def test_every_tested_law_is_on_the_page() -> None:
    file = "tests/inference/test_laws.py"
    assert {test for name, test in LAWS if name == file} == names_in(REPOSITORY / file)


def test_every_row_of_the_table_names_a_test() -> None:
    rows = (DOCS / "engine.md").read_text("utf-8").partition("\n| law |")[2].split("\n\n")[0].splitlines()[2:]
    assert len(rows) >= 20
    assert all(NAMED.search(row) for row in rows)
