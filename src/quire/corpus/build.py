"""From folders to a corpus: find the files, read those that changed, write what is kept, and close the account."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from quire.corpus.account import Account, NothingKeptError, Tally
from quire.corpus.assemble import Run, assemble, inputs_of
from quire.corpus.engines import check_installed, opened
from quire.corpus.ledger import NAME, Ledger, MetFile
from quire.corpus.origin import NAME as ORIGINS
from quire.corpus.origin import Origin, origins, write_origins
from quire.corpus.progress import Progress, Step
from quire.corpus.publish import STAGE, finish, staged
from quire.corpus.reading import Reader, Task, stamp_of
from quire.corpus.settings import IngestSettings
from quire.corpus.store import MANIFEST, Corpus
from quire.documents.document import counted
from quire.documents.sql import Rows, is_database, queried
from quire.documents.walk import walk
from quire.errors import FormatError, QuireError, UsageError
from quire.files import explain_os_error, only_writer

REASONS_TOLD = 5  # in the error where nothing is kept

ROWS = ".rows"
"""Folder, in the corpus, of what databases gave, while it is read."""


def ingest(
    sources: Sequence[Path | str] | Path | str,
    out: Path | str,
    settings: IngestSettings = IngestSettings(),
    *,
    progress: Progress | None = None,
    reader: Reader | None = None,
) -> Account:
    """Read folders and files into a corpus.

    A run that was killed goes on where it stopped; a run on a finished corpus reads only what changed. Either way the
    documents are byte for byte those that one run from nothing would have written, and the account is the same but for
    seconds, workers and files read. The corpus that was there stays whole and usable until the new one replaces it.

    Args:
        sources: folders and single files; and databases, as URLs (see `quire.documents.sql`).
        out: the corpus folder; made where it is missing. Files inside it are never read.
        settings: see `IngestSettings`.
        progress: called with a `Step` now and then, from this thread.
        reader: reads a file in place of `quire.documents.read.read_file`; a function of an importable module.

    Returns:
        What became of every file.

    Raises:
        UsageError: a source does not exist, or `out` is a file, a folder of something else, or holds a source.
        NothingKeptError: no document was kept; it has the account, and the corpus that was there stays.
        QuireError: the disk is full, the folder cannot be written, another run is writing it, a
            database cannot be read.
    """
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    databases = [str(source) for source in given if is_database(source)]
    roots = [Path(source) for source in given if not is_database(source)]
    out = Path(out)
    tell: Progress = progress or (lambda step: None)
    if not databases:
        _check_given(roots)
    _check_roots(roots)
    _check_out(out, roots)
    check_installed(settings.engine)
    with _explained(out):
        out.mkdir(parents=True, exist_ok=True)
        with only_writer(out, "corpus"):
            finish(out)
            with queried(databases, out / ROWS, settings.read) as tables:
                account = _ingest(roots, tables, out, settings, tell, reader, origins(given, out))
            if not settings.corpus.keep_readings:
                (out / NAME).unlink()
    return account


def _check_given(roots: Sequence[Path]) -> None:
    if not roots:
        raise UsageError("no folder was given")


def _check_roots(roots: Sequence[Path]) -> None:
    for root in roots:
        if not root.exists():
            raise UsageError("no such file or folder", where=root)


def _check_out(out: Path, roots: Sequence[Path]) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError("this is a file, and a corpus is a folder", where=out, hint="Choose another --out")
    place = out.resolve()
    for root in roots:
        source = root.resolve()
        if source == place or place in source.parents:
            raise UsageError(
                f"the corpus would lie over the source {root}", where=out, hint="Choose a new folder with --out"
            )
    ours = {MANIFEST, NAME, STAGE, ROWS, ORIGINS}
    if out.is_dir() and os.access(out, os.R_OK):
        names = set(os.listdir(out))
        if names and not names & ours:
            raise UsageError(
                "this folder holds something else than a corpus",
                where=out,
                hint="Choose a new or empty folder with --out",
            )


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    """Turn what the system or SQLite refuses while the corpus is written into an error with a hint."""
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, Path(error.filename) if isinstance(error.filename, str) else out) from error
    except sqlite3.OperationalError as error:
        hint = "Check the disk space and the permissions of that folder, or choose another place with --out"
        raise QuireError(f"SQLite says: {error}", where=out, hint=hint) from error


def _ingest(
    roots: Sequence[Path],
    tables: Sequence[Rows],
    out: Path,
    settings: IngestSettings,
    tell: Progress,
    reader: Reader | None,
    made_of: Sequence[Origin],
) -> Account:
    begun = time.monotonic()
    by = "" if reader is None else f":{reader.__module__}.{reader.__qualname__}"
    ledger = Ledger(
        out / NAME,
        settings=settings.read,
        others=f"{settings.measuring.fingerprint()}{by}",
        limits=f"{settings.pool.seconds:g} s, {settings.pool.memory_mb} MB",
        retry_failed=settings.corpus.retry_failed,
    )
    try:
        found = _find(roots, tables, out, settings, ledger, tell)
        is_first = not (out / MANIFEST).is_file()
        if is_first:
            write_origins(out, made_of)
        files_read = _read(ledger, settings, tell, reader)
        inputs = inputs_of(ledger, settings)
        account = _unchanged(out, inputs)
        if account is not None:
            write_origins(out, made_of)
        else:
            run = Run(found, inputs, files_read, begun)
            with staged(out) as folder:
                account = assemble(folder, ledger, settings, run, tell)
                write_origins(folder, made_of)
                if not account.documents:
                    if is_first:
                        (out / ORIGINS).unlink()
                    raise NothingKeptError(_nothing(account, roots), account=account)
            ledger.forget_others()
        return replace(account, files_read=files_read, seconds=time.monotonic() - begun)
    finally:
        ledger.close()


def _nothing(account: Account, roots: Sequence[Path]) -> str:
    if not account.found.files:
        return f"no files were found in {', '.join(map(str, roots))}"
    why = (
        f"{rule.files:,} {rule.outcome} ({rule.rule}{': ' if rule.files == 1 else ', such as '}{rule.example})"
        for rule in account.rules[:REASONS_TOLD]
    )
    return f"no document was kept of {counted(account.found.files, 'file')}: {'; '.join(why)}"


def _unchanged(out: Path, inputs: str) -> Account | None:
    """Return the account of the corpus that is there, if it was made of the same readings and is whole."""
    with contextlib.suppress(FormatError):
        corpus = Corpus.open(out)
        if corpus.inputs == inputs:
            return corpus.account()
    return None


# ---- finding --------------------------------------------------------------------------------------------------------


def _find(
    roots: Sequence[Path], tables: Sequence[Rows], out: Path, settings: IngestSettings, ledger: Ledger, tell: Progress
) -> Tally:
    """Enter every file into the ledger; return how many there are and how large they are together."""
    files, size = 0, 0
    tops = {root.resolve() for root in roots}
    places = _Places(out.resolve(), tops)
    ledger.begin()
    for table in tables:
        ledger.meet(table.source, os.fsencode(table.path.absolute()), table.size)
        files, size = files + 1, size + table.size
    for met in walk(roots, settings.walk):
        where = places.of(met.path.parent)
        if where == "inside":
            continue
        rule, detail = met.rule, met.detail
        if where == "output" and rule is None:
            rule, detail = "quire-output", "part of a corpus or a run that quire wrote"
        outcome = "failed" if met.failed else "dropped"
        ledger.meet(met.source, os.fsencode(met.path.absolute()), met.size, rule, detail, outcome=outcome)
        files, size = files + 1, size + met.size
        if files % 1000 == 0:
            tell(Step("finding", files, None, size))
    ledger.commit()
    tell(Step("finding", files, files, size, size))
    return Tally(files, size)


class _Places:
    """Tells folders that lie in the corpus being written, or in what quire wrote before, from all others."""

    def __init__(self, out: Path, tops: set[Path]) -> None:
        self._known: dict[Path, str] = {}
        self._out = out
        self._tops = tops

    def of(self, folder: Path) -> str:
        """Return "inside", "output" or "source"."""
        if folder not in self._known:
            self._known[folder] = self._look(folder)
        return self._known[folder]

    def _look(self, folder: Path) -> str:
        place = folder.resolve()
        if place == self._out:
            return "inside"
        is_corpus = (place / MANIFEST).is_file() and (place / "report.json").is_file()
        if is_corpus or (place / "quire" / "run.toml").is_file():
            return "output"
        return "source" if place in self._tops or place == place.parent else self.of(place.parent)


# ---- reading --------------------------------------------------------------------------------------------------------


def _read(ledger: Ledger, settings: IngestSettings, tell: Progress, reader: Reader | None) -> int:
    """Decide every file that the walk left undecided; return how many had to be read."""
    known = 0
    if settings.corpus.trust_timestamps:
        ledger.begin()
        for file in ledger.undecided():
            with contextlib.suppress(OSError):  # whoever reads it will meet the same error and record it
                known += ledger.recall(file, stamp_of(file.path))
        ledger.commit()
    waiting = ledger.queue()
    step = Step("reading", 0, waiting.files, 0, waiting.bytes, known)
    tell(step)
    files: dict[str, MetFile] = {}

    def tasks() -> Iterator[Task]:
        for file in ledger.queued():
            files[file.source] = file
            sums = ledger.known(file.name, file.size)
            yield Task(file.path, file.source, file.size, sums, settings.read, reader, settings.measuring)

    with opened(settings.engine, settings.pool) as engine:
        for done in engine.map(tasks()):
            file = files.pop(done.task.source)
            outcome = "failed"
            if done.value is not None:
                outcome = done.value.outcome
                ledger.record(file, done.value, done.seconds, done.worker)
            elif done.failure is not None:
                ledger.record_failure(file, done.failure, done.notes, done.seconds, done.worker)
            step = replace(
                step,
                files=step.files + 1,
                bytes=step.bytes + file.size,
                known=step.known + (outcome == "known"),
                failed=step.failed + (outcome == "failed"),
                source=file.source,
            )
            tell(step)
    return step.files - (step.known - known)
