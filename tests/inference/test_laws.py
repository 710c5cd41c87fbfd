"""What the engine does to be fast changes no text: the laws of docs/learn/inference-in-depth.md, one test each."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quire.errors import QuireError, UsageError
from quire.inference.blocks import BLOCK
from quire.inference.executors import NativeExecutor, TorchExecutor
from quire.inference.language import LanguageModel
from quire.inference.sequence import Batch, Completion
from quire.inference.settings import InferenceSettings, SamplingSettings

Make = Callable[..., LanguageModel]
BACKENDS = ["torch", "native"]
GREEDY = SamplingSettings(temperature=0, max_tokens=30, seed=0)
RANDOM = SamplingSettings(temperature=0.9, top_p=0.9, repetition_penalty=1.1, seed=7, max_tokens=30)
examples = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Text:
    """A row of the engine, as much of it as an executor asks for."""

    def __init__(self, tokens: list[int], blocks: list[int]) -> None:
        self.tokens, self.blocks, self.computed = tokens, blocks, 0

    def view(self) -> list[int]:
        return self.tokens


def read(executor: Any, text: Text, count: int) -> torch.Tensor:
    """Read the next tokens of a text; return the logits after each."""
    batch = Batch()
    batch.add(text, text.tokens[text.computed : text.computed + count], count)  # type: ignore[arg-type]
    logits = executor.step(batch).clone()
    text.computed += count
    return logits


@pytest.mark.parametrize("backend", BACKENDS)
@examples
@given(seed=st.integers(0, 99), parts=st.lists(st.integers(1, 60), min_size=1, max_size=8), data=st.data())
def test_logits_from_the_cache_are_those_of_whole_readings_however_a_text_is_cut(
    make_language: Make, backend: str, seed: int, parts: list[int], data: st.DataObject
) -> None:
    language = make_language(100, settings=InferenceSettings(step_tokens=100, max_rows=2), backend=backend)
    executor = language.engine.executor
    assert isinstance(executor, NativeExecutor if backend == "native" else TorchExecutor)
    tokens = torch.randint(0, 259, (100,), generator=torch.Generator().manual_seed(seed)).tolist()
    text = Text(tokens, data.draw(st.permutations(range(executor.blocks)))[: 100 // BLOCK + 1])
    found = [read(executor, text, part) for part in parts if text.computed + part <= 100]
    length = text.computed
    if not length:
        return
    with torch.no_grad():
        expected = language.model(torch.tensor([tokens[:length]]))[0]
    assert (torch.cat(found) - expected).abs().max() <= 1e-5 * expected.abs().max()
    if backend == "native":  # then to the bit, whatever was read together
        again = Text(tokens, text.blocks)
        once = read(executor, again, length)
        assert torch.equal(torch.cat(found), once)


def crowd(prompts: list[str]) -> list[tuple[str, SamplingSettings]]:
    kinds = (RANDOM, GREEDY, RANDOM.model_copy(update={"temperature": 1.5, "max_tokens": 80, "top_k": 9}))
    return [(prompt, kinds[number % 3].model_copy(update={"seed": number})) for number, prompt in enumerate(prompts)]


words = st.lists(
    st.sampled_from(["It was the best of times, ", "it was the worst of times, ", "the age of wisdom ", "€", "x" * 40]),
    max_size=4,
).map("".join)


@pytest.mark.parametrize("backend", BACKENDS)
@examples
@given(
    prompts=st.lists(words, min_size=2, max_size=7),
    max_rows=st.integers(1, 5),
    step_tokens=st.integers(1, 70),
    cache_tokens=st.sampled_from([1, 160, 400, 4000]),
    draft_tokens=st.sampled_from([0, 3]),
    cache_dtype=st.sampled_from(["float32", "float16"]),
)
def test_a_text_is_the_same_alone_and_in_a_crowd_from_the_cache_and_pushed_out_of_it(
    make_language: Make, backend: str, prompts: list[str], max_rows: int, step_tokens: int, cache_tokens: int,
    draft_tokens: int, cache_dtype: str
) -> None:  # fmt: skip
    if backend == "torch":  # where another last digit may round to another float16, and so to another token
        cache_dtype = "float32"
    requests = crowd(prompts)
    usual = InferenceSettings(cache_dtype=cache_dtype)
    alone = [make_language(96, end_of_text=1.05, settings=usual, backend=backend).generate(*one)[0] for one in requests]
    limits = InferenceSettings(
        max_rows=max_rows, step_tokens=step_tokens, cache_tokens=cache_tokens, draft_tokens=draft_tokens,
        cache_dtype=cache_dtype,
    )  # fmt: skip
    engine = make_language(96, end_of_text=1.05, settings=limits, backend=backend).engine
    for _ in range(2):  # the second time, prompts are found in the cache
        streams = [engine.submit(*request) for request in requests]
        assert [stream.result()[0] for stream in streams] == alone
    assert engine.scheduler.pool.available == engine.scheduler.pool.count


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_the_cache_is_too_small_the_last_text_gives_way_and_comes_back(make_language: Make, backend: str) -> None:
    limits = InferenceSettings(max_rows=4, cache_tokens=128)
    language = make_language(128, settings=limits, backend=backend)
    requests = [(f"Number {number}", RANDOM.model_copy(update={"max_tokens": 90})) for number in range(4)]
    streams = [language.engine.submit(*request) for request in requests]
    together = [stream.result()[0] for stream in streams]
    assert language.engine.scheduler.pushed_out > 0
    assert together == [make_language(128, backend=backend).generate(*request)[0] for request in requests]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_two_prompts_begin_with_is_read_once(make_language: Make, backend: str) -> None:
    engine = make_language(256, backend=backend).engine
    begin = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    engine.submit(begin + "foolishness", GREEDY).result()
    before = engine.tokens_read
    engine.submit(begin + "reason", GREEDY).result()
    assert engine.scheduler.tokens_found == 3 * BLOCK
    assert engine.tokens_read - before == len(begin + "reason") - 3 * BLOCK + 29


def test_texts_need_not_share_what_they_begin_with(make_language: Make) -> None:
    engine = make_language(256, settings=InferenceSettings(prefix_cache=False)).engine
    first, second = (engine.submit("It was the best of times, it was the worst of", RANDOM).result() for _ in range(2))
    assert first == second
    assert engine.scheduler.tokens_found == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_of_a_prompt_read_it_once_and_start_independently(make_language: Make, backend: str) -> None:
    language = make_language(256, backend=backend)
    prompt = "It was the best of times, it was the worst of times, it was the age of"
    several = language.generate(prompt, RANDOM.model_copy(update={"num_samples": 5}))
    assert len({tuple(completion.tokens[:4]) for completion in several}) == 5
    assert language.engine.scheduler.tokens_found == 4 * 2 * BLOCK
    assert several[0] == make_language(256, backend=backend).generate(prompt, RANDOM)[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sampling", [GREEDY, RANDOM], ids=["greedy", "random"])
@pytest.mark.parametrize("draft_tokens", [1, 2, 5])
def test_guessing_ahead_never_changes_a_text(
    make_language: Make, backend: str, sampling: SamplingSettings, draft_tokens: int
) -> None:
    sampling = sampling.model_copy(
        update={
            "max_tokens": 150,
            "stop": ("zq",),
            "repetition_penalty": 1.0,
            "top_k": 2 if sampling.temperature else 0,
        }
    )
    prompt = "abcabcabcabc the age, the age, the age"
    plain = make_language(64, end_of_text=0.9, backend=backend).generate(prompt, sampling)
    limits = InferenceSettings(draft_tokens=draft_tokens)
    guessing = make_language(64, end_of_text=0.9, settings=limits, backend=backend)
    guessing.engine.scheduler.worth.pays = lambda *_: True  # type: ignore[method-assign]
    assert guessing.generate(prompt, sampling) == plain
    assert guessing.engine.scheduler.guessed > 0


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_steps_at_fixed_places_as_a_gpu_replays_them_write_the_same(make_language: Make, rows: int) -> None:
    requests = crowd([f"Number {number} " * (3 * number + 1) for number in range(rows)])
    language = make_language(100, end_of_text=1.02)
    executor = language.engine.executor
    assert isinstance(executor, TorchExecutor)
    assert not executor.recorded
    plain = [language.generate(*request)[0] for request in requests]
    executor.recorded = True
    streams = [language.engine.submit(*request) for request in requests]
    assert [stream.result()[0] for stream in streams] == plain
    assert any(size > 1 for size, _ in executor._steps) == (rows > 1)


def test_right_guesses_save_steps(make_language: Make) -> None:
    limits = InferenceSettings(draft_tokens=4)
    language = make_language(256, settings=limits)
    with torch.no_grad():  # a model that always writes the same
        language.model.head_weight[ord("a")] = 100 * language.model.head_weight[ord("a")].abs()
        language.model.model.norm.weight.abs_()
    language.engine.scheduler.worth.pays = lambda *_: True  # type: ignore[method-assign]
    sampling = SamplingSettings(temperature=0, max_tokens=100, logit_bias={ord("a"): 100})
    (completion,) = language.generate("aaaa", sampling)
    assert completion.text == "a" * 100
    engine = language.engine
    assert engine.scheduler.guessed_right > 50
    assert engine.steps + engine.scheduler.guessed_right == 100  # one token a step, and those that were guessed


def test_prompts_are_read_before_guesses_are(make_language: Make) -> None:
    steps = []
    for guesses in (0, 7):
        language = make_language(256, settings=InferenceSettings(draft_tokens=guesses, step_tokens=8))
        engine = language.engine
        engine.scheduler.worth.pays = lambda *_: True  # type: ignore[method-assign]
        sampling = SamplingSettings(temperature=0, max_tokens=200, logit_bias={ord("a"): 100})
        engine.submit("aaaa", sampling)
        while engine.scheduler.guessed < guesses:
            engine.step()
        second = engine.submit("It was the best of times, it was the worst of times", GREEDY)
        before = engine.steps
        while second.rows[0].reads_prompt:
            engine.step()
        steps.append(engine.steps - before)
    assert steps[0] == steps[1]


def test_a_text_that_waits_for_room_stops_no_guesses(make_language: Make) -> None:
    steps = []
    for waits in (False, True):
        language = make_language(256, settings=InferenceSettings(cache_tokens=256, draft_tokens=8, step_tokens=64))
        engine = language.engine
        engine.scheduler.worth.pays = lambda *_: True  # type: ignore[method-assign]
        sampling = SamplingSettings(temperature=0, max_tokens=60, logit_bias={ord("a"): 100})
        first = engine.submit("a" * 150, sampling)
        if waits:
            engine.submit("b" * 200, GREEDY)
        while not first.done:
            engine.step()
        steps.append(engine.steps)
        assert engine.scheduler.guessed_right > 40
    assert steps[1] <= steps[0] + 2  # the second text comes in once, and gives way


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("step_tokens", [5, 256])
def test_logprobs_are_the_log_softmax_of_a_plain_forward(make_language: Make, backend: str, step_tokens: int) -> None:
    language = make_language(64, settings=InferenceSettings(step_tokens=step_tokens), backend=backend)
    sampling = RANDOM.model_copy(update={"logprobs": 3, "prompt_logprobs": 2, "max_tokens": 20, "num_samples": 2})
    prompt = "It was the best of times,"
    for completion in language.generate(prompt, sampling):
        assert completion.logprobs is not None
        assert completion.prompt_logprobs is not None
        tokens = language.tokenizer.encode(prompt) + completion.tokens
        with torch.no_grad():
            expected = language.model(torch.tensor([tokens]))[0].log_softmax(-1)  # (T, V)
        told = [*completion.prompt_logprobs, *completion.logprobs]
        assert [each.token for each in told] == tokens[1:]
        for place, each in enumerate(told):
            assert each.logprob == pytest.approx(float(expected[place, each.token]), abs=2e-5)
            top = expected[place].topk(len(each.top))
            assert [logprob for _, _, logprob in each.top] == pytest.approx(top.values.tolist(), abs=2e-5)
    assert len(completion.prompt_logprobs[0].top) == 2
    assert len(completion.logprobs[0].top) == 3


@pytest.mark.parametrize("step_tokens", [2, 3, 8])
def test_logprobs_of_a_prompt_that_gave_way_while_it_was_read_are_told_once(
    make_language: Make, step_tokens: int
) -> None:
    limits = InferenceSettings(cache_tokens=128, step_tokens=step_tokens, max_rows=2, draft_tokens=2)
    engine = make_language(128, settings=limits).engine
    telling = RANDOM.model_copy(update={"prompt_logprobs": 1, "max_tokens": 5})
    prompt = "abcabcabc" * 10
    first = engine.submit("Number one is here", RANDOM.model_copy(update={"max_tokens": 100, "ignore_eos": True}))
    (found,) = engine.submit(prompt, telling).result()
    first.result()
    assert engine.scheduler.pushed_out > 0
    (expected,) = make_language(128).generate(prompt, telling)
    assert found.tokens == expected.tokens
    assert found.prompt_logprobs is not None
    assert expected.prompt_logprobs is not None
    assert [each.token for each in found.prompt_logprobs] == [each.token for each in expected.prompt_logprobs]
    assert [each.logprob for each in found.prompt_logprobs] == pytest.approx(
        [each.logprob for each in expected.prompt_logprobs], abs=1e-4
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_stream_adds_up_to_what_is_not_streamed(make_language: Make, backend: str) -> None:
    for seed in range(5):
        language = make_language(40, seed=seed, end_of_text=0.8, backend=backend)
        sampling = RANDOM.model_copy(
            update={"max_tokens": 120, "temperature": 2.0, "top_p": 1.0, "num_samples": 3, "stop": ("th", "€")}
        )
        with language.start("Call", sampling) as stream:
            pieces = list(stream)
            completions = stream.completions()
        for row, completion in enumerate(completions):
            assert "".join(piece.text for piece in pieces if piece.row == row) == completion.text
        assert completions == language.generate("Call", sampling)
        assert stream.seconds_to_first_token > 0


def test_texts_come_through_async_loops_side_by_side(make_language: Make) -> None:
    language = make_language(backend="native")
    alone = [language.generate(prompt, RANDOM)[0] for prompt in ("one", "two", "three")]

    async def follow(prompt: str) -> Completion:
        async with language.start(prompt, RANDOM) as stream:
            pieces = [piece.text async for piece in stream]
        assert "".join(pieces) == stream.completions()[0].text
        return stream.completions()[0]

    async def all_of_them() -> list[Completion]:
        return list(await asyncio.gather(*(follow(prompt) for prompt in ("one", "two", "three"))))

    assert asyncio.run(all_of_them()) == alone
    assert language.generate("one", RANDOM)[0] == alone[0]  # also now that the engine has a thread
    language.close()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threaded", [False, True])
def test_a_cancelled_text_keeps_what_was_written_and_gives_its_room_back(
    make_language: Make, backend: str, threaded: bool
) -> None:
    language = make_language(backend=backend)
    engine = language.engine
    if threaded:
        engine.start()
    whole = make_language(backend=backend).generate("Call", RANDOM)[0]
    endless = RANDOM.model_copy(update={"max_tokens": 10**6, "ignore_eos": True})
    with engine.submit("Call", RANDOM) as other, engine.submit("again", endless) as stream:
        next(iter(stream))
        stream.cancel()
        assert other.result()[0] == whole
        for _ in stream:
            pass
    assert stream.completions()[0].finish == "cancelled"
    assert stream.completions()[0].text
    engine.close()
    assert engine.scheduler.pool.available == engine.scheduler.pool.count
    with pytest.raises(QuireError, match="closed"):
        engine.submit("more", RANDOM).result()


def test_more_than_may_wait_is_refused(make_language: Make) -> None:
    engine = make_language(settings=InferenceSettings(max_rows=1, max_waiting=2)).engine
    with pytest.raises(UsageError, match="max_waiting = 3"):
        engine.submit("b", GREEDY.model_copy(update={"num_samples": 4}))
    streams = [engine.submit("a", GREEDY) for _ in range(3)]
    with pytest.raises(UsageError, match="max_waiting = 3"):
        engine.submit("b", GREEDY)
    assert [stream.result()[0].finish for stream in streams] == ["length"] * 3
    assert engine.submit("b", GREEDY).result()


def test_a_text_that_is_not_to_slide_ends_where_the_context_does(make_language: Make) -> None:
    stopping = GREEDY.model_copy(update={"max_tokens": 100, "beyond_context": "stop"})
    (stopped,) = make_language(40).generate("Call me", stopping)
    (slid,) = make_language(40).generate("Call me", stopping.model_copy(update={"beyond_context": "slide"}))
    assert stopped.finish == "context"
    assert len(stopped.tokens) == 40 + 1 - len("Call me")
    assert slid.tokens[: len(stopped.tokens)] == stopped.tokens
    assert slid.finish == "length"


def test_other_weights_find_nothing_of_what_the_ones_before_have_read(make_language: Make) -> None:
    language, prompt = make_language(), "It was the best of times, it was the worst of times"
    language.generate(prompt, GREEDY)
    with torch.no_grad():
        for parameter in language.model.parameters():
            parameter.mul_(1.1)
    assert language.generate(prompt, GREEDY) == language.generate(prompt, GREEDY, use_cache=False)


@pytest.mark.parametrize("alone", [True, False])
def test_a_damaged_model_is_told_and_the_engine_goes_on(make_language: Make, alone: bool) -> None:
    language = make_language(64, settings=InferenceSettings(step_tokens=4 if alone else 64))
    weights = language.model.model.embed_tokens.weight
    sound = language.generate("abc", GREEDY)
    with torch.no_grad():
        before = weights[ord("#")].clone()
        weights[ord("#")] = float("nan")
    good, bad = language.start("abc", GREEDY), language.start("#", GREEDY)
    assert good.result() == sound
    with pytest.raises(QuireError, match="damaged"):
        bad.result()
    assert bad.completions()[0].finish == "error"
    with torch.no_grad():
        weights[ord("#")] = before
    assert language.generate("abc", GREEDY) == sound


@pytest.mark.parametrize("backend", BACKENDS)
def test_text_follows_a_rule(make_language: Make, backend: str) -> None:
    language = make_language(64, backend=backend)
    sampling = RANDOM.model_copy(update={"regex": "[a-c]{3,9}-[0-9]{2}", "temperature": 1.5, "num_samples": 4})
    for completion in language.generate("x", sampling):
        letters, _, digits = completion.text.partition("-")
        assert set(letters) <= set("abc")
        assert 3 <= len(letters) <= 9
        assert len(digits) == 2
        assert digits.isdigit()
        assert completion.finish == "end"
