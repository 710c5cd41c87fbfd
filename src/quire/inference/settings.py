"""How to generate: every setting, with its default and bounds. Light to import, for the command line's help."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, field_validator, model_validator

from quire.errors import UsageError
from quire.settings import Settings

Real = Annotated[float, Field(allow_inf_nan=False)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


class _Frozen(Mapping[int, float]):
    """A mapping that does not change and can be hashed, as the settings it is in."""

    def __init__(self, items: Mapping[int, float]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: int) -> float:
        return self._items[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


TokenBias = Annotated[
    Mapping[Annotated[int, Field(ge=0)], Bias], AfterValidator(_Frozen), PlainSerializer(dict, return_type=dict)
]


class SamplingSettings(Settings):
    """How tokens are chosen and when the text ends."""

    max_tokens: int = Field(default=256, ge=1)
    """Most tokens to write."""
    temperature: Real = Field(default=0.8, ge=0, le=100)
    """Divides the logits: below 1 likely tokens become likelier, 0 always takes the likeliest."""
    top_k: int = Field(default=0, ge=0)
    """Keep only this many of the likeliest tokens (and any as likely as the last of them); 0 keeps all."""
    top_p: Real = Field(default=0.95, gt=0, le=1)
    """Keep the fewest likeliest tokens whose probabilities add up to this; 1 keeps all."""
    min_p: Real = Field(default=0.0, ge=0, le=1)
    """Keep tokens at least this share as likely as the likeliest; 0 keeps all."""
    typical_p: Real = Field(default=1.0, gt=0, le=1)
    """Keep the fewest tokens of the most ordinary surprise whose probabilities add up to this; 1 keeps all."""
    repetition_penalty: Real = Field(default=1.0, ge=0.01, le=100)
    """Divides positive and multiplies negative logits of tokens that prompt or text already hold; 1 does nothing."""
    # The bounds are OpenAI's: 2 already makes a token that was written five times e^10 times less likely.
    frequency_penalty: Real = Field(default=0.0, ge=-2, le=2)
    """Taken off a token's logit once for each time that it was written; the prompt does not count, 0 does nothing."""
    presence_penalty: Real = Field(default=0.0, ge=-2, le=2)
    """Taken off a token's logit once it was written at all; the prompt does not count, 0 does nothing."""
    logit_bias: TokenBias = Field(default=_Frozen({}))
    """Added to the logits of single tokens, by their id: -100 all but forbids a token, 100 all but forces it."""
    ignore_eos: bool = False
    """Never end the text before `max_tokens`: the end of text cannot be chosen."""
    seed: int | None = Field(default=None, ge=0)
    """The same seed writes the same text; left out, a fresh one is drawn."""
    stop: tuple[str, ...] = ()
    """Strings that end the text when they appear; they are not part of it."""
    beyond_context: Literal["slide", "stop"] = "slide"
    """What happens where a text outgrows the context: slide = the model goes on with its last half, stop = it ends."""
    num_samples: int = Field(default=1, ge=1, le=4096)
    """How many texts to write for each prompt, each with random numbers of its own."""
    logprobs: int | None = Field(default=None, ge=0, le=20)
    """Tell the log-probability of each written token and of so many of the likeliest in its place; 0: its own only."""
    prompt_logprobs: int | None = Field(default=None, ge=0, le=20)
    """Tell the same of each token of the prompt but the first."""
    json_schema: str | dict[str, Any] | None = None
    """Write JSON of this schema and nothing else."""
    regex: str | None = None
    """Write text that this regular expression matches as a whole and nothing else."""

    @field_validator("stop")
    @classmethod
    def _not_empty(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("an empty stop string would end every text at once")
        return stop

    @field_validator("json_schema")
    @classmethod
    def _as_text(cls, schema: str | dict[str, Any] | None) -> str | None:
        # Text can be hashed, as frozen settings should be. The keys stay in their order: it is the order of writing.
        if schema is None:
            return None
        try:
            value = json.loads(schema) if isinstance(schema, str) else schema
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            text.encode("utf-8")
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON: {error}") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None
        except TypeError as error:
            raise ValueError(f"not JSON: {error}") from None
        if not isinstance(value, (dict, bool)):
            raise ValueError(f"a schema is an object, and not {text[:40]}")
        return text

    @model_validator(mode="after")
    def _agree(self) -> SamplingSettings:
        if self.json_schema is not None and self.regex is not None:
            raise ValueError("json_schema and regex cannot both be given: the text can follow one of them")
        if self.json_schema is not None or self.regex is not None:
            name = "regex" if self.json_schema is None else "json_schema"
            if self.ignore_eos:
                raise ValueError(f"ignore_eos cannot be given with {name}: the text ends where it is complete")
            if self.stop:
                raise ValueError(f"stop cannot be given with {name}: it would cut the text before it is complete")
        return self

    def check_vocabulary(self, vocab_size: int) -> None:
        """Refuse settings about tokens that a model of `vocab_size` tokens has not. Raises `UsageError`."""
        beyond = [token for token in self.logit_bias if token >= vocab_size]
        if beyond:
            raise UsageError(f"token {beyond[0]} is not in the vocabulary of {vocab_size}", where="logit_bias")


class InferenceSettings(Settings):
    """How much the engine does at once, and what it keeps."""

    max_rows: int = Field(default=16, ge=1, le=4096)
    """Most texts that are written at the same time; others wait."""
    max_waiting: int = Field(default=1024, ge=0)
    """Most texts that wait; a request beyond is refused."""
    step_tokens: int = Field(default=256, ge=1, le=65_536)
    """Most tokens that one step reads: a long prompt is read in parts, between which the others go on."""
    cache_tokens: int | None = Field(default=None, ge=1)
    """Tokens that the cache has room for; left out, `max_rows` contexts, or as many as fit into a gigabyte."""
    cache_dtype: Literal["auto", "float32", "float16"] = "auto"
    """What keys and values are kept as: auto = what the model computes in; float16 takes half, rounded to 11 bits."""
    prefix_cache: bool = True
    """Whether a text takes from the cache what another one that begins alike has read before."""
    draft_tokens: int = Field(default=0, ge=0, le=64)
    """Most tokens that are guessed ahead from what the text held before, and taken where they are right; 0: none."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads that compute on a CPU; left out, one a core."""
