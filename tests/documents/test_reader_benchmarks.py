"""What benchmarks/ingest.py, pdf.py, texts.py and ocr.py say of readers: the scores, who is left out and why."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.pdfs import pdf as made
from fixtures.pdfs import printed

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import ingest
import pdf
import pdf_readers
from truths import scores, truths_in

WORDS = st.lists(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8), min_size=1, max_size=30)
LINES = ["The first line of a page, of which there are a few,", "and the second, with which the paragraph ends."]


def of_one(truth: str, text: str) -> dict[str, float]:
    path = Path("one")
    return scores({path: truth}, {path: text})


@pytest.fixture
def pdfs(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.pdf").write_bytes(made([printed([f"Number {name}."]), printed(LINES)]))
        (tmp_path / f"{name}.truth.txt").write_text(f"Number {name}.\n\n{' '.join(LINES)}\n", "utf-8")
    return truths_in(tmp_path, "*.pdf")


@given(WORDS, st.randoms(use_true_random=False))
def test_order_counts_in_one_score_and_not_in_the_other(words: list[str], chance: random.Random) -> None:
    shuffled = chance.sample(words, len(words))
    row = of_one(" ".join(words), " ".join(shuffled))
    assert row["word_f1"] == 1
    assert (row["word_order"] == 1) == (row["cer"] == 0) == (shuffled == words)


@given(WORDS, WORDS)
def test_a_file_weighs_as_much_as_its_truth_is_long(found: list[str], lost: list[str]) -> None:
    here, there = " ".join(found), " ".join(lost)
    row = scores({Path("a"): here, Path("b"): there}, {Path("a"): here, Path("b"): ""})
    share = len(here) / (len(here) + len(there))
    assert row == pytest.approx({"word_order": share, "word_f1": share, "cer": 1 - share}, abs=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "# Some words, **“quoted”** - and\none hyphen-\nated | there",
        'Some   words,\n\n"quoted" – and one hyphenated\tthere',
        '<!-- page 1 -->Some words, "quoted" - and one hyphen\u00adated\nthere',
    ],
)
def test_markup_white_space_quotes_and_hyphens_cost_nothing(text: str) -> None:
    truth = 'Some words, "quoted" - and one hyphenated there'
    assert of_one(truth, text) == {"word_order": 1, "word_f1": 1, "cer": 0}


def test_truths_lie_beside_their_files_under_either_name(tmp_path: Path) -> None:
    names = ["a.pdf", "a.truth.txt", "b.docx", "b.docx.truth.md", "c.truth.md", "d.pdf", "e.tif", "e.truth.txt"]
    for name in names:
        (tmp_path / name).write_text(name, "utf-8")
    found = {path.name: text for path, text in truths_in(tmp_path).items()}
    assert found == {"a.pdf": "a.truth.txt", "b.docx": "b.docx.truth.md", "e.tif": "e.truth.txt"}
    assert [path.name for path in truths_in(tmp_path, "*.tif", "*.docx")] == ["b.docx", "e.tif"]
    with pytest.raises(SystemExit, match=r"no \*\.odt with its NAME\.truth\.txt"):
        truths_in(tmp_path, "*.odt")


def test_the_readers_take_turns(pdfs, monkeypatch):
    turns = []
    readers = {
        name: pdf_readers.Reader(lambda path, name=name: turns.append(name) or pdfs[path], "pytest", "pytest")
        for name in ("pypdfium2", "another")
    }
    rows = pdf.compared(pdfs, readers, rounds=3)["readers"]
    once = ["pypdfium2"] * 2 + ["another"] * 2
    assert turns == once * 4  # once to warm up
    assert rows["pypdfium2"]["speed_of_raw"] == 1
    assert all(row["cer"] == 0 and row["version"] == pytest.__version__ for row in rows.values())


def test_what_a_worker_sends_is_the_text_that_is_scored(pdfs):
    texts, left_out = pdf.first_readings(pdfs, {name: pdf_readers.READERS[name] for name in ("quire", "quire-ingest")})
    assert not left_out
    assert texts["quire"] == texts["quire-ingest"]
    assert scores(pdfs, texts["quire"]) == {"word_order": 1, "word_f1": 1, "cer": 0}


def test_whoever_is_not_installed_or_fails_is_left_out_and_told(pdfs, capsys):
    def fails(path: Path) -> str:
        raise ValueError("no models\n  here")

    readers = {
        "pypdfium2": pdf_readers.READERS["pypdfium2"],
        "absent": pdf_readers.Reader(str, "not_to_be_found", "not-to-be-found[all]"),
        "failing": pdf_readers.Reader(fails, "pytest", "pytest"),
    }
    results = pdf.compared(pdfs, readers, rounds=1)
    assert list(results["readers"]) == ["pypdfium2"]
    assert (results["files"], results["pages"]) == (2, 4)
    pdf.print_table(results)
    printed_lines = capsys.readouterr().out.splitlines()
    assert "absent is left out: not installed (pip install 'not-to-be-found[all]')" in printed_lines
    assert "failing is left out: ValueError: no models here" in printed_lines


def test_a_fault_of_quire_is_no_reason_to_leave_it_out(pdfs):
    def fails(path: Path) -> str:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        pdf.first_readings(pdfs, {"quire": pdf_readers.Reader(fails, "quire", "quire")})


def test_ends_that_were_not_expected_are_wrong(tmp_path):
    part = tmp_path / "odd"
    part.mkdir()
    (part / "good.txt").write_text("A sentence that is kept, for it is like any other sentence.\n" * 3, "utf-8")
    (part / "bad.pdf").write_bytes(b"%PDF-1.7\nnothing of the kind")
    right = ingest.ingested(tmp_path, 1, {"good.txt": "text", "bad.pdf": "error"}, "odd")
    assert (right["files"], right["kept"], right["failed"], right["wrong"]) == (2, 1, 1, [])
    wrong = ingest.ingested(tmp_path, 1, {"good.txt": "error", "bad.pdf": "text", "gone.pdf": "any"}, "odd")["wrong"]
    assert [line.split(":")[0] for line in wrong] == ["good.txt", "bad.pdf", "gone.pdf"]


def test_files_that_the_manifest_lacks_are_found(tmp_path):
    (tmp_path / "file.txt").write_text("four", "utf-8")
    assert ingest.unaccounted(tmp_path, {}) == ["file.txt: 4 bytes in the folder, None in the manifest"]
