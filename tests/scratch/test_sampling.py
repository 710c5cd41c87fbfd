import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.inference import sampling as model_sampling
from quire.inference.settings import SamplingSettings
from quire.scratch.sampling import (
    apply_temperature,
    distribution,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
)

# Few different values, so that ties are frequent; some are already out.
rows = st.lists(st.sampled_from([-np.inf, -2.0, -1.0, 0.0, 0.25, 1.0, 3.0]), min_size=1, max_size=9).filter(
    lambda row: max(row) > -np.inf
)
plain_rows = st.lists(st.floats(-30, 30), min_size=1, max_size=9)
shares = st.floats(0, 1)


def model(logits):
    return torch.tensor(np.array([logits]), dtype=torch.float64)


@given(rows | plain_rows, st.integers(0, 10))
def test_top_k_is_the_models(row, k):
    np.testing.assert_array_equal(keep_top_k(row, k), model_sampling.keep_top_k(model(row), k)[0].numpy())


@given(rows | plain_rows, shares.filter(lambda p: p > 0))
def test_top_p_keeps_the_fewest_likeliest_tokens_that_reach_it(row, p):
    kept = np.isfinite(keep_top_p(row, p))
    probabilities = np.exp(np.array(row) - max(row))
    probabilities /= probabilities.sum()
    if p == 1:
        np.testing.assert_array_equal(keep_top_p(row, p), row)
    else:
        assert kept.any()
        assert probabilities[kept].sum() >= p - 1e-12
        least = probabilities[kept].min()
        assert probabilities[kept][probabilities[kept] > least].sum() < p + 1e-12  # one kind fewer does not reach it
        assert not (probabilities[~kept] > least * (1 + 1e-12)).any()


@given(rows | plain_rows, shares)
def test_min_p_keeps_by_the_share_of_the_likeliest(row, p):
    probabilities = np.exp(np.array(row) - max(row))  # the likeliest has 1
    kept = np.isfinite(keep_min_p(row, p))
    if p == 0:
        np.testing.assert_array_equal(keep_min_p(row, p), row)
    else:
        assert kept[probabilities > p * (1 + 1e-12)].all()
        assert not kept[probabilities < p * (1 - 1e-12)].any()


