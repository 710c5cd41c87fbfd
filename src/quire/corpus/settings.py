"""Everything that can be set about ingestion, in one place."""

from __future__ import annotations

from pydantic import Field

from quire.documents.sandbox import PoolSettings
from quire.documents.settings import ReadSettings, WalkSettings
from quire.settings import Settings


class CorpusSettings(Settings):
    """What is kept of the documents that were read, and how the corpus is laid out."""

    deduplicate: bool = True
    """Drop files with the same bytes and documents with the same text as one that is kept."""
    shard_mb: int = Field(default=256, ge=1)
    """Text in MB (10^6 bytes) after which a new Parquet file is begun."""
    trust_timestamps: bool = True
    """Take a file whose size, inode and times of change are as they were as unchanged; off = hash every file again."""
    retry_failed: bool = False
    """Read failed files again although neither they nor the settings changed."""
    keep_readings: bool = True
    """Keep readings.sqlite, so that the next run reads only what changed; off = save that disk space."""


class IngestSettings(Settings):
    """All settings of `quire ingest`."""

    walk: WalkSettings = WalkSettings()
    """Which files are documents."""
    read: ReadSettings = ReadSettings()
    """How a file becomes text."""
    pool: PoolSettings = PoolSettings()
    """Worker processes and their limits."""
    corpus: CorpusSettings = CorpusSettings()
    """What is kept, and how it is laid out."""
