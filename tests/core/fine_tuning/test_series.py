"""Curves for many viewers: each point is read once,
thinning keeps the peaks, and a zoom shows what was thinned away."""

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import event, update

from core import db, fine_tuning
from core.clock import now
from core.db import writing
from core.errors import NotFound, ValidationError
from core.fine_tuning.monitor import series
from core.jobs import notes
from core.people.users import User
from core.tables import JobRow

MakeJob = Callable[..., JobRow]


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    series.forget()


@pytest.fixture
def job(ada: User, make_job: MakeJob) -> JobRow:
    return make_job(ada, status="running", lease_token="first")


def add(job: JobRow, name: str, steps: range, value: Callable[[int], float] = float, **row: object) -> None:
    """As the recorder does: points and the job's row in one transaction."""
    with writing() as session:
        notes.add_points(session, job.id, [(name, step, value(step)) for step in steps])
        values = {"updated_at": now() + timedelta(microseconds=next(_ticks)), **row}
        session.execute(update(JobRow).where(JobRow.id == job.id).values(**values))


_ticks = iter(range(1, 10**6))


def rows_read(look: Callable[[], object]) -> int:
    """How many statements about metric points a look needs."""
    asked = []
    engine = db.engine()

    def note(_c: object, _cur: object, statement: str, *_rest: object) -> None:
        asked.append("metric_points" in statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        look()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return sum(asked)


def test_new_points_are_added_to_what_is_known(ada: User, job: JobRow) -> None:
    add(job, "train_loss", range(1, 11))
    assert len(fine_tuning.metrics(ada, job.id).series["train_loss"]) == 10
    add(job, "train_loss", range(11, 16))
    add(job, "valid_loss", range(5, 6))
    found = fine_tuning.metrics(ada, job.id).series
    assert [step for step, _ in found["train_loss"]] == list(range(1, 16))
    assert found["valid_loss"] == [(5, 5.0)]


def test_late_point_of_a_known_series_arrives(ada: User, job: JobRow) -> None:
    """A validation is written after the step it belongs to, when the loss is further already."""
    add(job, "valid_loss", range(5, 6))
    add(job, "train_loss", range(1, 20))
    fine_tuning.metrics(ada, job.id)
    add(job, "valid_loss", range(10, 11))
    assert fine_tuning.metrics(ada, job.id).series["valid_loss"] == [(5, 5.0), (10, 10.0)]


def test_last_point_that_is_written_over_is_read_again(ada: User, job: JobRow) -> None:
    add(job, "memory_bytes", range(1, 3))
    fine_tuning.metrics(ada, job.id)
    add(job, "memory_bytes", range(2, 3), lambda _: 99.0)
    assert fine_tuning.metrics(ada, job.id).series["memory_bytes"] == [(1, 1.0), (2, 99.0)]


def test_unchanged_job_is_not_read_again(ada: User, job: JobRow) -> None:
    add(job, "train_loss", range(1, 11))
    assert rows_read(lambda: fine_tuning.metrics(ada, job.id)) == 1
    assert rows_read(lambda: fine_tuning.metrics(ada, job.id)) == 0
    assert rows_read(lambda: fine_tuning.metrics(ada, job.id, from_step=3)) == 0


def test_resumed_attempt_replaces_the_steps_it_goes_over_again(ada: User, job: JobRow) -> None:
    add(job, "train_loss", range(1, 11))
    fine_tuning.metrics(ada, job.id)
    add(job, "train_loss", range(6, 8), lambda _: 0.5, lease_token="second")
    found = dict(fine_tuning.metrics(ada, job.id).series["train_loss"])
    assert (found[6], found[7], found[8]) == (0.5, 0.5, 8.0)


def test_zoom_shows_points_that_the_whole_curve_leaves_out(ada: User, job: JobRow) -> None:
    add(job, "train_loss", range(1, 5001), lambda step: step % 7)
    whole = fine_tuning.metrics(ada, job.id, max_points=100).series["train_loss"]
    zoomed = fine_tuning.metrics(ada, job.id, from_step=2000, to_step=2049, max_points=100).series[
        "train_loss"
    ]
    assert len(whole) <= 100
    assert [step for step, _ in zoomed] == list(range(2000, 2050))
    assert fine_tuning.metrics(ada, job.id, from_step=9000).series == {}


def test_after_step_and_from_step_agree(ada: User, job: JobRow) -> None:
    add(job, "train_loss", range(1, 11))
    assert (
        fine_tuning.metrics(ada, job.id, after_step=7).series
        == fine_tuning.metrics(ada, job.id, from_step=8).series
    )


def test_thinning_keeps_first_last_and_every_peak() -> None:
    values = np.random.default_rng(1).normal(size=20_011)
    values[777], values[15_000] = 50, -50
    points = [(step, float(value)) for step, value in enumerate(values)]
    thinned = series.downsample(points, 600)
    assert len(thinned) <= 600
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert {points[777], points[15_000]} <= set(thinned)
    assert thinned == sorted(thinned)


@pytest.mark.parametrize("size", [11, 12, 13, 599, 600, 601, 602, 1203])
def test_thinning_never_exceeds_its_limit(size: int) -> None:
    points = [(step, float(-step)) for step in range(size)]
    assert len(series.downsample(points, 10)) <= 10


def test_memory_is_bounded_and_the_oldest_leaves(
    ada: User, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MOST_POINTS", 25)
    made = [make_job(ada, status="running", lease_token="x") for _ in range(3)]
    for job in made:
        add(job, "train_loss", range(1, 11))
        fine_tuning.metrics(ada, job.id)
    assert rows_read(lambda: fine_tuning.metrics(ada, made[2].id)) == 0
    assert rows_read(lambda: fine_tuning.metrics(ada, made[0].id)) == 1


def test_another_users_curves_look_missing_even_when_they_are_in_memory(
    ada: User, bob: User, job: JobRow
) -> None:
    add(job, "train_loss", range(1, 11))
    fine_tuning.metrics(ada, job.id)
    with pytest.raises(NotFound):
        fine_tuning.metrics(bob, job.id)
    with pytest.raises(NotFound):
        fine_tuning.compare(bob, [job.id])


def test_comparison_shows_curves_over_tokens_and_what_differs(ada: User, make_job: MakeJob) -> None:
    one, two = (
        make_job(ada, status="running", lease_token="x", name=name, seed=seed)
        for name, seed in (("one", 1), ("two", 2))
    )
    for job in (one, two):
        add(job, "train_loss", range(1, 11))
        add(job, "trained_tokens", range(1, 11), lambda step: 100.0 * step)
    found = fine_tuning.compare(ada, [one.id, two.id, one.id], by="tokens")
    assert [job.name for job in found.jobs] == ["one", "two"]
    assert found.curves[one.id]["train_loss"][:2] == [(100.0, 1.0), (200.0, 2.0)]
    differing = {setting.name: setting.values for setting in found.settings if setting.differs}
    assert differing["seed"] == [1, 2]
    assert "method" not in differing
    with pytest.raises(ValidationError):
        fine_tuning.compare(ada, [f"ftj_{n}" for n in range(11)])
