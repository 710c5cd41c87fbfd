"""The account of an ingestion: every file that was met is kept, dropped or failed, and the sums close."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from quire.errors import QuireError

OUTCOMES = ("kept", "dropped", "failed")


@dataclass(frozen=True, slots=True)
class Tally:
    """A number of files and the bytes they hold together."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.files + other.files, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Rule:
    """Files that ended the same way for the same reason, with one of them as an example."""

    outcome: str
    rule: str
    files: int
    bytes: int
    example: str
    detail: str


@dataclass(frozen=True, slots=True)
class Share:
    """What one media type or one language contributes to the corpus."""

    documents: int = 0
    pages: int = 0
    text_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that could not be read, and why."""

    source: str
    bytes: int
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Loss:
    """A file or member of which nothing is kept, and why; not counting copies, of which the text is kept."""

    source: str
    bytes: int
    outcome: str
    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Part:
    """Documents that a rule leaves out, or places where it cuts or masks, and the characters that takes."""

    count: int = 0
    characters: int = 0


@dataclass(frozen=True, slots=True)
class Secrets:
    """How many secrets of one kind are in the documents kept, and in how many files."""

    count: int
    files: int


@dataclass(frozen=True, slots=True)
class Characters:
    """What became of every character that was read.

    Args:
        read: characters of all documents as they were read.
        added: characters of the masks that stand for what was masked.
        kept: characters in the corpus.
        left_out: by rule, documents that are left out.
        cut: by rule, places cut or masked in documents that are kept.
    """

    read: int
    added: int
    kept: int
    left_out: Mapping[str, Part]
    cut: Mapping[str, Part]


@dataclass(frozen=True)
class Account:
    """What became of every file.

    Args:
        found: files met in the folders, counted while walking.
        kept: files that gave at least one document.
        dropped: files left out by a rule.
        failed: files that could not be read.
        members: members of archives, mails and the like that were kept, dropped and failed, by outcome; those that are
            archives themselves are counted by what they hold.
        member_rules: why members were dropped or failed, most first.
        rules: why files were dropped or failed, most files first.
        failures: the failed files, largest first, at most `FAILURES_TOLD`.
        documents: documents in the corpus.
        duplicates: documents left out because their text, or nearly the same, is in the corpus already.
        characters: what became of every character.
        text_bytes: UTF-8 bytes of their text.
        pages: pages of paged documents.
        formats: what each media type, without its parameters, contributes, most text first.
        languages: what each language contributes, most text first: programming languages by name, others by their
            ISO 639-1 code.
        licenses: what code under each licence contributes, by SPDX identifier, most text first.
        confidences: how many documents were recognised with a confidence of 0 to 5 %, 5 to 10 %, and on to 100 %.
        secrets: by kind, in the documents as they were read.
        redacted: whether they are masked in the corpus.
        losses: the largest files and members of which nothing is kept, at most `LOSSES_TOLD`.
        files_read: files that this run had to read; all others were known from an earlier run.
        seconds: wall-clock time of the run.
        fingerprint: of the corpus; changes exactly when its documents change.
    """

    found: Tally
    kept: Tally
    dropped: Tally
    failed: Tally
    members: Mapping[str, Tally]
    member_rules: tuple[Rule, ...]
    rules: tuple[Rule, ...]
    failures: tuple[FailedFile, ...]
    documents: int
    duplicates: int
    text_bytes: int
    characters: Characters
    pages: int
    formats: Mapping[str, Share]
    languages: Mapping[str, Share]
    licenses: Mapping[str, Share]
    confidences: tuple[int, ...]
    secrets: Mapping[str, Secrets]
    redacted: bool
    losses: tuple[Loss, ...]
    files_read: int
    seconds: float
    fingerprint: str

    def verify(self) -> None:
        """Check that the account closes, in files, bytes, members, documents and characters.

        Raises:
            QuireError: it does not, which is a fault of quire.
        """
        ended = self.kept + self.dropped + self.failed
        by_rule, members_by_rule = _by_outcome(self.rules), _by_outcome(self.member_rules)
        letters = self.characters
        gone = sum(part.characters for part in (*letters.left_out.values(), *letters.cut.values()))
        left_out = letters.left_out
        copies = sum(left_out[rule].count for rule in COPY_RULES if rule in left_out)
        sums = {
            "characters read, kept, left out and cut": (letters.read + letters.added, letters.kept + gone),
            "copies by rule": (self.duplicates, copies),
            "files and bytes by outcome": (self.found, ended),
            "dropped files by rule": (self.dropped, by_rule["dropped"]),
            "failed files by rule": (self.failed, by_rule["failed"]),
            "dropped members by rule": (self.members["dropped"], members_by_rule["dropped"]),
            "failed members by rule": (self.members["failed"], members_by_rule["failed"]),
            "documents by format": (self.documents, sum(share.documents for share in self.formats.values())),
            "text by format": (self.text_bytes, sum(share.text_bytes for share in self.formats.values())),
        }
        for name, (whole, parts) in sums.items():
            if whole != parts:
                raise QuireError(
                    f"the account does not close: {name} are {parts}, and should be {whole}",
                    hint="This is a fault of quire: please report it with the command that shows it",
                )

    def as_dict(self) -> dict[str, Any]:
        """Return the account as what JSON can hold; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Account:
        """Return the account that `as_dict` gave."""
        tallies = {name: Tally(**values[name]) for name in ("found", *OUTCOMES)}
        shares = {
            name: {key: Share(**share) for key, share in values[name].items()}
            for name in ("formats", "languages", "licenses")
        }
        letters = values["characters"]
        parts = {name: {rule: Part(**part) for rule, part in letters[name].items()} for name in ("left_out", "cut")}
        return cls(
            **{
                **values,
                **tallies,
                **shares,
                "members": {outcome: Tally(**tally) for outcome, tally in values["members"].items()},
                "member_rules": tuple(Rule(**rule) for rule in values["member_rules"]),
                "rules": tuple(Rule(**rule) for rule in values["rules"]),
                "failures": tuple(FailedFile(**failed) for failed in values["failures"]),
                "losses": tuple(Loss(**loss) for loss in values["losses"]),
                "secrets": {kind: Secrets(**found) for kind, found in values["secrets"].items()},
                "confidences": tuple(values["confidences"]),
                "characters": Characters(**{**letters, **parts}),
            }
        )


class NothingKeptError(QuireError):
    """No document was kept of what was found; `account` says what became of each file."""

    def __init__(
        self, what: str, *, where: object = None, hint: str | None = None, account: Account | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.account = account


FAILURES_TOLD = 100
LOSSES_TOLD = 20
CONFIDENCE_BINS = 20
COPY_RULES = ("duplicate", "near-duplicate")
"""Rules of documents that are left out because another one is kept."""


def _by_outcome(rules: tuple[Rule, ...]) -> dict[str, Tally]:
    tallies = {outcome: Tally() for outcome in OUTCOMES}
    for rule in rules:
        tallies[rule.outcome] += Tally(rule.files, rule.bytes)
    return tallies


def megabytes(count: int) -> str:
    """Return a number of bytes as people read it: "512 B", "3.4 kB", "12.0 MB"."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
