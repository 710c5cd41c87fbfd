"""Everything that can be set about ingestion, in one place."""

from __future__ import annotations

from pydantic import Field

from quire.corpus.engines import EngineSettings
from quire.corpus.measure import Measuring
from quire.corpus.quality import FilterSettings
from quire.documents.sandbox import PoolSettings
from quire.documents.settings import ReadSettings, WalkSettings
from quire.settings import Settings


class CorpusSettings(Settings):
    """What is kept of the documents that were read, and how the corpus is laid out."""

    deduplicate: bool = True
    """Drop files with the same bytes and documents with the same text as one that is kept, and near copies."""
    redact: bool = False
    """Mask keys, tokens, e-mail addresses, card and bank account numbers in the text; off = only report them."""
    license_once: bool = True
    """Keep the licence notice at the head of code files in the first file that has it, and cut it from the others."""
    shard_mb: int = Field(default=256, ge=1)
    """Text in MB (10^6 bytes) after which a new Parquet file is begun."""
    trust_timestamps: bool = True
    """Take a file whose size, inode and times of change are as they were as unchanged; off = hash every file again."""
    retry_failed: bool = False
    """Read failed files again although neither they nor the settings changed."""
    keep_readings: bool = True
    """Keep readings.sqlite, so that the next run reads only what changed; off = save that disk space."""


class CopySettings(Settings):
    """When two texts are nearly the same, by MinHash over runs of five words; the choice of what is kept is recorded.

    A document recognised from a picture gives way to one that was not, a shorter one to a longer one, a later one by
    name to an earlier one.
    """

    near: bool = True
    """Leave out documents and long paragraphs that are nearly the same as one that is kept; off = the same only."""
    threshold: float = Field(default=0.8, ge=0.3, le=1)
    """Texts that share this much of their runs of words (Jaccard similarity) are copies."""
    permutations: int = Field(default=128, ge=16, le=1024, multiple_of=2)
    """Places of a document's signature, 2 bytes each; the similarity is off by sqrt(J (1 - J) / permutations)."""
    min_words: int = Field(default=50, ge=5)
    """Documents of fewer words are copies only where their text is the same."""
    paragraphs: bool = True
    """Cut long paragraphs of prose that stand in the corpus already, in the same words or nearly."""
    paragraph_characters: int = Field(default=1000, ge=200)
    """Characters from which on a paragraph is long."""

    def measuring(self, *, code: bool) -> Measuring:
        """Return what has to be measured for these settings; `code` as in `Measuring`."""
        return Measuring(
            permutations=self.permutations if self.near else 0,
            fewest_words=self.min_words,
            paragraph_characters=self.paragraph_characters if self.paragraphs and self.near else 0,
            code=code,
        )


class IngestSettings(Settings):
    """All settings of `quire ingest`."""

    walk: WalkSettings = WalkSettings()
    """Which files are documents."""
    read: ReadSettings = ReadSettings()
    """How a file becomes text."""
    engine: EngineSettings = EngineSettings()
    """Where files are read."""
    pool: PoolSettings = PoolSettings()
    """Worker processes and their limits."""
    filter: FilterSettings = FilterSettings()
    """Which documents are no text."""
    copies: CopySettings = CopySettings()
    """Which documents and paragraphs are copies."""
    corpus: CorpusSettings = CorpusSettings()
    """What is kept, and how it is laid out."""

    @property
    def measuring(self) -> Measuring:
        """What is measured of every text."""
        return self.copies.measuring(code=self.filter.code)
