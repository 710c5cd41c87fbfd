"""Ctrl-C and SIGTERM: when they end a process at once, and when not."""

import signal
from collections.abc import Iterator

import pytest

from quire.training.interrupt import SIGNALS, Interrupt


class EndedError(Exception):
    """What the handler before raised."""


@pytest.fixture(autouse=True)
def ending() -> Iterator[None]:
    """Let signals raise `EndedError`, as they would end a process, and put things back."""

    def end(number: int, frame: object) -> None:
        raise EndedError

    before = {number: signal.signal(number, end) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("patient", [True, False])
def test_the_first_signal_is_noted_and_the_second_ends_at_once_or_not(number: signal.Signals, patient: bool) -> None:
    interrupt = Interrupt(patient=patient)
    with interrupt.caught():
        signal.raise_signal(number)
        assert interrupt.pressed
        if patient:
            signal.raise_signal(number)
        else:
            with pytest.raises(EndedError):
                signal.raise_signal(number)
    with pytest.raises(EndedError):
        signal.raise_signal(number)


@pytest.mark.parametrize("patient", [True, False])
def test_one_of_several_processes_says_what_failed_before_it_ends(patient: bool) -> None:
    """Where another rank was killed, torchrun sends SIGTERM while this one is on its way to tell it."""
    with pytest.raises(RuntimeError, match="lost"), Interrupt(patient=patient).caught():
        raise RuntimeError("lost")
    if patient:
        signal.raise_signal(signal.SIGTERM)
    else:
        with pytest.raises(EndedError):
            signal.raise_signal(signal.SIGTERM)
