"""The pages on sources tell the defaults that the settings have and the rules that the code has; each is listed."""

import re
from pathlib import Path

import pytest
from _checks.pages import DOCS, REPOSITORY

from quire.corpus.settings import IngestSettings
from quire.documents import languages

PAGES = sorted((DOCS / "sources").glob("*.md"))
KEY = re.compile(r"`((?:read|walk|filter|corpus|copies|pool)\.\w+)`")
SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def ids(page):
    return page.stem


def rows(markdown, title):
    """Yield the cells of the table in the section called `title`."""
    section = markdown.partition(f"## {title}\n")[2].partition("\n## ")[0]
    for line in section.split("\n"):
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def told(text):
    """Return the value that a cell tells."""
    number, _, unit = text.partition(" ")
    if text in ("true", "false"):
        return text == "true"
    if text == "none":
        return None
    return float(number.replace(",", "")) * SIZES.get(unit, 1)


def default(key):
    """Return the default of a setting such as `read.ocr`; nothing and an empty list are the same to a reader."""
    group, name = key.split(".")
    value = getattr(getattr(IngestSettings(), group), name)
    return None if value == () else value


def wrong_defaults(markdown):
    found = []
    for cells in rows(markdown, "Settings"):
        key = KEY.fullmatch(cells[0])
        if key and told(cells[1]) != default(key[1]):
            found.append((key[1], cells[1]))
    return found


def rules(markdown):
    """Return the names of rules in the last column of the table of what is left out."""
    return {name for cells in rows(markdown, "What is left out") for name in re.findall(r"`([\w-]+)`", cells[-1])}


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem not in ("index", "text")], ids=ids)
def test_defaults_are_those_of_the_settings(page):
    markdown = page.read_text("utf-8")
    assert list(rows(markdown, "Settings"))
    assert wrong_defaults(markdown) == []


def test_another_default_is_found():
    page = (DOCS / "sources" / "pdf.md").read_text("utf-8")
    assert "| `read.ocr_dpi` | 150 |" in page
    assert wrong_defaults(page.replace("| `read.ocr_dpi` | 150 |", "| `read.ocr_dpi` | 200 |")) == [
        ("read.ocr_dpi", "200")
    ]
    assert wrong_defaults(page.replace("| `read.ocr` | true |", "| `read.ocr` | false |")) == [("read.ocr", "false")]


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=ids)
def test_rules_are_those_of_the_code(page):
    code = "".join(file.read_text("utf-8") for file in (REPOSITORY / "src" / "quire").rglob("*.py"))
    settings = {name for group in IngestSettings() for name, _ in group[1]}
    found = rules(page.read_text("utf-8"))
    assert found
    assert [rule for rule in sorted(found - settings) if f'"{rule}"' not in code] == []


def test_every_page_is_listed_and_leads_on():
    index = (DOCS / "sources" / "index.md").read_text("utf-8")
    listed = set(re.findall(r"\]\((\w+\.md)\)", index))
    contents = set(index.partition("{toctree}")[2].split())
    for page in PAGES:
        if page.stem != "index":
            assert page.name in listed
            assert page.stem in contents


def test_the_number_of_languages_is_right():
    count = len(set(languages.BY_NAME.values()))
    for page in ("docs/sources/index.md", "docs/documents.md", "README.md", "CHANGELOG.md"):
        assert f"{count} languages" in Path(REPOSITORY / page).read_text("utf-8"), page
