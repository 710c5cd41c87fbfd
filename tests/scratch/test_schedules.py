import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.scratch.schedules import SCHEDULES, constant, cosine, linear

shapes = st.integers(2, 400).flatmap(lambda steps: st.tuples(st.just(steps), st.integers(0, steps - 1)))


@pytest.mark.parametrize("name", SCHEDULES)
@given(shapes)
def test_up_to_the_peak_and_never_up_again(name, shape):
    steps, warmup = shape
    rates = [SCHEDULES[name](step, steps, 0.5, warmup) for step in range(steps)]
    assert all(0 <= rate <= 0.5 for rate in rates)
    top = max(warmup - 1, 0)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if warmup:
        assert rates[warmup - 1] == 0.5
        assert math.isclose(rates[0], 0.5 / warmup)


@given(shapes, st.floats(0, 0.4))
def test_the_last_step_has_the_final_rate(shape, final):
    steps, warmup = shape
    assert constant(steps - 1, steps, 0.5, warmup) == 0.5
    for schedule in (linear, cosine):
        assert math.isclose(schedule(steps - 1, steps, 0.5, warmup, final), final, abs_tol=1e-12)


def test_half_way_both_stand_in_the_middle_and_a_quarter_of_the_way_cosine_is_higher():
    assert linear(49, 100, 1.0) == pytest.approx(0.5)
    assert cosine(49, 100, 1.0) == pytest.approx(0.5)
    assert cosine(24, 100, 1.0) == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert linear(24, 100, 1.0) == pytest.approx(0.75)


@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_steps_out_of_range_are_told(schedule):
    with pytest.raises(ValueError, match="step 10 is not among the 10 steps from 0 to 9"):
        schedule(10, 10, 1.0)
    with pytest.raises(ValueError, match="a warmup of 10 steps does not fit into 10"):
        schedule(0, 10, 1.0, 10)
    with pytest.raises(ValueError, match="a learning rate must be 0 or more, not -1"):
        schedule(0, 10, -1.0)
