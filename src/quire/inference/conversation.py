"""A conversation with a model that continues text: how turns are laid out, and what is forgotten when it is full."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.errors import FormatError, UsageError
from quire.files import write_text
from quire.inference.language import LanguageModel
from quire.inference.sequence import Finish
from quire.inference.settings import SamplingSettings
from quire.inference.stream import Stream

MESSAGE = "{message}"
FORMAT = "quire conversation 1"


@dataclass(frozen=True)
class Template:
    """How turns become one text.

    Attributes:
        name: as `Template.read` took it.
        before: comes before a message.
        between: comes between a message and its answer.
        after: comes between an answer and the next turn.
        stop: strings that end an answer.
    """

    name: str
    before: str
    between: str
    after: str
    stop: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> Template:
        r"""Return a template by its name, or made of a text with `{message}` in it.

        - "paragraphs": each message and each answer is a paragraph.
        - "plain": what is typed is added to the text as it is, and the model goes on until it ends.
        - A text such as "Question: {message}\nAnswer:": an answer ends where the next line begins like what stands
          before the message, or with its line where nothing stands there. `\n` and `\t` may be written out.

        Raises:
            UsageError: it is no name, and `{message}` is not in it exactly once.
        """
        if text == "paragraphs":
            return cls(text, "", "\n\n", "\n\n", ("\n\n",))
        if text == "plain":
            return cls(text, "", "", "", ())
        written = text.replace("\\n", "\n").replace("\\t", "\t")
        if written.count(MESSAGE) != 1:
            raise UsageError(
                f"{text!r} is neither paragraphs nor plain, nor a text with {MESSAGE} in it once", where="template"
            )
        before, between = written.split(MESSAGE)
        return cls(text, before, between, "\n", (f"\n{before.strip()}",))


@dataclass(frozen=True)
class Turn:
    """What was said and answered.

    Attributes:
        message: as it was typed.
        answer: as it was shown.
        tokens: of both, and of what the template puts around them.
    """

    message: str
    answer: str
    tokens: list[int]


class Conversation:
    """Turns of a user and a model that only ever continues one text.

    Each turn the model is given all of the text, as tokens: those it has written itself and not others that would
    spell the same, so that they are found in the cache.

    Args:
        language: what answers.
        template: how turns become text.
        sampling: how answers are written; to the template's stop strings these are added.
        beginning: stands before all turns.

    Attributes:
        turns: those so far.
        forgotten: how many of them the model is not shown any more, from the first on.
    """

    def __init__(
        self, language: LanguageModel, template: Template, sampling: SamplingSettings, beginning: str = ""
    ) -> None:
        self.language, self.template, self.beginning = language, template, beginning
        self.turns: list[Turn] = []
        self.forgotten = 0
        self._asked = 0
        self.sampling = sampling

    @property
    def sampling(self) -> SamplingSettings:
        """How answers are written. Raises `UsageError` where it is set to write several texts."""
        return self._sampling

    @sampling.setter
    def sampling(self, sampling: SamplingSettings) -> None:
        if sampling.num_samples != 1:
            raise UsageError(f"num_samples = {sampling.num_samples}: a conversation has one answer at a time")
        self._sampling = sampling

    @property
    def context(self) -> int:
        """Return how many tokens the model sees."""
        return self.language.model.config.context_length

    def ask(self, message: str) -> Stream:
        """Return the stream of an answer; when it is over or was cancelled, `take` adds the turn.

        With a seed, each answer has one of its own, so that asking again gives another answer.
        """
        opening = self._encode(self._opening(message))
        self._forget(len(opening))
        sampling = self.sampling.model_copy(update={"stop": (*self.template.stop, *self.sampling.stop)})
        if sampling.seed is not None:
            sampling = sampling.model_copy(update={"seed": sampling.seed + self._asked})
        if sampling.json_schema is not None or sampling.regex is not None:  # the text ends where it is complete
            sampling = sampling.model_copy(update={"stop": ()})
        self._asked += 1
        text = [*self._shown(), *opening] or [self.language.tokenizer.end_of_text]
        return self.language.engine.submit(text, sampling)

    def take(self, message: str, stream: Stream) -> Turn:
        """Add the turn that a stream has answered, whole or not, and return it."""
        (completion,) = stream.completions()
        after = self.template.after
        spelled = self.language.tokenizer.decode(completion.tokens)
        if spelled == completion.text + after:
            answer = completion.tokens
        elif spelled == completion.text:
            answer = [*completion.tokens, *self._encode(after)]
        else:  # the stop string shares a token with the answer, or with what came after it
            answer = self._encode(completion.text + after)
        turn = Turn(message, completion.text, [*self._encode(self._opening(message)), *answer])
        self.turns.append(turn)
        return turn

    def undo(self) -> Turn | None:
        """Take the last turn back and return it; None where there is none."""
        if not self.turns:
            return None
        self.forgotten = min(self.forgotten, len(self.turns) - 1)
        return self.turns.pop()

    def reset(self) -> None:
        """Take all turns back."""
        self.turns.clear()
        self.forgotten = 0

    def text(self) -> str:
        """Return what the model has before it now."""
        return self.language.tokenizer.decode(self._shown())

    def save(self, path: Path) -> None:
        """Write the conversation as JSON. Raises `QuireError` where the file cannot be written."""
        turns = [{"message": turn.message, "answer": turn.answer} for turn in self.turns]
        told = {"format": FORMAT, "template": self.template.name, "beginning": self.beginning, "turns": turns}
        write_text(path, json.dumps(told, ensure_ascii=False, indent=2) + "\n")

    def load(self, path: Path) -> None:
        """Go on with a conversation that was saved; its template and beginning take the place of these.

        Raises:
            UsageError: there is no such file.
            FormatError: it holds no conversation.
        """
        told = _read(path)
        template = Template.read(told["template"])
        self.template, self.beginning = template, told["beginning"]
        self.reset()
        for turn in told["turns"]:
            spelled = self._opening(turn["message"]) + turn["answer"] + template.after
            self.turns.append(Turn(turn["message"], turn["answer"], self._encode(spelled)))

    def _opening(self, message: str) -> str:
        return f"{self.template.before}{message}{self.template.between}"

    def _encode(self, text: str) -> list[int]:
        return self.language.tokenizer.encode(text)

    def _shown(self) -> list[int]:
        beginning = self._encode(self.beginning + self.template.after) if self.beginning else []
        return [*beginning, *(token for turn in self.turns[self.forgotten :] for token in turn.tokens)]

    def _forget(self, coming: int) -> None:
        """Forget the oldest turns if the context has no room for what comes.

        So many that half of the context is free: forgetting a turn at a time would change the beginning of the text
        each time, and the cache would hold nothing of it.
        """
        room = self.context - coming - min(self.sampling.max_tokens, self.context // 4)
        if len(self._shown()) <= room:
            return
        while self.forgotten < len(self.turns) and len(self._shown()) + coming > self.context // 2:
            self.forgotten += 1


def outgrew(stream: Stream) -> bool:
    """Return whether the text of a stream did not fit the context: it was cut, it slid, or it ended for that."""
    row = stream.rows[0]
    return row.prompt_cut > 0 or row.start > 0 or row.finish == Finish.CONTEXT


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError("no such file", where=path) from None
    except OSError as error:
        raise UsageError(error.strerror or str(error), where=path) from None
    except (ValueError, RecursionError):
        raise FormatError("not JSON", where=path) from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise FormatError(f"not a conversation that `/save` wrote: no format {FORMAT!r}", where=path)
    turns = told.get("turns")
    fields = [told.get("template"), told.get("beginning")]
    if isinstance(turns, list):
        for turn in turns:
            fields += [turn.get("message"), turn.get("answer")] if isinstance(turn, dict) else [None]
    if not isinstance(turns, list) or not all(isinstance(field, str) for field in fields):
        raise FormatError("template, beginning, or a turn is missing, or is no text", where=path)
    return told
