"""A text being written: its tokens, how much of it the model has read, and what came of it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quire.inference.blocks import BLOCK, BlockPool, Node
from quire.inference.detokenizer import Detokenizer
from quire.inference.lookup import Lookup, Trust
from quire.inference.sampling import Choice, SamplingState
from quire.inference.settings import SamplingSettings
from quire.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from quire.inference.stream import Stream


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text of one row, never empty."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a token was in its place: natural logarithms of the model's own probabilities."""

    token: int
    text: str  # bytes that are no UTF-8 by themselves are shown as U+FFFD
    logprob: float
    top: list[tuple[int, str, float]]  # the likeliest tokens of that place


@dataclass(frozen=True, slots=True)
class Completion:
    """What was written after one prompt."""

    text: str
    tokens: list[int]  # written ones, the end of text not among them
    finish: str  # why it ended: see Finish
    prompt_tokens: int  # read, of the prompt
    prompt_cut: int  # tokens of the prompt's beginning that did not fit the context
    seed: int
    logprobs: list[TokenLogprob] | None = None
    prompt_logprobs: list[TokenLogprob] | None = None


class Finish:
    """Why a text ended."""

    END = "end"  # the model ended it
    STOP = "stop"  # a stop string
    LENGTH = "length"  # max_tokens
    CONTEXT = "context"  # the context is full, and it was not to slide
    CANCELLED = "cancelled"
    ERROR = "error"


class State(enum.Enum):
    """Where a text stands."""

    WAITING = enum.auto()  # for room
    RUNNING = enum.auto()
    FINISHED = enum.auto()


@dataclass(eq=False, slots=True)
class Row:
    """A text being written.

    The model sees `tokens[start:]`, the view, of which it has read `computed` tokens into the cache.
    """

    stream: Stream
    index: int  # in the stream
    tokens: list[int]  # the prompt and what was written
    prompt_tokens: int
    prompt_cut: int
    seed: int
    settings: SamplingSettings
    sampling: SamplingState
    tokenizer: Tokenizer
    detokenizer: Detokenizer
    first: Row | None = None  # the first sample of its prompt, which reads it for all
    start: int = 0
    computed: int = 0
    blocks: list[int] = field(default_factory=list)  # of the cache, 32 positions each
    nodes: list[Node] = field(default_factory=list)  # of the full ones, from the beginning
    state: State = State.WAITING
    lookup: Lookup = field(default_factory=Lookup)
    trust: Trust | None = None  # in guesses; from the first on
    cancelled: bool = False
    first_token: bool = True  # not chosen yet
    finish: str | None = None
    shown: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    prompt_logprobs: list[TokenLogprob] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Return the number of tokens in the view."""
        return len(self.tokens) - self.start

    @property
    def unread(self) -> int:
        """Return how many tokens of the view are not in the cache."""
        return self.length - self.computed

    def view(self) -> list[int]:
        """Return what the model sees."""
        return self.tokens[self.start :]

    @property
    def tells_prompt(self) -> bool:
        """Return whether the log-probabilities of its prompt are asked for and not known yet."""
        return (
            self.settings.prompt_logprobs is not None
            and self.first is None
            and len(self.prompt_logprobs) < self.prompt_tokens - 1
        )

    @property
    def reads_prompt(self) -> bool:
        """Return whether it has still to read of what its prompt holds, or waits to."""
        return self.state is not State.FINISHED and self.sampling.num_written == 0

    def take(self, choice: Choice) -> str:
        """Add a chosen token; return the text that can be shown, and set `finish` where the text ends with it."""
        token = choice.token
        if token == self.sampling.end_of_text:
            self.finish = Finish.END
            return self.detokenizer.finish()
        self.tokens.append(token)
        self.sampling.push(token)
        if choice.logprob is not None:
            self.logprobs.append(self.told(choice))
        text = self.detokenizer.push(self._bytes(token))
        if self.detokenizer.stopped:
            self.finish = Finish.STOP
        elif len(self.tokens) - self.prompt_tokens >= self.settings.max_tokens:
            self.finish = Finish.LENGTH
            text += self.detokenizer.finish()
        return text

    def told(self, choice: Choice) -> TokenLogprob:
        """Return what the model thought of a token, in words."""
        assert choice.logprob is not None
        top = [(token, self._text(token), logprob) for token, logprob in choice.top]
        return TokenLogprob(choice.token, self._text(choice.token), choice.logprob, top)

    def slide(self, context: int, pool: BlockPool) -> None:
        """Let the view begin later: with the last half of a context, newest token included, read from position 0."""
        self.release(pool)
        self.start = len(self.tokens) - max(1, context // 2)

    def release(self, pool: BlockPool) -> None:
        """Give all room in the cache back."""
        pool.let_go(self.nodes)
        for block in self.blocks[len(self.nodes) :]:
            pool.give(block)
        self.nodes, self.blocks, self.computed = [], [], 0

    def settle(self, pool: BlockPool) -> None:
        """Put the blocks that are full by now among those that other texts may share."""
        while (len(self.nodes) + 1) * BLOCK <= self.computed:
            number = len(self.nodes)
            begin = self.start + number * BLOCK
            tokens = tuple(self.tokens[begin : begin + BLOCK])
            node = pool.add(self.nodes[-1] if self.nodes else None, tokens, self.blocks[number])
            self.blocks[number] = node.block
            self.nodes.append(node)

    def completion(self) -> Completion:
        """Return what has been written so far."""
        asked = self.settings
        first = self.first or self
        return Completion(
            text="".join(self.shown),
            tokens=self.tokens[self.prompt_tokens :],
            finish=self.finish or Finish.LENGTH,
            prompt_tokens=self.prompt_tokens,
            prompt_cut=self.prompt_cut,
            seed=self.seed,
            logprobs=None if asked.logprobs is None else list(self.logprobs),
            prompt_logprobs=None if asked.prompt_logprobs is None else list(first.prompt_logprobs),
        )

    def _bytes(self, token: int) -> bytes:
        # A model may have more ids than its tokenizer, to round its size up: such an id stands for nothing.
        return self.tokenizer.token_bytes(token) if token < self.tokenizer.vocab_size else b""

    def _text(self, token: int) -> str:
        return self._bytes(token).decode("utf-8", "replace")


@dataclass(slots=True)
class Batch:
    """The tokens of one step.

    `token_ids`, `positions` and `rows` go together: a token, its place in its row's view, and the number of the row;
    those of one row follow each other. `tables` are the blocks of each row, `texts` the rows themselves, `wanted` the
    places in `token_ids` after which logits are asked for.
    """

    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    tables: list[Sequence[int]] = field(default_factory=list)
    texts: list[Row] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)

    def add(self, row: Row, tokens: Sequence[int], wanted: int) -> None:
        """Add the next tokens of a row; logits are asked for after the last `wanted` of them."""
        self.token_ids += tokens
        self.positions += range(row.computed, row.computed + len(tokens))
        self.rows += [len(self.tables)] * len(tokens)
        self.tables.append(row.blocks)
        self.texts.append(row)
        self.wanted += range(len(self.token_ids) - wanted, len(self.token_ids))
