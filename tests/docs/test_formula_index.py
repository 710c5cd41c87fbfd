"""The index of formulas names what exists, and everything in quire.scratch that computes something."""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import quire.scratch

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "learn" / "formulas.md"
MARKDOWN = PAGE.read_text("utf-8")
NAME = re.compile(r"`(quire\.[\w.]+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ENTRY = re.compile(r"^\*\*(?P<title>[^*]+)\*\*\n(?P<body>.*?)(?=^\*\*|^#|\Z)", re.MULTILINE | re.DOTALL)


def resolve(name):
    """Return what a dotted name stands for: the longest part that is a module is imported, the rest looked up."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[length:], found)
    raise ModuleNotFoundError(name)


def unknown_names(markdown):
    """Return the names on a page that stand for nothing, or for a module only."""
    unknown = []
    for name in sorted(set(NAME.findall(markdown))):
        try:
            found = resolve(name)
        except (AttributeError, ModuleNotFoundError):
            unknown.append(name)
        else:
            if inspect.ismodule(found) and name != "quire.scratch":
                unknown.append(name)
    return unknown


def unknown_tests(markdown):
    """Return the tests on a page that are no function of the file that they are said to be in."""
    unknown = []
    for file, test in sorted(set(TEST.findall(markdown))):
        path = REPOSITORY / file
        functions = (
            {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}
            if path.exists()
            else set()
        )
        if test not in functions or not test.startswith("test_"):
            unknown.append(f"{file}::{test}")
    return unknown


def computing():
    """Return the dotted name of every public function of quire.scratch, and of every public method of its classes.

    Left out: `explain`, which shows and computes nothing of its own; what a class inherits; and classes that only hold
    data or say what others must be able to do, which have no methods with a body of their own.
    """
    names = set()
    for module in pkgutil.iter_modules(quire.scratch.__path__, "quire.scratch."):
        if module.ispkg:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.name:
                continue
            if inspect.isfunction(value):
                names.add(f"{module.name}.{name}")
            elif inspect.isclass(value) and not getattr(value, "_is_protocol", False) and not hasattr(value, "_fields"):
                names |= {
                    f"{module.name}.{name}.{method}"
                    for method, body in vars(value).items()
                    if not method.startswith("_")
                    and isinstance(body, (property, classmethod)) | inspect.isfunction(body)
                }
    return names


def unnamed(markdown):
    """Return what quire.scratch computes and a page does not name. A class that is named stands for its methods."""
    named = set(NAME.findall(markdown))
    classes = {name for name in named - set(unknown_names(markdown)) if inspect.isclass(resolve(name))}
    return sorted(name for name in computing() if name not in named and name.rpartition(".")[0] not in classes)


def test_every_function_that_is_named_exists():
    assert unknown_names(MARKDOWN) == []


def test_every_test_that_is_named_exists():
    assert unknown_tests(MARKDOWN) == []


def test_everything_that_scratch_computes_is_named():
    assert len(computing()) > 60
    assert unnamed(MARKDOWN) == []


@pytest.mark.parametrize("entry", list(ENTRY.finditer(MARKDOWN)), ids=lambda entry: entry["title"])
def test_every_formula_is_shown_and_has_code_and_a_test(entry):
    body = entry["body"]
    assert body.count("$$") == 2
    assert NAME.search(body), "no function computes it"
    assert TEST.search(body), "no test holds it"
    for line in body.split("\n- by hand:")[1:]:
        by_hand = NAME.findall(line.split("\n- ")[0])
        assert by_hand
        assert all(name.startswith("quire.scratch.") for name in by_hand)


def test_every_chapter_is_in_the_index():
    chapters = {page.name for page in PAGE.parent.glob("*.md")} - {"index.md", PAGE.name}
    assert set(re.findall(r"^Chapter: \[[^]]+\]\(([^)]+)\)", MARKDOWN, re.MULTILINE)) == chapters


def test_what_does_not_exist_is_found():
    page = (
        "`quire.scratch.losses.cross_entropy` `quire.scratch.losses.cross_entropi` `quire.scratch.losses`"
        " `quire.nowhere.at_all` `tests/scratch/test_losses.py::test_that_is_not_there` `tests/none.py::test_x`"
        " `tests/scratch/test_losses.py::test_nothing_overflows_far_out`"
    )
    assert unknown_names(page) == ["quire.nowhere.at_all", "quire.scratch.losses", "quire.scratch.losses.cross_entropi"]
    assert unknown_tests(page) == ["tests/none.py::test_x", "tests/scratch/test_losses.py::test_that_is_not_there"]
    missing = unnamed(page)
    assert "quire.scratch.losses.cross_entropy" not in missing
    assert "quire.scratch.losses.mean_squared_error" in missing
    assert "quire.scratch.neuron.Neuron.products" in missing
    assert "quire.scratch.attention.AttendKept" not in missing
