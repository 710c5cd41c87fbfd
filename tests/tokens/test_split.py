"""The laws of the split: nothing lost, the same text never on both sides, a function of seed and text."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_texts import MemoryCorpus, misread, prose

from quire.errors import QuireError
from quire.tokens.copies import shingles
from quire.tokens.settings import TokenSettings
from quire.tokens.split import SMALLEST_CORPUS, SplitPlan, cut_near, plan_split


def sides(corpus: MemoryCorpus, **kwargs: float) -> tuple[list[str], list[str], SplitPlan]:
    plan = plan_split(corpus, TokenSettings(**kwargs))
    train, validation = [], []
    for id, text in enumerate(corpus.texts):
        cut = plan.cuts.get(id, len(text))
        assert 0 <= cut <= len(text)
        train.append(text[:cut])
        validation.append(text[cut:])
    return train, validation, plan


def size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def shared(train: list[str], validation: list[str]) -> float:
    """The share of the validation shingles that training holds too."""
    seen = np.concatenate([shingles(text)[0] for text in train])
    scored = np.concatenate([shingles(text)[0] for text in validation])
    return float(np.isin(scored, seen).mean())


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3])
def test_many_documents_are_split_whole(fraction: float) -> None:
    corpus = MemoryCorpus([prose(seed, 150 + seed % 7 * 40) for seed in range(120)])
    train, validation, plan = sides(corpus, validation_fraction=fraction)
    assert all(not a or not b for a, b in zip(train, validation, strict=True))
    assert abs(size(validation) / corpus.num_bytes - fraction) < 0.012
    assert f"{sum(map(bool, validation))} of 120 documents" in plan.rule


def test_one_document_ends_in_its_validation() -> None:
    corpus = MemoryCorpus([prose(1, 4000)])
    train, validation, plan = sides(corpus)
    assert train[0] + validation[0] == corpus.texts[0]
    assert 0.08 < size(validation) / corpus.num_bytes < 0.12
    assert train[0].endswith("\n\n")
    assert not validation[0][0].isspace()
    assert plan.rule == "validation: the last 10.0% of the document"


def test_a_few_books_are_each_cut_and_their_notes_drawn() -> None:
    corpus = MemoryCorpus([prose(seed, 5000) for seed in range(3)] + [prose(seed, 60) for seed in range(10, 70)])
    train, validation, plan = sides(corpus)
    assert all(train[:3])
    assert all(validation[:3])
    assert 3 <= sum(map(bool, validation[3:])) <= 9
    assert all(not a or not b for a, b in zip(train[3:], validation[3:], strict=True))
    assert 0.08 < size(validation) / corpus.num_bytes < 0.12
    assert "of 63 documents and the last 10.0% of 3 long ones" in plan.rule


def test_near_copies_stay_on_one_side() -> None:
    pages = [prose(seed, 200) for seed in range(40)]
    corpus = MemoryCorpus(pages + [misread(page, 0.02, seed) for seed, page in enumerate(pages)])
    for seed in range(5):
        train, validation, plan = sides(corpus, seed=seed)
        assert [bool(text) for text in validation[:40]] == [bool(text) for text in validation[40:]]
        assert any(validation)
        assert shared(train, validation) < 0.01
        assert "80 near copies" in plan.rule


@pytest.mark.parametrize("other", [prose(9, 4000), ""])
def test_copies_that_must_be_cut_are_cut_at_the_same_place(other: str) -> None:
    page = prose(8, 3000)
    scan = misread(page, 0.02, 1)
    # The same page three times, and once the first half of it alone, with a title.
    copies = [
        page,
        scan,
        "A title of another kind\n\n" + page.replace("\n\n", "\n"),
        "Part one\n" + page[:9000],
        scan[-900:],
    ]
    corpus = MemoryCorpus([text for text in [*copies, other] if text])
    train, validation, _ = sides(corpus)
    assert all(train[:4])
    assert all(validation[:3])
    assert not validation[3]  # all of it stands before the cut
    assert not train[4]  # and all of this after it
    assert shared(train, validation) < 0.02


def test_the_seed_and_the_text_alone_decide() -> None:
    texts = [prose(seed, 150) for seed in range(60)]

    def drawn(texts: list[str], seed: int) -> set[str]:
        return {text for text in sides(MemoryCorpus(texts), seed=seed)[1] if text}

    assert drawn(texts, 0) == drawn(texts[::-1], 0)
    assert drawn(texts, 0) == drawn(texts, 0)
    assert len({frozenset(drawn(texts, seed)) for seed in range(4)}) == 4
    # A text that is added does not move the others about.
    assert len(drawn(texts, 0) - drawn([*texts, prose(99, 150)], 0)) <= 1


def test_validation_is_capped() -> None:
    corpus = MemoryCorpus([prose(1, 8000), prose(2, 8000)])
    _, validation, _ = sides(corpus, validation_max_bytes=2000)
    assert 1500 < size(validation) < 2600


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=6), st.integers(0, 99)
)
@settings(deadline=None)
def test_both_sides_hold_text_whatever_the_corpus(texts: list[str], seed: int) -> None:
    texts = [text * (1 + 500 // len(text)) + str(number) for number, text in enumerate(texts)]
    if size(texts) < SMALLEST_CORPUS:
        texts.append("x" * SMALLEST_CORPUS)
    train, validation, _ = sides(MemoryCorpus(texts), seed=seed)
    assert [a + b for a, b in zip(train, validation, strict=True)] == texts
    assert size(train) > 0
    assert size(validation) > 0


def test_too_little_text_is_refused_with_advice() -> None:
    with pytest.raises(QuireError, match=r"holds 12 bytes.* Add documents"):
        plan_split(MemoryCorpus(["Hello, world"]), TokenSettings())
    with pytest.raises(QuireError, match="holds 0 bytes"):
        plan_split(MemoryCorpus([]), TokenSettings())


@given(st.text(alphabet="ab \n", min_size=2, max_size=60), st.data())
def test_a_cut_is_near_and_at_the_best_end_there_is(text: str, data: st.DataObject) -> None:
    target, slack = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 20))
    cut = cut_near(text, target, slack)
    assert 1 <= cut <= len(text) - 1
    inside = min(max(target, 1), len(text) - 1)
    assert abs(cut - inside) <= slack
    lines = [at for at in range(1, len(text)) if text[at - 1] == "\n" and abs(at - target) <= slack]
    if lines:
        assert text[cut - 1] == "\n" or text[:cut].rstrip(" ").endswith("\n")


def test_paragraphs_go_before_lines_before_words() -> None:
    text = "one two three\nfour five\n\nsix seven eight nine ten"
    assert text[cut_near(text, 20, 10) :].startswith("six")
    assert text[cut_near(text, 14, 5) :].startswith("four")
    assert text[cut_near(text, 6, 3) :].startswith("two")
    assert cut_near(text, 6, 1) == 6
    assert all(1 <= cut_near("ab", target, 9) <= 1 for target in itertools.chain(range(3)))
