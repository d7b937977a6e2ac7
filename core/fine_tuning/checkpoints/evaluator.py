"""The process that evaluates one checkpoint or model version,
started by ``evaluating`` with that one's id and this run's.

What it has to do stands in the ``evaluation`` of the row's metrics, where it writes progress and a heartbeat
every second and, last, the result. A row that is gone, or that another process evaluates meanwhile, ends it.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core import formats, hardware, models, storage
from core.clock import now
from core.config import settings
from core.db import reading
from core.errors import LuthierError
from core.fine_tuning.checkpoints import evaluating
from core.tables import CheckpointRow, DatasetVersionRow, JobRow, ModelVersionRow
from core.training import METHODS, Hyperparameters, Settings, measuring, resolve
from core.training.measuring import Wanted
from core.weights import read_facts

NICENESS = 10
TICK_SECONDS = 1.0
MAX_THREADS = 4
CRASHED = (
    "The evaluation ended unexpectedly. Start it again; if it happens twice, "
    "the model is too large for this server's memory."
)
log = logging.getLogger("luthier.evaluator")


def main(target_id: str, run: str) -> int:
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(message)s")
    if hasattr(os, "nice"):
        os.nice(NICENESS)  # trainings and answers come first
    began = time.monotonic()
    try:
        with _telling(target_id, run) as progress:
            result = measuring.measure(
                wanted_of(target_id), lambda share: progress.update(progress=round(share, 3))
            )
        seconds = round(time.monotonic() - began, 1)
        evaluating.change(
            target_id,
            run,
            status="ready",
            progress=1.0,
            seconds=seconds,
            ended_at=now().isoformat(),
            **result,
        )
    except LuthierError as error:
        evaluating.change(target_id, run, status="failed", error=error.message)
    except Exception:  # the outermost frame of this process
        log.exception("the evaluation of %s failed", target_id)
        evaluating.change(target_id, run, status="failed", error=CRASHED)
        return 1
    return 0


def wanted_of(target_id: str) -> Wanted:
    """What the row asks for.

    Who may was settled when it was asked. Raises NotFound, Conflict for what was deleted since.
    """
    with reading() as session:
        target = evaluating.target(session, target_id)
        asked = target.metrics["evaluation"]
        version = session.get_one(DatasetVersionRow, asked["dataset_version_id"])
        job_id = target.job_id if isinstance(target, CheckpointRow) else target.finetune_job_id
        job = session.get(JobRow, job_id) if job_id else None
    columns = asked["columns"]
    format_ = formats.mapped(version.columns, columns)
    weights = models.location(target_id)
    start_id = job.base_version_id if job else None
    chosen = _settings_of(target, job)
    method = METHODS[asked["method"]]
    return Wanted(
        method=method,
        settings=chosen,
        weights=weights,
        start=models.location(start_id) if start_id and "preference" in method.formats else weights,
        rows=lambda: formats.read_examples(storage.parquet_path(version.id), format_, columns),
        held_out=(job.validation_fraction, job.seed) if job and asked["rows"] == "held out" else None,
        with_answers=method.name == "supervised"
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


@contextmanager
def _telling(target_id: str, run: str) -> Iterator[dict[str, Any]]:
    """What is put into the yielded dictionary is written every second, with a heartbeat."""
    progress: dict[str, Any] = {}
    done = threading.Event()

    def tell() -> None:
        while not done.wait(TICK_SECONDS):
            if not evaluating.change(
                target_id, run, status="running", heard_at=now().isoformat(), **dict(progress)
            ):
                os._exit(0)  # deleted: nobody waits for this any more

    thread = threading.Thread(target=tell, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
