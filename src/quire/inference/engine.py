"""One model, many texts: each step reads the next tokens of all that go on, and writes one more for each.

A step has three parts, which `Engine.step` shows in a row: who reads what (the scheduler), one reading by the model
(the executor), and a token for each text that is at its end (`_write`).

None of this changes a text: what is written depends on the prompt, the settings and the seed.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch

from quire.errors import QuireError, UsageError
from quire.inference.detokenizer import Detokenizer
from quire.inference.row import Draw
from quire.inference.sampling import Choice, SamplingState, choose_each, log_probabilities
from quire.inference.scheduler import Reading, Scheduler
from quire.inference.sequence import Batch, Finish, Row, State
from quire.inference.settings import InferenceSettings, SamplingSettings
from quire.inference.stream import Stream
from quire.model.config import ModelConfig
from quire.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from quire.inference.constraint import Constraint

PATIENCE = 0.05  # seconds that a reader of a stream waits before it looks whether the engine's thread still lives


class Executor(Protocol):
    """What reads tokens: a model and a cache of blocks."""

    config: ModelConfig
    blocks: int  # of 32 positions, that the cache has
    drawing: Draw | None  # from a row of logits on a CPU, where something does it faster than NumPy

    @property
    def version(self) -> int:
        """Another number where the weights are others: what was read with those before is not what these would read."""

    def step(self, batch: Batch) -> torch.Tensor:
        """Read the tokens of `batch` into the cache and return the logits (wanted, V), until the next step."""

    def close(self) -> None:
        """Give back what it holds."""


class Engine:
    """Writes many texts at once.

    Calls may come from any thread. A stream that is iterated does the steps itself; `start` has them done by a thread
    of the engine's own, as `async for` needs it.

    Args:
        executor: the model.
        tokenizer: the one it was trained with.
        settings: limits.

    Attributes:
        scheduler: the texts, and counts of what happened to them.
        steps: how many were taken.
        tokens_read: by the model, in all.
    """

    def __init__(self, executor: Executor, tokenizer: Tokenizer, settings: InferenceSettings | None = None) -> None:
        self.executor, self.tokenizer = executor, tokenizer
        self.settings = settings or InferenceSettings()
        self.context = executor.config.context_length
        self.scheduler = Scheduler(self.settings, executor.blocks, self.context)
        self.steps = self.tokens_read = 0
        self._lock = threading.RLock()  # of a step
        self._news = threading.Condition()
        self._arrived: deque[Row] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stepping = False
        self._version = executor.version

    # Requests

    def submit(self, prompt: str | Sequence[int] | Sequence[str], sampling: SamplingSettings | None = None) -> Stream:
        """Ask for texts and return the stream of their pieces; the work begins when the stream is read.

        Args:
            prompt: a text, its tokens, or several texts; an empty one starts a new text.
            sampling: how tokens are chosen and when a text ends.

        Raises:
            UsageError: too many texts wait, or the settings do not fit the model or one another.
        """
        sampling = sampling or SamplingSettings()
        sampling.check_vocabulary(self.executor.config.vocab_size)
        constraint = _constraint(sampling, self.tokenizer)
        if constraint is not None:
            constraint.require(sampling.max_tokens)
        prompts = self._tokenized(prompt)
        here = len(self._arrived) + len(self.scheduler.waiting) + len(self.scheduler.running)
        most, more = self.settings.max_rows + self.settings.max_waiting, len(prompts) * sampling.num_samples
        if here + more > most:
            raise UsageError(
                f"{here} texts are written or wait, and {more} more are over max_rows + max_waiting = {most}",
                hint="Try again when some are complete",
            )
        stream = Stream(self)
        rows = [row for tokens in prompts for row in self._begin(stream, tokens, sampling, constraint)]
        for index, row in enumerate(rows):
            row.index = index
        stream.open(rows)
        self._arrived.extend(rows)
        with self._news:
            self._news.notify_all()
        return stream

    def advance(self, stream: Stream) -> None:
        """Bring a stream on: by a step, or by waiting for the thread that takes them."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            stream.wait(PATIENCE)
        elif not self.step() and not stream.done:
            raise QuireError("the engine is closed")

    def start(self) -> None:
        """Have the steps taken by a thread of the engine's own from now on."""
        with self._news:
            if self._closed:
                raise QuireError("the engine is closed")
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="quire-engine", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Cancel what goes on and end the threads."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            self._arrive()
            for row in [*self.scheduler.running, *self.scheduler.waiting]:
                row.cancelled = True
            self._drop_cancelled()
            self.executor.close()

    def tidy(self) -> None:
        """Let go of cancelled texts now, unless a step is under way, which will, also where a signal came into it."""
        if self._lock.acquire(blocking=False):
            try:
                if not self._stepping:
                    self._arrive()
                    self._drop_cancelled()
            finally:
                self._lock.release()

    # Steps

    @torch.inference_mode()
    def step(self) -> bool:
        """Take a step; return False where there was nothing to do."""
        with self._lock:
            if self._closed:
                return False
            self._stepping = True
            try:
                return self._step()
            finally:
                self._stepping = False

    def _step(self) -> bool:
        plan: list[Reading] = []
        try:
            self._arrive()
            self._drop_cancelled()
            version = self.executor.version
            if version != self._version:
                self._version = version
                self.scheduler.forget()
            batch, plan = self.scheduler.schedule()
            if not plan:
                return bool(self.scheduler.running or self.scheduler.waiting)
            began = time.perf_counter()
            logits = self.executor.step(batch).float()  # of models in 16 bits too
            if all(reading.count == 1 for reading in plan):
                self.scheduler.worth.took(len(batch.token_ids), time.perf_counter() - began)
            self._write(plan, logits)
        except BaseException as error:
            for row in [reading.row for reading in plan] or list(self.scheduler.running):
                if row.state is State.RUNNING:
                    self._fail(row, error)
            raise
        self.steps += 1
        self.tokens_read += len(batch.token_ids)
        return True

    def _write(self, plan: list[Reading], logits: torch.Tensor) -> None:
        """Give each row that has read all of its tokens the next one, and those after it that were guessed right."""
        place = 0
        active: list[tuple[Reading, int]] = []  # with the place of its logits
        for reading in plan:
            row, last = reading.row, place + reading.wanted - 1 - len(reading.guessed)
            if row.tells_prompt:
                self._tell_prompt(reading, logits[place : place + reading.wanted])
            row.computed += reading.count
            if row.unread == 0:
                active.append((reading, last))
            place += reading.wanted
        after = 0
        while active:
            places = [place + after for _, place in active]
            own = logits if places == list(range(len(logits))) else logits[places]
            choices = choose_each(own, [reading.row.sampling for reading, _ in active], self.executor.drawing)
            still: list[tuple[Reading, int]] = []
            for (reading, place), choice in zip(active, choices, strict=True):
                row, guessed = reading.row, reading.guessed
                if isinstance(choice, QuireError):
                    self._fail(row, choice)
                    continue
                self._take(row, choice)
                if after < len(guessed) and choice.token == guessed[after]:
                    reading.right += 1
                    if row.finish is None:
                        row.computed += 1
                        still.append((reading, place))
            active = still
            after += 1
        for reading in plan:
            self.scheduler.settle(reading)

    def _take(self, row: Row, choice: Choice) -> None:
        text = row.take(choice)
        if row.finish is None and row.length > self.context and row.settings.beyond_context == "stop":
            row.finish = Finish.CONTEXT
            text += row.detokenizer.finish()
        if row.finish is not None:
            self.scheduler.end(row)
        row.stream.put(row, text)

    def _tell_prompt(self, reading: Reading, logits: torch.Tensor) -> None:
        row = reading.row
        begin = row.start + row.computed + 1
        following = row.tokens[begin : min(begin + reading.count, row.prompt_tokens)]
        told = len(row.prompt_logprobs) - row.computed  # before the row gave way, if it did
        read, following = logits[told : len(following)], following[told:]
        top = row.settings.prompt_logprobs or 0
        row.prompt_logprobs += [row.told(choice) for choice in log_probabilities(read, following, top)]

    # Ends

    def _fail(self, row: Row, error: BaseException) -> None:
        row.finish = Finish.ERROR
        self.scheduler.end(row, sound=False)
        row.stream.fail(row, error)

    def _arrive(self) -> None:
        while self._arrived:
            self.scheduler.waiting.append(self._arrived.popleft())

    def _drop_cancelled(self) -> None:
        for row in [row for row in (*self.scheduler.running, *self.scheduler.waiting) if row.cancelled]:
            row.finish = Finish.CANCELLED
            self.scheduler.end(row)
            row.stream.put(row, row.detokenizer.finish())

    def _run(self) -> None:
        """The life of the engine's thread."""
        while not self._closed:
            try:
                worked = self.step()
            except Exception:  # the streams of the step have it
                continue
            with self._news:
                if not worked and not self._arrived and not self._closed:
                    self._news.wait()

    def _tokenized(self, prompt: str | Sequence[int] | Sequence[str]) -> list[list[int]]:
        if isinstance(prompt, str):
            return [self.tokenizer.encode(prompt)]
        if prompt and isinstance(prompt[0], str):
            return [self.tokenizer.encode(str(text)) for text in prompt]
        tokens = [int(token) for token in prompt]
        size = self.executor.config.vocab_size
        wrong = [token for token in tokens if not 0 <= token < size]
        if wrong:
            raise UsageError(f"token {wrong[0]} is not in the vocabulary of {size}", where="prompt")
        return [tokens] if tokens else []

    def _begin(
        self, stream: Stream, tokens: list[int], sampling: SamplingSettings, constraint: Constraint | None
    ) -> list[Row]:
        tokens = tokens or [self.tokenizer.end_of_text]
        cut = max(0, len(tokens) - self.context)
        seed = random.SystemRandom().randrange(2**32) if sampling.seed is None else sampling.seed
        rows: list[Row] = []
        for sample in range(sampling.num_samples):
            state = SamplingState(
                sampling,
                tokens[cut:],
                seed=seed,
                sample=sample,
                end_of_text=self.tokenizer.end_of_text,
                constraint=None if constraint is None else constraint.clone(),
            )
            row = Row(
                stream=stream,
                index=sample,
                tokens=tokens[cut:],
                prompt_tokens=len(tokens) - cut,
                prompt_cut=cut,
                seed=seed,
                settings=sampling,
                sampling=state,
                tokenizer=self.tokenizer,
                detokenizer=Detokenizer(sampling.stop),
                first=rows[0] if rows else None,
            )
            rows.append(row)
        return rows


def _constraint(sampling: SamplingSettings, tokenizer: Tokenizer) -> Constraint | None:
    if sampling.json_schema is None and sampling.regex is None:
        return None
    from quire.inference.constraint import Constraint

    return Constraint(tokenizer, json_schema=sampling.json_schema, regex=sampling.regex)
