"""`quire ingest`: folders of documents to a corpus."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quire.cli.printable import printable
from quire.corpus.engines import EngineSettings
from quire.corpus.settings import CorpusSettings, IngestSettings
from quire.documents.sandbox import PoolSettings
from quire.documents.settings import ReadSettings
from quire.documents.sql import database_name, is_database
from quire.settings import build, help_of, merge, with_assignments

if TYPE_CHECKING:
    from rich.table import Table

    from quire.corpus.account import Account, Rule
    from quire.corpus.progress import Step

FAILURES_SHOWN = 10


def command(
    *,
    sources: list[str] = typer.Argument(
        ...,
        metavar="SOURCE",
        help="Folders and files to read, and databases: sqlite:///notes.db?table=notes&column=body.",
    ),
    out: Path | None = typer.Option(None, metavar="CORPUS", help="The corpus folder (default: corpora/SOURCE)."),
    workers: int | None = typer.Option(None, metavar="N", help=help_of(PoolSettings, "workers")),
    engine: str | None = typer.Option(None, metavar="local|ray", help=help_of(EngineSettings, "name")),
    no_ocr: bool = typer.Option(False, "--no-ocr", help="Do not recognise text in pictures and scanned pages."),
    redact: bool = typer.Option(False, "--redact", help=help_of(CorpusSettings, "redact")),
    password: str | None = typer.Option(None, metavar="WORD", help=help_of(ReadSettings, "password")),
    assignments: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Set anything else, such as pool.seconds=300 or read.max_pages=100."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the account as one JSON object."),
) -> None:
    """Read folders of documents into a corpus; every file is accounted for.

    Run it again to read only what changed, or to go on after an interruption.
    """
    from quire.corpus.account import NothingKeptError
    from quire.corpus.build import ingest
    from quire.corpus.origin import check_origin

    values = with_assignments({}, assignments)
    if workers is not None:
        values = merge(values, {"pool": {"workers": workers}})
    if engine is not None:
        values = merge(values, {"engine": {"name": engine}})
    if no_ocr:
        values = merge(values, {"read": {"ocr": False}})
    if redact:
        values = merge(values, {"corpus": {"redact": True}})
    if password is not None:
        values = merge(values, {"read": {"password": password}})
    settings = build(IngestSettings, values, where="--set")
    corpus = out if out is not None else Path("corpora") / source_name(sources[0])
    if out is None:
        check_origin(sources, corpus, option="--out")
    try:
        with ingest_progress() as progress:
            account = ingest(sources, corpus, settings, progress=progress)
    except KeyboardInterrupt:
        print("What was read is kept: the same command goes on from here.", file=sys.stderr)
        raise
    except NothingKeptError as error:
        if error.account is not None:
            _tell(error.account, None, as_json=as_json)
        raise
    _tell(account, corpus, as_json=as_json)


def _tell(account: Account, corpus: Path | None, *, as_json: bool) -> None:
    """Print the account and where the corpus is, if there is one."""
    if as_json:
        place = None if corpus is None else str(corpus)
        print(json.dumps({"corpus": place, "account": account.as_dict()}, ensure_ascii=False))
        return
    print_account(account)
    if corpus is not None:
        print(f"\nCorpus: {corpus}\nReport: {corpus / 'report.html'}")


def source_name(source: str) -> str:
    """Return what a folder, a file or a database is called, for what is made of it. Raises `UsageError`."""
    return database_name(source) if is_database(source) else Path(source).resolve().name


@contextlib.contextmanager
def ingest_progress() -> Iterator[Callable[[Step], None]]:
    """Show an ingestion's steps as a bar on stderr, with files and bytes per second and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[counts]}"),
        TextColumn("{task.fields[clock]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=Console(stderr=True),
        speed_estimate_period=120,
    )
    tasks: dict[str, Any] = {}

    def show(step: Step) -> None:
        if step.total_files == 0:
            return
        if step.stage not in tasks:
            tasks[step.stage] = bar.add_task(f"{step.stage.capitalize():<8}", total=None, counts="", clock="")
        task = tasks[step.stage]
        elapsed = bar.tasks[task].elapsed or 0.0
        # A file costs something whatever its size: 4 kB' worth, so that empty files move the bar.
        total = None if step.total_bytes is None else step.total_bytes + 4096 * (step.total_files or 0)
        done = step.files == step.total_files
        bar.update(
            task,
            total=total,
            completed=step.bytes + 4096 * step.files,
            counts=_counts(step, elapsed),
            clock="took" if done else "left",
        )

    with bar:
        yield show


