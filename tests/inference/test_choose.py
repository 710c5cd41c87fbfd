"""The choice of tokens for texts that have settings of their own, on each of its three ways of being computed."""

import random
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import QuireError
from quire.inference import sampling
from quire.inference.native.drawing import Drawing
from quire.inference.row import choose_in_row
from quire.inference.sampling import Choice, SamplingSettings, SamplingState, choose, log_probabilities

END = 2
Way = Callable[[torch.Tensor, Sequence[SamplingState]], list[Choice]]


@cache
def drawing(size: int) -> Drawing:
    return Drawing(size)


def compiled(logits: torch.Tensor, states: Sequence[SamplingState]) -> list[Choice]:
    return choose(logits, states, drawing(logits.shape[-1]))


def on_device(logits: torch.Tensor, states: Sequence[SamplingState]) -> list[Choice]:
    return sampling.sound(sampling.choose_on_device(logits, states))


WAYS = [choose, on_device, compiled]

every = st.builds(
    SamplingSettings,
    temperature=st.sampled_from([0.0, 1e-9, 0.7, 1.0, 1.9]),
    top_k=st.sampled_from([0, 0, 3, 50]),
    top_p=st.sampled_from([0.2, 0.9137, 1.0]),
    min_p=st.sampled_from([0.0, 0.0371]),
    typical_p=st.sampled_from([0.613, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.3137]),
    frequency_penalty=st.sampled_from([0.0, 0.4179]),
    presence_penalty=st.sampled_from([0.0, -0.7123]),
    logit_bias=st.sampled_from([{}, {1: 3.0, 5: -100}, {10**6: 1.0}]),
    ignore_eos=st.booleans(),
    logprobs=st.sampled_from([None, 0, 3]),
)
sizes = st.sampled_from([7, 64, 65, 700])


def state(chosen: SamplingSettings, seed: int = 0, sample: int = 0, written: Sequence[int] = ()) -> SamplingState:
    made = SamplingState(chosen, [1, 4, 4], seed=seed, sample=sample, end_of_text=END)
    for token in written:
        made.push(token)
    return made


