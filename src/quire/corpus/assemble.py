"""The last stage: from the ledger of a run to the files of a corpus, in the order of the files' names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from quire.corpus.account import (
    CONFIDENCE_BINS,
    COPY_RULES,
    FAILURES_TOLD,
    LOSSES_TOLD,
    OUTCOMES,
    Account,
    Characters,
    FailedFile,
    Loss,
    Part,
    Rule,
    Secrets,
    Share,
    Tally,
)
from quire.corpus.compare import FILTERED, KEPT, SAME, Decisions, decide
from quire.corpus.edits import Edit, disjoint, edited
from quire.corpus.ledger import Ledger, MetFile
from quire.corpus.manifest import VERSION, FileRecord, ManifestWriter, Reason
from quire.corpus.measure import Measure, unpack_measures
from quire.corpus.packing import unpack
from quire.corpus.progress import Progress, Step
from quire.corpus.quality import rejected
from quire.corpus.report import write_report
from quire.corpus.secrets import mask_of
from quire.corpus.settings import IngestSettings
from quire.corpus.shards import ShardWriter
from quire.documents.document import Document, LeftOut


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
    corpus = settings.corpus
    choices = (settings.filter.model_dump(mode="json"), settings.copies.model_dump(mode="json"))
    kept = (corpus.deduplicate, corpus.shard_mb, corpus.redact, corpus.license_once)
    digest.update(json.dumps([VERSION, ledger.settings, *kept, *choices]).encode())
    for row in ledger.inputs():
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def assemble(folder: Path, ledger: Ledger, settings: IngestSettings, run: Run, tell: Progress) -> Account:
    """Write shards, manifest and report into `folder`, and return the account, which closes.

    Raises:
        QuireError: the account does not close.
    """
    step = Step("writing", 0, run.found.files, 0, run.found.bytes)
    tell(step)
    decisions = decide(ledger, settings, folder)
    writer = ShardWriter(folder, settings.corpus.shard_mb * 1_000_000)
    manifest = ManifestWriter(folder)
    with contextlib.closing(writer), contextlib.closing(manifest):
        assembly = _Assembly(ledger, writer, manifest, settings, decisions)
        for file in ledger.files():
            assembly.add(file)
            step = replace(step, files=step.files + 1, bytes=step.bytes + file.size, source=file.source)
            tell(step)
        writer.finish()
        account = assembly.account(run)
        account.verify()
        manifest.finish({"inputs": run.inputs}, writer.shards, account)
    write_report(folder, account, settings)
    return account


@dataclass
class _Group:
    """What became of the documents of one file or member."""

    record: FileRecord
    documents: int = 0
    text_bytes: int = 0
    characters_read: int = 0
    characters: int = 0
    first: int | None = None
    rules: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Reason] = field(default_factory=dict)  # the first by rule
    copies: Reason | None = None  # of all copies: what is kept of them in one sentence

    def keep(self, identity: int, text_bytes: int, characters: int) -> None:
        self.first = identity if self.first is None else self.first
        self.documents += 1
        self.text_bytes += text_bytes
        self.characters += characters

    def leave(self, reason: Reason) -> None:
        self.rules[reason.rule] += 1
        self.reasons.setdefault(reason.rule, reason)
        if reason.rule == "duplicate":
            self.copies = reason if self.copies is None else _both(self.copies, reason)

    def ended(self) -> FileRecord:
        """Return the record: kept if any document is, else dropped by the rule that took most of them."""
        record = replace(self.record, characters_read=self.characters_read)
        if self.documents:
            return replace(
                record,
                outcome="kept",
                rule=None,
                detail=None,
                documents=self.documents,
                text_bytes=self.text_bytes,
                characters=self.characters,
                first_document=self.first,
            )
        if not self.rules:
            return record
        rule = self.rules.most_common(1)[0][0]
        why = self.copies if rule == "duplicate" and self.copies else self.reasons[rule]
        return replace(record, outcome="dropped", rule=why.rule, detail=why.detail, duplicate_of=why.duplicate_of)


@dataclass
class _Assembly:
    ledger: Ledger
    writer: ShardWriter
    manifest: ManifestWriter
    settings: IngestSettings
    decisions: Decisions
    number: int = 0  # of the next document, in the order of reading
    pages: int = 0
    formats: dict[str, Share] = field(default_factory=dict)
    languages: dict[str, Share] = field(default_factory=dict)
    licenses: dict[str, Share] = field(default_factory=dict)
    confidences: list[int] = field(default_factory=lambda: [0] * CONFIDENCE_BINS)
    # About 150 bytes each: SHA-256 sums of the files kept, and one digest of every licence notice.
    files_kept: dict[bytes, str] = field(default_factory=dict)
    notices: dict[str, str] = field(default_factory=dict)

    def add(self, file: MetFile) -> None:
        record = FileRecord(
            path=file.source,
            member=None,
            size=file.size,
            sha256=file.sha256,
            settings=file.settings,
            outcome=file.outcome or "failed",
            rule=file.rule,
            detail=file.detail,
            seconds=file.seconds,
            worker=file.worker,
        )
        whole = _Group(record)
        self._add_parts(file, whole)
        record = whole.ended()
        digest = bytes.fromhex(file.sha256 or "")
        if record.outcome == "kept":
            self.files_kept.setdefault(digest, file.source)
        elif record.rule in COPY_RULES and digest in self.files_kept:
            kept = self.files_kept[digest]
            record = replace(record, rule="duplicate", detail=f"the same bytes as {kept}", duplicate_of=kept)
        self.manifest.add(record)

    def _add_parts(self, file: MetFile, whole: _Group) -> None:
        """Write the documents of a file, and a row for each of its members."""
        member: _Group | None = None
        first = self.number
        for packed in self.ledger.parts(file):
            measures = unpack_measures(packed.measures)
            for part in unpack(packed, file.source):
                if isinstance(part, LeftOut):
                    self.manifest.add(_left_out(part, whole.record))
                    continue
                if member is not None and part.member != member.record.member:
                    self.manifest.add(member.ended())
                    member = None
                if part.member is not None and member is None:
                    blank = replace(whole.record, outcome="dropped", rule=None, detail=None)
                    member = _Group(replace(blank, member=part.member, size=part.size or 0, sha256=part.sha256))
                groups = (whole,) if member is None else (whole, member)
                self._add_document(part, next(measures), groups, first)
        if member is not None:
            self.manifest.add(member.ended())

    def _add_document(self, document: Document, measure: Measure, groups: Sequence[_Group], first: int) -> None:
        number, self.number = self.number, self.number + 1
        reason = self._reason(number, measure)
        edits: list[Edit] = []
        if reason is None:
            edits = self._edits(number, document, measure)
            changed = edited(document, edits)
            if changed.text.strip():
                self._write(changed, measure, edits, groups)
            else:
                reason = Reason("only-copies", f"nothing in it but {_list_of(edits)}", edits[0].copy_of)
        for group in groups:
            group.characters_read += measure.characters
            if reason is not None:
                group.leave(reason)
        if reason is not None:
            where = (document.source, document.member, number - first)
            self.manifest.leave_out(*where, reason, measure.characters, measure.text_bytes)

    def _reason(self, number: int, measure: Measure) -> Reason | None:
        verdict = self.decisions.verdicts[number]
        if verdict == KEPT:
            return None
        if verdict == FILTERED and measure.quality is not None:
            rule = rejected(measure.quality, measure.ocr_confidence, self.settings.filter)
            if rule is not None:
                return Reason(*rule)
        other = int(self.decisions.kept_for[number])
        kept = self._place(other)
        if verdict == SAME:
            return Reason("duplicate", f"the same text as {kept}", kept, self.ledger.place_of(other)[0])
        share = f"{float(self.decisions.likeness[number]):.0%}"
        return Reason("near-duplicate", f"nearly the same text as {kept}: {share} of the runs of words", kept)

    def _place(self, number: int) -> str:
        source, member = self.ledger.place_of(number)
        return source if member is None else f"{source}!{member}"

    def _edits(self, number: int, document: Document, measure: Measure) -> list[Edit]:
        corpus = self.settings.corpus
        edits = [
            Edit(cut.start, cut.end, "duplicate-paragraph", copy_of=self._place(cut.kept_in))
            for cut in self.decisions.cuts.get(number, ())
        ]
        notice = measure.notice
        if notice is not None and corpus.license_once:
            if notice.digest in self.notices:
                known = self.notices[notice.digest]
                edits.append(Edit(notice.start, notice.end, "license-notice", copy_of=known))
            else:
                self.notices[notice.digest] = self._place(number)
        if corpus.redact:
            edits += [Edit(found.start, found.end, "redacted", mask_of(found.kind)) for found in measure.findings]
        return disjoint(edits)

    def _write(self, document: Document, measure: Measure, edits: Sequence[Edit], groups: Sequence[_Group]) -> None:
        before = self.writer.text_bytes
        identity = self.writer.add(document)
        size = self.writer.text_bytes - before
        for group in groups:
            group.keep(identity, size, len(document.text))
        for edit in edits:
            self.manifest.edit(identity, edit)
        if measure.findings:
            counts = Counter(finding.kind for finding in measure.findings)
            self.manifest.secrets(identity, document.source, document.member, counts)
        pages = len({span.page for span in document.pages if span.page is not None})
        self.pages += pages
        share = Share(1, pages, size)
        _count(self.formats, document.media_type.partition(";")[0], share)  # without the column or field of the text
        if document.language is not None:
            _count(self.languages, document.language, share)
        if document.license is not None:
            _count(self.licenses, document.license, share)
        if document.ocr_confidence is not None:
            place = min(int(document.ocr_confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)
            self.confidences[max(place, 0)] += 1

    def _rules(self, name: str, which: str) -> tuple[Rule, ...]:
        # SQLite takes the other columns of a group from the row that has the minimum.
        rows = self.manifest.execute(
            f"SELECT outcome, rule, count(*), sum(size), min({name}), coalesce(detail, '') FROM files "
            f"WHERE {which} AND outcome <> 'kept' GROUP BY outcome, rule ORDER BY outcome, count(*) DESC, rule"
        )
        return tuple(Rule(*row) for row in rows)

    def _characters(self) -> Characters:
        left_out = self.manifest.execute(
            "SELECT rule, count(*), sum(characters) FROM left_out GROUP BY rule ORDER BY sum(characters) DESC, rule"
        )
        cut = self.manifest.execute(
            "SELECT rule, count(*), sum(end - start), sum(added) FROM edits GROUP BY rule "
            "ORDER BY sum(end - start) DESC, rule"
        )
        return Characters(
            read=self.decisions.characters,
            added=sum(added for _, _, _, added in cut),
            kept=self.writer.characters,
            left_out={rule: Part(count, characters) for rule, count, characters in left_out},
            cut={rule: Part(count, characters) for rule, count, characters, _ in cut},
        )

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
        losses = self.manifest.execute(
            "SELECT CASE WHEN member IS NULL THEN path ELSE path || '!' || member END, size, outcome, rule, "
            "coalesce(detail, '') FROM files WHERE outcome <> 'kept' AND duplicate_of IS NULL AND size > 0 "
            f"ORDER BY size DESC, path, member LIMIT {LOSSES_TOLD}"
        )
        secrets = self.manifest.execute(
            "SELECT kind, sum(count), count(DISTINCT path) FROM secrets GROUP BY kind ORDER BY sum(count) DESC, kind"
        )
        documents, text_bytes = self.manifest.execute(
            "SELECT coalesce(sum(documents), 0), coalesce(sum(text_bytes), 0) FROM files WHERE member IS NULL"
        )[0]
        verdicts = self.decisions.verdicts
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
            duplicates=int((verdicts >= SAME).sum()),
            text_bytes=text_bytes,
            characters=self._characters(),
            pages=self.pages,
            formats=_by_text(self.formats),
            languages=_by_text(self.languages),
            licenses=_by_text(self.licenses),
            confidences=tuple(self.confidences),
            secrets={kind: Secrets(count, files) for kind, count, files in secrets},
            redacted=self.settings.corpus.redact,
            losses=tuple(Loss(*row) for row in losses),
            files_read=run.files_read,
            seconds=time.monotonic() - run.begun,
            fingerprint=self.writer.fingerprint,
        )


def _list_of(edits: Sequence[Edit]) -> str:
    names = {
        "license-notice": "a licence notice that other files have",
        "duplicate-paragraph": "paragraphs that other documents have",
    }
    return " and ".join(dict.fromkeys(names.get(edit.rule, edit.rule) for edit in edits))


def _both(one: Reason, other: Reason) -> Reason:
    """Return what is said of a file with several copies: the place they are of, or the file, or that there are more."""
    if one.duplicate_of == other.duplicate_of or one.kept_file is None:
        return one
    if one.kept_file == other.kept_file:
        return replace(one, detail=f"the same text as {one.kept_file}", duplicate_of=one.kept_file)
    return replace(one, detail=f"the same text as {one.duplicate_of} and others", kept_file=None)


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


def _by_text(shares: dict[str, Share]) -> dict[str, Share]:
    return dict(sorted(shares.items(), key=lambda item: (-item[1].text_bytes, item[0])))
