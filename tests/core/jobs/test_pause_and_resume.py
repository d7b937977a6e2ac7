"""A job that is paused and resumed at any moment goes on,
and so does the next user's: nothing that happens stops the queue.

One place, two users. Workers are stubs that move one transaction at a time (``stub_workers``), jobs,
supervisor and recorder are the real ones.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from core import fine_tuning, jobs, storage
from core.db import writing
from core.jobs import states
from core.people.users import User
from core.security import new_id
from core.tables import ENDED_STATUSES, JOB_STATUSES, JobRow
from core.workers import supervisor
from core.workers.supervisor import Supervisor
from tests.core.workers import stub_workers
from tests.core.workers.stub_workers import Clock, StubRunner, row_of

MakeJob = Callable[..., JobRow]
STEPS = 2
# who has the lease -> what that is
HOLDERS = {
    "none": "nobody",
    "never came": "the server claimed it and died before it started a worker",
    "coming": "a worker that has not reported itself yet",
    "living": "a worker that trains",
    "saving": "a worker that has seen a pause and saves",
    "dead": "a worker that is gone",
    "expired": "a worker that is gone for longer than a lease lasts",
    "hung": "a worker that lives and says nothing",
}
DEEDS = ("", "pause", "resume", "pause resume", "cancel")


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> StubRunner:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.0)
    monkeypatch.setattr(storage, "require_space", lambda needed_bytes=0: None)
    return stub_workers.install(monkeypatch, steps=STEPS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "status",
    [
        pytest.param(status, marks=[pytest.mark.long] if status in ("validating", "queued") else [])
        for status in JOB_STATUSES
    ],
)
def test_from_every_state_and_lease_the_job_goes_on_and_the_next_users_too(
    ada: User, bob: User, make_job: MakeJob, runner: StubRunner, clock: Clock, status: str
) -> None:
    """Also from those that nothing in this code leads to: a database may be older than the code."""
    template = make_job(ada, runner=stub_workers.NAME, status="cancelled")
    for holder, deeds in itertools.product(HOLDERS, DEEDS):
        if (status, holder) == ("running", "none"):  # a constraint of the database forbids it
            continue
        job = new_job(template, ada, status=status)
        hand_over(runner, job, holder)
        # what a state refuses is in the table of test_jobs
        if not all(steer(job, deed) for deed in deeds.split()):
            continue
        asked, behind = row_of(job.id).status, new_job(template, bob)
        go_on(runner, clock, job, behind, told=f"{status}, {holder}, {deeds}")
        expected = asked if asked in (*ENDED_STATUSES, "paused") else "succeeded"
        assert (holder, deeds, row_of(job.id).status) == (holder, deeds, expected)
        assert (holder, deeds, runner.published[job.id]) == (holder, deeds, int(expected != asked))


@pytest.mark.slow
@pytest.mark.parametrize("games", [60, pytest.param(200, marks=pytest.mark.long)])
def test_jobs_paused_and_resumed_at_random_moments_all_end(
    ada: User, bob: User, make_job: MakeJob, runner: StubRunner, clock: Clock, games: int
) -> None:
    """From claim to end, between any two transactions,
    the server stopped or killed now and then; another user's job is behind."""
    template = make_job(ada, runner=stub_workers.NAME, status="cancelled")
    moments: Counter[str] = Counter()
    for seed in range(games):
        job, behind = new_job(template, ada), new_job(template, bob)
        Game(random.Random(seed), runner, clock, ada, job, moments).play(
            both=(job, behind), told=f"seed {seed}"
        )
        for each in map(row_of, (job.id, behind.id)):
            found = each.status, each.lease_token, runner.published[each.id]
            assert (seed, *found) == (seed, "succeeded", None, 1)
        assert (seed, runner.lost_steps) == (seed, 0)
    met = {"queued", "coming", "training", "ending", "gone", "server killed", "server stopped"}
    assert {moment for moment, times in moments.items() if times >= 3} == met, moments


