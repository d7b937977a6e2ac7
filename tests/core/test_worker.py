"""The process that trains one job."""

from collections.abc import Callable
from typing import Any

from core import jobs, storage, worker
from core.db import reading, writing
from core.tables import JobEventRow, JobRow, MetricPointRow, ModelVersionRow
from core.users import User


def claim() -> str:
    with writing() as session:
        job_id = jobs.claim(session)
    assert job_id
    return job_id


def row_of(job_id: str) -> JobRow:
    with reading() as session:
        return session.get_one(JobRow, job_id)


def points(job_id: str, name: str) -> dict[int, float]:
    with reading() as session:
        found = session.query(MetricPointRow).filter_by(job_id=job_id, name=name).order_by(MetricPointRow.step)
        return {point.step: point.value for point in found}


def test_a_job_trains_and_becomes_a_model(ada: User, make_job: Callable[..., Any]) -> None:
    job = make_job(ada)
    assert worker.main(claim()) == 0
    done = row_of(job.id)
    print(vars(done))
    assert (done.status, done.progress, done.lease_token) == ("succeeded", 1.0, None)
