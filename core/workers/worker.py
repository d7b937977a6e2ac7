"""The process that trains one job: ``python -m core.workers.worker JOB_ID``,
started by a runner after the job was claimed.

It takes the job's lease, hands the training method its data and its recorder, publishes what comes out, and
ends the job by one guarded UPDATE. It never decides to try again: a worker that dies leaves its lease behind,
and the supervisor sees to the rest. While the database is away it waits and goes on. Owners read ``log.txt``
and an error of code, message and line; a traceback goes only to the process's own output, for the admin.
"""

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core import formats, hardware, jobs, models, storage
from core.config import process_place, settings
from core.db import reading, when_there, writing
from core.errors import DiskFull, LuthierError, is_full_disk
from core.fine_tuning import provenance
from core.jobs import Error, notes
from core.people import usage
from core.tables import CheckpointRow, DatasetVersionRow, JobRow
from core.training import METHODS, Hyperparameters, Settings, checkpoints, distributed, resolve, run
from core.training.distributed import World
from core.training.method import Interrupted, Outcome, Rows, Silent, TrainingFailed, TrainingTask, Wish
from core.weights import read_facts
from core.workers.recorder import Recorder

TORCHS_FULL_DISK = ("PytorchStreamWriter failed writing", "unexpected pos")
RESUMED_WHILE_ENDING = (
    "The job was resumed while its worker was ending: it goes on from the last checkpoint at its turn."
)
# how long the end of a job is tried to be written when the disk of the database is full
LAST_WORD_SECONDS = 30.0
PATIENCE_SECONDS = 86_400.0  # how long a job waits for a database that is away, rather than lose its work
T = TypeVar("T")
_log = logging.getLogger("core.workers.worker")


def main(job_id: str) -> int:
    """Train one claimed job to its end, whichever it is. Returns the exit status."""
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    me = psutil.Process()
    try:
        job = _when_there(lambda: _take(job_id, me))
    except jobs.Lost:
        _log.error("job %s is not waiting for a worker", job_id)
        return 1
    known: dict[str, Any] = {
        "token": str(job.lease_token),
        "user_id": job.user_id,
        "spent_before": job.spent_seconds,
    }
    with _job_log(job) as log, Recorder(job_id, log=log, **known) as recorder:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: recorder.ask_to_stop())
        return _run(job, recorder)


def _take(job_id: str, me: psutil.Process) -> JobRow:
    with writing() as session:
        return jobs.take(session, job_id, pid=me.pid, started=me.create_time())


def _when_there(work: Callable[[], T]) -> T:
    return when_there(work, seconds=PATIENCE_SECONDS)


def assist(job_id: str) -> int:
    """One of the other processes of a job that several share:
    it computes, the first one reports, saves and ends the job."""
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the first process says when all stop
    job = _when_there(lambda: _find(JobRow, job_id))
    assert job is not None
    with distributed.joined() as world:
        task = _task(job, threads=world.decide(0))
        try:
            run.train(METHODS[job.method], task, Silent(), world=world)
        except Interrupted:
            return 0
    return 0


def _run(job: JobRow, recorder: Recorder) -> int:
    began = time.monotonic()
    try:
        with distributed.joined() as world:
            outcome = _train(job, recorder, world)
        _when_there(recorder.flush)
        _publish(job, outcome, recorder, seconds=time.monotonic() - began)
    except jobs.Lost:
        return _let_go(job, recorder, began)
    except Interrupted as interruption:
        return _let_go(job, recorder, began, wish=interruption.wish)
    except Exception as error:  # the outermost loop: whatever happened, the job must not stay "running"
        if distributed.is_torn(error):
            # the lease stays: the supervisor takes this one for crashed, too, and resumes it
            _log.error("another process of this job is gone: %s", error)
            _flush_quietly(recorder)
            return 1
        return _give_up(job, recorder, began, error=error)
    return 0


