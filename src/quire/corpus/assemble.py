"""The last stage: from the ledger of a run to the files of a corpus, in the order of the files' names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from quire.corpus.account import FAILURES_TOLD, OUTCOMES, Account, FailedFile, Rule, Share, Tally
from quire.corpus.ledger import Ledger, MetFile
from quire.corpus.progress import Progress, Step
from quire.corpus.reading import unpack
from quire.corpus.report import write_report
from quire.corpus.settings import IngestSettings
from quire.corpus.shards import ShardWriter
from quire.corpus.store import VERSION, FileRecord, ManifestWriter
from quire.documents.document import Document, LeftOut
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
        else:
            self._add_parts(file, record)
        self.manifest.add(record)

    def _keep(self, file: MetFile, record: FileRecord) -> FileRecord:
        digest = bytes.fromhex(file.sha256 or "")
        if self.deduplicate and digest in self.files_kept:
            self.duplicates += file.documents
            detail = f"the same bytes as {self.files_kept[digest]}"
            return replace(record, outcome="dropped", rule="duplicate", detail=detail)
        first, text_before = self.writer.documents, self.writer.text_bytes
        twin = self._add_parts(file, record)
        documents = self.writer.documents - first
        if not documents:
            return replace(record, outcome="dropped", rule="duplicate", detail=f"the same text as {twin}")
        self.files_kept[digest] = file.source
        text_bytes = self.writer.text_bytes - text_before
        return replace(record, documents=documents, text_bytes=text_bytes, first_document=first)

    def _add_parts(self, file: MetFile, record: FileRecord) -> str:
        """Write the documents of a file and a row for each of its members; return whose text one of them repeats."""
        twin, member = "", None
        for packed in self.ledger.parts(file):
            for part in unpack(packed, file.source):
                if member is not None and (isinstance(part, LeftOut) or part.member != member.member):
                    self.manifest.add(member)
                    member = None
                if isinstance(part, LeftOut):
                    self.manifest.add(_left_out(part, record))
                    continue
                if part.member is not None and member is None:
                    member = replace(record, member=part.member, size=part.size or 0, sha256=part.sha256)
                    member = replace(member, outcome="dropped", rule="duplicate", detail=None)
                text_before, first = self.writer.text_bytes, self.writer.documents
                copy_of = self._add(part, record)
                twin = twin or copy_of or ""
                if member is None:
                    continue
                if copy_of is None:
                    member = replace(
                        member,
                        outcome="kept",
                        rule=None,
                        detail=None,
                        documents=member.documents + 1,
                        text_bytes=member.text_bytes + self.writer.text_bytes - text_before,
                        first_document=first if member.first_document is None else member.first_document,
                    )
                elif member.outcome == "dropped":
                    member = replace(member, detail=f"the same text as {copy_of}")
        if member is not None:
            self.manifest.add(member)
        return twin

    def _add(self, document: Document, file: FileRecord) -> str | None:
        """Write a document, unless its text is in the corpus already: then return where."""
        text = document.text.encode()
        digest = hashlib.blake2b(text, digest_size=TEXT_DIGEST_BYTES).digest()
        if self.deduplicate and digest in self.texts_kept:
            self.duplicates += 1
            return self.manifest.source_of(self.texts_kept[digest]) or file.path
        self.texts_kept[digest] = self.writer.add(document)
        pages = len({span.page for span in document.pages if span.page is not None})
        self.pages += pages
        share = Share(1, pages, len(text))
        _count(self.formats, document.media_type, share)
        if document.language is not None:
            _count(self.languages, document.language, share)
        return None

    def _rules(self, name: str, which: str) -> tuple[Rule, ...]:
        # SQLite takes the other columns of a group from the row that has the minimum.
        rows = self.manifest.execute(
            f"SELECT outcome, rule, count(*), sum(size), min({name}), coalesce(detail, '') FROM files "
            f"WHERE {which} AND outcome <> 'kept' GROUP BY outcome, rule ORDER BY outcome, count(*) DESC, rule"
        )
        return tuple(Rule(*row) for row in rows)

    def account(self, run: Run) -> Account:
        """Add up the manifest's rows; what was counted on the way is for `Account.verify` to compare with."""
        rows = self.manifest.execute(
            "SELECT member IS NULL, outcome, count(*), sum(size) FROM files GROUP BY member IS NULL, outcome"
        )
        ended = {outcome: Tally(files, size) for whole, outcome, files, size in rows if whole}
        members = {outcome: Tally(files, size) for whole, outcome, files, size in rows if not whole}
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
            members={outcome: members.get(outcome, Tally()) for outcome in OUTCOMES},
            member_rules=self._rules("path || '!' || member", "member IS NOT NULL"),
            rules=self._rules("path", "member IS NULL"),
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


def _left_out(part: LeftOut, file: FileRecord) -> FileRecord:
    return replace(
        file,
        member=part.member,
        size=part.size,
        sha256=part.sha256,
        outcome=part.outcome,
        rule=part.rule,
        detail=part.detail,
    )


def _count(shares: dict[str, Share], key: str, more: Share) -> None:
    old = shares.get(key, Share())
    shares[key] = Share(old.documents + more.documents, old.pages + more.pages, old.text_bytes + more.text_bytes)


def _most_text_first(shares: dict[str, Share]) -> dict[str, Share]:
    return dict(sorted(shares.items(), key=lambda item: (-item[1].text_bytes, item[0])))
