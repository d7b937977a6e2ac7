"""The curves of jobs, for many viewers at a time:
each point is read from the database once and kept, thinned on the server.

One cache per process holds the points of the jobs that are being looked at, as numpy arrays. A look at a
running job reads only what came since the last one, and a look at a job whose row has not changed reads
nothing. When a job is claimed anew (its lease is another one) its curves are read afresh, because a resumed
training goes over steps again. Thinned curves are shared: fifty sessions that watch one job cost little more
than one. At most ``MOST_POINTS`` stay; the curves that nobody asked for longest go first.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from core.db import reading
from core.fine_tuning.owned import find
from core.fine_tuning.values import Metrics
from core.people.users import User
from core.tables import JobRow, MetricPointRow

MOST_POINTS = 4_000_000  # 64 MB
MOST_THINNED = 64  # thinned versions of one job's curves: ranges and sizes that viewers ask for
Point = tuple[int, float]
Arrays: TypeAlias = tuple[Any, Any]  # (steps int64, values float64) of one length, steps ascending
Window: TypeAlias = tuple[int | None, int | None, int]  # (first step, last step, points)


def metrics(
    user: User,
    job_id: str,
    *,
    after_step: int | None = None,
    from_step: int | None = None,
    to_step: int | None = None,
    max_points: int = 600,
) -> Metrics:
    """All series between two steps (both included), each thinned to about ``max_points`` that keep its peaks.

    Raises NotFound.
    """
    first = from_step if after_step is None else max(after_step + 1, from_step or 0)
    with reading() as session:
        row = find(session, user, job_id)
        return Metrics(_curves_of(row.id).thinned(session, row, (first, to_step, max_points)))


def downsample(points: Sequence[Point], max_points: int) -> list[Point]:
    """At most ``max_points``: the lowest and the highest of each bucket, and the first and last of all."""
    steps, values = np.array([s for s, _ in points], np.int64), np.array([v for _, v in points], np.float64)
    return _as_points(_thin((steps, values), max_points))


def forget() -> None:
    """For tests: as a fresh process."""
    with _lock:
        _cache.clear()


@dataclass
class _Curves:
    """What is known of one job's series.

    ``claim`` tells one attempt from the next, ``seen`` when the row had changed last.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    series: dict[str, Arrays] = field(default_factory=dict)
    claim: Any = None
    seen: Any = None
    size: int = 0
    made: OrderedDict[Window, dict[str, list[Point]]] = field(default_factory=OrderedDict)

    def thinned(self, session: Session, row: JobRow, window: Window) -> dict[str, list[Point]]:
        with self.lock:
            self._catch_up(session, row)
            if window not in self.made:
                self.made[window] = {
                    name: _as_points(part)
                    for name, points in self.series.items()
                    if len((part := _cut(points, window))[0])
                }
                while len(self.made) > MOST_THINNED:
                    self.made.popitem(last=False)
            return self.made[window]

    def _catch_up(self, session: Session, row: JobRow) -> None:
        claim, updated_at = (row.lease_token, row.status), row.updated_at
        if claim != self.claim:
            self.series, self.claim, self.seen = {}, claim, None
        if updated_at == self.seen:
            return
        if self._read(session, row.id):
            self.made.clear()
        self.seen, self.size = updated_at, sum(len(steps) for steps, _ in self.series.values())
        _make_room(self)

    def _read(self, session: Session, job_id: str) -> bool:
        """Whether anything came.

        The last known point of each series is read again: a beat within the same step writes over it.
        """
        point = MetricPointRow
        new = select(point.name, point.step, point.value).where(point.job_id == job_id)
        if self.series:
            later = [
                and_(point.name == name, point.step >= int(steps[-1]))
                for name, (steps, _) in self.series.items()
            ]
            new = new.where(or_(point.name.not_in(list(self.series)), *later))
        points: dict[str, tuple[list[int], list[float]]] = {}
        for name, step, value in session.execute(new.order_by(point.name, point.step)):
            steps, values = points.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
        changed = False
        for name, (new_steps, new_values) in points.items():
            fresh = (np.array(new_steps, np.int64), np.array(new_values, np.float64))
            known = self.series.get(name)
            if (
                known is not None
                and len(fresh[0]) == 1
                and fresh[0][0] == known[0][-1]
                and fresh[1][0] == known[1][-1]
            ):
                continue
            self.series[name], changed = _joined(known, fresh), True
        return changed


_cache: OrderedDict[str, _Curves] = OrderedDict()
_lock = threading.Lock()


def _curves_of(job_id: str) -> _Curves:
    with _lock:
        curves = _cache.setdefault(job_id, _Curves())
        _cache.move_to_end(job_id)
        return curves


def _make_room(just_read: _Curves) -> None:
    """Whoever is still drawing from curves that leave keeps them until it is done."""
    with _lock:
        while sum(curves.size for curves in _cache.values()) > MOST_POINTS and len(_cache) > 1:
            job_id, oldest = next(iter(_cache.items()))
            if oldest is just_read:
                return
            del _cache[job_id]


def _joined(known: Arrays | None, fresh: Arrays) -> Arrays:
    if known is None:
        return fresh
    kept = int(np.searchsorted(known[0], fresh[0][0]))
    return np.concatenate([known[0][:kept], fresh[0]]), np.concatenate([known[1][:kept], fresh[1]])


def _cut(points: Arrays, window: Window) -> Arrays:
    first, last, most = window
    steps, values = points
    start = 0 if first is None else int(np.searchsorted(steps, first, "left"))
    end = len(steps) if last is None else int(np.searchsorted(steps, last, "right"))
    return _thin((steps[start:end], values[start:end]), most)


def _thin(points: Arrays, most: int) -> Arrays:
    """Buckets of equally many points; of each its lowest and its highest, in the order of their steps."""
    steps, values = points
    if len(steps) <= most:
        return points
    inner = len(steps) - 2
    width = -(-inner // max(1, (most - 2) // 2))
    count = -(-inner // width)
    padded = np.full(count * width, values[-2])  # the last bucket is filled with its own last point
    padded[:inner] = values[1:-1]
    table, start = padded.reshape(count, width), 1 + width * np.arange(count)
    kept = np.concatenate([start + table.argmin(1), start + table.argmax(1)])
    chosen = np.unique(np.concatenate([[0], np.minimum(kept, inner), [len(steps) - 1]]))
    return steps[chosen], values[chosen]


def _as_points(points: Arrays) -> list[Point]:
    return list(zip(points[0].tolist(), points[1].tolist(), strict=True))
