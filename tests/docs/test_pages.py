"""Blocks of pages are found, executed, compared with what the page shows, and refreshed."""

import os
from pathlib import Path

import pytest
from _checks import pages
from _checks.running import PageRun
from markdown_it import MarkdownIt
from refresh import refreshed

MARKDOWN = MarkdownIt("commonmark")


def problems(markdown, page=Path("/page.md")):
    with PageRun(page) as run:
        return [found for part in pages.parts(markdown) if (found := run.problem(part))]


def refresh(tmp_path, markdown):
    page = tmp_path / "page.md"
    page.write_text(markdown, "utf-8")
    return refreshed(page)


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(pages.REPOSITORY)))
def test_every_fenced_block_is_found_and_has_a_language_that_is_known(page):
    markdown = page.read_text("utf-8")
    drawn = [(token.map[0] + 1, token.info.strip()) for token in MARKDOWN.parse(markdown) if token.type == "fence"]
    found = [(block.line, block.language) for block in pages.fences(markdown)]
    assert found == drawn, "what is found to execute is not what is drawn as a block"
    unknown = [
        f"line {line}: {language or 'no language'}"
        for line, language in drawn
        if language.split(" ")[0] not in pages.LANGUAGES | pages.DIRECTIVES
    ]
    assert not unknown, unknown


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(pages.REPOSITORY)))
def test_every_python_block_and_learn_command_is_executed(page):
    markdown = page.read_text("utf-8")
    parts = pages.parts(markdown)
    tokens = [token for token in MARKDOWN.parse(markdown) if token.type == "fence"]
    python = [token.content.rstrip("\n") for token in tokens if token.info.strip() == "python"]
    assert [part.source for part in parts if part.kind == "python"] == python
    commands = sum(
        line.startswith(("$ quire learn", "$ quire plan --params"))
        for token in tokens
        if token.info == "console"
        for line in token.content.split("\n")
    )
    assert len([part for part in parts if part.kind == "console"]) == commands


def test_the_pages_that_are_checked_are_those_of_the_site_and_the_readme():
    names = {str(page.relative_to(pages.REPOSITORY)) for page in pages.pages()}
    assert {"README.md", "docs/index.md", "docs/model.md", "docs/learn/index.md"} <= names
    assert not any("/_" in name for name in names)


def test_what_is_printed_must_be_what_the_page_shows():
    page = "```python\nprint(2 * 3)\n```\n\n```text\n{}\n```\n"
    assert problems(page.format("6")) == []
    (problem,) = problems(page.format("7"))
    assert "page.md:1" in problem
    assert "-7\n+6" in problem
    assert "python docs/refresh.py" in problem


def test_what_is_printed_must_be_shown_and_what_is_shown_must_be_printed():
    (hidden,) = problems("```python\nprint(6)\n```\n")
    assert "no ```text block" in hidden
    (made_up,) = problems("```python\nx = 6\n```\n\n```text\n6\n```\n")
    assert "prints nothing" in made_up
    assert problems("```python\nx = 6\n```\n\nA drawing:\n\n```text\n6\n```\n") == []


def test_blocks_see_those_before_them_also_inside_of_details_and_lists():
    page = (
        "```python\nx = 6\n```\n\n<details>\n<summary>Solution</summary>\n\n- so\n\n"
        "  ```python\n  if x:\n      print(x)\n  ```\n\n  ```text\n  {}\n  ```\n\n</details>\n"
    )
    assert problems(page.format("6")) == []
    assert len(problems(page.format("7"))) == 1


def test_an_error_of_a_block_is_raised_with_the_line_of_the_page():
    with pytest.raises(ZeroDivisionError) as raised:
        problems("# Title\n\n```python\nx = 1\ny = x / 0\n```\n")
    assert raised.traceback[-1].lineno + 1 == 5


