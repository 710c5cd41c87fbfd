"""report.html of a run: what came out, how it got there, of which text and on which machine; one file, offline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from quire.corpus.account import OUTCOMES, Account, megabytes
from quire.corpus.store import Corpus
from quire.errors import QuireError
from quire.evaluation import Score
from quire.files import write_text
from quire.model.size import count_parameters, size_table
from quire.settings import read_toml
from quire.tokens.dataset import TokenDataset
from quire.training.checkpoint import TrainingState
from quire.training.config import RunConfig, run_toml
from quire.training.draft import describe
from quire.training.environment import read_starts
from quire.training.metrics import read_metrics
from quire.training.samples import samples_path

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
SAMPLE = re.compile(r"^\*\*(.*?)\*\* \.\.\.\n\n````text\n(.*?)\n````$", re.MULTILINE | re.DOTALL)
SHOWN_CURVES = ("loss", "bits-per-byte")  # the others are behind one click
RULES_SHOWN = 12
DIGEST = 16  # letters of a fingerprint that tell two corpora apart


def write_report(
    run: Path,
    config: RunConfig,
    reasons: Mapping[str, str],
    score: Score,
    state: TrainingState,
) -> Path:
    """Write RUN/quire/report.html and return its path.

    What the run folder has is in it: pictures, samples, the plan with its reasons, the account of the corpus and the
    tokens, the starts. A corpus that is gone is said to be.

    Raises:
        QuireError: it cannot be written.
    """
    name = escape(run.resolve().name)
    starts = read_starts(run)
    parts = [
        f"<h1>{name}</h1>",
        f'<p class="soft">{_made(starts)}</p>',
        _tiles(config, score, state),
        f"<p>The model kept is that of step {state.best_step:,}, the best on the validation text "
        f"({score.bytes:,} bytes); perplexity {score.perplexity:.2f}, {score.nats_per_token:.4f} nats a token."
        + (f" {state.skipped:,} steps were skipped: gradients not finite." if state.skipped else "")
        + "</p>",
        _measured_against(run, score),
        "<h2>Curves</h2>",
        _curves(run),
        "<h2>What it writes</h2>",
        _samples(samples_path(run)),
        "<h2>The plan, with reasons</h2>",
        _table(
            ("setting", "value", "why"),
            [
                (f"<code>{escape(key).replace('.', '.<wbr>')}</code>", escape(value), escape(why))
                for key, value, why in describe(config, reasons)
            ],
        ),
        "<h2>The text</h2>",
        _data(run),
        "<h2>Machine and versions</h2>",
        _environment(run, starts),
        "<h2>Parameters and arithmetic</h2>",
        f"<pre>{escape(size_table(config.model))}</pre>",
    ]
    path = run / "quire" / "report.html"
    write_text(path, PAGE.replace("TITLE", name).replace("BODY", "\n".join(part for part in parts if part)))
    return path


def predicted_bits_per_byte(run: Path) -> float | None:
    """Return what the plan foretold of the run, `plan.predicted_bits_per_byte` in its run.toml; None where it did not.

    Raises:
        UsageError: run.toml cannot be read.
    """
    if not run_toml(run).exists():
        return None
    content = read_toml(run_toml(run))
    for table in ("plan", "reasons"):
        value = content.get(table, {}).get("predicted_bits_per_byte")
        if isinstance(value, (int, float)):
            return float(value)
    return None


def _predicted_range(run: Path) -> str:
    """Return the range that the plan foretold, as words; nothing where it told none."""
    plan = read_toml(run_toml(run)).get("plan", {}) if run_toml(run).exists() else {}
    low, high = (plan.get(f"predicted_bits_per_byte_{end}") for end in ("low", "high"))
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        return f" ({low:.3f} to {high:.3f})"
    return ""


def _made(starts: Sequence[Mapping[str, Any]]) -> str:
    if not starts:
        return "A run of quire"
    last = starts[-1]
    return escape(f"quire {last['quire']}, started {_date(starts[0]['date'])}, {last['gpu'] or last['processor']}")


def _date(text: str) -> str:
    return text[:16].replace("T", " ")


def _tiles(config: RunConfig, score: Score, state: TrainingState) -> str:
    tiles = [
        (f"{score.bits_per_byte:.3f}", "bits per byte on text it was not trained on"),
        (f"{score.accuracy:.1%}", "of next tokens guessed right"),
        (f"{count_parameters(config.model):,}", "parameters"),
        (f"{state.seconds / 60:.1f} min", f"of training, {state.step:,} steps"),
    ]
    cells = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for value, name in tiles)
    return f'<div class="tiles">{cells}</div>'


def _measured_against(run: Path, score: Score) -> str:
    """Bars of bits per byte: what came, what the plan foretold, and what others make of the same text."""
    bars = [("this model", score.bits_per_byte, "own")]
    predicted = predicted_bits_per_byte(run)
    if predicted is not None:
        bars.append(("foretold by the plan", predicted, "other"))
    note = ""
    try:
        known = json.loads((run / "quire" / "score.json").read_text("utf-8")).get("baselines", {})
        bars += [("xz -9e", known["xz"], "other"), (f"{known['order']}-grams of bytes", known["ngram"], "other")]
        part = "" if known["whole"] else f", on {known['validation_bytes']:,} bytes of it"
        note = f"<p>xz and n-grams had the same training text and were measured on the same validation text{part}.</p>"
    except (OSError, ValueError, KeyError):
        pass  # a run of an earlier quire: there is only its own bar
    if len(bars) == 1:
        return ""
    most = max(value for _, value, _ in bars)
    rows = "".join(
        f'<div class="bar"><span>{escape(name)}</span>'
        f'<i class="{kind}" style="width:{100 * value / most:.1f}%"></i><b>{value:.3f}</b></div>'
        for name, value, kind in bars
    )
    off = ""
    if predicted:
        error = score.bits_per_byte / predicted - 1
        off = f" The plan foretold {predicted:.3f}{_predicted_range(run)}: {error:+.1%} off."
    return (
        f"<h2>Measured against</h2>\n<p>Bits per byte of the validation text, lower is better.{off}</p>\n"
        f'<div class="bars">{rows}</div>\n{note}'
    )


def _curves(run: Path) -> str:
    plots = sorted((run / "quire" / "plots").glob("*.svg"), key=lambda path: (path.stem != "loss", path.stem))
    plots = [path for path in plots if path.stem != "overview"]  # it repeats the others
    figures = {path.stem: f"<figure>{_inline(path)}</figure>" for path in plots}
    first = [figures.pop(stem) for stem in SHOWN_CURVES if stem in figures]
    rest = f"<details><summary>{len(figures)} more curves</summary>{''.join(figures.values())}</details>"
    return "\n".join([*first, *([rest] if figures else [])]) or "<p>No pictures were drawn.</p>"


def _inline(path: Path) -> str:
    text = path.read_text("utf-8")
    # Identifiers of one drawing must not meet those of another on the same page.
    prefix = re.sub(r"\W", "", path.stem)
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    return re.sub(r'(url\(#|href="#)([^)"]+)', rf"\g<1>{prefix}-\2", text)


def _samples(path: Path) -> str:
    """Every evaluation, the last one open, so that one can go back to when the model knew nothing."""
    if not path.exists():
        return "<p>No samples were written.</p>"
    pieces = SECTION.split(path.read_text("utf-8"))[1:]
    sections = list(zip(pieces[::2], pieces[1::2], strict=True))
    if not sections:
        return "<p>No samples were written.</p>"
    shown = [
        f"<details{' open' if number == len(sections) else ''}><summary>{escape(heading)}</summary>"
        + "".join(
            f'<p class="sample"><b>{escape(prompt)}</b> {escape(text.strip())}</p>'
            for prompt, text in SAMPLE.findall(body)
        )
        + "</details>"
        for number, (heading, body) in enumerate(sections, 1)
    ]
    return "<p>The same prompts at each evaluation; the beginnings in bold are given.</p>\n" + "\n".join(shown)


def _data(run: Path) -> str:
    source = read_toml(run_toml(run)).get("source", {}) if run_toml(run).exists() else {}
    parts = []
    if "corpus" in source:
        parts.append(_corpus(Path(source["corpus"]), source.get("fingerprint", "")))
    try:
        data = TokenDataset.open(run / "quire" / "tokens")
    except QuireError:
        return "\n".join([*parts, "<p>The token shards of the run are gone.</p>"])
    parts.append(
        _table(
            ("tokens", "of training", "of validation"),
            [
                (label, f"{train:,}", f"{validation:,}")
                for label, train, validation in (
                    ("tokens", data.train.num_tokens, data.validation.num_tokens),
                    ("bytes of text", data.train.num_bytes, data.validation.num_bytes),
                    ("documents, or parts of one", data.train.num_documents, data.validation.num_documents),
                )
            ],
            numbers=True,
        )
    )
    kept = f"A token stands for {data.train.bytes_per_token:.2f} bytes; {data.tokenizer.vocab_size:,} different tokens."
    return "\n".join([*parts, f"<p>{kept}</p>", *(f"<p>{escape(note)}</p>" for note in data.notes)])


def _corpus(place: Path, fingerprint: str) -> str:
    where = f"<code>{escape(str(place))}</code>, fingerprint <code>{escape(fingerprint[:DIGEST])}</code>"
    try:
        corpus = Corpus.open(place)
        account = corpus.account()
    except QuireError:
        return f"<p>The corpus {where} is not there any more: its account is lost to this page.</p>"
    if corpus.fingerprint != fingerprint:
        return f"<p>The corpus {where} was changed since: its account is no longer that of this run.</p>"
    sums = [
        (
            outcome,
            f"{tally.files:,}",
            megabytes(tally.bytes),
            f"{account.members[outcome].files:,}",
        )
        for outcome, tally in ((outcome, getattr(account, outcome)) for outcome in OUTCOMES)
    ]
    sums.append(("<b>found</b>", f"{account.found.files:,}", megabytes(account.found.bytes), ""))
    return "\n".join(
        [
            f"<p>Corpus {where}: {account.documents:,} documents, {megabytes(account.text_bytes)} of text; "
            f"{account.duplicates:,} copies left out.</p>",
            _table(("files", "number", "size", "members of archives"), sums, numbers=True),
            _rules(account),
        ]
    )


def _rules(account: Account) -> str:
    if not account.rules:
        return ""
    rows = [
        (rule.outcome, escape(rule.rule), f"{rule.files:,}", megabytes(rule.bytes), escape(rule.example))
        for rule in account.rules[:RULES_SHOWN]
    ]
    table = _table(("", "why", "files", "size", "for example"), rows)
    return f"<details><summary>Why files were left out</summary>{table}</details>"


def loader_share(run: Path) -> str | None:
    """Return the part of the steps' time in which they waited for a batch, over the whole run; None where unknown."""
    try:
        lines = [r for r in read_metrics(run) if r.get("kind") == "train" and "loader_share" in r]
    except QuireError:
        return None
    seconds = [1 / max(1e-9, r["tokens_per_second"]) for r in lines]  # of a token: lines are of about as many tokens
    if not lines:
        return None
    return f"{sum(r['loader_share'] * s for r, s in zip(lines, seconds, strict=True)) / sum(seconds):.2%}"