def scores(batch: int, size: int, seed: int, scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(batch, size, generator=torch.Generator().manual_seed(seed))


def by_hand(row: np.ndarray, chosen: SamplingSettings, written: Sequence[int]) -> np.ndarray:
    """Return the distribution (V,) by definition: sorting, adding up and nothing clever."""
    row = row.astype(np.float64)
    if chosen.ignore_eos:
        row[END] = -np.inf
    for token, bias in chosen.logit_bias.items():
        if token < len(row):
            row[token] += bias
    for token in {1, 4, *written}:
        row[token] = (
            row[token] / chosen.repetition_penalty if row[token] > 0 else row[token] * chosen.repetition_penalty
        )
    for token in set(written):
        row[token] -= chosen.frequency_penalty * written.count(token) + chosen.presence_penalty
    if chosen.temperature == 0:
        return np.eye(len(row))[row.argmax()]
    shares = np.exp((row - row.max()) / max(chosen.temperature, 1e-6))
    shares[shares < chosen.min_p] = 0
    if chosen.top_k:
        shares[shares < sorted(shares)[-min(chosen.top_k, len(row))]] = 0

    def fewest(order: np.ndarray, p: float) -> None:
        if p < 1:
            mass = 0.0
            for place, token in enumerate(order):
                if mass >= p * total:
                    shares[order[place:]] = 0
                    return
                mass += shares[token]

    total = shares.sum()
    fewest(np.argsort(-shares, kind="stable"), chosen.top_p)
    total = shares.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = -np.log(shares / total)
        entropy = np.nansum(shares / total * surprise)
    fewest(np.argsort(np.abs(surprise - entropy), kind="stable"), chosen.typical_p)
    return shares / shares.sum()


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=150)
@given(chosen=every, size=sizes, seed=st.integers(0, 10**6), written=st.lists(st.integers(0, 6), max_size=5))
def test_the_choice_is_that_of_the_definition(
    way: Way, chosen: SamplingSettings, size: int, seed: int, written: list[int]
) -> None:
    logits = scores(1, size, seed)
    (choice,) = way(logits, [state(chosen, seed, 3, written)])
    sums = by_hand(logits[0].numpy(), chosen, written).cumsum()
    mark = random.Random(f"{seed}/3").random()
    # Within the rounding of float32 of what the definition gives, and never on a token that it has left out.
    before = sums[choice.token - 1] if choice.token else 0.0
    assert before - 1e-5 <= mark <= sums[choice.token] + 1e-5
    assert sums[choice.token] > before


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=60)
@given(several=st.lists(every, min_size=2, max_size=6), size=sizes, seed=st.integers(0, 10**6), data=st.data())
def test_a_choice_depends_on_no_other_row_and_not_on_its_place(
    way: Way, several: list[SamplingSettings], size: int, seed: int, data: st.DataObject
) -> None:
    logits = scores(len(several), size, seed)

    def states() -> list[SamplingState]:
        return [state(each, seed, place, [place, 3, 3]) for place, each in enumerate(several)]

    together = way(logits, states())
    assert together == [way(logits[i : i + 1], [each])[0] for i, each in enumerate(states())]
    order = data.draw(st.permutations(range(len(several))))
    assert way(logits[list(order)], [states()[i] for i in order]) == [together[i] for i in order]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_and_sample_choose_the_same_and_others_do_not(way: Way) -> None:
    def text(seed: int, sample: int) -> list[int]:
        writing = state(SamplingSettings(temperature=1.5, top_p=1), seed, sample)
        tokens = []
        for step in range(20):
            tokens.append(way(scores(1, 50, step), [writing])[0].token)
            writing.push(tokens[-1])
        return tokens

    assert text(1, 0) == text(1, 0)
    assert len({tuple(text(seed, sample)) for seed in (1, 2) for sample in (0, 1)}) == 4


@pytest.mark.parametrize("way", WAYS)
def test_greedy_takes_the_first_of_the_likeliest(way: Way) -> None:
    logits = torch.tensor([[1.0, 4.0, 4.0], [0.0, 0.0, 0.0]])
    greedy = SamplingSettings(temperature=0)
    assert [choice.token for choice in way(logits, [state(greedy), state(greedy)])] == [1, 0]


