import math
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import UsageError
from quire.inference.sampling import (
    SamplingSettings,
    distribution,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical_p,
    penalise_counts,
    penalise_repetition,
)
from quire.settings import build, help_of

# Steps of 1/8, so that ties are common and float32 is exact.
rows = st.lists(st.integers(-80, 80).map(lambda n: n / 8), min_size=1, max_size=30)


def kept(logits: torch.Tensor) -> list[int]:
    return torch.nonzero(logits[0] > -torch.inf)[:, 0].tolist()


@given(rows, st.integers(1, 40))
def test_top_k_keeps_what_is_as_likely_as_the_kth(row: list[float], k: int) -> None:
    smallest = sorted(row, reverse=True)[min(k, len(row)) - 1]
    assert kept(keep_top_k(torch.tensor([row]), k)) == [i for i, logit in enumerate(row) if logit >= smallest]


@given(rows, st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_that_reaches_the_mass(row: list[float], p: float) -> None:
    chosen = kept(keep_top_p(torch.tensor([row]), p))
    masses = torch.tensor(row, dtype=torch.float64).softmax(0)
    last = min(row[i] for i in chosen)
    assert chosen == [i for i, logit in enumerate(row) if logit >= last]
    assert float(masses[chosen].sum()) >= p - 1e-5  # it reaches p
    without = sum(float(masses[i]) for i in chosen if row[i] > last)
    assert without < p + 1e-5  # and would not without its least likely


@given(rows, st.floats(0.01, 1))
def test_min_p_is_relative_to_the_likeliest(row: list[float], p: float) -> None:
    chosen = kept(keep_min_p(torch.tensor([row]), p))
    for i, logit in enumerate(row):
        share = math.exp(logit - max(row))
        if abs(share - p) > 1e-5:
            assert (i in chosen) == (share > p)


apart = st.integers(-9000, 9000)  # thousandths: those that differ by less are alike to float32


@settings(deadline=None)
@given(st.lists(apart.map(lambda n: n / 1000), min_size=2, max_size=30, unique=True), st.floats(0.05, 0.99))
def test_typical_p_keeps_what_transformers_keeps(row: list[float], p: float) -> None:
    ours = keep_typical_p(torch.tensor([row]), p)
    theirs = transformers.TypicalLogitsWarper(p)(torch.tensor([[0]]), torch.tensor([row]))
    assert (ours.isfinite() != theirs.isfinite()).sum() <= 1  # rounding decides at the threshold
    assert ours.isfinite().any()


def test_typical_p_leaves_out_what_is_too_obvious() -> None:
    # The entropy of 0.5, 0.25, 0.125, 0.125 is 1.75 bits; their surprises are 1, 2, 3, 3.
    logits = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    assert kept(keep_typical_p(logits, 0.2)) == [1]
    assert kept(keep_typical_p(logits, 0.3)) == [0, 1]
    assert kept(keep_typical_p(logits, 0.8)) == [0, 1, 2, 3]  # the last two are as near as each other


@given(rows, st.integers(1, 40), st.floats(0.01, 1), st.floats(0, 1))
def test_rows_may_have_numbers_of_their_own(row: list[float], k: int, p: float, share: float) -> None:
    logits = torch.tensor([row, row])
    both = (torch.tensor([[p], [1.0]], dtype=torch.float64), torch.tensor([[share], [0.0]]))
    for keep, numbers, one in (
        (keep_top_k, torch.tensor([[k], [0]]), k),
        (keep_top_p, both[0], p),
        (keep_typical_p, both[0], p),
        (keep_min_p, both[1], float(both[1][0])),
    ):
        result = keep(logits, numbers)  # type: ignore[arg-type]
        assert torch.equal(result[:1], keep(logits[:1], one))  # type: ignore[arg-type]
        assert torch.equal(result[1:], logits[1:])


def test_counts_by_hand() -> None:
    logits = torch.tensor([[2.0, -2.0, 1.0], [2.0, -2.0, 1.0]])
    penalised = penalise_counts(logits, [[0, 0, 1], []], 0.5, 0.25)
    assert penalised.tolist() == [[0.75, -2.75, 1.0], [2.0, -2.0, 1.0]]
    chosen = SamplingSettings(frequency_penalty=0.5, presence_penalty=0.25, logit_bias={2: 1.5}, temperature=1, top_p=1)
    expected = torch.tensor([[0.75, -2.75, 2.5]]).softmax(-1)
    torch.testing.assert_close(distribution(logits[:1], chosen, [[0, 0, 1]], [[0, 0, 1]]), expected)


def test_one_token_is_always_left() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    tight = SamplingSettings(temperature=0.5, top_k=1, top_p=1e-9, min_p=1)
    assert distribution(logits, tight, [[]]).tolist() == [[0, 1, 0]]


def test_repetition_penalty_by_hand() -> None:
    logits = torch.tensor([[2.0, -2.0, 1.0, 0.0], [2.0, -2.0, 1.0, 0.0]])
    penalised = penalise_repetition(logits, [[0, 1, 1, 0], [3]], 2.0)
    assert penalised.tolist() == [[1.0, -4.0, 1.0, 0.0], [2.0, -2.0, 1.0, 0.0]]
    assert logits[0, 0] == 2  # the given logits stay


wide = st.builds(
    SamplingSettings,
    temperature=st.floats(0.2, 3),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 0.9),
    typical_p=st.floats(0.05, 1),
    repetition_penalty=st.floats(0.5, 2),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(apart.map(lambda n: n / 1000), min_size=12, max_size=12, unique=True), wide)
