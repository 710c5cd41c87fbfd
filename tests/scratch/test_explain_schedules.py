"""The schedules worked out: the rates are those of the schedules, and the text shows how they come about."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.scratch import explain, schedules


def test_cosine_by_hand():
    worked = explain.schedule("cosine", [0, 5, 54, 99], 100, 0.001, 10)
    assert worked.result["rates"] == pytest.approx([0.0001, 0.0006, 0.0005, 0], abs=1e-18)
    text = worked.to_text()
    assert "η = 0.001 × (5 + 1) / 10 = 0.001 × 6 / 10 = 0.0006\n" in text
    assert "t = (54 + 1 - 10) / (100 - 10) = 45 / 90 = 0.5\n" in text
    assert "cos(π × 0.5) ≈ cos(1.5708) ≈ 0\n" in text
    assert "p = (1 + 0) / 2 = 0.5\n" in text
    assert r"p &= \frac{1 + 0}{2} = 0.5" in worked.to_markdown()
    assert "  54  0.0005               0.5\n" in text


def test_the_last_steps_of_a_cosine_are_shown_without_cancellation():
    text = explain.schedule("cosine", 998, 1000, 1.0).to_text()
    assert "p = sin(π × (1 - t) / 2)^2\n" in text
    assert "sin(π × 0.001 / 2) ≈ sin(0.001571) ≈ 0.001571\n" in text
    assert "p ≈ 0.001571^2 ≈ 2.467e-06\n" in text
    assert "sin(" not in explain.schedule("cosine", [900, 999], 1000, 1.0).to_text()


def test_linear_and_constant_by_hand():
    text = explain.schedule("linear", 4, 6, 0.5, 2, 0.1).to_text()
    assert "t = (4 + 1 - 2) / (6 - 2) = 3 / 4 = 0.75\n" in text
    assert "p = 1 - 0.75 = 0.25\n" in text
    assert "η = 0.1 + 0.4 × 0.25 = 0.2\n" in text
    constant = explain.schedule("constant", [0, 3], 4, 0.02)
    assert constant.result["rates"] == [0.02, 0.02]
    assert "warmup" not in constant.to_text()


@given(st.sampled_from(sorted(schedules.SCHEDULES)), st.integers(1, 500), st.data())
def test_the_rates_are_those_of_the_schedule(name, steps, data):
    warmup, at = data.draw(st.integers(0, steps - 1)), data.draw(st.integers(0, steps - 1))
    final = () if name == "constant" else (0.125,)
    worked = explain.schedule(name, at, steps, 0.5, warmup, *final)
    assert worked.result["rates"] == [schedules.SCHEDULES[name](at, steps, 0.5, warmup, *final)]
    assert ("one of the warmup" in worked.to_text()) == (at < warmup)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("step", 0, 9, 0.1), "'step' is no schedule; there are constant, linear, cosine"),
        (("linear", [], 9, 0.1), "no step is asked for"),
        (("linear", 9, 9, 0.1), "step 9 is not among the 9 steps"),
        (("linear", -1, 9, 0.1), "step -1 is not among the 9 steps"),
        (("linear", 0, 9, 0.1, 9), "a warmup of 9 steps does not fit into 9"),
        (("linear", 0, 9, math.nan), "peak is nan; it must be above 0"),
        (("linear", 0, 9, 0.1, 0, 0.2), "final is 0.2; it must be from 0 to the peak, 0.1"),
        (("constant", 0, 9, 0.1, 0, 0.05), "a constant schedule has no final rate"),
    ],
)
def test_wrong_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        explain.schedule(*call)
