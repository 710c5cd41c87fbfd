import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.training.schedule import Schedule, ScheduleSettings

forms = st.builds(
    ScheduleSettings,
    shape=st.sampled_from(["linear", "cosine", "sqrt"]),
    warmup_steps=st.integers(0, 30),
    decay_fraction=st.floats(0, 1),
    final_fraction=st.floats(0, 1),
)


@given(forms, st.integers(1, 500))
def test_warms_up_stays_and_falls(form, total):
    rates = [Schedule(form, total).multiplier(step) for step in range(total)]
    assert all(0 <= rate <= 1 for rate in rates)
    after = rates[form.warmup_steps :]
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(after))
    if form.warmup_steps:
        assert rates[0] <= 1 / form.warmup_steps + 1e-9


def test_linear_by_hand():
    s = Schedule(ScheduleSettings(warmup_steps=2, decay_fraction=0.5), 8)
    # Progress at the middle of the steps is 1/16, 3/16, ... 15/16; the decay begins at 1/2.
    assert [s.multiplier(step) for step in range(8)] == pytest.approx([0.5, 1, 1, 1, 7 / 8, 5 / 8, 3 / 8, 1 / 8])


def test_cosine_by_hand():
    s = Schedule(ScheduleSettings(shape="cosine", warmup_steps=0, decay_fraction=1, final_fraction=0.1), 3)
    # Middle of the steps: 1/6, 1/2, 5/6; cosines of pi/6, pi/2, 5 pi/6.
    root = 3**0.5 / 2
    expected = [0.1 + 0.9 * (1 + c) / 2 for c in (root, 0, -root)]
    assert [s.multiplier(step) for step in range(3)] == pytest.approx(expected)


def test_one_minus_a_square_root_by_hand():
    s = Schedule(ScheduleSettings(shape="sqrt", warmup_steps=0, decay_fraction=0.5, final_fraction=0.2), 8)
    # Progress at the middle of the steps is 1/16, 3/16, ... 15/16; of the decay, from step 4 on: 1/8, 3/8, 5/8, 7/8.
    falling = [0.2 + 0.8 * (1 - math.sqrt(part)) for part in (1 / 8, 3 / 8, 5 / 8, 7 / 8)]
    assert [s.multiplier(step) for step in range(8)] == pytest.approx([1, 1, 1, 1, *falling])


@pytest.mark.parametrize("shape", ["linear", "cosine", "sqrt"])
def test_stable_then_decay_does_not_know_its_end_until_the_decay(shape):
    """Runs of 1,000 and of 100,000 steps take the same rates as long as both are on their plateaus."""
    short, long = (Schedule(ScheduleSettings(shape=shape, decay_fraction=0.2), total) for total in (1000, 100_000))
    assert [short.multiplier(step) for step in range(800)] == [long.multiplier(step) for step in range(800)]
    assert short.multiplier(801) < long.multiplier(801) == 1
    # Without a plateau they differ from the first step after the warmup.
    short, long = (Schedule(ScheduleSettings(shape=shape, decay_fraction=1), total) for total in (1000, 100_000))
    assert short.multiplier(20) < long.multiplier(20) < 1


@given(forms, st.integers(2, 300), st.data())
def test_a_revision_changes_nothing_before_it_and_ends_where_it_says(form, total, data):
    schedule = Schedule(form, total)
    history = []
    step = 0
    while step < schedule.total_steps:
        history.append((step, schedule.multiplier(step), schedule.progress(step)))
        step += 1
        if len(history) > 600:
            break
        if step < schedule.total_steps and data.draw(st.booleans()) and len(schedule.knots) < 4:
            new = data.draw(st.integers(step + 1, step + 200))
            at = schedule.progress(step)
            schedule.revise(step, new)
            assert schedule.progress(step) == pytest.approx(at, abs=1e-9)
    assert schedule.progress(schedule.total_steps) == pytest.approx(1)
    for then, _, progress in history:
        assert schedule.progress(then) == pytest.approx(progress, abs=1e-9)
    # What is saved with a run gives the same rates again, to the bit.
    again = Schedule(form, schedule.total_steps, [(int(s), float(p)) for s, p in schedule.knots])
    assert [again.multiplier(s) for s in range(step)] == [schedule.multiplier(s) for s in range(step)]


def test_a_run_cannot_end_before_where_it_is():
    with pytest.raises(ValueError, match="step 5"):
        Schedule(ScheduleSettings(), 10).revise(5, 5)