def test_the_same_steps_as_those_of_transformers_in_vllms_order(row: list[float], chosen: SamplingSettings) -> None:
    seen = [3, 5, 5]
    steps: list[Any] = [
        transformers.RepetitionPenaltyLogitsProcessor(chosen.repetition_penalty),
        transformers.TemperatureLogitsWarper(chosen.temperature),
        transformers.MinPLogitsWarper(chosen.min_p),
    ]
    if chosen.top_k:
        steps.append(transformers.TopKLogitsWarper(chosen.top_k))
    steps.append(transformers.TopPLogitsWarper(chosen.top_p))
    if chosen.typical_p < 1:
        steps.append(transformers.TypicalLogitsWarper(chosen.typical_p))
    scores = torch.tensor([row])
    for step in steps:
        scores = step(torch.tensor([seen]), scores)
    ours = distribution(torch.tensor([row]), chosen, [seen])
    # At a threshold rounding decides; then the sets differ by one token and nothing can be compared.
    if (scores.isfinite() == (ours > 0)).all():
        torch.testing.assert_close(ours, scores.softmax(-1), rtol=1e-4, atol=1e-6)
    else:
        assert (scores.isfinite() != (ours > 0)).sum() == 1


def test_greedy_takes_the_first_of_the_likeliest() -> None:
    logits = torch.tensor([[1.0, 4.0, 4.0], [0.0, 0.0, 0.0]])
    greedy = SamplingSettings(temperature=0)
    assert distribution(logits, greedy, [[], []]).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert draw(distribution(logits, greedy, [[], []]), [0.0, 0.999999]) == [1, 0]


def test_a_tiny_temperature_is_greedy_and_not_infinite() -> None:
    probabilities = distribution(torch.tensor([[1e4, 9e3, 0.0]]), SamplingSettings(temperature=1e-30), [[]])
    assert probabilities.tolist() == [[1, 0, 0]]


