"""An inference process that hangs is replaced in time and takes only what it had begun along; one that is
merely slow is left alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from core.config import ROOT
from core.errors import Unavailable
from core.inference.server import MOST_OF_ONE_USER
from core.processes.lines import LineProcess
from core.providers import local
from core.providers.base import AskedModel, Delta, Finish, Generation
from core.providers.local import ENDED, HANGS_AFTER_SECONDS, LocalProvider
from core.weights import Weights, template_sha256
from tests.waiting import wait_until

STARTER = ROOT / "core" / "training" / "starter" / "weights"
MODEL = AskedModel("mdl_asked", "asked", "mdv_starter", 128)
REPLACED_WITHIN = 15  # seconds
WAITING = 3  # behind those that are being written
SLOW = 30  # seconds for one piece of a prompt
LONG = "hello world " * 8300  # more than a pipe takes

pytestmark = [pytest.mark.slow, pytest.mark.long]  # each waits for longer than a process may hang


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    weights = Weights("mdv_starter", STARTER, STARTER, None, template_sha256(STARTER))
    made = LocalProvider(lambda _: weights)
    yield made
    made.stop()


@pytest.fixture
def busy_neighbours() -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


def answer(
    provider: LocalProvider, *contents: str, tokens: int, begun: threading.Event | None = None
) -> Finish:
    """Of an answer that ends by its length alone; ``begun`` is set with its first text."""
    messages = [{"role": "user", "content": content} for content in contents]
    parameters = {"max_tokens": tokens, "ignore_eos": True}
    asked = Generation(MODEL, messages, parameters, forget=True, user="ada")
    for event in provider.generate(asked, stop=lambda: False):
        if isinstance(event, Finish):
            return event
        if begun and isinstance(event, Delta):
            begun.set()
    raise AssertionError("an answer without an end")


def test_of_many_requests_those_begun_are_told_and_those_waiting_are_answered(
    provider: LocalProvider,
) -> None:
    """Of the latter, some lie in the stopped process, one is too long for the pipe to it."""
    signs = [threading.Event() for _ in range(MOST_OF_ONE_USER)]
    with ThreadPoolExecutor(MOST_OF_ONE_USER + WAITING + 1) as pool:
        written = [pool.submit(answer, provider, "Hello", tokens=1500, begun=sign) for sign in signs]
        wait_until(lambda: [sign.is_set() for sign in signs], all)
        waiting = [pool.submit(answer, provider, "And me?", tokens=3) for _ in range(WAITING)]
        pid, stopped = provider.pid, time.monotonic()
        assert pid
        os.kill(pid, signal.SIGSTOP)
        waiting.append(pool.submit(answer, provider, LONG, "And me?", tokens=3))
        wait_until(lambda: provider.pid, lambda seen: seen not in (None, pid))
        seconds = time.monotonic() - stopped
        told = [_error_of(future) for future in written]
        assert [future.result(60).reason for future in waiting] == ["length"] * (WAITING + 1)
    print(f"replaced after {seconds:.1f} s")
    assert seconds < REPLACED_WITHIN
    assert told == [ENDED] * MOST_OF_ONE_USER


def test_a_prompt_that_takes_half_a_minute_beside_busy_loops_is_read_to_its_end(
    provider: LocalProvider, busy_neighbours: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start() -> LineProcess:
        return LineProcess(
            "tests.core.providers.slow_reading",
            str(SLOW),
            name="inference",
            last=("finish", "error"),
            hangs_after=HANGS_AFTER_SECONDS,
        )

    monkeypatch.setattr(local, "_start", start)
    provider.warm(MODEL)
    pid, began = provider.pid, time.monotonic()
    assert answer(provider, "Hello", tokens=3).reason == "length"
    assert time.monotonic() - began >= SLOW
    assert provider.pid == pid


def _error_of(future: "Future[Finish]") -> str:
    error = future.exception(60)
    assert isinstance(error, Unavailable)
    return str(error)
