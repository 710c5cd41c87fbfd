"""A model that writes: prompts in, text out, one token a step.

A row is one text being written. Each row has its own random numbers, its own part of the cache and its own end, so
that it comes out the same alone and in any company (up to rounding: a product with one row and with many add up
their terms in different orders).

A model sees `context_length` tokens. When a row holds one more than that, its view moves to the last half of a
context, newest token included, and that half is read anew from position 0. The rule is the same without a cache.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from quire.errors import FormatError, UsageError
from quire.files import why_no_folder
from quire.inference.detokenizer import Detokenizer
from quire.inference.sampling import SamplingSettings, distribution, draw
from quire.model.cache import KVCache
from quire.model.folder import CONFIG_FILE, read_model
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text of one row, never empty."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What was written after one prompt."""

    text: str
    tokens: list[int]  # written ones, the end of text not among them
    finish: str  # "end" = the model ended the text, "stop" = a stop string, "length" = max_tokens
    prompt_tokens: int  # read, of the prompt
    prompt_cut: int  # tokens of the prompt's beginning that did not fit the context
    seed: int


@dataclass(slots=True)
class _Row:
    """A text being written."""

    index: int
    tokens: list[int]  # the prompt and what was written
    prompt_tokens: int
    prompt_cut: int
    seed: int
    uniforms: random.Random
    detokenizer: Detokenizer
    start: int = 0  # the model sees tokens[start:]
    shown: list[str] = field(default_factory=list)
    finish: str | None = None

    def slide(self, context: int) -> bool:
        """Move the view where the tokens no longer fit; say whether it moved."""
        if len(self.tokens) - self.start <= context:
            return False
        self.start = len(self.tokens) - max(1, context // 2)
        return True

    def completion(self) -> Completion:
        written = self.tokens[self.prompt_tokens :]
        finish = self.finish or "length"
        return Completion("".join(self.shown), written, finish, self.prompt_tokens, self.prompt_cut, self.seed)


class LanguageModel:
    """A transformer and its tokenizer.

    Args:
        model: put into `eval` mode.
        tokenizer: the one it was trained with.

    Raises:
        FormatError: the tokenizer has more tokens than the model.
    """

    def __init__(self, model: Transformer, tokenizer: Tokenizer) -> None:
        if tokenizer.vocab_size > model.config.vocab_size:
            raise FormatError(
                f"the tokenizer has {tokenizer.vocab_size} tokens and the model only {model.config.vocab_size}"
            )
        self.model = model.eval()
        self.tokenizer = tokenizer

    def generate(
        self, prompt: str | Sequence[str], sampling: SamplingSettings | None = None, *, use_cache: bool = True
    ) -> list[Completion]:
        """Write after each prompt; return the samples of the first prompt, then those of the next.

        Args:
            prompt: one or several; an empty one starts a new text.
            sampling: how tokens are chosen and when the text ends.
            use_cache: False reads everything anew for every token: slow, the same text.
        """
        writing = self.start(prompt, sampling, use_cache=use_cache)
        for _ in writing:
            pass
        return writing.completions()

    def stream(self, prompt: str, sampling: SamplingSettings | None = None, *, use_cache: bool = True) -> Iterator[str]:
        """Write after one prompt and yield the text in pieces as it comes, whole characters only.

        Raises:
            UsageError: `num_samples` is not 1; use `start` to follow several.
        """
        if sampling is not None and sampling.num_samples != 1:
            raise UsageError(f"num_samples = {sampling.num_samples}: one text can be streamed at a time")
        return (piece.text for piece in self.start(prompt, sampling, use_cache=use_cache))

    def start(
        self, prompt: str | Sequence[str], sampling: SamplingSettings | None = None, *, use_cache: bool = True
    ) -> Writing:
        """Return the writing that `generate` completes and `stream` yields from; arguments as for `generate`."""
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        return Writing(self, prompts, sampling or SamplingSettings(), use_cache)


class Writing:
    """Rows being written: iterate to get their pieces; afterwards `completions` has the whole.

    Sample i of a prompt draws from random numbers that depend on the seed and i alone, so the first sample is what
    would be written if it were the only one.

    Attributes:
        rows: the texts being written.
        seconds_to_first_token: from the first asking for a piece until every row had its first token.
    """

    def __init__(
        self, language: LanguageModel, prompts: list[str], sampling: SamplingSettings, use_cache: bool
    ) -> None:
        self._model, self._tokenizer = language.model, language.tokenizer
        self._sampling, self._use_cache = sampling, use_cache
        self._context = self._model.config.context_length
        self._device = self._model.head_weight.device
        self.rows = [row for prompt in prompts for row in self._begin(prompt)]
        for index, row in enumerate(self.rows):
            row.index = index
        self.seconds_to_first_token = 0.0

    def completions(self) -> list[Completion]:
        """Return what has been written so far, one completion a row."""
        return [row.completion() for row in self.rows]

    def __iter__(self) -> Iterator[Piece]:
        began = time.perf_counter()
        rows = [row for row in self.rows if row.finish is None]
        logits, cache = self._read_prompts(rows)
        while rows:
            with torch.inference_mode():
                chosen = self._choose(rows, logits)
            self.seconds_to_first_token = self.seconds_to_first_token or time.perf_counter() - began
            for row, token in zip(rows, chosen, strict=True):
                text = self._take(row, token)
                if text:
                    row.shown.append(text)
                    yield Piece(row.index, text)
            going = [place for place, row in enumerate(rows) if row.finish is None]
            if len(going) < len(rows):
                rows = [rows[place] for place in going]
                cache = cache.select(going) if cache is not None and rows else None
            if rows:
                logits = self._step(rows, cache)

    def _begin(self, prompt: str) -> list[_Row]:
        tokens = self._tokenizer.encode(prompt) or [self._tokenizer.end_of_text]
        cut = max(0, len(tokens) - self._context)
        seed = random.SystemRandom().randrange(2**32) if self._sampling.seed is None else self._sampling.seed
        return [
            _Row(
                index=0,
                tokens=tokens[cut:],
                prompt_tokens=len(tokens) - cut,
                prompt_cut=cut,
                seed=seed,
                uniforms=random.Random(f"{seed}/{sample}"),
                detokenizer=Detokenizer(self._sampling.stop),
            )
            for sample in range(self._sampling.num_samples)
        ]

    def _choose(self, rows: list[_Row], logits: torch.Tensor) -> list[int]:
        probabilities = distribution(logits, self._sampling, [row.tokens for row in rows])
        return draw(probabilities, [row.uniforms.random() for row in rows])

    def _take(self, row: _Row, token: int) -> str:
        """Add a chosen token to its row; return the text that can be shown."""
        if token == self._tokenizer.end_of_text:
            row.finish = "end"
            return row.detokenizer.finish()
        row.tokens.append(token)
        # A model may have more ids than its tokenizer, to round its size up: such an id stands for nothing.
        data = self._tokenizer.token_bytes(token) if token < self._tokenizer.vocab_size else b""
        text = row.detokenizer.push(data)
        if row.detokenizer.stopped:
            row.finish = "stop"
        elif len(row.tokens) - row.prompt_tokens >= self._sampling.max_tokens:
            row.finish = "length"
            text += row.detokenizer.finish()
        return text

    @torch.inference_mode()
    def _read_prompts(self, rows: list[_Row]) -> tuple[torch.Tensor, KVCache | None]:
        """Read each prompt, once for all its samples; return the logits (B, V) after it."""
        if not self._use_cache or not rows:
            return self._read_all(rows), None
        samples = self._sampling.num_samples
        firsts = rows[::samples]
        capacity = min(self._context, max(len(row.tokens) for row in rows) + self._sampling.max_tokens)
        cache = KVCache(
            self._model.config, len(firsts), capacity=capacity, device=self._device, dtype=self._model.head_weight.dtype
        )
        hidden = torch.cat([self._read(cache, place, row.tokens) for place, row in enumerate(firsts)])  # (prompts, D)
        logits = self._model.head(hidden)
        if samples > 1:
            places = [place for place in range(len(firsts)) for _ in range(samples)]
            return logits[torch.tensor(places, device=self._device)], cache.select(places)
        return logits, cache

    def _read(self, cache: KVCache, place: int, tokens: list[int]) -> torch.Tensor:
        """Read `tokens` into an emptied row of the cache; return what the last of them gives, (1, D)."""
        alone = cache.row(place)
        alone.truncate([0])
        hidden = self._model.hidden(torch.tensor([tokens], device=self._device), cache=alone)
        cache.lengths[place] = alone.lengths[0]
        return hidden[:, -1]

    def _read_all(self, rows: list[_Row]) -> torch.Tensor:
        """Read every row's view from its beginning, without a cache; return the last logits (B, V)."""
        hidden = [
            self._model.hidden(torch.tensor([row.tokens[row.start :]], device=self._device))[:, -1] for row in rows
        ]
        return self._model.head(torch.cat(hidden)) if hidden else torch.empty(0)

    @torch.inference_mode()
    def _step(self, rows: list[_Row], cache: KVCache | None) -> torch.Tensor:
        """Read the newest token of each row; return the logits (B, V) after it."""
        for place, row in enumerate(rows):
            if row.slide(self._context) and cache is not None:
                cache.lengths[place] = 0
                if len(row.tokens) - row.start > 1:
                    self._read(cache, place, row.tokens[row.start : -1])
        if cache is None:
            return self._read_all(rows)
        newest = torch.tensor([row.tokens[-1:] for row in rows], device=self._device)  # (B, 1)
        return self._model.head(self._model.hidden(newest, cache=cache)[:, -1])


def load(run: Path | str, device: str | None = None) -> LanguageModel:
    """Open the model of a run, or of any Hugging Face folder of its layout.

    Args:
        run: the folder.
        device: where to compute, "cpu" or "cuda"; by default a GPU where there is one.

    Raises:
        UsageError: there is no such folder, no model in it, or no such device.
        FormatError: the model's files are not what they should be.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise UsageError(why_no_folder(folder), where=folder)
    if not (folder / CONFIG_FILE).is_file():
        raise UsageError(f"no {CONFIG_FILE} in it, so it is no run", where=folder, hint="`quire train` makes one")
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device {chosen!r} cannot be used: {str(error).splitlines()[0]}", where="--device") from None
    model, tokenizer = read_model(folder, chosen), Tokenizer.load(folder)
    try:
        return LanguageModel(model, tokenizer)
    except FormatError as error:
        raise FormatError(error.what, where=folder) from None
