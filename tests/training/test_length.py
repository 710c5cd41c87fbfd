"""A run by the clock ends within a tenth of its time, its decay completed, however the speed of the machine varies."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quire.training.checkpoint import TrainingState, latest_checkpoint, read_state
from quire.training.length import RunLength, steps_for
from quire.training.pace import Pace
from quire.training.schedule import Schedule, ScheduleSettings
from quire.training.trainer import Trainer


@st.composite
def machines(draw):
    """A machine by its clock: (seconds of a step, seconds of an evaluation, steps between two, the first estimate).

    It takes 100 to 5,000 steps in the budget of 1 at its usual speed; goes at half to twice that for parts of it;
    spends up to a fifth of the budget on compiling in the first step; stands still twice, for up to a tenth of the
    budget each (such a pause must end before the budget does, or nothing could be done about it).
    """
    steps = draw(st.integers(100, 5000))
    speeds = sorted(draw(st.lists(st.tuples(st.floats(0, 1), st.floats(0.5, 2)), max_size=4)))
    compiling = draw(st.sampled_from([0.0, 0.03, 0.2]))
    pauses = draw(st.lists(st.tuples(st.floats(0, 0.85), st.floats(0, 0.1)), max_size=2))
    uneven = draw(st.sampled_from([1.0, 1.3]))

    def step(number, now):
        seconds = compiling if number == 0 else 0.0
        pace = 1.0
        for at, speed in speeds:
            pace = 1 / speed if now >= at else pace
        for at, length in list(pauses):
            if now >= at:
                pauses.remove((at, length))
                seconds += length if now + length < 0.95 else 0.0
        return seconds + pace / steps * (uneven if number % 2 else 2 - uneven)

    estimate = draw(st.sampled_from([1, 5, 12, steps // 10, steps, 10 * steps]))
    return step, draw(st.sampled_from([0.0, 0.01, 0.02])), max(1, steps // 12), estimate


@given(machines(), st.sampled_from([12.0, 60.0, 3600.0]), st.sampled_from(["linear", "cosine"]))
@settings(max_examples=100)
def test_any_machine_ends_in_time_with_its_decay_done(machine, budget, shape):
    seconds_of, evaluation, every, estimate = machine
    state = TrainingState(total_steps=estimate)
    schedule = Schedule(ScheduleSettings(shape=shape), estimate)
    length, pace = RunLength(budget / 60), Pace()
    now = 0.0
    pace.looked(now)
    length.begin(state, schedule)
    rates = []
    while state.step < schedule.total_steps:
        rates.append(schedule.multiplier(state.step))
        now += budget * seconds_of(state.step, now / budget)
        state.step += 1
        state.seconds = now
        pace.stepped(now)
        length.revise(state, pace, schedule)
        now += budget * evaluation * (state.step % every == 0)
        pace.looked(now)
    assert 0.9 * budget < now < 1.1 * budget
    assert rates[-1] < 0.12
    assert schedule.multiplier(state.step) == pytest.approx(0)
    # What is saved says all: a resumed run takes the same steps at the same rates.
    again = Schedule(ScheduleSettings(shape=shape), state.total_steps, state.knots)
    assert again.multiplier(state.step - 1) == rates[-1]


@given(machines(), st.integers(1, 6000))
@example((lambda step, share: 0.01, 0.0, 8, 1), 8)  # the bound lies where the length is first looked at
@settings(max_examples=50)
def test_a_bound_on_the_steps_ends_a_run_before_its_time_with_the_decay_done(machine, most):
    seconds_of, evaluation, every, estimate = machine
    budget = 60.0
    state = TrainingState(total_steps=min(estimate, most))
    schedule = Schedule(ScheduleSettings(), state.total_steps)
    length, pace = RunLength(budget / 60, most), Pace()
    now, rate = 0.0, 0.0
    pace.looked(now)
    length.begin(state, schedule)
    while state.step < schedule.total_steps:
        rate = schedule.multiplier(state.step)
        now += budget * seconds_of(state.step, now / budget)
        state.step += 1
        state.seconds = now
        pace.stepped(now)
        length.revise(state, pace, schedule)
        now += budget * evaluation * (state.step % every == 0)
        pace.looked(now)
    assert state.step <= most
    assert now < 1.1 * budget
    assert state.step == most or now > 0.9 * budget
    assert schedule.multiplier(state.step) == pytest.approx(0)
    assert rate < 0.12 or most < 30


def test_a_bound_one_step_beyond_the_planned_end_is_met_as_soon_as_there_is_time_for_it():
    state = TrainingState(step=400, total_steps=416, seconds=50.0)
    schedule = Schedule(ScheduleSettings(), 416)
    pace = Pace()
    for step in range(20):
        pace.stepped(0.1 * step)
    RunLength(1.0, most_steps=417).revise(state, pace, schedule)
    assert state.total_steps == schedule.total_steps == 417


@pytest.mark.parametrize(("epochs", "steps"), [(None, None), (1.0, 10), (2.5, 25), (0.001, 1)])
def test_so_many_steps_see_a_text_so_often(epochs, steps):
    assert steps_for(epochs, 1000, 100) == steps


SPEEDS = {
    "steady": (1_000_000, lambda step, now: 0.3),
    "half as fast": (60, lambda step, now: 0.3 if now < 14 else 0.6),
    "twice as fast": (60, lambda step, now: 0.3 if now < 14 else 0.15),
    "half as fast near the end": (100, lambda step, now: 0.3 if now < 26 else 0.6),
    "twice as fast near the end": (100, lambda step, now: 0.3 if now < 26 else 0.15),
    "a slow start and a pause": (1, lambda step, now: {0: 6.0, 40: 5.0}.get(step, 0.3)),
    "three slow steps": (5, lambda step, now: {0: 6.0, 1: 4.0, 2: 4.0}.get(step, 0.3)),
    "by turns": (1000, lambda step, now: 0.15 if int(now) % 2 else 0.6),
}


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_trainer_ends_in_time_with_its_decay_done(speed, run, config, data, monkeypatch):
    """Half a minute on a clock that only training steps move on; nothing here waits."""
    first_guess, seconds = SPEEDS[speed]
    now = 0.0
    taken = Trainer.step

    def step(trainer):
        nonlocal now
        before = trainer.state.step
        taken(trainer)
        now += seconds(before, now)

    monkeypatch.setattr(Trainer, "step", step)
    over = {"minutes": 0.5, "steps": first_guess, "sample_tokens": 0, "evaluation_interval": 1000, "log_interval": 50}
    small = {"hidden_size": 16, "num_layers": 1, "context_length": 8}
    small |= {"num_heads": 1, "num_kv_heads": 1, "head_dim": 16, "dropout": 0.0}
    made = config(training={**over, "batch_size": 2, "micro_batch_size": 2, "checkpoint_interval": 1000}, model=small)
    trainer = Trainer(run, made, data)
    monkeypatch.setattr("quire.training.trainer.time.perf_counter", lambda: now)
    state = trainer.run()
    assert 27 < now < 33
    assert trainer.optimizer.learning_rate < 0.12 * made.optimizer.matrix_learning_rate
    assert trainer.schedule.multiplier(state.step) == pytest.approx(0)
    saved = read_state(latest_checkpoint(run)[0])
    assert saved.step == saved.total_steps == state.step
    assert saved.knots == state.knots
