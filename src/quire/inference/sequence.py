"""A text being written: its tokens, how much of them the model has read, and what came of it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from quire.inference.blocks import Node
from quire.inference.detokenizer import Detokenizer
from quire.inference.sampling import Choice, SamplingState
from quire.inference.settings import SamplingSettings
from quire.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text of one row, never empty."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a token was before it was chosen or read: natural logarithms of the model's own probabilities."""

    token: int
    text: str  # bytes that are no UTF-8 by themselves are shown as U+FFFD
    logprob: float | None  # None for the first token of a prompt, which nothing comes before
    top: list[tuple[int, str, float]]  # the likeliest tokens in its place


@dataclass(frozen=True, slots=True)
class Completion:
    """What was written after one prompt."""

    text: str
    tokens: list[int]  # written ones, the end of text not among them
    finish: str  # "end" = the model ended the text, "stop" = a stop string, "length" = max_tokens, "cancelled"
    prompt_tokens: int  # read, of the prompt
    prompt_cut: int  # tokens of the prompt's beginning that did not fit the context
    seed: int
    cached_tokens: int = 0  # of the prompt, that were in the cache already
    logprobs: list[TokenLogprob] | None = None
    prompt_logprobs: list[TokenLogprob] | None = None


class State(enum.Enum):
    """Where a text stands."""

    WAITING = enum.auto()
    RUNNING = enum.auto()
    FINISHED = enum.auto()


@dataclass(eq=False, slots=True)
class Sequence_:
    """placeholder"""
