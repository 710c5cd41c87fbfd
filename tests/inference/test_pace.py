from quire.inference.native.pace import AGAIN, TRIES, Pace, Paces


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


def test_tokens_that_come_late_in_a_text_are_no_disturbance() -> None:
    pace = Pace(2)
    run(pace, 50, {2: 1.0, 1: 2.0})
    late = run(pace, 400, {2: 2.0, 1: 3.0})  # the next text has a long prompt
    assert late.count(1) <= 2


def test_steps_of_many_tokens_are_compared_by_the_token() -> None:
    paces = Paces(2)
    chosen = []
    for number in range(400):
        tokens = 127 if number % 4 else 64  # the last part of a prompt is shorter
        chosen.append(paces.choose(tokens))
        paces.took(tokens, chosen[-1], tokens / (1.9 if chosen[-1] == 2 else 1.0))
    assert chosen.count(1) <= 4


def test_steps_of_few_tokens_are_compared_with_steps_of_as_many() -> None:
    paces = Paces(2)
    chosen = []
    for number in range(400):
        tokens = 63 if number % 4 else 1
        chosen.append(paces.choose(tokens))
        paces.took(tokens, chosen[-1], tokens / (1.9 if chosen[-1] == 2 else 1.0))
    assert chosen.count(1) <= 8
