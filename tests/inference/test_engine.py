import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from numba.core.errors import NumbaError

from quire.errors import FormatError, UsageError
from quire.inference.blocks import BLOCK
from quire.inference.executors import NativeExecutor, TorchExecutor
from quire.inference.language import Backend, LanguageModel, load
from quire.inference.sampling import distribution
from quire.inference.sequence import Completion
from quire.inference.settings import InferenceSettings, SamplingSettings
from quire.inference.views import within
from quire.interop.huggingface import save_model_folder
from quire.model.config import ModelConfig
from quire.model.transformer import Transformer
from quire.tokens.tokenizer import Tokenizer

Make = Callable[..., LanguageModel]
PROMPTS = ["Call me", "", "It was the best of times, it was the worst of times,", "€", "a"]
GREEDY = SamplingSettings(temperature=0, max_tokens=30, seed=0)
RANDOM = SamplingSettings(temperature=0.9, top_p=0.9, repetition_penalty=1.1, seed=7, max_tokens=30)


def by_hand(language: LanguageModel, prompt: str, sampling: SamplingSettings) -> list[int]:
    """Write greedily by the rule of the view, with whole readings of plain lists."""
    context = language.model.config.context_length
    view = (language.tokenizer.encode(prompt) or [language.tokenizer.end_of_text])[-context:]
    written: list[int] = []
    seen = list(view)
    while len(written) < sampling.max_tokens:
        if len(view) > context:
            view = view[-max(1, context // 2) :]
        with torch.no_grad():
            logits = language.model(torch.tensor([view]))[:, -1]
        token = int(distribution(logits, sampling, [seen]).argmax())
        if token == language.tokenizer.end_of_text:
            break
        written.append(token)
        view = [*view, token]
        seen.append(token)
    return written


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("context", [64, 10, 2, 1])
@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_greedy_writing_is_that_of_whole_readings(
    make_language: Make, prompt: str, context: int, penalty: float
) -> None:
    language = make_language(context)
    sampling = GREEDY.model_copy(update={"repetition_penalty": penalty})
    expected = by_hand(language, prompt, sampling)
    assert len(expected) == 30
    for use_cache in (True, False):
        (completion,) = language.generate(prompt, sampling, use_cache=use_cache)
        assert completion.tokens == expected
        assert completion.text == language.tokenizer.decode(expected)
        assert completion.finish == "length"


@pytest.mark.parametrize("sampling", [GREEDY, RANDOM], ids=["greedy", "random"])
@pytest.mark.parametrize("context", [64, 20])
@pytest.mark.parametrize("use_cache", [True, False])
def test_each_row_of_a_batch_equals_its_single_run(
    make_language: Make, sampling: SamplingSettings, context: int, use_cache: bool
) -> None:
    language = make_language(context, end_of_text=1.05)
    together = language.generate(PROMPTS, sampling, use_cache=use_cache)
    alone = [language.generate(prompt, sampling)[0] for prompt in PROMPTS]
    assert together == alone
    assert len({completion.text for completion in together}) == len(PROMPTS)


def test_rows_that_end_early_leave_the_others_as_they_are(make_language: Make) -> None:
    language = make_language(24, end_of_text=1.3)
    sampling = RANDOM.model_copy(update={"max_tokens": 60, "num_samples": 6, "temperature": 1.5})
    together = language.generate(PROMPTS, sampling)
    assert {completion.finish for completion in together} == {"end", "length"}
    for i, prompt in enumerate(PROMPTS):
        assert language.generate(prompt, sampling) == together[6 * i : 6 * i + 6]


def test_samples_start_independently_and_the_first_is_the_only_one(make_language: Make) -> None:
    language = make_language()
    several = language.generate("Call me", RANDOM.model_copy(update={"num_samples": 8}))
    assert len({completion.text for completion in several}) == 8
    # The first tokens differ too: no sample repeats what one drawing after the prompt gave.
    assert len({completion.tokens[0] for completion in several}) > 1
    assert several[0] == language.generate("Call me", RANDOM)[0]


def test_the_seed_decides(make_language: Make) -> None:
    language = make_language()
    first = language.generate("Call me", RANDOM)
    assert language.generate("Call me", RANDOM) == first
    assert language.generate("Call me", RANDOM.model_copy(update={"seed": 8}))[0].text != first[0].text
    unseeded = RANDOM.model_copy(update={"seed": None})
    (drawn,) = language.generate("Call me", unseeded)
    assert language.generate("Call me", unseeded)[0].text != drawn.text
    assert language.generate("Call me", RANDOM.model_copy(update={"seed": drawn.seed})) == [drawn]


@pytest.mark.parametrize("stop", [(), ("e",), ("th", "q")])
def test_the_stream_adds_up_to_the_text(make_language: Make, stop: tuple[str, ...]) -> None:
    for seed in range(4):
        language = make_language(40, seed=seed, end_of_text=0.8)
        sampling = RANDOM.model_copy(update={"max_tokens": 120, "temperature": 2.0, "top_p": 1.0, "stop": stop})
        pieces = list(language.stream("Call", sampling))
        (completion,) = language.generate("Call", sampling)
        assert all(pieces)
        assert "".join(pieces) == completion.text
        if completion.finish != "stop":
            assert completion.text == language.tokenizer.decode(completion.tokens)
        assert not any(mark in completion.text for mark in stop)


def test_a_stop_string_over_tokens_ends_the_text_before_it(make_language: Make) -> None:
    language = make_language()
    (whole,) = language.generate("Call me", GREEDY)
    middle = whole.text[9:13]  # every token is a byte, so it spans four
    (stopped,) = language.generate("Call me", GREEDY.model_copy(update={"stop": (middle,)}))
    assert stopped.finish == "stop"
    assert stopped.text == whole.text[: whole.text.index(middle)]
    (none,) = language.generate("Call me", GREEDY.model_copy(update={"stop": ("no such text",)}))
    assert none == whole


def test_the_end_of_text_ends_and_is_not_shown(make_language: Make) -> None:
    language = make_language()
    (whole,) = language.generate("Call me", GREEDY)
    with torch.no_grad():  # from now on the end is as likely as what was written fifth, and a little likelier
        weights = language.model.head_weight
        weights[language.tokenizer.end_of_text] = weights[whole.tokens[4]] * 1.01
    expected = by_hand(language, "Call me", GREEDY)
    assert len(expected) <= 4
    (ended,) = language.generate("Call me", GREEDY)
    assert ended.finish == "end"
    assert ended.tokens == expected
    assert ended.text == language.tokenizer.decode(expected)


def test_a_prompt_longer_than_the_context_is_cut_to_its_last_part_and_says_so(make_language: Make) -> None:
    language = make_language(10)
    (long,) = language.generate("x" * 50 + "0123456789", GREEDY)
    (short,) = language.generate("0123456789", GREEDY)
    assert (long.prompt_cut, long.prompt_tokens) == (50, 10)
    assert (short.prompt_cut, short.prompt_tokens) == (0, 10)
    assert long.text == short.text


def test_an_empty_prompt_begins_a_new_text(make_language: Make) -> None:
    language = make_language()
    (completion,) = language.generate("", GREEDY)
    with torch.no_grad():
        logits = language.model(torch.tensor([[language.tokenizer.end_of_text]]))
    assert completion.prompt_tokens == 1
    assert completion.tokens[0] == int(logits[0, -1].argmax())


def test_invalid_bytes_at_the_end_are_flushed(make_language: Make) -> None:
    language = make_language()
    with torch.no_grad():
        language.model.head_weight.zero_()  # every byte is as likely as any other
    completions = language.generate("a", SamplingSettings(max_tokens=3, top_p=1, num_samples=40, seed=1))
    ended_inside = [c for c in completions if c.tokens and 0xC2 <= c.tokens[-1] < 0xF5]
    assert ended_inside
    assert all(c.text.endswith("\ufffd") for c in ended_inside)
    assert all(c.text == language.tokenizer.decode(c.tokens) for c in completions)


def test_ids_beyond_the_tokenizer_stand_for_nothing() -> None:
    tokenizer = Tokenizer.byte()
    shape = {"vocab_size": 400, "hidden_size": 8, "num_layers": 1, "num_heads": 1, "context_length": 16}
    padded = LanguageModel(Transformer(ModelConfig.model_validate(shape | {"tie_embeddings": False})), tokenizer)
    (completion,) = padded.generate("a", SamplingSettings(seed=0, top_p=1, max_tokens=60))  # any id, as likely
    assert any(token >= tokenizer.vocab_size for token in completion.tokens)
    known = [token for token in completion.tokens if token < tokenizer.vocab_size]
    assert completion.text == tokenizer.decode(known)


def test_several_texts_cannot_be_streamed_as_one(make_language: Make) -> None:
    with pytest.raises(UsageError, match="num_samples = 2"):
        make_language().stream("a", SamplingSettings(num_samples=2))


def test_no_prompts_give_no_texts(make_language: Make) -> None:
    assert make_language().generate([]) == []


def test_a_loaded_run_writes_as_the_model_did(tmp_path: Path, make_language: Make) -> None:
    language = make_language()
    save_model_folder(tmp_path / "run", language.model, language.tokenizer)
    loaded = load(tmp_path / "run", "cpu")
    expected: list[Completion] = language.generate(PROMPTS, RANDOM)
    assert loaded.generate(PROMPTS, RANDOM) == expected


def test_what_is_no_run_is_refused(tmp_path: Path, make_language: Make) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        load(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"no config\.json"):
        load(tmp_path)
    (tmp_path / "model").write_text("no folder")
    with pytest.raises(UsageError, match="a file, where a folder is needed"):
        load(tmp_path / "model")
    language = make_language()
    save_model_folder(tmp_path, language.model, language.tokenizer)
    with pytest.raises(UsageError, match="'abacus' cannot be used"):
        load(tmp_path, "abacus")
    Tokenizer.train(["what a long text " * 9, "and another one, quite different"], 300).save(tmp_path)
    with pytest.raises(FormatError, match="and the model only 259"):
        load(tmp_path)


@pytest.mark.parametrize("backend", ["torch", "native", "auto"])
@pytest.mark.parametrize("use_cache", [True, False])
def test_a_model_that_is_open_does_not_change_with_its_file(
    make_language: Make, tmp_path: Path, backend: Backend, use_cache: bool
) -> None:
    first, second = make_language(seed=1), make_language(seed=2)
    save_model_folder(tmp_path, second.model, second.tokenizer)
    other = (tmp_path / "model.safetensors").read_bytes()
    save_model_folder(tmp_path, first.model, first.tokenizer)
    language = load(tmp_path, "cpu", backend=backend)
    expected = language.generate("Call me", GREEDY, use_cache=use_cache)
    with (tmp_path / "model.safetensors").open("r+b") as file:  # as `cp` does; renaming leaves the old file as it is
        file.write(other)
    assert language.generate("Call me", GREEDY, use_cache=use_cache) == expected
    assert language.generate("Call you", GREEDY, use_cache=use_cache) == first.generate("Call you", GREEDY)


def test_compiled_steps_have_a_copy_of_all_weights(make_language: Make) -> None:
    language = make_language(backend="native")
    expected = language.generate("Call me", GREEDY)
    with torch.no_grad():
        for parameter in language.model.parameters():
            parameter.mul_(3)
    assert language.generate("Call me", GREEDY) == expected


@pytest.mark.parametrize("backend", ["torch", "native"])
def test_float16_halves_the_cache_and_writes_on(make_language: Make, backend: Backend) -> None:
    sampling = SamplingSettings(temperature=0, max_tokens=100, seed=0)
    languages = [
        make_language(settings=InferenceSettings(cache_dtype=dtype, cache_tokens=640), backend=backend)
        for dtype in ("auto", "float32", "float16")
    ]
    texts = [language.generate("Call me", sampling)[0].text for language in languages]
    assert texts[0] == texts[1]
    assert texts[0][:8] == texts[2][:8]
    sizes = []
    for language in languages:
        executor = language.engine.executor
        pools = [executor.native.cache] if isinstance(executor, NativeExecutor) else [executor.keys, executor.values]  # type: ignore[attr-defined]
        sizes.append(sum(pool.nbytes for pool in pools))
    assert sizes[0] == sizes[1] == 2 * sizes[2]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_cache_that_costs_the_compiled_steps_is_told(
    make_language: Make, monkeypatch: pytest.MonkeyPatch, dtype: Literal["float32", "float16"]
) -> None:
    monkeypatch.setattr("quire.inference.native.instructions.converts_halves", lambda: False)
    language = make_language(settings=InferenceSettings(cache_dtype=dtype), backend="auto")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        executor = language.engine.executor
    assert isinstance(executor, TorchExecutor if dtype == "float16" else NativeExecutor)
    language.close()
    said = "cache_dtype = float16 has no compiled steps here"
    assert [str(warning.message).partition(",")[0] for warning in told] == [said] * (dtype == "float16")


def test_where_nothing_can_be_compiled_pytorch_computes_and_it_is_said(
    make_language: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(tell: object = None) -> None:
        raise NumbaError("no such processor")

    monkeypatch.setattr("quire.inference.native.forward.compiled_run", fails)
    language = make_language(backend="auto")
    with pytest.warns(UserWarning, match="no such processor"):
        language.prepare(compiling=lambda: None)
    assert isinstance(language.engine.executor, TorchExecutor)
    with pytest.warns(UserWarning, match="PyTorch computes"), pytest.raises(UsageError, match="no such processor"):
        make_language(backend="native").prepare(compiling=lambda: None)


@pytest.mark.parametrize("backend", ["torch", "native"])
def test_a_cache_that_does_not_fit_is_refused_before_it_is_made(make_language: Make, backend: Backend) -> None:
    language = make_language(settings=InferenceSettings(cache_tokens=10**15), backend=backend)
    with pytest.raises(
        UsageError, match=r"cache_tokens: a cache of 1,000,000,000,000,000 tokens takes [0-9,]+\.000 GB, and .* free"
    ):
        language.generate("Call me")


@pytest.mark.parametrize("backend", ["torch", "native"])
def test_the_usual_cache_is_as_large_as_memory_allows(
    make_language: Make, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    language = make_language(backend=backend)
    a_context = 64 * language.cache_bytes
    monkeypatch.setattr("quire.inference.language.free_memory", lambda: 6 * a_context)
    expected = language.generate("Call me", GREEDY)
    assert language.engine.scheduler.pool.count * BLOCK == 3 * 64
    language.close()
    monkeypatch.setattr("quire.inference.language.free_memory", lambda: a_context - 1)
    with pytest.raises(UsageError, match="cache_dtype = float16 halves"):
        language.generate("Call me", GREEDY)
    assert language.generate("Call me", GREEDY, use_cache=False) == expected


@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize("step_tokens", [256, 5])
def test_what_float16_cannot_hold_is_kept_as_its_largest(
    make_language: Make, backend: Backend, step_tokens: int
) -> None:
    limits = InferenceSettings(cache_dtype="float16", step_tokens=step_tokens)
    language = make_language(settings=limits, backend=backend)
    with torch.no_grad():
        for block in language.model.model.layers:
            block.self_attn.v_proj.weight.mul_(1e6)  # type: ignore[union-attr, operator]
    prompts = ["Call me", "It was the best of times, it was the worst of"]
    alone = [language.generate(prompt, GREEDY)[0].tokens for prompt in prompts]
    together = language.generate(prompts, GREEDY)
    assert [each.finish for each in together] == ["length", "length"]
    assert [each.tokens for each in together] == alone


def test_numbers_of_any_type_go_into_a_cache_of_any_other() -> None:
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        numbers = torch.tensor([1.5, -3e38, float("nan")]).to(kind)
        for other in (torch.float32, torch.bfloat16, torch.float16):
            kept = within(numbers, other)
            assert (kept.dtype, float(kept[0]), bool(kept[2].isnan())) == (other, 1.5, True)
            assert kept[1].isfinite() or numbers[1].isinf()