@pytest.mark.parametrize("p", [1e-9, 0.1, 0.35, 0.5, 0.72, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("ours", [keep_top_p, keep_min_p])
def test_top_p_and_min_p_are_the_models(ours, p):
    theirs = getattr(model_sampling, ours.__name__)
    generator = np.random.default_rng(0)
    for row in (*generator.standard_normal((40, 12)), *generator.integers(-2, 3, (40, 12)).astype(float)):
        np.testing.assert_array_equal(ours(row, p), theirs(model(row), p)[0].numpy())


def test_tokens_as_likely_as_the_last_one_kept_are_kept():
    assert np.isfinite(keep_top_k([3.0, 1.0, 1.0, 0.0], 2)).tolist() == [True, True, True, False]
    assert np.isfinite(keep_top_p([3.0, 1.0, 1.0, 0.0], 0.8)).tolist() == [True, True, True, False]


@given(plain_rows, st.floats(0.1, 10), st.data())
def test_the_repetition_penalty_is_the_models(row, penalty, data):
    seen = data.draw(st.lists(st.integers(0, len(row) - 1)))
    theirs = model_sampling.penalise_repetition(model(row), [seen], penalty)[0].numpy()
    np.testing.assert_array_equal(penalise_repetition(row, seen, penalty), theirs)


@given(
    plain_rows.map(lambda row: [round(each, 1) for each in row]),
    st.sampled_from([0.0, 1e-9, 0.3, 1.0, 1.7]),
    st.integers(0, 10),
    st.sampled_from([0.0001, 0.53, 0.91, 1.0]),
    st.sampled_from([0.0, 0.0371, 0.613, 1.0]),
    st.sampled_from([1.0, 1.3137]),
    st.data(),
)
def test_the_distribution_is_the_models(row, temperature, top_k, top_p, min_p, penalty, data):
    seen = data.draw(st.lists(st.integers(0, len(row) - 1)))
    chosen = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    chosen["repetition_penalty"] = penalty
    ours = distribution(row, seen=seen, **chosen)
    # The model computes in float32. The numbers above are such that no token stands within its rounding of a bound.
    theirs = model_sampling.distribution(model(row), SamplingSettings(**chosen), [seen])[0].numpy()
    assert ours.sum() == pytest.approx(1)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_nothing_given_changes_nothing():
    row = np.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(distribution(row), np.exp(row) / np.exp(row).sum(), rtol=1e-14)
    assert row.tolist() == [0.5, -1.0, 2.0]


def test_temperature_sharpens_and_flattens():
    row = [2.0, 1.0, 0.1]
    cold, warm, hot = (distribution(row, temperature=each) for each in (0.5, 1.0, 2.0))
    assert cold[0] > warm[0] > hot[0] > hot[2] > warm[2] > cold[2]
    np.testing.assert_allclose(cold, distribution(2 * np.array(row)), rtol=1e-14)
    assert distribution([1.0, 3.0, 3.0], temperature=0).tolist() == [0.0, 1.0, 0.0]
    assert distribution([1000.0, -1000.0], temperature=1e-300).tolist() == [1.0, 0.0]


@given(plain_rows, st.floats(0, 1, exclude_max=True))
def test_the_draw_is_the_models(row, uniform):
    probabilities = distribution(row)
    assert draw(probabilities, uniform) == model_sampling.draw(torch.tensor(probabilities)[None], [uniform])[0]


def test_tokens_are_drawn_as_often_as_they_are_likely():
    probabilities = [0.2, 0.0, 0.5, 0.3]
    evenly = (np.arange(1000) + 0.5) / 1000
    assert np.bincount([draw(probabilities, u) for u in evenly], minlength=4).tolist() == [200, 0, 500, 300]
    assert draw([0.0, 1.0, 0.0], 0.0) == 1
    assert draw([0.0, 1.0, 0.0], np.nextafter(1, 0)) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: keep_top_k([1.0], -1), "top-k must be a whole number, 0 .* or more, not -1"),
        (lambda: keep_top_p([1.0], 0.0), "top-p must be more than 0 and at most 1, not 0.0"),
        (lambda: keep_top_p([1.0], float("nan")), "top-p must be"),
        (lambda: keep_min_p([1.0], 1.5), "min-p must be 0 to 1, not 1.5"),
        (lambda: apply_temperature([1.0], -0.1), "temperature must be 0 or more, not -0.1"),
        (lambda: penalise_repetition([1.0], [], 0.0), "repetition penalty must be positive, not 0.0"),
        (lambda: penalise_repetition([1.0, 2.0], [1, 2], 1.1), "seen token 2 is not in the vocabulary of 2"),
        (lambda: penalise_repetition([1.0, 2.0], [-1], 1.1), "seen token -1"),
        (lambda: distribution([[1.0, 2.0]]), r"one row of numbers \(V,\) is needed, not the shape \(1, 2\)"),
        (lambda: distribution([]), "one row of numbers"),
        (lambda: draw([0.5, 0.5], 1.0), r"must be in \[0, 1\), not 1.0"),
        (lambda: draw([0.0, 0.0], 0.5), "must not all be zero"),
        (lambda: draw([0.5, -0.5], 0.5), "must not be negative"),
    ],
)
def test_what_is_out_of_bounds_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("logits", [[np.nan, 1.0], [-np.inf, -np.inf], [np.inf, 0.0]])
def test_logits_without_a_largest_number_are_told(logits):
    with pytest.raises(ValueError, match="the row must hold a number at its largest place"):
        distribution(logits)


def test_a_top_k_that_is_no_number_of_tokens_is_told():
    with pytest.raises(ValueError, match="top-k must be a whole number"):
        keep_top_k([1.0, 2.0], 1.5)
