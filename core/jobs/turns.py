"""Whose turn it is: the one rule by which waiting jobs start, and what it says about the future.

- **Users take turns.** The turn goes to the user who holds the fewest devices now, then to the one who was
  served longest ago (a start or an end of a training; usage remembers those of deleted jobs), then to the
  older job.
- **Within one user's jobs**: priority (``PRIORITIES``), then ``position``, then age. A priority orders one's
  own jobs and nobody else's, so no user can keep another waiting with it, an admin neither.
- **Nobody overtakes the job whose turn it is.** One that needs more devices than are free waits until they
  are, and with it all the others: a wide job is not passed by narrow ones, and the order that people see is
  the order that happens. The price is a device that stands idle meanwhile. A job that asks for more devices
  than there are has no turn at all.

Places are counted by whoever claims. Everything below the loading functions is arithmetic on values.
"""

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from core.tables import JobRow, UsageRow

PRIORITIES = {1: "high", 0: "normal", -1: "low"}  # highest first
PRIORITY_HELP = (
    "Orders your own jobs: 1 goes before 0, 0 before -1. Between users the queue takes turns, whatever "
    "their priorities."
)
HERE = "subprocess"  # the runner whose jobs take this server's devices; a cluster finds room for its own
TYPICAL_SECONDS = 600.0  # stands for a duration that nobody knows, only to put later jobs in order


@dataclass(frozen=True)
class WaitingJob:
    """A job in the queue. ``seconds``: how long it is expected to run, None when nobody knows."""

    id: str
    user_id: str
    priority: int
    position: float | None
    created_at: datetime
    devices: int
    seconds: float | None = None


@dataclass(frozen=True)
class Held:
    """A job that holds a place and devices. ``seconds``: how long it still will."""

    user_id: str
    devices: int
    seconds: float | None = None


@dataclass(frozen=True)
class Start:
    """A job's turn. ``seconds`` from now until it starts, None when that cannot be told."""

    job_id: str
    seconds: float | None


DEVICES = case((JobRow.runner == HERE, JobRow.num_processes), else_=0)


def waiting(session: Session) -> list[WaitingJob]:
    """All jobs in the queue.

    One with a lease is none of them: an earlier release left it so, and the supervisor frees it.
    """
    columns = (JobRow.id, JobRow.user_id, JobRow.priority, JobRow.position, JobRow.created_at, DEVICES)
    rows = session.execute(select(*columns).where(JobRow.status == "queued", JobRow.lease_token.is_(None)))
    return [WaitingJob(*row) for row in rows]


def waiting_of(row: JobRow) -> WaitingJob:
    return WaitingJob(row.id, row.user_id, row.priority, row.position, row.created_at, devices_of(row))


def devices_of(row: JobRow) -> int:
    """Devices of this server that the job takes."""
    return row.num_processes if row.runner == HERE else 0


def held(session: Session) -> list[Held]:
    rows = session.execute(select(JobRow.user_id, DEVICES).where(JobRow.lease_token.is_not(None)))
    return [Held(*row) for row in rows]


def last_served(session: Session) -> dict[str, float]:
    """When each user who waits was served last, as seconds since 1970. Deleting a job gives no turn back."""
    who = select(JobRow.user_id).where(JobRow.status == "queued").distinct()
    started = (
        select(JobRow.user_id, func.max(JobRow.started_at))
        .where(JobRow.user_id.in_(who))
        .group_by(JobRow.user_id)
    )
    trained = select(UsageRow.user_id, func.max(UsageRow.created_at)).where(
        UsageRow.kind == "training", UsageRow.user_id.in_(who)
    )
    served: dict[str, float] = {}
    for user_id, moment in [*session.execute(started), *session.execute(trained.group_by(UsageRow.user_id))]:
        if moment:
            served[user_id] = max(served.get(user_id, 0.0), moment.timestamp())
    return served


