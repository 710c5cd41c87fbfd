"""A model that writes: prompts in, text out."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch

from quire.errors import FormatError, UsageError
from quire.files import why_no_folder
from quire.inference.blocks import BLOCK
from quire.inference.engine import Engine, Executor
from quire.inference.executors import NativeExecutor, TorchExecutor, UncachedExecutor
from quire.inference.sequence import Completion
from quire.inference.settings import InferenceSettings, SamplingSettings
from quire.inference.stream import Stream
from quire.limits import free_memory, usable_cores
from quire.model.folder import CONFIG_FILE, keep_in_memory, read_model
from quire.model.quantization import load_weights
from quire.model.size import cache_bytes
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

Backend = Literal["auto", "native", "torch"]
CACHE_BYTES = 1 << 30  # of the cache, where no size is asked for
CACHE_DTYPES = {"float32": torch.float32, "float16": torch.float16}


class LanguageModel:
    """A transformer and its tokenizer.

    Args:
        model: put into `eval` mode.
        tokenizer: the one it was trained with.
        settings: limits of its engine.
        backend: what computes. "torch" computes with the model as it is at that moment, "native" with a copy of its
            weights in steps compiled for this machine's CPU, several times as fast for one text; "auto" is native
            where that can be.

    Raises:
        FormatError: the tokenizer has more tokens than the model.
        UsageError: native steps are asked for and cannot be had.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        settings: InferenceSettings | None = None,
        *,
        backend: Backend = "torch",
    ) -> None:
        if tokenizer.vocab_size > model.config.vocab_size:
            raise FormatError(
                f"the tokenizer has {tokenizer.vocab_size} tokens and the model only {model.config.vocab_size}"
            )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.settings = settings or InferenceSettings()
        self.backend = backend
        self._engine: Engine | None = None
        self._uncached: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine that writes; made when it is first needed."""
        if self._engine is None:
            self._engine = Engine(self._executor(), self.tokenizer, self.settings)
        return self._engine

    def prepare(self, compiling: Callable[[], None] | None = None) -> None:
        """Make the engine now, so that the first text does not wait for it.

        Args:
            compiling: called where its steps must be compiled first, once on a machine, for 10 to 20 seconds.
        """
        if compiling is not None and self.backend != "torch" and why_not_native(self.model, half=self._half) is None:
            from numba.core.errors import NumbaError

            from quire.inference.native.forward import compiled_run

            with contextlib.suppress(NumbaError, RuntimeError):  # raised or told where the engine is made
                compiled_run(compiling)
        _ = self.engine

    def generate(
        self, prompt: str | Sequence[str], sampling: SamplingSettings | None = None, *, use_cache: bool = True
    ) -> list[Completion]:
        """Write after each prompt; return the samples of the first prompt, then those of the next.

        Args:
            prompt: one or several; an empty one starts a new text.
            sampling: how tokens are chosen and when the text ends.
            use_cache: False reads everything anew for every token: slow, the same text.
        """
        with self.start(prompt, sampling, use_cache=use_cache) as stream:
            return stream.result()

    def stream(self, prompt: str, sampling: SamplingSettings | None = None, *, use_cache: bool = True) -> Iterator[str]:
        """Write after one prompt and yield the text in pieces as it comes, whole characters only.

        Raises:
            UsageError: `num_samples` is not 1; use `start` to follow several.
        """
        if sampling is not None and sampling.num_samples != 1:
            raise UsageError(f"num_samples = {sampling.num_samples}: one text can be streamed at a time")
        return _texts(self, prompt, sampling, use_cache)

    def start(
        self, prompt: str | Sequence[str], sampling: SamplingSettings | None = None, *, use_cache: bool = True
    ) -> Stream:
        """Return the stream that `generate` completes and `stream` yields from; arguments as for `generate`.

        Sample i of a prompt draws from random numbers that depend on the seed and i alone, so the first sample is
        what would be written if it were the only one.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        engine = self.engine if use_cache else self._reading_engine()
        return engine.submit(prompts, sampling)

    def close(self) -> None:
        """End what goes on, and the threads."""
        for engine in (self._engine, self._uncached):
            if engine is not None:
                engine.close()
        self._engine = self._uncached = None

    def _executor(self) -> Executor:
        blocks = self._blocks()
        if self.backend != "torch":
            reason = why_not_native(self.model, half=self._half)
            if reason is not None and self._half and why_not_native(self.model) is None and self.backend == "auto":
                warnings.warn(
                    f"cache_dtype = float16 has no compiled steps here, PyTorch computes: {reason}", stacklevel=4
                )
            if reason is None:
                from numba.core.errors import NumbaError

                from quire.inference.native.forward import NativeModel

                tokens = max(self.settings.step_tokens, self.settings.max_rows)
                rows = self.settings.max_rows
                try:
                    native = NativeModel(
                        self.model, blocks=blocks, tokens=tokens, rows=rows, threads=self.threads, half=self._half
                    )
                    return NativeExecutor(native)
                except (NumbaError, RuntimeError) as error:  # a processor or a system that the compiler cannot serve
                    reason = f"they cannot be compiled: {error}"
                    warnings.warn(f"no compiled steps here, PyTorch computes: {reason}", stacklevel=4)
            if self.backend == "native":
                raise UsageError(f"no compiled steps here: {reason}", hint='backend="torch" works everywhere')
        keep_in_memory(self.model)
        return TorchExecutor(self.model, blocks, dtype=self.cache_dtype)

    def _blocks(self) -> int:
        """Return how many blocks the cache gets: one context at least."""
        config, weight = self.model.config, self.model.model.norm.weight
        context = -(-config.context_length // BLOCK)
        a_block = BLOCK * self.cache_bytes
        on_gpu = weight.device.type == "cuda"
        free = torch.cuda.mem_get_info(weight.device)[0] if on_gpu else free_memory()
        if self.settings.cache_tokens is None:
            blocks = max(context, min(self.settings.max_rows * context, min(CACHE_BYTES, free // 2) // a_block))
        else:
            blocks = max(context, -(-self.settings.cache_tokens // BLOCK))
        if blocks * a_block > free:
            raise UsageError(
                f"a cache of {blocks * BLOCK:,} tokens takes {blocks * a_block / 1e9:,.3f} GB, and"
                f" {free / 1e9:,.3f} GB are free",
                where="cache_tokens",
                hint=f"{config.context_length:,} are needed, one context; cache_dtype = float16 halves the bytes",
            )
        return blocks

    @property
    def cache_bytes(self) -> int:
        """Return the bytes that the cache holds of a token; compiled steps fill rows of values up to 16 numbers."""
        lanes = 1 if self.backend == "torch" or self.model.model.norm.weight.device.type != "cpu" else 16
        return cache_bytes(self.model.config, self.cache_dtype.itemsize, lanes)

    @property
    def threads(self) -> int:
        """Return how many threads compute on a CPU: torch's number, but no more than there are cores to use."""
        return self.settings.threads or min(torch.get_num_threads(), usable_cores())

    @property
    def cache_dtype(self) -> torch.dtype:
        """Return what keys and values are kept as."""
        asked = self.settings.cache_dtype
        return self.model.model.norm.weight.dtype if asked == "auto" else CACHE_DTYPES[asked]

    @property
    def _half(self) -> bool:
        return self.cache_dtype == torch.float16

    def _reading_engine(self) -> Engine:
        if self._uncached is None:
            blocks = self.settings.max_rows * -(-self.model.config.context_length // BLOCK)  # nothing is kept in them
            keep_in_memory(self.model)
            self._uncached = Engine(UncachedExecutor(self.model, blocks), self.tokenizer, self.settings)
        return self._uncached


def why_not_native(model: Transformer, *, half: bool = False) -> str | None:
    """Return why compiled steps cannot compute this model, with a cache of float16 numbers; None where they can."""
    if model.model.norm.weight.device.type != "cpu":
        return f"the model is on {model.model.norm.weight.device}"
    if model.model.norm.weight.dtype != torch.float32:
        return f"its weights are {model.model.norm.weight.dtype}".replace("torch.", "")
    config = model.config
    inputs = (config.hidden_size, config.num_heads * config.head_dim, config.intermediate_size)
    if model.weights_kind == "int4" and any(size % 32 for size in inputs):
        return f"rows of {', '.join(map(str, inputs))} numbers are no whole groups of 32"
    try:
        from quire.inference.native.instructions import converts_halves
    except ImportError as error:
        return f"numba cannot be loaded: {error}"
    return "this processor does not convert float16 numbers" if half and not converts_halves() else None


def load(
    run: Path | str,
    device: str | None = None,
    *,
    settings: InferenceSettings | None = None,
    backend: Backend = "auto",
    weights: str | None = None,
) -> LanguageModel:
    """Open the model of a run, or of any Hugging Face folder of its layout.

    Args:
        run: the folder.
        device: where to compute, "cpu" or "cuda"; by default a GPU where there is one.
        settings: limits of the engine.
        backend: what computes on a CPU; see `LanguageModel`.
        weights: "float32", "int8" or "int4"; left out, as the folder has them.

    Raises:
        UsageError: there is no such folder, no model in it, no such device or kind of weights.
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
    model = read_model(folder, chosen, mapped=backend != "torch")
    model, tokenizer = load_weights(model, weights), Tokenizer.load(folder)
    if model.mapped and why_not_native(model) is not None:
        keep_in_memory(model)
    try:
        return LanguageModel(model, tokenizer, settings, backend=backend)
    except FormatError as error:
        raise FormatError(error.what, where=folder) from None


def _texts(
    language: LanguageModel, prompt: str, sampling: SamplingSettings | None, use_cache: bool
) -> Iterator[str]:  # fmt: skip
    with language.start(prompt, sampling, use_cache=use_cache) as stream:  # when the first piece is asked for
        for piece in stream:
            yield piece.text