def _counts(step: Step, elapsed: float) -> str:
    of = "" if step.total_files is None else f"/{step.total_files:,}"
    text = f"{step.files:,}{of} files"
    if step.stage == "reading" and elapsed > 0:
        text += f"  {step.files / elapsed:,.1f} files/s  {step.bytes / 1e6 / elapsed:,.2f} MB/s"
    return text + (f"  {step.failed:,} failed" if step.failed else "")


def print_account(account: Account, *, stderr: bool = False) -> None:
    """Print what became of every file: the sums, the rules, the largest failures; on stdout or stderr."""
    from rich.console import Console
    from rich.markup import escape

    from quire.corpus.account import megabytes
    from quire.documents.document import counted

    stream = sys.stderr if stderr else sys.stdout
    console = Console(stderr=stderr, width=None if stream.isatty() else 120, highlight=False)
    console.print(_sums(account))
    for title, rules in (("why", account.rules), ("why members", account.member_rules)):
        if rules:
            console.print()
            console.print(_rules(title, rules))
    if account.failures:
        shown = account.failures[:FAILURES_SHOWN]
        console.print(f"\nFailed{', the largest' if account.failed.files > len(shown) else ''}:")
        for failed in shown:
            told = printable(f"  {failed.source} ({megabytes(failed.bytes)}): {failed.detail}")
            console.print(escape(told), soft_wrap=True)
    console.print(f"\n{_characters(account)}", soft_wrap=True)
    if account.secrets:
        found = ", ".join(
            f"{secrets.count:,} {kind} in {counted(secrets.files, 'file')}" for kind, secrets in account.secrets.items()
        )
        console.print(
            f"Secrets {'masked' if account.redacted else 'found, --redact masks them'}: {found}", soft_wrap=True
        )
    pages = f" of {counted(account.pages, 'page')}" if account.pages else ""
    formats = ", ".join(f"{kind} {megabytes(share.text_bytes)}" for kind, share in list(account.formats.items())[:5])
    read = f"{counted(account.files_read, 'file')} read in {account.seconds:.1f} s"
    documents = counted(account.documents, "document")
    of_which = f" ({formats})" if formats else ""
    console.print(f"\n{documents}{pages}, {megabytes(account.text_bytes)} of text{of_which}; {read}")


def _sums(account: Account) -> Table:
    from rich.table import Table

    from quire.corpus.account import OUTCOMES, Tally, megabytes

    has_members = any(tally.files for tally in account.members.values())
    sums = Table("", "files", "size", *(("members", "size") if has_members else ()), box=None, pad_edge=False)
    for column in sums.columns[1:]:
        column.justify = "right"

    def row(name: str, files: Tally, members: Tally) -> None:
        cells = [name, f"{files.files:,}", megabytes(files.bytes)]
        sums.add_row(*cells, *((f"{members.files:,}", megabytes(members.bytes)) if has_members else ()))

    row("found", account.found, sum(account.members.values(), Tally()))
    for outcome, sign in zip(OUTCOMES, ("=", "+", "+"), strict=True):
        row(f"{sign} {outcome}", getattr(account, outcome), account.members[outcome])
    return sums


def _rules(title: str, rules: Sequence[Rule]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from quire.corpus.account import megabytes

    what = "members" if title.endswith("members") else "files"
    table = Table(title.partition(" ")[0], "", what, "size", "for example", box=None, pad_edge=False)
    for rule in rules:
        example = escape(printable(f"{rule.example}: {rule.detail}" if rule.detail else rule.example))
        table.add_row(rule.outcome, rule.rule, f"{rule.files:,}", megabytes(rule.bytes), example)
    return table


def _characters(account: Account) -> str:
    """Return the sum of all characters in one line."""
    from quire.documents.document import counted

    letters = account.characters
    terms = [f"{letters.kept:,} kept"]
    terms += [
        f"{part.characters:,} {rule} ({counted(part.count, 'document')})" for rule, part in letters.left_out.items()
    ]
    terms += [f"{part.characters:,} {rule} ({counted(part.count, 'place')})" for rule, part in letters.cut.items()]
    read = f"{letters.read:,} characters read" + (f" + {letters.added:,} of masks" if letters.added else "")
    return f"{read} = {' + '.join(terms)}"