@given(rows, st.floats(0, 1, exclude_max=True))
def test_a_draw_is_where_the_running_sum_passes_the_number(row: list[float], uniform: float) -> None:
    probabilities = keep_top_k(torch.tensor([row]), 5).softmax(-1)
    (token,) = draw(probabilities, [uniform])
    sums = probabilities.double().cumsum(-1)[0] / probabilities.double().sum()
    assert probabilities[0, token] > 0
    before = float(sums[token - 1]) if token else 0.0
    assert before <= uniform + 1e-9
    assert uniform < float(sums[token]) + 1e-9


def test_draws_are_as_frequent_as_they_are_probable() -> None:
    probabilities = torch.tensor([[0.5, 0.0, 0.3, 0.2]])
    n = 2000
    drawn = [draw(probabilities, [(i + 0.5) / n])[0] for i in range(n)]
    assert [drawn.count(token) for token in range(4)] == [1000, 0, 600, 400]


six = st.lists(st.integers(-80, 80).map(lambda n: n / 8), min_size=6, max_size=6)


@given(st.lists(six, min_size=2, max_size=4))
def test_a_row_depends_on_no_other(batch: list[list[float]]) -> None:
    chosen = SamplingSettings(temperature=0.7, top_k=4, top_p=0.9, min_p=0.05, repetition_penalty=1.3)
    seen = [[i % 6, 2] for i in range(len(batch))]
    together = distribution(torch.tensor(batch), chosen, seen)
    for i, row in enumerate(batch):
        assert torch.equal(together[i : i + 1], distribution(torch.tensor([row]), chosen, [seen[i]]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", -1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("repetition_penalty", 0),
        ("max_tokens", 0),
        ("num_samples", 0),
        ("seed", -1),
        ("stop", ("a", "")),
        ("temperature", 1e9),
        ("typical_p", 0),
        ("frequency_penalty", 2.1),
        ("presence_penalty", float("-inf")),
        ("logit_bias", {-1: 0}),
        ("logit_bias", {1: float("nan")}),
        ("logit_bias", {1: 101}),
        ("logprobs", -1),
        ("logprobs", 21),
        ("prompt_logprobs", 21),
        ("json_schema", "{"),
        ("json_schema", "3"),
        ("json_schema", {"enum": [float("nan")]}),
        ("json_schema", {"enum": ["\ud800"]}),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=key):
        build(SamplingSettings, {key: value})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"json_schema": {}, "regex": "a"}, "cannot both be given"),
        ({"regex": "a", "stop": ("b",)}, "stop cannot be given with regex"),
        ({"json_schema": {}, "ignore_eos": True}, "ignore_eos cannot be given with json_schema"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        build(SamplingSettings, values)


def test_settings_can_be_hashed_compared_copied_and_written_as_json() -> None:
    chosen = build(SamplingSettings, {"logit_bias": {"3": 2, 5: -1}, "json_schema": {"b": 1, "a": 2}})
    same = SamplingSettings(logit_bias={5: -1, 3: 2}, json_schema='{"b":1,"a":2}')
    assert chosen == same
    assert hash(chosen) == hash(same)
    assert chosen.json_schema == '{"b": 1, "a": 2}'  # its order is the order of writing
    for again in (pickle.loads(pickle.dumps(chosen)), SamplingSettings.model_validate_json(chosen.model_dump_json())):
        assert again == chosen
    with pytest.raises(TypeError):
        chosen.logit_bias[3] = 1.0  # type: ignore[index]


def test_a_bias_for_a_token_that_is_not_there_is_refused_when_the_vocabulary_is_known() -> None:
    chosen = SamplingSettings(logit_bias={3: 1, 9: 2})
    chosen.check_vocabulary(10)
    with pytest.raises(UsageError, match="token 9 is not in the vocabulary of 9"):
        chosen.check_vocabulary(9)


def test_the_settings_are_light_to_import() -> None:
    told = "import sys, quire.inference.settings; print({'torch', 'llguidance'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", told], text=True) == "set()\n"


def test_every_setting_explains_itself() -> None:
    assert all(help_of(SamplingSettings, field) for field in SamplingSettings.model_fields)
