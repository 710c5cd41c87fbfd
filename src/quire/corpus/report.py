"""The account with pictures: report.json for programs, report.html for people, offline and in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from quire.corpus.account import OUTCOMES, Account, megabytes
from quire.corpus.settings import IngestSettings
from quire.files import write_text

BARS_SHOWN = 12
BAR_HEIGHT, BAR_GAP, LABEL_WIDTH, BAR_WIDTH, VALUE_WIDTH = 22, 8, 190, 380, 170


def write_report(folder: Path, account: Account, settings: IngestSettings) -> None:
    """Write report.json and report.html of `account` into `folder`."""
    values = {"account": account.as_dict(), "settings": settings.model_dump(mode="json")}
    write_text(folder / "report.json", json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "report.html", html_report(account))


def html_report(account: Account) -> str:
    """Return the report as one HTML page that asks for nothing outside itself."""
    found = account.found
    tallies = {outcome: getattr(account, outcome) for outcome in OUTCOMES}
    sums = " + ".join(f"{tally.files:,} {outcome}" for outcome, tally in tallies.items())
    sizes = " + ".join(megabytes(tally.bytes) for tally in tallies.values())
    tiles = [
        (f"{account.documents:,}", "documents kept"),
        (megabytes(account.text_bytes), "of text"),
        (f"{account.pages:,}", "pages"),
        (f"{account.dropped.files:,}", "files dropped"),
        (f"{account.failed.files:,}", "files failed"),
    ]
    outcomes = [
        (outcome, tally.files, f"{tally.files:,} · {megabytes(tally.bytes)}", outcome)
        for outcome, tally in tallies.items()
    ]
    parts = [
        "<h1>What became of the files</h1>",
        f'<p class="lead"><b>{found.files:,}</b> files found = {sums}.<br>{megabytes(found.bytes)} = {sizes}.</p>',
        '<div class="tiles">',
        *(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for value, name in tiles),
        "</div>",
        _chart("Files by outcome", outcomes),
        _chart("Text by format", _shares(account, "formats")),
        _chart("Text by programming language", _shares(account, "languages")),
        _table(
            "Why files were left out",
            ("outcome", "rule", "files", "size", "for example"),
            [
                (rule.outcome, rule.rule, f"{rule.files:,}", megabytes(rule.bytes), _example(rule.example, rule.detail))
                for rule in account.rules
            ],
        ),
        _table(
            "Files that failed" + (", the largest" if account.failed.files > len(account.failures) else ""),
            ("file", "size", "reason"),
            [
                (escape(failed.source), megabytes(failed.bytes), escape(f"{failed.rule}: {failed.detail}"))
                for failed in account.failures
            ],
        ),
        f"<footer>Corpus {account.fingerprint[:16]}, written in {account.seconds:,.1f} s. Every file is in "
        "<code>manifest.sqlite</code>, every number of this page in <code>report.json</code>.</footer>",
    ]
    return PAGE.replace("BODY", "\n".join(part for part in parts if part))


def _shares(account: Account, name: str) -> list[tuple[str, int, str, str]]:
    shares = list(getattr(account, name).items())
    bars = [
        (key, share.text_bytes, f"{megabytes(share.text_bytes)} · {share.documents:,} documents", "kept")
        for key, share in shares[:BARS_SHOWN]
    ]
    rest = [share for _, share in shares[BARS_SHOWN:]]
    if rest:
        text, documents = sum(share.text_bytes for share in rest), sum(share.documents for share in rest)
        bars.append((f"{len(rest)} others", text, f"{megabytes(text)} · {documents:,} documents", "rest"))
    return bars


def _chart(title: str, bars: Sequence[tuple[str, int, str, str]]) -> str:
    """Return horizontal bars, each (label, value, value as text, class), as a heading and an SVG; "" without bars."""
    if not bars:
        return ""
    most = max(value for _, value, _, _ in bars) or 1
    height = len(bars) * (BAR_HEIGHT + BAR_GAP)
    width = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    rows = []
    for number, (label, value, text, kind) in enumerate(bars):
        top = number * (BAR_HEIGHT + BAR_GAP) + BAR_GAP / 2
        middle = top + BAR_HEIGHT / 2
        long = max(BAR_WIDTH * value / most, 2 if value else 0)
        short = label if len(label) <= 28 else f"{label[:27]}…"
        rows.append(
            f'<text x="{LABEL_WIDTH - 10}" y="{middle:.1f}" class="label">{escape(short)}</text>'
            f'<rect x="{LABEL_WIDTH}" y="{top:.1f}" width="{long:.1f}" height="{BAR_HEIGHT}" rx="3" class="{kind}">'
            f"<title>{escape(f'{label}: {text}')}</title></rect>"
            f'<text x="{LABEL_WIDTH + long + 8:.1f}" y="{middle:.1f}" class="value">{escape(text)}</text>'
        )
    return (
        f'<h2>{escape(title)}</h2>\n<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        + "".join(rows)
        + "</svg>"
    )


def _example(source: str, detail: str) -> str:
    return f"{escape(source)}<br><small>{escape(detail)}</small>" if detail else escape(source)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table under a heading; the cells are HTML already. "" without rows."""
    if not rows:
        return ""
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<h2>{escape(title)}</h2>\n<div class="wide"><table><tr>{heads}</tr>\n{body}</table></div>'


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>quire: what became of the files</title>
<style>
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5b6570; --line: #d9dee3; --paper: #fff; --tile: #f4f6f8;
  --kept: #2f6fb0; --dropped: #9aa5b1; --failed: #c4493d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa5b1; --line: #343b43; --paper: #15191d;
  --tile: #1e242a; --kept: #6aa8e6; --dropped: #6b7682; --failed: #e5776b; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
.lead { font-size: 1.1rem; } small, footer { color: var(--soft); } footer { margin-top: 3rem; font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .7rem; }
.tiles div { background: var(--tile); border-radius: .5rem; padding: .7rem .9rem; color: var(--soft); }
.tiles b { display: block; font-size: 1.5rem; color: var(--ink); font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; max-width: 46rem; display: block; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); dominant-baseline: central; } .label { text-anchor: end; }
svg .value { fill: var(--soft); } .kept { fill: var(--kept); } .dropped, .rest { fill: var(--dropped); }
.failed { fill: var(--failed); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
td:nth-child(3) { font-variant-numeric: tabular-nums; } th { color: var(--soft); font-weight: 600; }
@media print { body { max-width: none; } }
</style>
<body>
BODY
</body>
</html>
"""