def _environment(run: Path, starts: Sequence[Mapping[str, Any]]) -> str:
    if not starts:
        return "<p>Not recorded: the run was made before quire recorded it.</p>"
    last = starts[-1]
    facts = [
        ("processor", f"{last['processor']}, {last['cores']} cores"),
        ("GPU", last["gpu"]),
        ("memory", f"{last['memory_bytes'] / 2**30:.1f} GiB"),
        ("trained on", f"{last['device']}, {last['precision']}" + (", compiled" if last["compiled"] else "")),
        ("processes", last.get("processes")),
        ("threads" if last.get("processes", 1) == 1 else "threads of a process", last["threads"]),
        ("the loader's share of a step", loader_share(run)),
        ("matrix products", f"{last['gflops']:,.0f} GFLOP/s in {last['precision']}, measured at the start"),
        ("system", last["system"]),
        ("quire, Python, PyTorch", f"{last['quire']}, {last['python']}, {last['torch']}"),
    ]
    rows = [(escape(name), escape(str(value))) for name, value in facts if value is not None]
    begun = [
        (
            f"{'resumed' if start['resumed'] else 'started'} {_date(start['date'])}",
            f'<code class="long">{escape(start["command"])}</code>',
        )
        for start in starts
    ]
    return _table((), rows) + "\n" + _table(("when", "command"), begun)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """Cells are HTML already."""
    top = f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>" if head else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table{" class=numbers" if numbers else ""}>{top}{body}</table></div>'


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE - quire run</title>
<style>
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --card: #f5f7fa; --page: #fff;
  --own: #0072b2; --other: #9aa7b5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf0; --soft: #a3adba; --line: #39424f; --card: #1d232c; --page: #12161c;
    --own: #4aa8e0; --other: #5d6a79; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; } .soft { color: var(--soft); margin-top: .2rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; }
.tiles div { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; color: var(--soft); }
.tiles b { display: block; font-size: 1.5rem; color: var(--ink); }
.bar { display: grid; grid-template-columns: minmax(7rem, 11rem) 1fr 3.5rem; gap: .6rem; align-items: center; }
.bar span { color: var(--soft); } .bar i { height: 1.1rem; border-radius: .2rem; } .bar b { text-align: right; }
.own { background: var(--own); } .other { background: var(--other); }
figure { margin: 1rem 0; overflow-x: auto; } figure svg { width: 100%; min-width: 34rem; height: auto; }
details { border-bottom: 1px solid var(--line); } summary { cursor: pointer; padding: .4rem 0; }
.wide { overflow-x: auto; margin: .8rem 0; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { min-width: 4rem; } th { white-space: nowrap; color: var(--soft); font-weight: 600; }
.numbers td:not(:first-child), .numbers th:not(:first-child) { text-align: right; padding-left: 1.5rem; }
pre, .sample { background: var(--card); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; }
pre { overflow-wrap: normal; } .sample { white-space: pre-wrap; } code, pre { font-size: .85rem; }
.long { overflow-wrap: anywhere; }
</style></head><body>
BODY
</body></html>
"""
