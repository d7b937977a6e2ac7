"""A loop that fails every round says so once a minute, and how depends on whose fault it is."""

import errno
import logging

import pytest

from core.errors import DiskFull
from core.processes.rounds import Rounds

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