@pytest.mark.parametrize("way", WAYS)
@given(chosen=every, size=sizes, seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_log_probabilities_are_those_of_the_plain_logits(
    way: Way, chosen: SamplingSettings, size: int, seed: int
) -> None:
    logits = scores(1, size, seed, 4.0)
    (choice,) = way(logits, [state(chosen, seed, written=[3, 3])])
    expected = logits[0].double().log_softmax(0)
    if chosen.logprobs is None:
        assert (choice.logprob, choice.top) == (None, ())
        return
    assert choice.logprob == pytest.approx(float(expected[choice.token]), abs=1e-6)
    likeliest = sorted(range(size), key=lambda token: (-float(logits[0, token]), token))[: chosen.logprobs]
    assert [token for token, _ in choice.top] == likeliest
    assert [value for _, value in choice.top] == pytest.approx(expected[likeliest].tolist(), abs=1e-6)
    assert log_probabilities(logits, [choice.token], chosen.logprobs)[0].token == choice.token
    assert (
        log_probabilities(logits, [choice.token], chosen.logprobs)[0]
        == choose(
            logits, [state(SamplingSettings(temperature=0, logit_bias={choice.token: 100}, logprobs=chosen.logprobs))]
        )[0]
    )


def test_equal_alternatives_are_told_by_their_ids() -> None:
    for way in WAYS:
        (choice,) = way(torch.tensor([[0.0, 1, 1, 0, 1]]), [state(SamplingSettings(logprobs=4))])
        assert [token for token, _ in choice.top] == [1, 2, 4, 0]
        (choice,) = way(torch.zeros(1, 3), [state(SamplingSettings(logprobs=20))])
        assert [token for token, _ in choice.top] == [0, 1, 2]


@pytest.mark.parametrize("way", WAYS)
def test_counts_are_of_written_tokens_and_repetition_is_of_the_prompts_too(way: Way) -> None:
    logits = torch.tensor([[0.0, 1.0, -9.0, -9.0, 0.9]])  # the prompt holds 1 and 4
    counted = SamplingSettings(temperature=0, frequency_penalty=0.03, presence_penalty=0.02)
    writing, tokens = state(counted), []
    for _ in range(7):
        tokens.append(way(logits, [writing])[0].token)
        writing.push(tokens[-1])
    # 1 falls to 0.95, 0.92, 0.89; 4 to 0.85; 1 to 0.86, 0.83.
    assert tokens == [1, 1, 1, 4, 1, 1, 4]
    repeated = SamplingSettings(temperature=0, repetition_penalty=1.2)
    assert way(torch.tensor([[0.85, 1.0, -9, -9, 0.9]]), [state(repeated)])[0].token == 0
    assert way(torch.tensor([[0.8, 1.0, -9, -9, 0.9]]), [state(repeated)])[0].token == 1


@pytest.mark.parametrize("way", WAYS)
@given(seed=st.integers(0, 999), temperature=st.sampled_from([0.0, 1.0]))
@settings(deadline=None)
def test_the_end_is_not_chosen_where_it_is_to_be_ignored(way: Way, seed: int, temperature: float) -> None:
    logits = scores(1, 9, seed)
    logits[0, END] = 40
    endless = SamplingSettings(temperature=temperature, ignore_eos=True)
    assert way(logits, [state(endless, seed)])[0].token != END
    assert way(logits, [state(endless.model_copy(update={"ignore_eos": False}), seed)])[0].token == END


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_where_nothing_is_left_the_text_ends(way: Way, temperature: float) -> None:
    logits = torch.full((1, 4), -torch.inf)
    assert way(logits, [state(SamplingSettings(temperature=temperature))])[0].token == END
    logits[0, END] = 1
    assert way(logits, [state(SamplingSettings(temperature=temperature, ignore_eos=True))])[0].token == END


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_infinite_scores_win_and_nan_is_refused(way: Way, temperature: float) -> None:
    chosen = SamplingSettings(temperature=temperature, logprobs=1)
    logits = torch.tensor([[1.0, torch.inf, 3.0e38, -torch.inf]])
    (choice,) = way(logits, [state(chosen)])
    assert (choice.token, choice.logprob) == (1, 0.0)
    with pytest.raises(QuireError, match="no numbers"):
        way(torch.tensor([[1.0, torch.nan, 2.0]]), [state(chosen)])


@pytest.mark.parametrize("way", WAYS)
def test_scores_that_are_no_numbers_are_told_where_a_setting_hides_them(way: Way) -> None:
    chosen = SamplingSettings(temperature=0, logit_bias={1: -100})
    for hiding in (SamplingSettings(temperature=0, ignore_eos=True), chosen):
        with pytest.raises(QuireError, match="no numbers"):
            way(torch.tensor([[1.0, 2.0, torch.nan]]), [state(hiding)])  # 2 is the end of text


def test_a_damaged_row_leaves_the_others_their_choices() -> None:
    logits = torch.tensor([[1.0, 3.0, 0.0], [1.0, torch.nan, 2.0], [4.0, 3.0, 0.0]])
    greedy = [state(SamplingSettings(temperature=0)) for _ in range(3)]
    for found in (sampling.choose_each(logits, greedy), sampling.choose_on_device(logits, greedy)):
        assert [each.token if isinstance(each, Choice) else str(each)[:9] for each in found] == [1, "the model", 0]


def test_scores_of_half_precision_and_of_other_layouts_are_taken() -> None:
    logits = scores(3, 40, 1)
    greedy = [state(SamplingSettings(temperature=0)) for _ in range(3)]
    expected = logits.argmax(-1).tolist()
    assert [each.token for each in choose(logits.T.contiguous().T, greedy)] == expected
    half = logits.bfloat16()
    assert [each.token for each in choose(half, greedy)] == half.float().argmax(-1).tolist()
    assert choose(torch.empty(0, 40), []) == []


def test_all_ways_choose_alike_on_a_large_vocabulary() -> None:
    chosen = SamplingSettings(temperature=0.8, top_p=0.95, logprobs=2)
    for seed in range(20):
        logits = scores(1, 20_000, seed, 1.0 + seed / 5)
        first, *others = (way(logits, [state(chosen, seed)])[0] for way in WAYS)
        for other in others:
            assert first.token == other.token
            assert first.logprob == pytest.approx(other.logprob, abs=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_more_than_there_are_may_be_kept(way: Way) -> None:
    everything, most = (state(SamplingSettings(top_k=count), 7) for count in (0, 2**64))
    assert way(scores(1, 40, 3), [most]) == way(scores(1, 40, 3), [everything])


def test_the_end_that_is_ignored_loses_against_infinity() -> None:
    logits = torch.zeros(1, 5)
    logits[0, END], logits[0, 4] = torch.finfo(torch.float32).max, torch.inf
    for way in WAYS:
        assert way(logits, [state(SamplingSettings(temperature=0, ignore_eos=True))])[0].token == 4


def test_a_row_of_another_size_is_not_drawn_from() -> None:
    with pytest.raises(ValueError, match="40 scores, where there should be 41"):
        choose(scores(1, 40, 1), [state(SamplingSettings())], Drawing(41))


@pytest.mark.parametrize("width", [0.3, 1.0, 3.0])
def test_compiled_draws_of_a_very_large_vocabulary_are_those_of_the_definition(width: float) -> None:
    logits, chosen = scores(1, 151_936, 0, width), SamplingSettings(temperature=1)
    writing, marks = state(chosen, 1), random.Random("1/0")
    sums = by_hand(logits[0].numpy(), chosen, []).cumsum()
    for _ in range(100):
        token, mark = compiled(logits, [writing])[0].token, marks.random()
        assert (sums[token - 1] if token else 0.0) - 1e-6 <= mark <= sums[token] + 1e-6


class Fixed(random.Random):
    """Gives one number, which sums come near to."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def random(self) -> float:
        return self.number


@settings(deadline=None, max_examples=300)
@given(
    row=st.lists(
        # Below e^-87 of the likeliest the compiled draw rounds to nothing, NumPy below e^-103: none lies between.
        st.sampled_from([-np.inf, -3e38, -5000, -2.0, -0.5, 0.0, 1e-30, 0.25, 1.0, 1.5, 60.0]),
        min_size=1,
        max_size=200,
    ).filter(lambda row: max(row) > -np.inf),
    chosen=st.builds(
        SamplingSettings,
        temperature=st.sampled_from([1e-9, 0.8, 1.0, 30.0]),
        top_k=st.sampled_from([0, 0, 1, 5, 199]),
        top_p=st.sampled_from([1e-6, 0.37, 0.95, 1 - 1e-12, 1.0]),
        min_p=st.sampled_from([0.0, 0.0371, 1.0]),
    ),
    share=st.sampled_from([0.0, 0.123, 0.781, 1 - 2**-53]),
)
def test_compiled_draws_are_those_of_numpy_where_many_weigh_the_same_or_nothing(
    row: list[float], chosen: SamplingSettings, share: float
) -> None:
    numbers, tokens = np.array(row, np.float32), []
    for draw in (None, drawing(len(row))):
        drawn = state(chosen)
        drawn.uniforms = Fixed(share)
        with np.errstate(over="ignore"):
            tokens.append(choose_in_row(numbers, int(numbers.argmax()), drawn, draw).token)
    assert numbers[tokens[0]] == numbers[tokens[1]]
    assert tokens[0] == tokens[1] or share > 0.999  # the last sums differ in their rounding