def test_learn_commands_are_run_and_others_are_not():
    page = "```console\n$ rm -r ~/nothing\n$ quire learn nosuchthing\n{}```\n"
    (problem,) = problems(page.format("worked\n"))
    assert "\n-worked\n+" in problem
    (part,) = pages.parts(page.format("worked\n\n$ make demo\nno\n"))
    assert (part.source, part.shown) == ("quire learn nosuchthing", "worked")


def test_a_command_for_a_shell_is_refused():
    with pytest.raises(pages.PageError, match="no shell"):
        problems("```console\n$ quire learn softmax 1,2 | head\n```\n")


def test_commands_do_not_depend_on_the_terminal(monkeypatch):
    page = "```console\n$ quire learn --help\n```\n"
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    (problem,) = problems(page)
    assert "\x1b" not in problem
    assert max(map(len, problem.split("\n"))) <= 81
    assert os.environ["COLUMNS"] == "200"


def test_a_file_is_written_to_the_folder_of_the_page_and_nowhere_else():
    page = (
        '```toml\n# file: a/b.toml\nx = 1\n```\n\n```python\nassert open("a/b.toml").read().endswith("x = 1\\n")\n```\n'
    )
    assert problems(page) == []
    with pytest.raises(pages.PageError, match="leaves the folder"):
        problems(page.replace("a/b", "../b"))


def test_computed_regions_are_compared_in_a_line_and_over_lines():
    assert problems("```python\nx = 6\n```\n\nSix is <!-- computed: str(x) -->6<!-- /computed -->.\n") == []
    (problem,) = problems("A\n\n<!-- computed: '|a|\\n|-|' -->\n\n|b|\n|-|\n\n<!-- /computed -->\n")
    assert "page.md:3" in problem
    with pytest.raises(pages.PageError, match="gives int"):
        problems("<!-- computed: 6 -->6<!-- /computed -->")
    assert pages.parts("Write `<!-- computed: EXPRESSION -->` so.\n\n```text\n<!-- computed: 1 -->\n```\n") == []


@pytest.mark.parametrize(
    "page",
    [
        "```python\nx = 1\n",
        "<!-- computed: x -->\n1\n",
        "1 <!-- /computed -->\n",
        "<!-- computed: x -->\n<!-- computed: y -->\n1\n<!-- /computed -->\n",
    ],
)
def test_what_is_not_closed_is_an_error(page):
    with pytest.raises(pages.PageError):
        pages.parts(page)


PAGE = """# Title

- in a list

  ```python
  print("a")

  print("```")
  ```

```python
print(1)
```

```text
old
```

```console
$ make demo
...
$ quire --version

$ quire learn --nosuchoption
old

$ quire learn --nosuchoption
```

<!-- computed: "| a |\\n|---|" -->
<!-- /computed --> and <!-- computed: "1" -->2<!-- /computed -->
"""


def test_refreshing_twice_changes_nothing_more_and_leaves_nothing_to_complain(tmp_path):
    once = refresh(tmp_path, PAGE)
    assert refresh(tmp_path, once) == once
    assert problems(once) == []
    assert len(problems(PAGE)) == 6
    assert "  ````text\n  a\n  ```\n  ````\n" in once
    assert "```text\n1\n```\n" in once
    assert '-->\n\n| a |\n|---|\n\n<!-- /computed --> and <!-- computed: "1" -->1<!--' in once
    assert once.startswith(PAGE[:20])
    assert "$ make demo\n...\n$ quire --version\n\n$ quire learn" in once


def test_refreshing_throws_nothing_away_that_it_did_not_write(tmp_path):
    with pytest.raises(pages.PageError, match="prints nothing"):
        refresh(tmp_path, "```python\nx = 1\n```\n\n```text\na drawing\n```\n")


def test_how_a_page_prints_arrays_is_forgotten_after_it():
    third = "```python\nimport numpy as np\n{}print(np.array([1 / 3]))\n```\n\n```text\n[{}]\n```\n"
    assert problems(third.format("np.set_printoptions(precision=2)\n", "0.33")) == []
    assert problems(third.format("", "0.33333333")) == []
