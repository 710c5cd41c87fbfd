"""How to generate: every setting, with its default and bounds. Light to import, for the command line's help."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from quire.settings import Settings

Real = Annotated[float, Field(allow_inf_nan=False)]


class SamplingSettings(Settings):
    """How tokens are chosen and when the text ends."""

    max_tokens: int = Field(default=256, ge=1)
    """Most tokens to write."""
    temperature: Real = Field(default=0.8, ge=0)
    """Divides the logits: below 1 likely tokens become likelier, 0 always takes the likeliest."""
    top_k: int = Field(default=0, ge=0)
    """Keep only this many of the likeliest tokens (and any as likely as the last of them); 0 keeps all."""
    top_p: Real = Field(default=0.95, gt=0, le=1)
    """Keep the fewest likeliest tokens whose probabilities add up to this; 1 keeps all."""
    min_p: Real = Field(default=0.0, ge=0, le=1)
    """Keep tokens at least this share as likely as the likeliest; 0 keeps all."""
    repetition_penalty: Real = Field(default=1.0, gt=0)
    """Divides positive and multiplies negative logits of tokens that prompt or text already hold; 1 does nothing."""
    seed: int | None = Field(default=None, ge=0)
    """The same seed writes the same text; left out, a fresh one is drawn."""
    stop: tuple[str, ...] = ()
    """Strings that end the text when they appear; they are not part of it."""
    num_samples: int = Field(default=1, ge=1)
    """How many texts to write for each prompt, each with random numbers of its own."""

    @field_validator("stop")
    @classmethod
    def _not_empty(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("an empty stop string would end every text at once")
        return stop
