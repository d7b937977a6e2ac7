"""How a process that computes is set up, and how many cores it may take."""

import os
import re
import subprocess
import sys

import psutil
import pytest

from core import hardware
from core.config import ROOT, settings
from core.fine_tuning import provenance
from core.query import turn

COUNT = """
import torch
from core import hardware
hardware.set_up_torch(threads=2)
print(torch.get_num_threads(), int(((torch.full((4_000_000,), 1e-39) * 1.0) != 0).sum()))
"""


@pytest.mark.slow
def test_numbers_that_slow_a_cpu_down_count_as_zero_in_every_thread() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "0"]


@pytest.mark.parametrize(
    ("usable", "busy", "threads"),
    [(1, 0, 1), (4, 0, 4), (4, 100, 1), (4, 50, 2), (64, 0, hardware.MOST_THREADS), (64, 95, 3)],
)
def test_a_training_takes_what_is_idle_of_the_cores_it_may_use(
    usable: int, busy: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container that may use four of sixty-four cores there are four."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(usable)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: busy)
    assert hardware.training_threads() == threads
    assert hardware.describe()["cores"] == provenance.hardware()["cores"] == hardware.cores() == usable
    assert turn.limits().threads == min(turn.MAX_THREADS, usable)


def test_configured_threads_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_TRAINING_THREADS", "12")
    settings.cache_clear()
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: pytest.fail("was measured all the same"))
    assert hardware.training_threads() == 12


@pytest.mark.parametrize(
    ("usable", "load", "threads", "times"),
    [
        (2, 0.0, 0, 1.0),
        (2, 2.0, 0, 2.0),
        (2, 4.0, 0, 3.0),
        (4, 2.0, 2, 1.0),
        (4, 4.0, 2, 1.5),
        (2, 0.3, 4, 1.1),
    ],
)
def test_a_busy_machine_is_so_many_times_slower(
    usable: int, load: float, threads: int, times: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_TRAINING_THREADS", str(threads))
    settings.cache_clear()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(usable)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: usable)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(hardware, "gpus", lambda: ())
    assert hardware.slowdown() == pytest.approx(times, abs=0.05)
    assert hardware.slowdown(besides=2) == 1.0
    monkeypatch.setattr(hardware, "gpus", lambda: (hardware.Gpu("GPU", 1, 1, True),))
    assert hardware.slowdown() == 1.0


def test_cores_are_counted_in_one_place() -> None:
    counting = re.compile(r"\bcpu_count\(|sched_getaffinity")
    files = [path for path in ROOT.glob("core/**/*.py") if counting.search(path.read_text(encoding="utf-8"))]
    assert files == [ROOT / "core" / "hardware.py"]
