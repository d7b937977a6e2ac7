"""Curves at scale: 200 runs of 5,000 points, one of them with every series, and one of 100,000 points.

    python -m tests.bench.bench_monitor

Prints, each beside its aim and as a ratio against reading all points anew: how long the list of runs takes
(aim 300 ms of server time), what one repaint of a monitor costs after a new step (aim 50 ms of CPU), and one
step seen by 50 sessions. A repaint is what the page computes: the job, its curves, the tables that the charts
are drawn from. Streamlit and the browser are not in it.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RUNS, STEPS, LONG, WATCHERS, PAGE = 200, 5_000, 100_000, 50, 20
LIST_AIM, REPAINT_AIM = 300, 50  # milliseconds
SERIES = (
    "train_loss",
    "valid_loss",
    "learning_rate",
    "tokens_per_second",
    "grad_norm",
    "memory_bytes",
    "elapsed_seconds",
)
Cost = tuple[float, float]  # (milliseconds, milliseconds of CPU)


def main() -> None:
    os.environ["LUTHIER_DATA_DIR"] = str(Path(tempfile.mkdtemp()) / "data")
    Path(os.environ["LUTHIER_DATA_DIR"]).mkdir()
    from core import db
    from core.people.users import Registration, register

    _import_all()
    db.migrate()
    user = register(
        Registration(email="ada@example.com", password="correct horse battery", name="Ada"),
        address="10.0.0.1",
    )
    long, full = _make(user, LONG), _make(user, STEPS, SERIES)
    for _ in range(RUNS):
        _make(user, STEPS)
    _measure_list(user)
    _measure_repaint(user, full, f"{STEPS:,} steps of {len(SERIES)} series")
    _measure_repaint(user, long, f"{LONG:,} points")
    _measure_watchers(user, full)


def _measure_list(user: Any) -> None:
    from core import fine_tuning
    from core.fine_tuning import JobList

    def show() -> list[str]:
        return [job.id for job in fine_tuning.list_jobs(user, JobList(limit=PAGE)).items]

    first, listed = _timed(show, times=1), _timed(show)
    anew = _timed(lambda: [_read_all(job_id) for job_id in show()], times=1)
    _print(f"list of {RUNS + 2} runs, first", first, anew, aim=f"aim {LIST_AIM} ms", of=0)
    _print(f"list of {RUNS + 2} runs, again", listed, anew, aim=f"aim {LIST_AIM} ms", of=0)


def _measure_repaint(user: Any, job_id: str, what: str) -> None:
    from core.fine_tuning.monitor import series

    anew = _timed(lambda: _read_all(job_id))
    series.forget()
    first = _timed(lambda: _repaint(user, job_id), times=1)
    again = _timed(lambda: _repaint(user, job_id), before=lambda: _step(job_id), times=10)
    _print(f"{what}, first look", first, anew, aim=f"aim {REPAINT_AIM} ms of CPU")
    _print(f"{what}, a repaint after a step", again, anew, aim=f"aim {REPAINT_AIM} ms of CPU")


def _measure_watchers(user: Any, job_id: str) -> None:
    """All in this one process, as in production:
    they share its CPU, whoever asks first pays for the new step."""
    anew = _timed(lambda: [_read_all(job_id) for _ in range(WATCHERS)], times=1)
    shown = _timed(
        lambda: [_repaint(user, job_id) for _ in range(WATCHERS)], before=lambda: _step(job_id), times=3
    )
    _print(f"one step for {WATCHERS} sessions", shown, anew, aim=f"{shown[1] / WATCHERS:.1f} ms of CPU each")


def _print(what: str, cost: Cost, anew: Cost, *, aim: str, of: int = 1) -> None:
    ratio = anew[of] / cost[of]
    print(
        (
            f"{what}: {cost[0]:.1f} ms, {cost[1]:.1f} ms of CPU ({aim}); anew {anew[of]:.1f}: "
            f"{ratio:.1f} times as much"
        ),
        flush=True,
    )


def _repaint(user: Any, job_id: str) -> None:
    """What ``core.ui.fine_tuning.jobs.job_monitor`` computes each time."""
    job_cards, job_charts, pd, pa = _import_all()
    from core import fine_tuning

    fine_tuning.get(user, job_id)
    series = fine_tuning.metrics(user, job_id, max_points=job_charts.MAX_POINTS).series
    tables = [job_charts.build_frame(job_charts.build_loss_curves(series))]
    tables += [
        pd.DataFrame(series.get(small.name) or (), columns=["step", "value"]) for small in job_charts.SMALL
    ]
    for table in tables:
        pa.Table.from_pandas(table)
    for points in series.values():
        job_cards.change([value for _, value in points])


def _import_all() -> tuple[Any, Any, Any, Any]:
    """Once before anything is measured."""
    import pandas as pd
    import pyarrow as pa

    from core.ui.fine_tuning.jobs import job_cards, job_charts

    return job_cards, job_charts, pd, pa


_next = iter(range(1, 10**9))


def _make(user: Any, steps: int, names: tuple[str, ...] = ("train_loss",)) -> str:
    from core.db import engine
    from tests.ui.things import make_job

    job_id = make_job(user)
    rows = [(job_id, name, step, 3.0 / step) for name in names for step in range(1, steps + 1)]
    with engine().begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO metric_points (job_id, name, step, value) VALUES (?, ?, ?, ?)", rows
        )
    return job_id


def _step(job_id: str) -> None:
    """One more point of each series, as the recorder writes them."""
    from core.clock import now
    from core.db import writing
    from core.jobs import notes
    from core.tables import JobRow

    step = LONG + next(_next)
    with writing() as session:
        notes.add_points(session, job_id, [(name, step, 1.0) for name in SERIES])
        session.get_one(JobRow, job_id).updated_at = now()


def _read_all(job_id: str) -> None:
    """The way before: every point of every series, each time, thinned after."""
    from sqlalchemy import select

    from core.db import reading
    from core.fine_tuning.monitor import series
    from core.tables import MetricPointRow

    point = MetricPointRow
    found: dict[str, list[tuple[int, float]]] = {}
    with reading() as session:
        wanted = select(point.name, point.step, point.value).where(point.job_id == job_id)
        for name, step, value in session.execute(wanted.order_by(point.name, point.step)):
            found.setdefault(name, []).append((step, value))
    for points in found.values():
        series.downsample(points, 600)


def _timed(act: Callable[[], object], *, times: int = 3, before: Callable[[], object] = lambda: None) -> Cost:
    """Of one call, the mean of several; ``before`` each of them something that is not measured."""
    wall = cpu = 0.0
    for _ in range(times):
        before()
        began, used = time.perf_counter(), time.process_time()
        act()
        wall, cpu = wall + time.perf_counter() - began, cpu + time.process_time() - used
    return 1e3 * wall / times, 1e3 * cpu / times


if __name__ == "__main__":
    main()
