"""The account with pictures: report.json for programs, report.html for people, offline and in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from quire.corpus.account import OUTCOMES, Account, Rule, Share, Tally, megabytes
from quire.corpus.charts import bars, columns
from quire.corpus.settings import IngestSettings
from quire.documents.document import counted
from quire.files import write_text

BARS_SHOWN = 12
SHORT_NAMES = {
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/epub+zip": "epub",
    "application/x-ipynb+json": "ipynb",
}
"""Media types that are too long for a label, as people call them."""


def write_report(folder: Path, account: Account, settings: IngestSettings) -> None:
    """Write report.json and report.html of `account` into `folder`."""
    values = {"account": account.as_dict(), "settings": settings.model_dump(mode="json")}
    write_text(folder / "report.json", json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "report.html", html_report(account))


def html_report(account: Account) -> str:
    """Return the report as one HTML page that asks for nothing outside itself."""
    found = account.found
    tallies = {outcome: getattr(account, outcome) for outcome in OUTCOMES}
    parts = [
        "<h1>What became of the files</h1>",
        f'<p class="lead"><b>{found.files:,}</b> files found = {_sum(tallies)}.<br>{megabytes(found.bytes)} = '
        + " + ".join(megabytes(tally.bytes) for tally in tallies.values())
        + _members(account.members)
        + ".</p>",
        _tiles(account),
        bars("Files by outcome", _outcomes(tallies)),
        bars("Members of archives, mails and books", _outcomes(account.members) if _any(account.members) else []),
        bars("Text by format", _shares(account.formats)),
        bars("Text by language", _languages(account)),
        columns("Confidence of recognised text", account.confidences, ("0 %", "100 %"), "documents"),
        bars("Characters", _characters(account)),
        f"<p>{account.characters.read:,} characters were read{_masks(account)}; the bars add up to that.</p>",
        _table(
            "The largest losses",
            ("file", "size", "reason"),
            [
                (escape(loss.source), megabytes(loss.bytes), escape(f"{loss.outcome}, {loss.rule}: {loss.detail}"))
                for loss in account.losses
            ],
        ),
        _rules("Why files were left out", "files", account.rules),
        _rules("Why members were left out", "members", account.member_rules),
        _table(
            "Files that failed" + (", the largest" if account.failed.files > len(account.failures) else ""),
            ("file", "size", "reason"),
            [
                (escape(failed.source), megabytes(failed.bytes), escape(f"{failed.rule}: {failed.detail}"))
                for failed in account.failures
            ],
        ),
        _table(
            "Secrets and personal data" + (", masked" if account.redacted else " (--redact masks them)"),
            ("kind", "found", "files"),
            [(escape(kind), f"{found.count:,}", f"{found.files:,}") for kind, found in account.secrets.items()],
        ),
        bars("Code by licence", _shares(account.licenses)),
        f"<footer>Corpus {account.fingerprint[:16]}, written in {account.seconds:,.1f} s. Every file is in "
        "<code>manifest.sqlite</code>, every number of this page in <code>report.json</code>.</footer>",
    ]
    return PAGE.replace("BODY", "\n".join(part for part in parts if part))


def _any(tallies: Mapping[str, Tally]) -> bool:
    return any(tally.files for tally in tallies.values())


def _sum(tallies: Mapping[str, Tally]) -> str:
    return " + ".join(f"{tally.files:,} {outcome}" for outcome, tally in tallies.items())


def _members(members: Mapping[str, Tally]) -> str:
    if not _any(members):
        return ""
    files = sum(tally.files for tally in members.values())
    return f".<br>Inside of them <b>{files:,}</b> members = {_sum(members)}"


def _masks(account: Account) -> str:
    added = account.characters.added
    return f", and {added:,} were added by masks" if added else ""


def _tiles(account: Account) -> str:
    tiles = [
        (f"{account.documents:,}", "documents kept"),
        (megabytes(account.text_bytes), "of text"),
        (f"{account.pages:,}", "pages"),
        (f"{account.duplicates:,}", "copies left out"),
        (f"{account.dropped.files:,}", "files dropped"),
        (f"{account.failed.files:,}", "files failed"),
    ]
    cells = "\n".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for value, name in tiles)
    return f'<div class="tiles">\n{cells}\n</div>'


def _outcomes(tallies: Mapping[str, Tally]) -> list[tuple[str, int, str, str]]:
    return [
        (outcome, tally.files, f"{tally.files:,} · {megabytes(tally.bytes)}", outcome)
        for outcome, tally in tallies.items()
    ]


def _characters(account: Account) -> list[tuple[str, int, str, str]]:
    letters = account.characters
    left_out = [
        (rule, part.characters, f"{part.characters:,} · {counted(part.count, 'document')}", "dropped")
        for rule, part in letters.left_out.items()
    ]
    cut = [
        (rule, part.characters, f"{part.characters:,} · {counted(part.count, 'place')}", "dropped")
        for rule, part in letters.cut.items()
    ]
    return [("kept", letters.kept, f"{letters.kept:,}", "kept"), *left_out, *cut]


def _rules(title: str, what: str, rules: Sequence[Rule]) -> str:
    rows = [
        (rule.outcome, rule.rule, f"{rule.files:,}", megabytes(rule.bytes), _example(rule.example, rule.detail))
        for rule in rules
    ]
    return _table(title, ("outcome", "rule", what, "size", "for example"), rows)


def _shares(of: Mapping[str, Share]) -> list[tuple[str, int, str, str]]:
    shares = list(of.items())
    rows = [
        (
            SHORT_NAMES.get(key, key),
            share.text_bytes,
            f"{megabytes(share.text_bytes)} · {counted(share.documents, 'document')}",
            "kept",
        )
        for key, share in shares[:BARS_SHOWN]
    ]
    rest = [share for _, share in shares[BARS_SHOWN:]]
    if rest:
        text, documents = sum(share.text_bytes for share in rest), sum(share.documents for share in rest)
        rows.append((f"{len(rest)} others", text, f"{megabytes(text)} · {counted(documents, 'document')}", "rest"))
    return rows


def _languages(account: Account) -> list[tuple[str, int, str, str]]:
    """Return the shares of the languages, and of the text of which none is known; none where none is known at all."""
    known = account.languages.values()
    documents = account.documents - sum(share.documents for share in known)
    text = account.text_bytes - sum(share.text_bytes for share in known)
    rows = _shares(account.languages)
    if rows and documents:
        rows.append(("unknown", text, f"{megabytes(text)} · {counted(documents, 'document')}", "rest"))
    return rows


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
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .7rem; }
.tiles div { background: var(--tile); border-radius: .5rem; padding: .7rem .9rem; color: var(--soft); }
.tiles b { display: block; font-size: 1.5rem; color: var(--ink); font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; max-width: 46rem; display: block; font: 13px system-ui, sans-serif; }
svg text { fill: var(--ink); dominant-baseline: central; } .label { text-anchor: end; }
svg .middle { text-anchor: middle; } .axis { stroke: var(--line); }
svg .value { fill: var(--soft); } .kept { fill: var(--kept); } .dropped, .rest { fill: var(--dropped); }
.failed { fill: var(--failed); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; } th { color: var(--soft); font-weight: 600; }
th, td:not(:first-child):not(:last-child) { white-space: nowrap; overflow-wrap: normal; }
@media print { body { max-width: none; } }
</style>
<body>
BODY
</body>
</html>
"""
