"""The process that evaluates one checkpoint or model version:
``python -m core.fine_tuning.checkpoints.evaluator EVALUATION_ID``, started by ``evaluations``.

It claims the row, which says what was asked for, writes progress and a heartbeat into it every second, and
last puts the result among the metrics of what was measured. A row that is gone ends it.
"""

import os
import sys
import threading
import time
from collections import deque

from sqlalchemy.orm import Session

from core import formats, hardware, models, storage
from core.clock import now
from core.config import settings
from core.db import reading
from core.errors import NotFound
from core.models.evaluations import WORK, Measured, tell
from core.processes import claimed
from core.tables import CheckpointRow, DatasetVersionRow, EvaluationRow, JobRow, ModelVersionRow
from core.training import METHODS, Hyperparameters, Settings, measuring, resolve
from core.training.measuring import Wanted
from core.weights import read_facts

NICENESS = 10
TICK_SECONDS = 1.0
MAX_THREADS = 4


def main(evaluation_id: str) -> None:
    claimed.start_program(NICENESS)  # trainings and answers come first
    sys.exit(0 if run(evaluation_id) else 1)


def run(evaluation_id: str) -> bool:
    """Measure, and settle the row, whatever happens. False: the log of the process says why."""
    return claimed.run(WORK, (evaluation_id,), _measure)


def _measure(row: EvaluationRow) -> None:
    began, shares = time.monotonic(), deque([0.0], maxlen=1)

    def beat() -> bool:
        return WORK.beat((row.id,), progress=round(shares[-1], 3))

    def stop(_done: threading.Event) -> None:
        os._exit(0)  # deleted: nobody waits for this any more

    with claimed.beating(beat, stop, every=TICK_SECONDS):
        result = measuring.measure(wanted_of(row), shares.append)
    seconds = round(time.monotonic() - began, 1)
    ended = {"status": "ready", "progress": 1.0, "seconds": seconds, "ended_at": now().isoformat()}

    def settle(session: Session) -> None:
        if WORK.settle(session, (row.id,)):
            measured = _measured(session, row)
            measured.metrics = {**measured.metrics, "evaluation": {**tell(row), **ended, **result}}
            session.delete(session.get_one(EvaluationRow, row.id))

    claimed.write_end(settle)


def _measured(session: Session, row: EvaluationRow) -> Measured:
    if row.checkpoint_id:
        return session.get_one(CheckpointRow, row.checkpoint_id)
    return session.get_one(ModelVersionRow, row.model_version_id)


def wanted_of(row: EvaluationRow) -> Wanted:
    """What the row asks for.

    Who may was settled when it was asked. Raises NotFound, Conflict for what was deleted since.
    """
    with reading() as session:
        target, asked = _measured(session, row), row.asked
        version = session.get(DatasetVersionRow, asked["dataset_version_id"])
        if version is None:
            raise NotFound("The rows to measure on were deleted. Choose others.")
        job_id = target.job_id if isinstance(target, CheckpointRow) else target.finetune_job_id
        job = session.get(JobRow, job_id) if job_id else None
    columns = asked["columns"]
    format_ = formats.mapped(version.columns, columns, version.format)
    weights = models.location(target.id)
    start_id = job.base_version_id if job else None
    chosen = _settings_of(target, job)
    method = METHODS[asked["method"]]
    return Wanted(
        method=method,
        settings=chosen,
        weights=weights,
        start=models.location(start_id) if start_id and method.compares_with_start else weights,
        rows=lambda: formats.read_examples(storage.parquet_path(version.id), format_, columns),
        held_out=(job.validation_fraction, job.seed) if job and asked["rows"] == "held out" else None,
        with_answers=method.gives_answers
        and format_.name in ("chat", "completion")
        and chosen.loss_on != "all",
        threads=settings().training_threads or hardware.cores(at_most=MAX_THREADS),
    )


def _settings_of(target: CheckpointRow | ModelVersionRow, job: JobRow | None) -> Settings:
    """As the training had them, so that rows are read and cut alike;
    for what was not trained here: the automatic ones."""
    resolved = (
        job.resolved
        if job
        else target.settings.get("resolved")
        if isinstance(target, ModelVersionRow)
        else None
    )
    known = {name: value for name, value in (resolved or {}).items() if name in Settings.__dataclass_fields__}
    if {"n_epochs", "batch_size", "max_length"} <= known.keys():
        return Settings(**known)
    facts = read_facts(models.location(target.id).base)
    return resolve(
        Hyperparameters(),
        num_examples=0,
        num_parameters=facts.num_parameters,
        context_length=facts.context_length,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