class Game:
    """A job from the queue to the end; ``rng`` says who moves next.

    ``moments`` counts what a resume came upon.
    """

    def __init__(
        self,
        rng: random.Random,
        runner: StubRunner,
        clock: Clock,
        user: User,
        job: JobRow,
        moments: Counter[str],
    ) -> None:
        self.rng, self.runner, self.clock, self.user, self.job, self.moments = (
            rng,
            runner,
            clock,
            user,
            job,
            moments,
        )
        self.watch = Supervisor()
        self.pauses = rng.randint(1, 3)  # left to press
        self.resume_in: int | None = None  # turns until a pause is taken back

    def play(self, *, both: tuple[JobRow, JobRow], told: str) -> None:
        for _ in range(600):
            if all(self.runner.published[job.id] for job in both):
                return
            if self.resume_in is not None:
                self._count_down()
            self.rng.choices((self.watch.tick, self._move, self._pause, self._restart), (15, 60, 12, 2))[0]()
            self.clock.ahead(self.rng.uniform(0, 0.5))
        pytest.fail(f"{told}: the queue stands still with {described(self.job.id)}")

    def _move(self) -> None:
        if living := self.runner.living():
            return self.rng.choice(living).move()
        return self.watch.tick()

    def _pause(self) -> None:
        """Mostly of a running job; it is taken back before anybody moves, or a few turns later."""
        is_worth_it = (
            any(stub.job_id == self.job.id for stub in self.runner.living()) or self.rng.random() < 0.05
        )
        if self.pauses and self.resume_in is None and is_worth_it and not self.runner.published[self.job.id]:
            self.pauses -= 1
            fine_tuning.pause(self.user, self.job.id)
            self.resume_in = self.rng.choice((0, 0, 1, 2, 3, 6))
            if self.resume_in == 0:
                self._resume()

    def _count_down(self) -> None:
        assert self.resume_in is not None
        self.resume_in -= 1
        if self.resume_in <= 0:
            self._resume()

    def _resume(self) -> None:
        self.resume_in = None
        row = row_of(self.job.id)
        held_by = next((stub.phase for stub in self.runner.living() if stub.job_id == row.id), "gone")
        self.moments["queued" if row.lease_token is None else held_by] += 1
        resumed = fine_tuning.resume(self.user, self.job.id)
        assert resumed.status == ("queued" if row.lease_token is None else "running")

    def _restart(self) -> None:
        """Killed, or stopped: then its workers are asked to save."""
        is_asked = self.rng.random() < 0.5
        self.moments["server stopped" if is_asked else "server killed"] += 1
        if is_asked:
            self.watch.stop()
        self.watch = Supervisor()
        self.watch._greet()


def new_job(template: JobRow, user: User, *, status: str = "queued") -> JobRow:
    same = {
        name: getattr(template, name)
        for name in ("name", "base_model_id", "base_version_id", "dataset_id", "dataset_version_id", "runner")
    }
    lease = {"lease_token": "t"} if status == "running" else {}
    with writing() as session:
        row = JobRow(
            id=new_id("ftj"),
            user_id=user.id,
            status=status,
            attempts=1 if status == "running" else 0,
            **same,
            **lease,
        )
        session.add(row)
    return row


def hand_over(runner: StubRunner, job: JobRow, holder: str) -> None:
    """Give the lease of the job to that holder."""
    if holder == "none":
        return
    seconds = -1 if holder == "expired" else jobs.LEASE.total_seconds()
    values: dict[str, object] = {
        "lease_token": new_id("lease"),
        "lease_until": states.now() + timedelta(seconds=seconds),
    }
    stub = runner.make(job.id)
    if holder not in ("never came", "coming"):
        values |= {"worker_pid": stub.pid, "worker_started": stub.began}
    with writing() as session:
        row = session.get_one(JobRow, job.id)
        for name, value in values.items():
            setattr(row, name, value)
    if holder in ("never came", "dead", "expired"):
        stub.phase = "gone"
    elif holder in ("living", "saving", "hung"):
        stub.adopt(row)
        stub.is_hung = holder == "hung"
        if holder == "saving":
            stub._carry_out(stub_workers.Wish.PAUSE)


def steer(job: JobRow, deed: str) -> bool:
    with writing() as session:
        return bool(getattr(jobs, deed)(session, job.id))


def go_on(runner: StubRunner, clock: Clock, job: JobRow, behind: JobRow, *, told: str) -> None:
    """The server that comes back looks, and whoever works moves, until both jobs are through."""
    watch = Supervisor()
    for _ in range(100):
        watch.tick()
        for check in list(watch._checking.values()):
            check.result(60)
        for stub in runner.living():
            stub.move()
        if runner.published[behind.id] and is_settled(job.id):
            return
        clock.ahead(20.0)
    pytest.fail(f"{told}: the queue stands still with {described(job.id)}")


def is_settled(job_id: str) -> bool:
    row = row_of(job_id)
    return row.status in (*ENDED_STATUSES, "paused") and row.lease_token is None


def described(job_id: str) -> str:
    row = row_of(job_id)
    return f"{row.status}, lease {row.lease_token}, worker {row.worker_pid}"
