"""Each decimal and each large number of the book comes from what the pages compute; one that is changed is found."""

import re
from dataclasses import replace
from fractions import Fraction

import pytest
from _checks.pages import DOCS, fences
from _checks.provenance import claims, evidence, unsupported

LEARN = sorted((DOCS / "learn").glob("*.md"))


def missing(markdown, page=DOCS / "learn" / "page.md"):
    return [claim.text.split(" ")[0] for claim in unsupported(markdown, page)[1]]


@pytest.mark.parametrize("page", LEARN, ids=lambda page: page.stem)
def test_the_numbers_of_the_book_come_from_somewhere(page):
    _, found = unsupported(page.read_text("utf-8"), page)
    assert not found, "\n".join(map(str, found))


def test_there_are_many_numbers_in_the_book():
    assert sum(unsupported(page.read_text("utf-8"), page)[0] for page in LEARN) >= 500


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("neural-network", "gives 0.51", "gives 0.57"),
        ("learning", "nearer the quotient comes to −1.456", "nearer the quotient comes to −1.457"),
        ("attention", "4.8 times", "4.9 times"),
        ("block", "says that it has 869,760", "says that it has 869,761"),
        ("block", "feed-forward 62.2 %", "feed-forward 63.2 %"),
        ("training-a-language-model", "costs $6.9078$", "costs $6.8078$"),
    ],
)
def test_a_number_that_was_changed_by_hand_is_found(name, old, new):
    page = DOCS / "learn" / f"{name}.md"
    markdown = page.read_text("utf-8")
    assert markdown.count(old) == 1
    assert len(missing(markdown.replace(old, new), page)) == 1


COMPUTED = "```python\nprint(2 / 3)\n```\n\n```text\n0.6666666666666666\n```\n\n"


@pytest.mark.parametrize(
    "prose",
    [
        "about 0.667, or 0.67, or 66.7 %",
        "−0.667 and $0.6667$ and 0.666…",
        "| 0.667 | 1 |",
        "![a curve that ends at 0.667](curve.svg)",
        "`0.667`",
        "$2^{-2} = 0.25$ and so 0.25; $256 \\times 16 = 4096$, 4,096",
        "$2^{-24} \\approx 5.96 \\times 10^{-8}$, that is 5.96·10⁻⁸",
        "McCulloch and Pitts 1943, Xiong et al. (2020), in 1986, Zhang and Sennrich 2019",
        "section 3.2, Figure 1.4, version 2.1, Python 3.10, release 1.26.4, on 2026-11-22, RFC 3629",
        "float64, GPT-2, `fp16`, `cl100k`, [here](https://example.org/1706.03762), 999 pages",
        "in binary, 1110 begins three",
        "```text\nquire learn gate and --learning-rate 0.5\n```",
        "with `model.dropout=0.3`",
        "```console\n$ quire train x \\\n    --set a.b=0.3\n```",
        "<!-- computed: f'{z}' -->0.99<!-- /computed --> and 0.99",
        "```toml\n# file: x.toml\nrate = 0.25\n```\n\nthe rate 0.25",
        "```python\nrate = 1_234\n```\n\nthe rate 1,234",
    ],
)
def test_what_is_computed_chosen_or_named_may_stand(prose):
    assert missing(COMPUTED + prose) == []


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("about 0.657", ["0.657"]),
        ("about 0.6666", ["0.6666"]),
        ("0.667… of it", ["0.667…"]),
        ("67.7 %", ["67.7"]),
        ("![a curve that ends at 0.68](curve.svg)", ["0.68"]),
        ("| 0.68 | 1 |\n|--|--|\n| 1 | 0.69 |", ["0.68", "0.69"]),
        ("$$\nx = 0.68\n$$", ["0.68"]),
        ("`0.68`", ["0.68"]),
        ("1.5x and 1,234 and 4096 and 1e-3.5", ["1.5x", "1,234", "4096"]),
        ("$0.5^2 = 0.26$ and so 0.26", ["0.5", "0.26", "0.26"]),
        ("5.97·10⁻⁸", ["5.97"]),
        ("the number 1943", ["1943"]),
        ("1110 begins three", ["1110"]),
        ("```text\na drawing of 0.68\n```", ["0.68"]),
        ("## Another section\n\n0.667, and 0.6666666666666666 in full", ["0.667"]),
    ],
)
def test_what_comes_from_nowhere_is_found(prose, found):
    names = [name.rstrip(",") for name in missing(COMPUTED + prose)]
    assert set(found) <= set(names), names


def test_a_number_of_few_digits_must_come_from_its_section():
    page = "```python\nx = (0.5, 0.123)\n```\n\n{}0.5 and 0.123\n"
    assert missing(page.format("")) == []
    assert missing(page.format("## Next\n\n")) == ["0.5"]


def test_a_number_of_a_page_that_is_linked_to_counts_where_the_link_stands(tmp_path):
    (tmp_path / "other.md").write_text("It takes 12.34 s.\n", "utf-8")
    page = tmp_path / "page.md"
    assert missing("So [12.34 s](other.md#speed).\n", page) == []
    assert missing("So [12.35 s](other.md#speed).\n", page) == ["12.35"]
    assert missing("See [there](other.md).\n\nSo 12.34 s.\n", page) == ["12.34"]


def test_the_list_of_the_chapters_and_the_table_of_contents_have_one_order():
    markdown = (DOCS / "learn" / "index.md").read_text("utf-8")
    listed = re.findall(r"^\[.+\]\(([\w-]+)\.md\)\n: ", markdown, re.MULTILINE)
    (block,) = (block for block in fences(markdown) if block.language == "{toctree}")
    assert listed == [line for line in block.body.splitlines() if re.fullmatch(r"[\w-]+", line)]
    assert sorted(listed) == [page.stem for page in LEARN if page.stem != "index"]
    following = [re.findall(r"^Next: \[.*?\]\((.*?)\.md\)", page.read_text("utf-8"), re.MULTILINE) for page in LEARN]
    for page, linked in zip(LEARN, following, strict=True):
        assert linked in ([], listed[listed.index(page.stem) + 1 :][:1] if page.stem in listed else []), page.stem


def changed(page):
    """Yield each number for each of its digits: whether it has three, and whether a change of this one is found."""
    markdown = page.read_text("utf-8")
    known = evidence(markdown, page)
    for claim in claims(markdown):
        digits = str(int(abs(claim.value) / claim.unit))
        for place in range(len(digits)):
            step = Fraction(10) ** place * claim.unit * (1 if digits[-1 - place] != "9" else -1)
            yield claim, len(digits) >= 3, not known.supports(replace(claim, value=abs(claim.value) + step))


def test_a_number_of_three_digits_is_nearly_always_missed_when_a_digit_is_changed():
    found = [found for page in LEARN for _, telling, found in changed(page) if telling]
    assert len(found) >= 1000
    assert sum(found) / len(found) > 0.98
