"""The last stage: from the ledger of a run to the files of a corpus, in the order of the files' names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from quire.corpus.account import FAILURES_TOLD, Account, FailedFile, Rule, Share, Tally
from quire.corpus.ledger import Ledger, MetFile
from quire.corpus.progress import Progress, Step
from quire.corpus.reading import unpack
from quire.corpus.report import write_report
from quire.corpus.settings import IngestSettings
from quire.corpus.shards import ShardWriter
from quire.corpus.store import VERSION, FileRecord, ManifestWriter
from quire.documents.document import Document
from quire.errors import QuireError

TEXT_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Run:
    """What the stages before know: files found, digest of all inputs, files read, and when it began (monotonic)."""

    found: Tally
    inputs: str
    files_read: int
    begun: float


def inputs_of(ledger: Ledger, settings: IngestSettings) -> str:
    """Return a digest that is the same exactly where the corpus would be made of the same files and readings."""
    digest = hashlib.sha256()
    kept = settings.corpus
    digest.update(json.dumps([VERSION, ledger.settings, kept.deduplicate, kept.shard_mb]).encode())
    for file in ledger.files():
        row = (file.source, file.size, file.sha256, file.outcome, file.rule, file.detail, file.text_bytes)
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def assemble(folder: Path, ledger: Ledger, settings: IngestSettings, run: Run, tell: Progress) -> Account:
    """Write shards, manifest and report into `folder`, and return the account, which closes.

    Raises:
        QuireError: no document is kept, or the account does not close.
    """
    corpus = settings.corpus
    writer = ShardWriter(folder, corpus.shard_mb * 1_000_000)
    manifest = ManifestWriter(folder)
    with contextlib.closing(writer), contextlib.closing(manifest):
        assembly = _Assembly(ledger, writer, manifest, corpus.deduplicate)
        step = Step("writing", 0, run.found.files, 0, run.found.bytes)
        tell(step)
        for file in ledger.files():
            assembly.add(file)
            step = replace(step, files=step.files + 1, bytes=step.bytes + file.size, source=file.source)
            tell(step)
        writer.finish()
        account = assembly.account(run)
        account.verify()
        if not account.documents:
            raise QuireError(f"no document was kept of {account.found.files} files: {_why(account)}")
        manifest.finish({"inputs": run.inputs}, writer.shards, account)
    write_report(folder, account, settings)
    return account


def _why(account: Account) -> str:
    return "; ".join(f"{rule.files} {rule.outcome} ({rule.rule}, such as {rule.example})" for rule in account.rules[:5])


@dataclass
class _Assembly:
    ledger: Ledger
    writer: ShardWriter
    manifest: ManifestWriter
    deduplicate: bool
    duplicates: int = 0
    pages: int = 0
    formats: dict[str, Share] = field(default_factory=dict)
    languages: dict[str, Share] = field(default_factory=dict)
    # Digests of what is kept; 16 bytes of a document's text and 32 of a file, about 150 bytes of memory each.
    files_kept: dict[bytes, str] = field(default_factory=dict)
    texts_kept: dict[bytes, int] = field(default_factory=dict)

    def add(self, file: MetFile) -> None:
        record = FileRecord(
            path=file.source,
            member=None,
            size=file.size,
            sha256=file.sha256,
            settings=self.ledger.settings if file.sha256 else None,
            outcome=file.outcome or "failed",
            rule=file.rule,
            detail=file.detail,
            seconds=file.seconds,
            worker=file.worker,
            documents=0,
            text_bytes=0,
            first_document=None,
        )
        if file.outcome == "kept":
            record = self._keep(file, record)
        self.manifest.add(record)

    def _keep(self, file: MetFile, record: FileRecord) -> FileRecord:
        digest = bytes.fromhex(file.sha256 or "")
        if self.deduplicate and digest in self.files_kept:
            self.duplicates += file.documents
            detail = f"the same bytes as {self.files_kept[digest]}"
            return replace(record, outcome="dropped", rule="duplicate", detail=detail)
        first, text_before, twin = self.writer.documents, self.writer.text_bytes, ""
        for part in self.ledger.parts(file):
            for document in unpack(part, file.source):
                copy_of = self._add(document, record)
                twin = twin or copy_of or ""
        documents = self.writer.documents - first
        if not documents:
            return replace(record, outcome="dropped", rule="duplicate", detail=f"the same text as {twin}")
        self.files_kept[digest] = file.source
        text_bytes = self.writer.text_bytes - text_before
        return replace(record, documents=documents, text_bytes=text_bytes, first_document=first)

    def _add(self, document: Document, file: FileRecord) -> str | None:
        """Write a document, unless its text is in the corpus already: then return where."""
        text = document.text.encode()
        digest = hashlib.blake2b(text, digest_size=TEXT_DIGEST_BYTES).digest()
        record = replace(file, member=document.member, size=None, sha256=document.sha256)
        if self.deduplicate and digest in self.texts_kept:
            self.duplicates += 1
            copy_of = self.manifest.source_of(self.texts_kept[digest]) or file.path
            if document.member is not None:
                detail = f"the same text as {copy_of}"
                self.manifest.add(replace(record, outcome="dropped", rule="duplicate", detail=detail))
            return copy_of
        identity = self.writer.add(document)
        self.texts_kept[digest] = identity
        if document.member is not None:
            self.manifest.add(replace(record, documents=1, text_bytes=len(text), first_document=identity))
        pages = len({span.page for span in document.pages if span.page is not None})
        self.pages += pages
        share = Share(1, pages, len(text))
        _count(self.formats, document.media_type, share)
        if document.language is not None:
            _count(self.languages, document.language, share)
        return None

    def account(self, run: Run) -> Account:
        """Add up the manifest's rows; what was counted on the way is for `Account.verify` to compare with."""
        rows = self.manifest.execute(
            "SELECT outcome, count(*), sum(size) FROM files WHERE member IS NULL GROUP BY outcome"
        )
        ended = {outcome: Tally(files, size) for outcome, files, size in rows}
        # SQLite takes the other columns of a group from the row that has the minimum.
        rules = self.manifest.execute(
            "SELECT outcome, rule, count(*), sum(size), min(path), coalesce(detail, '') FROM files "
            "WHERE member IS NULL AND outcome <> 'kept' GROUP BY outcome, rule ORDER BY outcome, count(*) DESC, rule"
        )
        failures = self.manifest.execute(
            "SELECT path, size, rule, detail FROM files WHERE member IS NULL AND outcome = 'failed' "
            f"ORDER BY size DESC, path LIMIT {FAILURES_TOLD}"
        )
        documents, text_bytes = self.manifest.execute(
            "SELECT coalesce(sum(documents), 0), coalesce(sum(text_bytes), 0) FROM files WHERE member IS NULL"
        )[0]
        return Account(
            found=run.found,
            kept=ended.get("kept", Tally()),
            dropped=ended.get("dropped", Tally()),
            failed=ended.get("failed", Tally()),
            rules=tuple(Rule(*row) for row in rules),
            failures=tuple(FailedFile(*row) for row in failures),
            documents=documents,
            duplicates=self.duplicates,
            text_bytes=text_bytes,
            pages=self.pages,
            formats=_most_text_first(self.formats),
            languages=_most_text_first(self.languages),
            files_read=run.files_read,
            seconds=time.monotonic() - run.begun,
            fingerprint=self.writer.fingerprint,
        )


def _count(shares: dict[str, Share], key: str, more: Share) -> None:
    old = shares.get(key, Share())
    shares[key] = Share(old.documents + more.documents, old.pages + more.pages, old.text_bytes + more.text_bytes)


def _most_text_first(shares: dict[str, Share]) -> dict[str, Share]:
    return dict(sorted(shares.items(), key=lambda item: (-item[1].text_bytes, item[0])))
