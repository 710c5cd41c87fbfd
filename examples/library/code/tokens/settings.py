"""What can be set about tokens: the tokenizer, the split and the shards."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quire.settings import Settings

NUM_SPECIAL_TOKENS = 3
SMALLEST_VOCABULARY = 256 + NUM_SPECIAL_TOKENS


class TokenSettings(Settings):
    """How the text of a corpus becomes token shards."""

    tokenizer: Literal["bpe", "byte"] = "bpe"
    """The kind of tokenizer: bpe learns its vocabulary from the corpus, byte has one token a byte."""
    vocab_size: int = Field(default=4096, ge=SMALLEST_VOCABULARY, le=1_000_000)
    """The size of a bpe vocabulary, special tokens included; a small corpus may fill less (byte: always 259)."""
    validation_fraction: float = Field(default=0.1, gt=0.0, le=0.5)
    """The share of the text, in bytes, that is kept from training to validate on."""
    validation_max_bytes: int = Field(default=4_000_000, ge=1024)
    """The most text to keep from training, in bytes, however large the corpus is."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Chooses which documents validate."""
    shard_tokens: int = Field(default=2**25, ge=1)
    """The most tokens in one shard file; also what is held in memory while writing."""
