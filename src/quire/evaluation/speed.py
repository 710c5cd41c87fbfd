"""How fast a model reads and writes on this machine, beside what the machine's memory and arithmetic allow."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from quire.inference.engine import Engine
from quire.inference.executors import NativeExecutor
from quire.inference.language import LanguageModel
from quire.inference.settings import SamplingSettings
from quire.inference.stream import Stream
from quire.model.quantization import num_bytes
from quire.model.size import reading_flops

BATCH = 16
MOST_PROMPT = 512  # tokens
DECODE_PROMPT, DECODE_TOKENS = 128, 64  # read before, and written, in a context that is long enough
DECODE_SECONDS = 4.0  # after which no more tokens are written in a round
MEMORY_BYTES = 256_000_000  # read to find the bandwidth of memory: more than the caches of processors hold
READINGS = 3
PRODUCT = 1024
PRODUCTS = 5
CLEAR = 0.5
"""Share of the time that one thing accounts for, from which on it is said to bound."""


@dataclass
class Speed:
    """What was measured: one number a round, to be taken as their median.

    Attributes:
        prompt_tokens: of the prompt that `prefill`, `first_token` and `cached_first_token` are about.
        decode_prompt: tokens before those that are written.
        decode_tokens: most tokens that each text gets.
        batch: texts at once, in `decode_batch`.
        threads: that compute.
        backend: "native", "torch" or the name of a device.
        weights: kind of the weights.
        cache: what keys and values are kept as.
        weight_bytes: read by each step that writes.
        reading_bytes: as many, or 256 MB where they are more.
        cache_bytes: read for each written token, half way through the text.
        token_flops: multiplications and additions for a token that is written.
        prompt_flops: for reading the prompt.
        decode: tokens a second of one text.
        decode_batch: of `batch` texts together.
        prefill: tokens a second of a prompt.
        first_token: seconds from the request to the first token.
        cached_first_token: the same where the prompt was read before.
        memory: bytes a second, reading more than the processor's caches hold.
        reading: bytes a second, reading `reading_bytes` again and again.
        products: floating-point operations a second, in matrix products in float32.
    """

    prompt_tokens: int
    decode_prompt: int
    decode_tokens: int
    batch: int
    threads: int
    backend: str
    weights: str
    cache: str
    weight_bytes: int
    reading_bytes: int
    cache_bytes: int
    token_flops: int
    prompt_flops: int
    decode: list[float] = field(default_factory=list)
    decode_batch: list[float] = field(default_factory=list)
    prefill: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    cached_first_token: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)
    products: list[float] = field(default_factory=list)

    def limits(self) -> list[Limit]:
        """Return what bounds writing one text, writing several, and reading."""
        reading, products = statistics.median(self.reading), statistics.median(self.products)
        one, several = statistics.median(self.decode), statistics.median(self.decode_batch)
        moved = self.weight_bytes + self.batch * self.cache_bytes
        prompt = self.prompt_tokens / statistics.median(self.prefill)
        return [
            Limit(
                "writing one text",
                "token",
                1 / one,
                (self.weight_bytes + self.cache_bytes) / reading,
                self.token_flops / products,
            ),
            Limit(
                f"writing {self.batch} texts",
                "step",
                self.batch / several,
                moved / reading,
                self.batch * self.token_flops / products,
            ),
            Limit("reading a prompt", "prompt", prompt, self.weight_bytes / reading, self.prompt_flops / products),
        ]


@dataclass(frozen=True)
class Limit:
    """What a step takes, and what it would take at least.

    Attributes:
        what: is written or read.
        unit: of work.
        seconds: it takes.
        moving: seconds for reading weights and cache at the measured rate.
        computing: seconds for its products at the measured rate.
    """

    what: str
    unit: str
    seconds: float
    moving: float
    computing: float

    @property
    def bandwidth_share(self) -> float:
        """Return the share of the rate of memory that it reaches."""
        return self.moving / self.seconds

    @property
    def arithmetic_share(self) -> float:
        """Return the share of the rate of matrix products in float32 that it reaches."""
        return self.computing / self.seconds

    @property
    def bound(self) -> str:
        """Return "bandwidth", "arithmetic", or "overhead" where each accounts for less than half of the time."""
        if max(self.moving, self.computing) < CLEAR * self.seconds:
            return "overhead"
        return "bandwidth" if self.moving >= self.computing else "arithmetic"

    def sentence(self) -> str:
        """Return what bounds it, in one sentence."""
        return (
            f"{self.bound} bounds {self.what}: a {self.unit} takes {_milliseconds(self.seconds)}, of which reading"
            f" weights and cache accounts for {_milliseconds(self.moving)} and products for"
            f" {_milliseconds(self.computing)}"
        )


def measure_speed(
    language: LanguageModel, *, rounds: int = 5, batch: int = BATCH, progress: Callable[[int], None] | None = None
) -> Speed:
    """Measure a model's speed, each round everything in turn, so that other programs disturb all of it alike.

    Memory is measured by adding up an array in torch, with as many threads as the model has: once an array of 256 MB,
    and one that is as large as the weights, again and again, as they are read for token after token. Arithmetic
    is measured by products of two square matrices in float32.

    Args:
        language: the model; its engine should be idle.
        rounds: how often everything is measured.
        batch: how many texts are written together; at most the engine's `max_rows`.
        progress: called with the number of each round before it.
    """
    engine, config = language.engine, language.model.config
    batch = min(batch, engine.settings.max_rows)
    context = config.context_length
    written = max(1, min(DECODE_TOKENS, context // 2))
    before = max(1, min(DECODE_PROMPT, context - written))
    prompt = max(1, min(MOST_PROMPT, context - 1))
    native = isinstance(engine.executor, NativeExecutor)
    device = language.model.model.norm.weight.device
    threads = language.threads
    weight_bytes = _weight_bytes(language)
    speed = Speed(
        prompt_tokens=prompt,
        decode_prompt=before,
        decode_tokens=written,
        batch=batch,
        threads=threads,
        backend="native" if native else ("torch" if device.type == "cpu" else str(device)),
        weights=language.model.weights_kind,
        cache=str(language.cache_dtype).removeprefix("torch."),
        weight_bytes=weight_bytes,
        reading_bytes=min(weight_bytes, MEMORY_BYTES),
        cache_bytes=language.cache_bytes * (before + written // 2),
        token_flops=reading_flops(config, 1, before + written // 2),
        prompt_flops=reading_flops(config, prompt),
    )
    draw = random.Random(0)
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        machine = _Machine(device, speed.reading_bytes)
        _decode(engine, draw, 1, min(8, before), 2)  # what is only done once is done now
        for number in range(1, rounds + 1):
            if progress is not None:
                progress(number)
            speed.memory.append(machine.memory())
            speed.reading.append(machine.reading())
            speed.products.append(machine.products())
            speed.decode.append(_decode(engine, draw, 1, before, written))
            speed.decode_batch.append(_decode(engine, draw, batch, before, written))
            tokens = _tokens(engine, draw, prompt)
            speed.first_token.append(_first(engine, tokens))
            speed.cached_first_token.append(_first(engine, tokens))
            speed.prefill.append(prompt / speed.first_token[-1])
    finally:
        torch.set_num_threads(usual)
    return speed


class _Machine:
    """What is measured of the machine itself."""

    def __init__(self, device: torch.device, reading_bytes: int) -> None:
        self.device = device
        self.large = torch.ones(MEMORY_BYTES // 4, device=device)
        self.small = torch.ones(max(1, reading_bytes // 4), device=device)
        self.times = max(1, MEMORY_BYTES // (4 * self.small.numel()))
        self.factor = torch.full((PRODUCT, PRODUCT), 0.5, device=device)

    def memory(self) -> float:
        return 4 * self.large.numel() / self._fastest(self.large.sum)

    def reading(self) -> float:
        seconds = self._fastest(lambda: [self.small.sum() for _ in range(self.times)])
        return 4 * self.small.numel() * self.times / seconds

    @torch.inference_mode()
    def products(self) -> float:
        return 2.0 * PRODUCT**3 / self._fastest(lambda: self.factor @ self.factor, PRODUCTS)

    def _fastest(self, work: Callable[[], object], times: int = READINGS) -> float:
        seconds = []
        for _ in range(times):
            began = time.perf_counter()
            work()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            seconds.append(time.perf_counter() - began)
        return min(seconds)


def _decode(engine: Engine, draw: random.Random, batch: int, before: int, written: int) -> float:
    """Return the tokens a second of `batch` texts that are written together, once their prompts are read."""
    # One token more: the first comes of reading the prompt.
    sampling = SamplingSettings(temperature=0, max_tokens=written + 1, ignore_eos=True)
    streams = [engine.submit(_tokens(engine, draw, before), sampling) for _ in range(batch)]
    rows = [row for stream in streams for row in stream.rows]
    while any(row.reads_prompt for row in rows):
        engine.step()
    already = sum(row.sampling.num_written for row in rows)
    began = time.perf_counter()
    while not all(stream.done for stream in streams) and time.perf_counter() - began < DECODE_SECONDS:
        engine.step()
    seconds = time.perf_counter() - began
    tokens = sum(row.sampling.num_written for row in rows) - already
    for stream in streams:
        stream.cancel()
    return tokens / seconds


def _first(engine: Engine, prompt: Sequence[int]) -> float:
    """Return the seconds until the first token after a prompt."""
    began = time.perf_counter()
    stream: Stream = engine.submit(prompt, SamplingSettings(temperature=0, max_tokens=1, ignore_eos=True))
    stream.result()
    return time.perf_counter() - began


def _tokens(engine: Engine, draw: random.Random, count: int) -> list[int]:
    return [draw.randrange(engine.executor.config.vocab_size) for _ in range(count)]


def _weight_bytes(language: LanguageModel) -> int:
    executor = language.engine.executor
    if isinstance(executor, NativeExecutor):
        return executor.native.weight_bytes
    model = language.model
    table = 0 if model.config.tie_embeddings else num_bytes(model.model.embed_tokens)
    return num_bytes(model) - table


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"