def _train(job: JobRow, recorder: Recorder, world: World) -> Outcome:
    recorder.event(
        "Preparing the training." if job.attempts == 1 else f"Preparing the training, attempt {job.attempts}."
    )
    threads = world.decide(job.resolved.get("threads") or max(1, hardware.training_threads() // world.size))
    recorder.also_resolved(threads=threads, num_processes=world.size)
    if world.size != job.num_processes:
        raise TrainingFailed(
            f"The job asked for {job.num_processes} processes and got {world.size}.", code="devices_missing"
        )
    task = _task(job, threads=threads)
    checkpoints.clear_leftovers(task.folder)
    return run.train(METHODS[job.method], task, recorder, world=world)


def _publish(job: JobRow, outcome: Outcome, recorder: Recorder, *, seconds: float) -> None:
    """Files, then the model's rows and the end of the job in one transaction. Raises jobs.Lost."""
    recorder.event("Saving the model.")
    _when_there(recorder.flush)

    def end_job(session: Session, made: models.Published) -> None:
        ended = jobs.succeed(
            session,
            job.id,
            token=str(job.lease_token),
            model_id=made.model_id,
            model_version_id=made.version_id,
            trained_tokens=outcome.trained_tokens,
        )
        if not ended:
            raise jobs.Lost
        notes.add_event(session, job.id, f"Done: the model is {job.name}.", data={"model_id": made.model_id})
        _meter(session, job, recorder, seconds, model_id=made.model_id)

    publication = _when_there(lambda: _publication(job, outcome, recorder.spent_seconds))
    models.publish(publication, draft=outcome.draft, then=end_job, patience=PATIENCE_SECONDS)


def _publication(job: JobRow, outcome: Outcome, seconds: float) -> models.Publication:
    """``seconds``: of all attempts."""
    step = outcome.metrics.get("step")
    with reading() as session:
        description = provenance.describe(
            session, session.get_one(JobRow, job.id), model=outcome.draft, step=step, seconds=seconds
        )
    return models.Publication(
        user_id=job.user_id,
        name=job.name,
        kind=outcome.kind,
        base_version_id=str(job.base_version_id),
        job_id=job.id,
        dataset_version_id=job.dataset_version_id,
        metrics={**outcome.metrics, "trained_tokens": outcome.trained_tokens, "seconds": round(seconds, 1)},
        settings={**description, "chat_template": list(outcome.chat_template)},
    )


def _let_go(job: JobRow, recorder: Recorder, began: float, *, wish: Wish = Wish.CANCEL) -> int:
    """The job was paused, cancelled or taken away, or the server stops: give the lease back.

    Whatever the wish was, a job that runs goes back to the queue: it was resumed since the wish was seen.
    """
    token = str(job.lease_token)
    back = (
        "The server stops. The training goes on from here when it is back."
        if wish is Wish.STOP
        else RESUMED_WHILE_ENDING
    )

    def end_job(session: Session) -> None:
        if jobs.requeue(session, job.id, token=token, counts=False):
            notes.add_event(session, job.id, back)
        elif jobs.release(session, job.id, token=token) and wish is Wish.PAUSE:
            notes.add_event(session, job.id, "Paused. A checkpoint keeps what was learned.")
        _meter(session, job, recorder, time.monotonic() - began)

    _have_last_word(recorder, end_job)
    return 0


def _give_up(job: JobRow, recorder: Recorder, began: float, *, error: Exception) -> int:
    """The job fails with a reason; a full disk only pauses it. If it was cancelled meanwhile, that stands."""
    is_about_space = _is_about_space(error)
    reason, token = _explain(DiskFull() if is_about_space else error), str(job.lease_token)

    def end_job(session: Session) -> None:
        end = jobs.pause_for_reason if is_about_space else jobs.fail
        if end(session, job.id, token=token, error=reason):
            notes.add_event(
                session,
                job.id,
                reason.message,
                level="error",
                data={"code": reason.code, "line": reason.line},
            )
        else:
            jobs.release(session, job.id, token=token)
        _meter(session, job, recorder, time.monotonic() - began)

    _have_last_word(recorder, end_job)
    return 1


def _have_last_word(recorder: Recorder, end_job: Callable[[Session], None]) -> None:
    """Write what waits and then the end of the job, patiently:
    without it the supervisor must take the job for crashed."""

    def end() -> None:
        with writing() as session:
            end_job(session)

    deadline = time.monotonic() + LAST_WORD_SECONDS
    while True:
        try:
            _when_there(lambda: _flush_quietly(recorder))
            return _when_there(end)
        except SQLAlchemyError:
            if time.monotonic() > deadline:
                raise
            _log.warning("the end of the job could not be written yet")
            time.sleep(1)


def _explain(error: Exception) -> Error:
    """What the owner is told. Everything unexpected is logged with its traceback, for the admin."""
    if isinstance(error, TrainingFailed):
        return Error(error.code, error.message, error.line)
    if isinstance(error, DiskFull):
        return Error(
            "disk_full", "The server's disk is full, so the job was paused. Free some space, then resume it."
        )
    if isinstance(error, LuthierError):
        return Error(error.code, error.message)
    _log.exception("the training failed")
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return Error(
            "out_of_memory", "There was not enough memory. Choose a smaller batch size, shorter rows or LoRA."
        )
    return Error(
        "internal_error",
        "The training stopped because of an unexpected error. Tell the admin the id of this job.",
    )


def _is_about_space(error: Exception) -> bool:
    """Torch says neither the system's number nor its sentence."""
    return is_full_disk(error) or any(sign in str(error) for sign in TORCHS_FULL_DISK)


def _flush_quietly(recorder: Recorder) -> None:
    try:
        recorder.flush()
    except jobs.Lost:
        _log.info("the last numbers were not written: the job is no longer ours")


def _meter(
    session: Session, job: JobRow, recorder: Recorder, seconds: float, *, model_id: str | None = None
) -> None:
    tokens = recorder.tokens - (recorder.first_tokens or 0)
    usage.record(
        session,
        user_id=job.user_id,
        kind="training",
        model_id=model_id,
        trained_tokens=tokens,
        seconds=seconds,
    )


def _task(job: JobRow, *, threads: int) -> TrainingTask:
    weights = _when_there(lambda: models.location(str(job.base_version_id)))
    folder = storage.job_dir(job.id)
    return TrainingTask(
        weights=weights,
        folder=folder,
        draft=folder / "draft",
        train=_rows_of(str(job.dataset_version_id), job.columns),
        validation=_rows_of(job.validation_version_id, job.columns) if job.validation_version_id else None,
        validation_fraction=job.validation_fraction,
        settings_for=_settings_for(job, weights.base),
        seed=job.seed,
        threads=threads,
        sample_prompts=job.sample_prompts,
        pinned=lambda: _pinned(job.id),
    )


def _pinned(job_id: str) -> set[int]:
    """The checkpoints that a person keeps."""
    pinned = select(CheckpointRow.step).where(CheckpointRow.job_id == job_id, CheckpointRow.pinned)

    def read() -> set[int]:
        with reading() as session:
            return set(session.scalars(pinned))

    return _when_there(read)


def _find(kind: type[T], id_: str) -> T | None:
    with reading() as session:
        return session.get(kind, id_)


def _rows_of(version_id: str, columns: dict[str, Any] | None) -> Callable[[], Rows]:
    def rows() -> Rows:
        version = _when_there(lambda: _find(DatasetVersionRow, version_id))
        if version is None:
            raise TrainingFailed("The dataset was deleted.", code="dataset_missing")
        if version.removed_at:
            raise TrainingFailed(
                f"The files of version {version.number} were removed. Train on another version.",
                code="dataset_missing",
            )
        format_ = formats.mapped(version.columns, columns, version.format)
        return formats.read_examples(storage.parquet_path(version_id), format_, columns)

    return rows


def _settings_for(job: JobRow, base: Path) -> Callable[[int], Settings]:
    facts = read_facts(base)
    hyperparameters = Hyperparameters.model_validate(job.hyperparameters)
    return lambda num_examples: resolve(
        hyperparameters,
        num_examples=num_examples,
        num_parameters=facts.num_parameters,
        context_length=facts.context_length,
        method=job.method,
        gpu=_computes_bfloat16(),
    )


def _computes_bfloat16() -> bool:
    """Whether the training will run on a GPU that has bfloat16."""
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


@contextmanager
def _job_log(job: JobRow) -> Iterator[logging.Logger]:
    """The log that the job's owner reads: ``jobs/<id>/log.txt``, one line per event."""
    folder = storage.job_dir(job.id)
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    log = logging.Logger(f"job.{job.id}", level=logging.INFO)
    log.addHandler(handler)
    try:
        yield log
    finally:
        handler.close()


def run_process() -> None:
    """The whole process: the first of a group trains and tells, the others assist it."""
    sys.exit(main(sys.argv[1]) if process_place()[0] == 0 else assist(sys.argv[1]))


if __name__ == "__main__":
    run_process()