def next_to_start(session: Session, *, devices: int | None) -> str | None:
    """The job whose turn it is; None while its devices are not free, or nothing waits.

    ``devices``: how many there are.
    """
    in_line = [job for job in waiting(session) if devices is None or job.devices <= devices]
    if not in_line:
        return None
    holding = held(session)
    job = choose(in_line, busy=_busy(holding), served=last_served(session))
    free = job.devices if devices is None else devices - sum(one.devices for one in holding)
    return job.id if job.devices <= free else None


def own_order(job: WaitingJob) -> tuple[int, bool, float, datetime, str]:
    """Sorts one user's jobs."""
    return -job.priority, job.position is None, job.position or 0.0, job.created_at, job.id


def choose(jobs: Iterable[WaitingJob], *, busy: Mapping[str, int], served: Mapping[str, float]) -> WaitingJob:
    """The job whose turn it is, of at least one.

    ``busy``: devices held by user; ``served``: when each was served last.
    """
    firsts: dict[str, WaitingJob] = {}
    for job in sorted(jobs, key=own_order):
        firsts.setdefault(job.user_id, job)
    return _in_turn(firsts.values(), busy, served)


def foresee(
    jobs: Sequence[WaitingJob],
    *,
    holding: Sequence[Held],
    served: Mapping[str, float],
    places: int,
    devices: int,
    at: float,
) -> list[Start]:
    """All waiting jobs in the order in which they will start
    if nothing changes, and when; ``at`` is now, in seconds since 1970.

    Plays the queue forward: what runs ends when it is expected to, and the rule above fills the free places.
    Once an end matters that nobody knows, later starts have no time. A job that asks for more devices than
    there are comes last.
    """
    fitting = [job for job in jobs if job.devices <= devices]
    lines: dict[str, deque[WaitingJob]] = {}
    for job in sorted(fitting, key=own_order):
        lines.setdefault(job.user_id, deque()).append(job)
    busy, last, clock, certain, number = _busy(holding), dict(served), 0.0, True, itertools.count()
    ends = [(TYPICAL_SECONDS if one.seconds is None else one.seconds, next(number), one) for one in holding]
    heapq.heapify(ends)
    order: list[Start] = []
    while lines:
        job = _in_turn((line[0] for line in lines.values()), busy, last)
        if len(ends) < places and sum(one.devices for _, _, one in ends) + job.devices <= devices:
            order.append(Start(job.id, clock if certain else None))
            busy[job.user_id] += _weight(job)
            last[job.user_id] = at + clock
            end = clock + (TYPICAL_SECONDS if job.seconds is None else job.seconds)
            heapq.heappush(ends, (end, next(number), Held(job.user_id, job.devices, job.seconds)))
            lines[job.user_id].popleft()
            lines = {user_id: line for user_id, line in lines.items() if line}
            continue
        if not ends:  # no place at all
            order += [Start(one.id, None) for line in lines.values() for one in line]
            break
        certain = certain and all(one.seconds is not None for _, _, one in ends)
        moment, _, ended = heapq.heappop(ends)
        clock = max(clock, moment)
        busy[ended.user_id] -= _weight(ended)
    return order + [Start(job.id, None) for job in jobs if job.devices > devices]


def with_seconds(jobs: Iterable[WaitingJob], seconds: Mapping[str, float | None]) -> list[WaitingJob]:
    return [replace(job, seconds=seconds.get(job.id)) for job in jobs]


def _in_turn(
    firsts: Iterable[WaitingJob], busy: Mapping[str, int], served: Mapping[str, float]
) -> WaitingJob:
    never = float("-inf")
    return min(
        firsts,
        key=lambda job: (busy.get(job.user_id, 0), served.get(job.user_id, never), job.created_at, job.id),
    )


def _busy(holding: Iterable[Held]) -> Counter[str]:
    busy: Counter[str] = Counter()
    for one in holding:
        busy[one.user_id] += _weight(one)
    return busy


def _weight(job: WaitingJob | Held) -> int:
    """What a job counts when users take turns: one on a cluster is a turn, too."""
    return max(1, job.devices)
