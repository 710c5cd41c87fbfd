"""The shape of a transformer: every number that decides its parameters, and nothing else."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from quire.settings import Settings


class ModelConfig(Settings):
    """The shape of a decoder-only transformer in the layout of Qwen3.

    Left out, `num_kv_heads` equals `num_heads`, `head_dim` is `hidden_size / num_heads`, and `intermediate_size` is
    8/3 of `hidden_size`, rounded up to a multiple of 32 (three matrices of that width then hold as many parameters
    as the two 4x wide ones of a plain feed-forward part; Shazeer 2020, section 3).
    """

    vocab_size: int = Field(ge=1)
    """Number of different tokens."""
    hidden_size: int = Field(ge=1)
    """Width D of the residual stream: numbers per token between the blocks."""
    num_layers: int = Field(ge=1)
    """Number of blocks, each attention and feed-forward."""
    num_heads: int = Field(ge=1)
    """Number of query heads H of each attention."""
    num_kv_heads: int = Field(ge=1)
    """Number of key and value heads; divides num_heads, and less than it is grouped-query attention."""
    head_dim: int = Field(ge=2, multiple_of=2)
    """Width K of a head; even, because rotary positions turn pairs of numbers."""
    intermediate_size: int = Field(ge=1)
    """Width F inside the feed-forward part."""
    context_length: int = Field(ge=1, le=1 << 20)
    """Number of tokens the model can see at once; its tables of angles are as long."""
    rope_theta: float = Field(default=10000.0, gt=0)
    """Base of the rotary wavelengths: the slowest pair turns once in about 2 pi rope_theta tokens."""
    norm_eps: float = Field(default=1e-6, gt=0)
    """Added to the mean square before its root, so that a row of zeros does not divide by zero."""
    tie_embeddings: bool = True
    """Whether the head that scores the next token is the embedding table itself."""
    qk_norm: bool = True
    """Whether queries and keys are normalised per head (Qwen3's layout; without it the layout is Llama's)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of numbers zeroed in training, after the embedding and at the end of each branch."""
    initializer_range: float = Field(default=0.02, gt=0)
    """Standard deviation of the embedding table before training."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        heads, width = filled.get("num_heads"), filled.get("hidden_size")
        if isinstance(heads, int):
            filled.setdefault("num_kv_heads", heads)
            if isinstance(width, int) and heads > 0 and width % heads == 0:
                filled.setdefault("head_dim", width // heads)
            elif isinstance(width, int) and heads > 0 and "head_dim" not in filled:
                raise ValueError(
                    f"hidden_size ({width}) is no multiple of num_heads ({heads}): set head_dim, or others"
                )
        if isinstance(width, int):
            filled.setdefault("intermediate_size", -(-8 * width // (3 * 32)) * 32)
        return filled

    @model_validator(mode="after")
    def _check_groups(self) -> ModelConfig:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads ({self.num_heads}) must be a multiple of num_kv_heads ({self.num_kv_heads})")
        return self
