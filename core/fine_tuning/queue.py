"""The queue as its users see it: one's own waiting jobs in the order
in which they will start, and the ways to change that order.

The rule is ``core.jobs.turns``'s. Other users' jobs are counted, never named.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field, model_validator
from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from core import hardware
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import Conflict, NotFound, ValidationError
from core.fields import Input
from core.fine_tuning.expected import durations
from core.fine_tuning.owned import find
from core.fine_tuning.values import Job, present
from core.jobs import notes, turns
from core.jobs.turns import PRIORITIES, PRIORITY_HELP, Held, Start
from core.people.users import User
from core.tables import ACTIVE_STATUSES, JobRow

HIGHEST, LOWEST = max(PRIORITIES), min(PRIORITIES)


class Move(Input):
    """Where a waiting job goes among one's own. ``before`` names the job that it is put before."""

    to: Literal["first", "up", "down", "last"] | None = None
    before: str | None = Field(None, max_length=64)

    @model_validator(mode="after")
    def _one_of_them(self) -> "Move":
        if (self.to is None) == (self.before is None):
            raise ValueError("give either to or before")
        return self


class Priority(Input):
    priority: int = Field(ge=LOWEST, le=HIGHEST, description=PRIORITY_HELP)


@dataclass(frozen=True)
class QueuedJob:
    """One of the user's waiting jobs.

    ``place`` counts everybody's jobs from 1. ``starts_at`` is None when nobody can tell.
    """

    id: str
    name: str
    priority: int
    num_processes: int
    group_id: str | None
    place: int
    others_ahead: int
    starts_in_seconds: float | None
    starts_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class Queue:
    """``running`` and ``others_waiting`` count jobs;
    ``places`` is how many may run at a time, ``devices`` what they share."""

    items: list[QueuedJob]
    others_waiting: int
    running: int
    places: int
    devices: int
    devices_in_use: int


def queue(user: User) -> Queue:
    all_devices, places, moment = hardware.device_count(), settings().training_concurrency, now()
    with reading() as session:
        holding = _holding(session)
        order = _foresee(session, holding, places=places, all_devices=all_devices)
        own = {row.id: row for row in session.scalars(_waiting_of(user))}
    items, others = [], 0
    for place, start in enumerate(order, start=1):
        if row := own.get(start.job_id):
            items.append(_present(row, start, place=place, others_ahead=others, moment=moment))
        else:
            others += 1
    in_use = sum(one.devices for one in holding)
    return Queue(
        items, others, running=len(holding), places=places, devices=all_devices, devices_in_use=in_use
    )


def move(user: User, job_id: str, move: Move) -> Queue:
    """Change the order of one's own waiting jobs.

    A job that passes one of another priority takes that priority.

    Raises NotFound, Conflict when the job does not wait.
    """
    with writing() as session:
        row = find(session, user, job_id)
        if row.status != "queued":
            raise Conflict(
                f"A job that is {row.status} has no place in the queue. Only waiting jobs can be moved."
            )
        waiting = map(turns.waiting_of, session.scalars(_waiting_of(user)).all())
        order = [job.id for job in sorted(waiting, key=turns.own_order)]
        at = order.index(job_id)
        order.remove(job_id)
        target = _target(order, at, move)
        order.insert(target, job_id)
        _write_order(session, order, moved=job_id, target=target)
    return queue(user)


def set_priority(user: User, job_id: str, priority: int) -> Job:
    """It goes behind one's own jobs of that priority which were put in order, else by age.

    Raises NotFound, Conflict.
    """
    with writing() as session:
        row = find(session, user, job_id)
        if row.status not in ACTIVE_STATUSES:
            raise Conflict(f"The job is already {row.status}: it does not wait any more.")
        if row.priority != priority:
            row.priority, row.position = priority, None
            notes.add_event(session, job_id, f"Priority: {PRIORITIES[priority]}.")
        session.flush()
        session.refresh(row)
        return present(session, row)


def require_devices(num_processes: int, *, runner: str) -> None:
    """Raises ValidationError when this server has fewer and the job runs here.

    Asks the driver: not inside ``writing()``.
    """
    if runner == turns.HERE and num_processes > (there := hardware.device_count()):
        raise ValidationError.of("num_processes", f"at most {there}: this server has no more devices")


def _foresee(session: Session, holding: Sequence[Held], *, places: int, all_devices: int) -> list[Start]:
    waiting = turns.waiting(session)
    seconds = durations(session, [job.id for job in waiting])
    return turns.foresee(
        turns.with_seconds(waiting, seconds),
        holding=holding,
        served=turns.last_served(session),
        places=places,
        devices=all_devices,
        at=time.time(),
    )


def _holding(session: Session) -> list[Held]:
    """What runs, and what still saves: its worker ends in a moment."""
    rows = session.scalars(select(JobRow).where(JobRow.lease_token.is_not(None))).all()
    starting = durations(
        session, [row.id for row in rows if row.status == "running" and row.eta_seconds is None]
    )
    left = {row.id: row.eta_seconds if row.status == "running" else 0.0 for row in rows}
    return [Held(row.user_id, turns.devices_of(row), starting.get(row.id, left[row.id])) for row in rows]


def _waiting_of(user: User) -> Select[JobRow]:
    return select(JobRow).where(JobRow.user_id == user.id, JobRow.status == "queued")


def _present(row: JobRow, start: Start, *, place: int, others_ahead: int, moment: datetime) -> QueuedJob:
    return QueuedJob(
        id=row.id,
        name=row.name,
        priority=row.priority,
        num_processes=row.num_processes,
        group_id=row.group_id,
        place=place,
        others_ahead=others_ahead,
        starts_in_seconds=start.seconds,
        starts_at=None if start.seconds is None else moment + timedelta(seconds=start.seconds),
        created_at=row.created_at,
    )


def _target(order: Sequence[str], at: int, move: Move) -> int:
    """The index in ``order``, which lacks the job; ``at`` is where the job was."""
    if move.before is not None:
        if move.before not in order:
            raise NotFound("There is no such job of yours in the queue.")
        return order.index(move.before)
    return {"first": 0, "up": max(0, at - 1), "down": min(len(order), at + 1), "last": len(order)}[
        move.to or "first"
    ]


def _write_order(session: Session, order: Sequence[str], *, moved: str, target: int) -> None:
    """Positions for all, and for the moved job the priority
    of a neighbour if its own would put it elsewhere."""
    priorities = dict(
        session.execute(select(JobRow.id, JobRow.priority).where(JobRow.id.in_(order))).tuples().all()
    )
    above = priorities[order[target - 1]] if target else HIGHEST
    below = priorities[order[target + 1]] if target + 1 < len(order) else LOWEST
    for position, job_id in enumerate(order, start=1):
        values = {"position": float(position)}
        if job_id == moved:
            values["priority"] = min(max(priorities[moved], below), above)
        session.execute(update(JobRow).where(JobRow.id == job_id, JobRow.status == "queued").values(**values))
