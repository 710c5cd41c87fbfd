"""The report of a run: one page that asks for nothing, with all that the run folder knows, also of a run half gone."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from quire.corpus.account import OUTCOMES
from quire.corpus.store import Corpus
from quire.evaluation import Score
from quire.settings import read_toml
from quire.training.checkpoint import TrainingState
from quire.training.config import run_toml
from quire.training.draft import describe
from quire.training.report import predicted_bits_per_byte, write_report
from quire.training.run import TrainedRun, train

SETTINGS = {
    "model": {"hidden_size": 32, "num_layers": 2, "context_length": 32},
    "tokens": {"vocab_size": 300},
    "training": {
        "steps": 6,
        "batch_size": 4,
        "precision": "float32",
        "evaluation_interval": 2,
        "log_interval": 1,
        "sample_tokens": 8,
        "compile": False,
    },
}
NAMESPACES = re.compile(r"http://(www\.w3\.org|purl\.org|creativecommons\.org)/")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    place = tmp_path_factory.mktemp("reported")
    for number in range(6):
        lines = [f"Sheet {line} of quire <{number}> & its {line * number} folds.\n" for line in range(60)]
        (place / "notes").mkdir(exist_ok=True)
        (place / "notes" / f"{number}.txt").write_text("".join(lines))
    (place / "notes" / "blob.bin").write_bytes(bytes(range(256)))
    return train(place / "notes", place / "run", settings=SETTINGS, corpus=place / "corpus")


@pytest.fixture
def run(trained: TrainedRun, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))


def again(run: Path, trained: TrainedRun) -> str:
    state = TrainingState(total_steps=trained.steps, step=trained.steps, best_step=trained.best_step, seconds=60.0)
    return write_report(run, trained.config, trained.reasons, trained.score, state).read_text("utf-8")


def plain(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())


def test_the_page_asks_for_nothing_outside_itself(trained: TrainedRun) -> None:
    page = trained.report.read_text("utf-8")
    assert "http" not in NAMESPACES.sub("", page)
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\((?!#)", page)
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers)) > 10
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(identifiers)


def test_the_plan_is_there_with_every_reason(trained: TrainedRun) -> None:
    told = plain(trained.report.read_text("utf-8").replace("<wbr>", ""))
    rows = describe(trained.config, trained.reasons)
    assert len(rows) > 10
    for row in rows:
        assert " ".join("".join(row).split()) in told


def test_every_evaluation_s_samples_are_there_and_the_last_are_open(trained: TrainedRun) -> None:
    page = trained.report.read_text("utf-8")
    headings = re.findall(r"^## (.+)$", (trained.folder / "quire" / "samples.md").read_text("utf-8"), re.MULTILINE)
    assert [heading.split()[1] for heading in headings] == ["2", "4", "6"]
    shown = re.findall(r"<details( open)?><summary>(Step .+?)</summary>", page)
    assert shown == [(" open" if heading == headings[-1] else "", html.escape(heading)) for heading in headings]
    assert page.count('<p class="sample">') == len(
        re.findall(r"^\*\*", (trained.folder / "quire/samples.md").read_text(), re.M)
    )


def test_the_account_of_the_text_is_that_of_the_corpus(trained: TrainedRun) -> None:
    page = trained.report.read_text("utf-8")
    account = Corpus.open(Path(read_toml(run_toml(trained.folder))["source"]["corpus"])).account()
    cells = re.findall(r"<tr><td>(?:<b>)?(\w+)(?:</b>)?</td><td>([\d,]+)</td>", page)
    files = {name: int(number.replace(",", "")) for name, number in cells if name in (*OUTCOMES, "found")}
    assert files == {**{outcome: getattr(account, outcome).files for outcome in OUTCOMES}, "found": 7}
    assert files["found"] == sum(files[outcome] for outcome in OUTCOMES)
    tokens = json.loads((trained.folder / "quire/tokens/index.json").read_text())["splits"]
    pair = "".join(f"<td>{tokens[name]['num_tokens']:,}</td>" for name in ("train", "validation"))
    assert f"<tr><td>tokens</td>{pair}</tr>" in page
    assert "blob.bin" in page


def test_what_the_plan_foretold_stands_beside_what_came(run: Path, trained: TrainedRun) -> None:
    came = f"{trained.score.bits_per_byte:.3f}"
    assert predicted_bits_per_byte(run) is None
    assert "foretold" not in again(run, trained)
    text = run_toml(run).read_text("utf-8")
    run_toml(run).write_text(f"{text}\n[plan]\npredicted_bits_per_byte = {2 * trained.score.bits_per_byte}\n")
    page = again(run, trained)
    assert f"The plan foretold {2 * trained.score.bits_per_byte:.3f}: -50.0% off." in plain(page)
    widths = dict(re.findall(r'<span>(.+?)</span><i class="\w+" style="width:([\d.]+)%', page))
    assert float(widths["this model"]) == pytest.approx(float(widths["foretold by the plan"]) / 2, abs=0.1)
    assert {"xz -9e"} < set(widths)
    assert f"<b>{came}</b>" in page


def test_the_range_that_the_plan_foretold_is_told(run: Path, trained: TrainedRun) -> None:
    ends = "".join(
        f"predicted_bits_per_byte{end} = {value}\n" for end, value in (("", 2), ("_low", 1.5), ("_high", 2.5))
    )
    run_toml(run).write_text(f"{run_toml(run).read_text('utf-8')}\n[plan]\n{ends}")
    off = trained.score.bits_per_byte / 2 - 1
    assert f"The plan foretold 2.000 (1.500 to 2.500): {off:+.1%} off." in plain(again(run, trained))


def test_a_foretelling_among_the_reasons_counts_too(run: Path) -> None:
    text = run_toml(run).read_text("utf-8")
    run_toml(run).write_text(text.replace("[reasons]", "[reasons]\npredicted_bits_per_byte = 1.5"))
    assert predicted_bits_per_byte(run) == 1.5


def test_machine_versions_and_command_are_told(trained: TrainedRun) -> None:
    (start,) = [
        json.loads(line) for line in (trained.folder / "quire/environment.jsonl").read_text("utf-8").splitlines()
    ]
    told = plain(trained.report.read_text("utf-8"))
    for key in ("processor", "system", "torch", "python", "quire", "command"):
        assert " ".join(str(start[key]).split()) in told, key


def test_what_is_gone_is_told_and_the_rest_is_there(run: Path, trained: TrainedRun) -> None:
    shutil.rmtree(run / "quire" / "tokens")
    shutil.rmtree(run / "quire" / "plots")
    for name in ("environment.jsonl", "samples.md", "score.json"):
        (run / "quire" / name).unlink()
    text = run_toml(run).read_text("utf-8")
    where = read_toml(run_toml(run))["source"]["corpus"]
    run_toml(run).write_text(text.replace(where, str(run / "nowhere")))
    told = plain(again(run, trained))
    for sentence in (
        "No pictures were drawn.",
        "No samples were written.",
        "The token shards of the run are gone.",
        "is not there any more",
        "Not recorded: the run was made before quire recorded it.",
    ):
        assert sentence in told
    assert "Measured against" not in told


def test_a_corpus_that_was_changed_since_is_not_taken_for_that_of_the_run(run: Path, trained: TrainedRun) -> None:
    text = run_toml(run).read_text("utf-8")
    mark = read_toml(run_toml(run))["source"]["fingerprint"]
    run_toml(run).write_text(text.replace(mark, mark[::-1]))
    assert "was changed since" in plain(again(run, trained))


@pytest.mark.parametrize("skipped", [0, 3])
def test_skipped_steps_are_told(skipped: int, run: Path, trained: TrainedRun) -> None:
    values: dict[str, Any] = {"total_steps": 6, "step": 6, "best_step": 2, "seconds": 6.0, "skipped": skipped}
    score = Score(nats=10.0, tokens=5, bytes=20, correct=1)
    page = write_report(run, trained.config, trained.reasons, score, TrainingState(**values)).read_text("utf-8")
    assert ("steps were skipped" in page) == bool(skipped)
    assert "step 2, the best" in page


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_telephone_and_a_desk_and_can_be_read_in_the_dark(width: int, trained: TrainedRun) -> None:
    program = os.environ.get("QUIRE_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("no browser")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses its sandbox to root
        browser = driver.chromium.launch(executable_path=program, args=[*sandbox, "--disable-dev-shm-usage"])
        grounds = {}
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(trained.report.resolve().as_uri())
            assert asked == [trained.report.resolve().as_uri()]
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator("figure svg").first.bounding_box()["height"] > 200
            grounds[scheme] = page.evaluate(
                "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
            )
        browser.close()
    assert grounds["light"] != grounds["dark"]
    assert len({*grounds["light"], *grounds["dark"]}) == 4
