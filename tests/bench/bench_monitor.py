"""Curves at scale: 200 runs of 5,000 steps and one of 100,000 points. Prints times, and ratios against reading all points.

    python -m tests.bench.bench_monitor

The list of runs should open within 300 ms of server time, a watcher's update cost under 50 ms of CPU, with 50 watchers.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RUNS, STEPS, LONG, WATCHERS = 200, 5_000, 100_000, 50


def main() -> None:
    os.environ["LUTHIER_DATA_DIR"] = str(Path(tempfile.mkdtemp()) / "data")
    Path(os.environ["LUTHIER_DATA_DIR"]).mkdir()
    from core import db, fine_tuning
    from core.fine_tuning import JobList, series
    from core.users import Registration, register

    db.migrate()
    user = register(Registration(email="ada@example.com", password="correct horse battery", name="Ada"), address="10.0.0.1")
    jobs = [_make(user, STEPS) for _ in range(RUNS)]
    long = _make(user, LONG)
    listed = _timed(lambda: fine_tuning.list_jobs(user, JobList(limit=20)))
    print(f"list of {RUNS + 1} runs, a page: {1e3 * listed[0]:.1f} ms, {1e3 * listed[1]:.1f} ms of CPU")
    for name, job_id, steps in (("5,000 steps", jobs[0], STEPS), ("100,000 points", long, LONG)):
        old = _timed(lambda: _read_all(job_id))  # noqa: B023
        series.forget()
        cold = _timed(lambda: fine_tuning.metrics(user, job_id))  # noqa: B023
        warm = _timed(lambda: (_step(job_id, steps), fine_tuning.metrics(user, job_id)), times=10)  # noqa: B023
        first, again = 1e3 * cold[1], 1e3 * warm[1]
        print(f"{name}: all points {1e3 * old[1]:.1f} ms of CPU, first look {first:.1f}, an update {again:.2f}")
        print(f"    {old[1] / warm[1]:.0f} times less CPU per update")
    began, cpu = time.perf_counter(), time.process_time()
    _step(long, LONG)
    for _ in range(WATCHERS):
        fine_tuning.metrics(user, long)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"{WATCHERS} watchers, one update: {1e3 * took:.0f} ms, {1e3 * cpu:.0f} ms of CPU")


_next = iter(range(1, 10**9))


def _make(user: Any, steps: int) -> str:
    from core.db import engine
    from tests.ui.things import make_job

    job_id = make_job(user)
    rows = [(job_id, name, step, 3.0 / step) for name in ("train_loss",) for step in range(1, steps + 1)]
    with engine().begin() as connection:
        connection.exec_driver_sql("INSERT INTO metric_points (job_id, name, step, value) VALUES (?, ?, ?, ?)", rows)
    return job_id


def _step(job_id: str, steps: int) -> None:
    """One more point, as the recorder writes it."""
    from core import jobs
    from core.clock import now
    from core.db import writing
    from core.tables import JobRow

    with writing() as session:
        jobs.add_points(session, job_id, [("train_loss", steps + next(_next), 1.0)])
        session.get_one(JobRow, job_id).updated_at = now()


def _read_all(job_id: str) -> None:
    """The way before: every point, every time, thinned in Python."""
    from sqlalchemy import select

    from core.db import reading
    from core.fine_tuning import series
    from core.tables import MetricPointRow

    point = MetricPointRow
    with reading() as session:
        rows = session.execute(select(point.step, point.value).where(point.job_id == job_id).order_by(point.name, point.step))
        series.downsample([(step, value) for step, value in rows], 600)


def _timed(act: Callable[[], object], times: int = 3) -> tuple[float, float]:
    """(seconds, CPU seconds) of one call, the mean of several."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        act()
    return (time.perf_counter() - wall) / times, (time.process_time() - cpu) / times


if __name__ == "__main__":
    main()
