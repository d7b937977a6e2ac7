"""Workers that are objects of the test's own process,
and the runner that starts them: each move is one transaction.

What they tell goes through the real :class:`~core.workers.recorder.Recorder` (its thread is not started: the
test says when it beats) and they end through the real ``worker._let_go``. Only the training is a counter, and
the model is one that exists already. A test decides who moves next, so whatever can happen between two
transactions can be played, and played again.
"""

import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from core import jobs
from core.db import reading, writing
from core.jobs import states
from core.runners import RUNNERS, Worker
from core.tables import JobRow
from core.training.method import Wish
from core.workers import recorder, supervisor, worker
from core.workers.recorder import Recorder

NAME = "stub"


class Clock:
    """The time of jobs, supervisor and recorder, which stands still until the test moves it on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        start, began = datetime.now(UTC), time.monotonic()
        for module in (states, supervisor, recorder):
            monkeypatch.setattr(module, "now", lambda: start + timedelta(seconds=self.seconds))
        monotonic = SimpleNamespace(monotonic=lambda: began + self.seconds, sleep=time.sleep)
        monkeypatch.setattr(supervisor, "time", monotonic)

    def ahead(self, seconds: float) -> None:
        self.seconds += seconds


class Stub:
    """One worker.

    ``phase``: coming (it has not reported itself), training, ending (it obeys a wish), gone.
    """

    def __init__(self, runner: "StubRunner", job_id: str, pid: int) -> None:
        self.runner, self.job_id, self.pid, self.phase = runner, job_id, pid, "coming"
        self.began = states.now().timestamp()
        self.job: JobRow
        self.recorder: Recorder
        self.step = 0
        self._wish = Wish.CANCEL
        self._has_beaten = False
        self.is_hung = False

    def move(self) -> None:
        if self.phase == "coming":
            self._take()
        elif self.phase == "ending":
            worker._let_go(self.job, self.recorder, time.monotonic(), wish=self._wish)
            self.phase = "gone"
        elif self.phase == "training":
            self._train()

    def adopt(self, row: JobRow) -> None:
        """As if it had taken the job, whose row has the lease."""
        self.job, self.phase, self.step = row, "training", self.runner.saved[self.job_id]
        self.recorder = Recorder(
            row.id, token=str(row.lease_token), log=logging.getLogger("stub"), user_id=row.user_id
        )

    def ask_to_stop(self) -> None:
        """A process that has not come to set its signal handler ends at once."""
        if self.phase == "coming":
            self.phase = "gone"
        elif self.phase != "gone":
            self.recorder.ask_to_stop()

    def _take(self) -> None:
        try:
            with writing() as session:
                row = jobs.take(session, self.job_id, pid=self.pid, started=self.began)
        except jobs.Lost:
            self.phase = "gone"
            return
        others = [
            one
            for one in self.runner.stubs
            if one.job_id == self.job_id and one.phase in ("training", "ending")
        ]
        assert not others, "two workers train one job"
        self.adopt(row)

    def _train(self) -> None:
        """A beat and a step are two moves: what comes between them must do no harm."""
        self._has_beaten = not self._has_beaten
        try:
            if self._has_beaten:
                self.recorder.flush()
            elif wish := self.recorder.wish():
                self._carry_out(wish)
            elif self.step == self.runner.steps:
                self._publish()
            else:
                self.step += 1
        except jobs.Lost:
            self.runner.lost_steps += self.step - self.runner.saved[self.job_id]
            self._carry_out(Wish.CANCEL)

    def _carry_out(self, wish: Wish) -> None:
        if wish is not Wish.CANCEL:
            self.runner.saved[self.job_id] = self.step
        self._wish, self.phase = wish, "ending"

    def _publish(self) -> None:
        self.runner.saved[self.job_id] = self.step
        token, made = (
            str(self.job.lease_token),
            {"model_id": self.job.base_model_id, "model_version_id": "mdv_x"},
        )
        with writing() as session:
            if not jobs.succeed(session, self.job_id, token=token, trained_tokens=1, **made):
                raise jobs.Lost
        self.runner.published[self.job_id] += 1
        self.phase = "gone"


class StubRunner:
    """Trains ``steps`` steps.

    ``saved``: the step of each job's last checkpoint; ``lost_steps`` were trained and never saved.
    """

    name = NAME
    title = "In this process"

    def __init__(self, *, steps: int) -> None:
        self.steps = steps
        self.stubs: list[Stub] = []
        self.saved: Counter[str] = Counter()
        self.published: Counter[str] = Counter()
        self.lost_steps = 0
        self._pids = itertools.count(2**22)  # more than Linux gives a process

    def problem(self) -> str | None:
        return None

    def start(self, job_id: str) -> Worker | None:
        stub = self.make(job_id)
        return Worker(stub.pid, stub.began)

    def make(self, job_id: str) -> Stub:
        self.stubs.append(Stub(self, job_id, next(self._pids)))
        return self.stubs[-1]

    def is_alive(self, worker: Worker) -> bool:
        return self._find(worker) is not None

    def stop(self, worker: Worker) -> None:
        if stub := self._find(worker):
            stub.ask_to_stop()

    def kill(self, worker: Worker) -> None:
        if stub := self._find(worker):
            stub.phase = "gone"

    def living(self) -> list[Stub]:
        self.stubs = [stub for stub in self.stubs if stub.phase != "gone"]
        return [stub for stub in self.stubs if not stub.is_hung]

    def _find(self, worker: Worker) -> Stub | None:
        return next((stub for stub in self.stubs if stub.pid == worker.pid and stub.phase != "gone"), None)


def install(monkeypatch: pytest.MonkeyPatch, *, steps: int) -> StubRunner:
    runner = StubRunner(steps=steps)
    monkeypatch.setitem(RUNNERS, NAME, runner)
    return runner


def row_of(job_id: str) -> JobRow:
    with reading() as session:
        return session.get_one(JobRow, job_id)


def choose(rng: random.Random, weighted: dict[Callable[[], Any], float]) -> Callable[[], Any]:
    return rng.choices(list(weighted), list(weighted.values()))[0]
