"""A loop that fails every round says so once a minute, and how depends on whose fault it is."""

import errno
import logging
import threading

import pytest

from core.errors import DiskFull
from core.processes.rounds import HANGING_SECONDS, Rounds, report_hanging

FULL = OSError(errno.ENOSPC, "No space left on device")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_full_disk_is_one_line_a_minute_without_a_traceback(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(logging.getLogger("test"), "The jobs could not be looked after", clock=clock)
    for clock.now in range(0, 121, 2):  # a round every two seconds, for two minutes
        rounds.failed(FULL if clock.now % 4 else DiskFull())
    assert [record.exc_info for record in caplog.records] == [None] * 3
    assert caplog.records[0].getMessage().startswith("The jobs could not be looked after for now")
    assert "disk is full" in caplog.records[0].getMessage()


def test_what_nobody_foresaw_has_its_traceback_and_another_fault_its_own_line(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(logging.getLogger("test"), "It failed", clock=clock)
    for error in (ValueError("one"), FULL, ValueError("one"), ValueError("two"), FULL):
        rounds.failed(error)
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, True]


def test_a_round_that_does_not_end_is_reported_once_with_where_it_stands(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(logging.getLogger("test"), "The jobs could not be looked after", clock=clock)
    begun, end = threading.Event(), threading.Event()

    def wait_for_what_never_comes() -> None:
        with rounds.watched():
            begun.set()
            end.wait()

    thread = threading.Thread(target=wait_for_what_never_comes)
    thread.start()
    assert begun.wait(10)
    for clock.now in (HANGING_SECONDS - 1, HANGING_SECONDS + 1, HANGING_SECONDS + 60):
        report_hanging()
    end.set()
    thread.join(10)
    hangs, goes_on = (record.getMessage() for record in caplog.records)
    assert "has taken 121 s" in hangs
    assert "in wait_for_what_never_comes" in hangs
    assert goes_on == "The jobs could not be looked after for minutes; it goes on now."


def test_a_round_that_ends_is_never_reported(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds(logging.getLogger("test"), "It failed", clock=clock)
    with pytest.raises(ValueError, match="one"), rounds.watched():
        raise ValueError("one")
    clock.now = 10 * HANGING_SECONDS
    report_hanging()
    assert caplog.records == []
