"""A child process that hangs is ended, one that computes is not."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.processes.lines import LineProcess
from core.processes.quiet import QuietTime

CHILD = "tests.core.processes.busy_child"


def start(*arguments: str, hangs_after: float) -> LineProcess:
    return LineProcess(CHILD, *arguments, name="busy", last=("finish",), hangs_after=hangs_after)


def test_time_without_a_sign_adds_up_and_a_sign_ends_it() -> None:
    quiet = QuietTime(now=0)
    seen = [quiet.look(now=n, sign=1, cpu_seconds=3.0) for n in range(1, 6)]
    assert seen == [0, 1, 2, 3, 4]
    assert quiet.look(now=6, sign=2, cpu_seconds=3.0) == 0
    assert quiet.look(now=7, sign=2, cpu_seconds=3.0) == 1


def test_one_that_computes_a_little_beside_busy_neighbours_is_not_quiet() -> None:
    quiet = QuietTime(now=0)
    seen = [quiet.look(now=n, sign=1, cpu_seconds=0.05 * n) for n in range(1, 31)]
    assert max(seen) < 2


def test_threads_that_only_wake_up_to_wait_again_are_quiet() -> None:
    quiet = QuietTime(now=0)
    quiet.look(now=0, sign=1, cpu_seconds=5.0)
    assert [quiet.look(now=n, sign=1, cpu_seconds=5.0 + n * 0.001) for n in range(1, 11)][-1] == 10


def test_time_in_which_nobody_looked_does_not_count() -> None:
    quiet = QuietTime(now=0)
    quiet.look(now=1, sign=1, cpu_seconds=1.0)
    assert quiet.look(now=1000, sign=1, cpu_seconds=1.0) <= 2


@pytest.fixture
def busy_neighbours() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.mark.slow  # computes for longer than it may be quiet
def test_a_child_that_computes_without_a_beat_beside_busy_loops_is_left_alone(busy_neighbours: None) -> None:
    process = start("4", hangs_after=1.5)
    _, answers = process.open({"op": "go"})
    assert answers.get(timeout=120) == {"id": 1, "finish": "done"}
    process.end()


@pytest.mark.slow  # waits for the time after which a child hangs
def test_a_stopped_child_is_ended_and_whoever_waits_is_told() -> None:
    process = start("0", "--beats", hangs_after=1.5)
    _, first = process.open({"op": "cancel"})
    assert first.get(timeout=60)
    process = start("60", "--beats", hangs_after=1.5)
    os.kill(process.pid, signal.SIGSTOP)
    _, answers = process.open({"op": "go"})
    assert answers.get(timeout=60) == {"died": True}
    assert not process.is_alive()
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
