"""A conversation gives the model one text, reads of it only what is new, and forgets the oldest turns."""

from __future__ import annotations

import pytest
import torch

from quire.errors import UsageError
from quire.inference.conversation import Conversation, Template, Turn, outgrew
from quire.inference.language import LanguageModel
from quire.inference.settings import SamplingSettings
from quire.inference.stream import Stream
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

TEXTS = ["the quick brown fox jumps over the lazy dog. and then it sleeps.\n\nThe end is near.\n"] * 20


def talk(context: int, template: str = "paragraphs", **settings: object) -> Conversation:
    tokenizer = Tokenizer.train(TEXTS, 280)
    torch.manual_seed(0)
    shape = {"vocab_size": tokenizer.vocab_size, "hidden_size": 32, "num_layers": 2, "num_heads": 2}
    model = Transformer(ModelConfig.model_validate(shape | {"context_length": context}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.5)
    sampling = SamplingSettings.model_validate({"seed": 1, "max_tokens": 40} | settings)
    return Conversation(LanguageModel(model, tokenizer), Template.read(template), sampling)


def answered(conversation: Conversation, message: str) -> tuple[Turn, Stream]:
    stream = conversation.ask(message)
    stream.result()
    return conversation.take(message, stream), stream


def test_each_turn_reads_only_what_is_new() -> None:
    conversation = talk(1024, ignore_eos=True)
    scheduler = conversation.language.engine.scheduler
    for number in range(4):
        shown = sum(len(turn.tokens) for turn in conversation.turns)
        found = scheduler.tokens_found
        answered(conversation, f"the quick fox {number}")
        assert scheduler.tokens_found - found >= shown - 2 * 32, number
    assert scheduler.tokens_found > 200


@pytest.mark.parametrize("template", ["paragraphs", "plain", "Q: {message}\nA:", "{message} ->"])
def test_the_tokens_spell_the_turns(template: str) -> None:
    conversation = talk(2048, template)
    layout = conversation.template
    for message in ("the quick", "Größe\n", ""):
        turn, _ = answered(conversation, message)
        spelled = conversation.language.tokenizer.decode(turn.tokens)
        assert spelled == layout.before + message + layout.between + turn.answer + layout.after
    assert conversation.text() == "".join(conversation.language.tokenizer.decode(t.tokens) for t in conversation.turns)


def test_an_answer_ends_where_the_next_turn_would_begin() -> None:
    likely = talk(1024, "paragraphs", logit_bias={Tokenizer.train(TEXTS, 280).encode("\n\n")[0]: 20}, temperature=0)
    turn, stream = answered(likely, "the quick")
    assert stream.completions()[0].finish == "stop"
    assert "\n\n" not in turn.answer
    assert Template.read("Q: {message}\\nA:").stop == ("\nQ:",)
    assert Template.read("{message} ->").stop == ("\n",)


def test_the_oldest_turns_are_forgotten_by_half_a_context() -> None:
    conversation = talk(128, ignore_eos=True, max_tokens=20)
    conversation.beginning = "dog."
    most = []
    for number in range(12):
        before = conversation.forgotten
        _, stream = answered(conversation, f"message {number}")
        row = stream.rows[0]
        assert row.prompt_cut == 0
        assert not outgrew(stream)
        if conversation.forgotten > before:
            assert row.prompt_tokens <= 64
            most.append(number)
    assert 2 <= len(most) <= 6
    assert conversation.text().startswith("dog.\n\nmessage")
    assert "message 0" not in conversation.text()
    conversation.undo()
    conversation.reset()
    assert (conversation.turns, conversation.forgotten) == ([], 0)


def test_a_message_that_is_longer_than_the_context_is_cut() -> None:
    conversation = talk(32)
    _, stream = answered(conversation, "dog " * 100)
    assert outgrew(stream)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="one answer at a time"):
        talk(32, num_samples=2)
    for template in ("chatml", "{message}{message}"):
        with pytest.raises(UsageError, match="paragraphs nor plain"):
            Template.read(template)


def test_a_cancelled_answer_can_be_taken() -> None:
    conversation = talk(1024, ignore_eos=True, max_tokens=100_000)
    stream = conversation.ask("the")
    shown = "".join(next(stream).text for _ in range(5))
    stream.cancel()
    turn = conversation.take("the", stream)
    assert turn.answer.startswith(shown)
    _, following = answered_short(conversation)
    assert following.completions()[0].finish == "length"


def answered_short(conversation: Conversation) -> tuple[Turn, Stream]:
    conversation.sampling = conversation.sampling.model_copy(update={"max_tokens": 5})
    return answered(conversation, "and")
