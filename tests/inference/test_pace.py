from quire.inference.native.pace import AGAIN, TRIES, Pace


def run(pace: Pace, steps: int, seconds: dict[int, float]) -> list[int]:
    chosen = []
    for _ in range(steps):
        chosen.append(pace.choose())
        pace.took(chosen[-1], seconds[chosen[-1]])
    return chosen


def test_all_threads_where_nothing_disturbs_them() -> None:
    chosen = run(Pace(4), 500, {4: 1.0, 1: 3.0})
    assert chosen.count(1) == 1  # tried once


def test_one_thread_on_a_busy_machine_and_all_again_when_it_is_quiet() -> None:
    pace = Pace(2)
    run(pace, 50, {2: 1.0, 1: 2.0})
    busy = run(pace, 200, {2: 10.0, 1: 2.2})
    assert busy.count(2) < 40
    quiet = run(pace, 200, {2: 1.0, 1: 2.0})
    assert quiet[-100:].count(2) == 100


def test_a_machine_that_is_busy_from_the_first_step_on() -> None:
    chosen = run(Pace(2), 300, {2: 10.0, 1: 2.0})
    assert chosen[10:].count(2) <= TRIES * 300 / AGAIN


def test_a_small_step_that_one_thread_does_sooner_is_left_to_it() -> None:
    chosen = run(Pace(8), 200, {8: 1.0, 1: 0.7})
    assert chosen[-20:].count(1) >= 19


def test_one_thread_is_one_thread() -> None:
    assert run(Pace(1), 20, {1: 1.0}) == [1] * 20


def test_threads_that_have_to_wake_up_first_are_not_judged_by_that() -> None:
    pace = Pace(2)
    run(pace, 20, {2: 10.0, 1: 2.0})  # busy at first
    chosen = []
    for _ in range(200):
        chosen.append(pace.choose())
        asleep = chosen[-1] == 2 and (len(chosen) == 1 or chosen[-2] == 1)
        pace.took(chosen[-1], 5.0 if asleep else {2: 1.0, 1: 2.0}[chosen[-1]])
    assert chosen[-100:].count(2) == 100
