"""The engine on a GPU writes what it writes on a CPU."""

from collections.abc import Callable

import pytest
import torch

from quire.inference.executors import TorchExecutor
from quire.inference.language import LanguageModel
from quire.inference.settings import SamplingSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_texts_are_those_of_a_cpu_and_of_any_company(
    make_language: Callable[..., LanguageModel], temperature: float
) -> None:
    sampling = SamplingSettings(temperature=temperature, max_tokens=40, seed=3, num_samples=3)
    prompts = ["Call me", "", "It was the best of times, it was the worst of times"]
    expected = make_language(48).generate(prompts, sampling)
    language = make_language(48)
    language.model.cuda()
    executor = language.engine.executor
    assert isinstance(executor, TorchExecutor)
    assert executor.recorded
    found = language.generate(prompts, sampling)
    assert [each.tokens for each in found] == [each.tokens for each in expected]
    assert language.generate(prompts[0], sampling.model_copy(update={"num_samples": 1}))[0] == found[0]
