"""Who starts the workers and notices when one is gone:
a thread in the web process that looks at the queue twice a second.

Everything it knows is in the database, so a server that comes back goes on where the last one was: a worker
that still lives is adopted, a job whose worker died goes back to the queue and resumes from its checkpoint,
and after ``jobs.MAX_ATTEMPTS`` without a new checkpoint between them it fails with a reason. No job stays
``running`` without a worker, and none with a worker that hangs (``core.jobs.health``): it is ended and the
job goes on from its checkpoint. Before the disk is full, running jobs are set aside. A stopping server asks
its workers to save; they give their jobs back to the queue themselves and the next start goes on with them.
"""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy import select

from core import alerts, db, fine_tuning, hardware, jobs, storage
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import DiskFull
from core.jobs import Error, health, notes
from core.processes.rounds import Rounds
from core.runners import RUNNERS, Worker
from core.storage import trash
from core.tables import DatasetVersionRow, JobRow

TICK_SECONDS = 0.5
STOP_SECONDS = 2.0  # how long a stopping server waits for workers to save; they finish alone after that
GRACE_SECONDS = 10.0  # how long a worker may go on after its job was cancelled
SAVING_SECONDS = 300.0  # and after it was paused: it saves a checkpoint
DISK_EVENT_SECONDS = 60.0
BACK_SECONDS = 60.0  # after the database was away: leases ended meanwhile, and each worker renews its own
CLEAN_UP_SECONDS = 3600.0
DIED = "The worker was stopped before its end and could not say why."
HUNG = "The training hung"
_log = logging.getLogger(__name__)


class Supervisor:
    """One per server. ``tick`` is one look; ``start`` looks until ``stop``."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="check")
        self._checking: dict[str, Future[None]] = {}
        self._started: dict[str, Worker] = {}  # by job, until the worker has reported itself
        self._unwanted: dict[str, float] = {}  # lease -> since when its job is cancelled or paused
        self._hung: dict[str, str] = {}  # lease -> why its worker was ended
        self._database_away_at = float("-inf")  # when a round last found it so
        self._disk_told_at = -DISK_EVENT_SECONDS
        self._cleaned_at = -CLEAN_UP_SECONDS

    def start(self) -> None:
        """Adopt what lives, then look after the queue in the background."""
        self._sweep()
        self._greet()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Claim nothing more and ask the workers to save. Returns after at most about ``STOP_SECONDS``."""
        self._end.set()
        self._checks.shutdown(wait=False, cancel_futures=True)
        if self._thread:
            self._thread.join(STOP_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        for row in _leased():
            if (
                worker := self._worker(row)
            ) and worker.ref is None:  # what runs on a cluster goes on without this server
                RUNNERS[row.runner].stop(worker)
        while (
            running := [row for row in _running() if row.worker_ref is None]
        ) and time.monotonic() < deadline:
            time.sleep(0.05)
        for row in running:
            self._take_back(row)

    def tick(self) -> None:
        """One look: check new jobs, see to the workers and the disk, start what has a free place."""
        self._check_new()
        self._watch_disk()
        held = _leased()
        for row in held:
            self._see_to(row)
        self._forget(held)
        self._start_next()
        self._clean_up()

    def _run(self) -> None:
        rounds = Rounds(_log, "The jobs could not be looked after")
        while not self._end.wait(TICK_SECONDS):
            try:
                with rounds.watched():
                    self.tick()
            except Exception as error:  # outermost loop: without a next look, which may succeed, no job runs
                rounds.failed(error)
                if db.is_away(error):
                    self._database_away_at = time.monotonic()

    def _check_new(self) -> None:
        self._checking = {job_id: check for job_id, check in self._checking.items() if not check.done()}
        with reading() as session:
            waiting = jobs.waiting_for_check(session)
        for job_id in waiting:
            if job_id not in self._checking:
                self._checking[job_id] = self._checks.submit(_check, job_id)

    def _start_next(self) -> None:
        all_devices = hardware.device_count()
        _set_aside_too_wide(all_devices)
        while (
            not self._end.is_set()
            and len(_leased()) < settings().training_concurrency
            and _has_waiting(all_devices)
        ):
            try:
                storage.require_space()
            except DiskFull:
                return self._tell_disk_is_full()
            with writing() as session:
                job_id = jobs.claim(session, devices=all_devices)
            if job_id is None:
                return None
            self._start_worker(job_id)
        return None

    def _start_worker(self, job_id: str) -> None:
        with reading() as session:
            row = session.get_one(JobRow, job_id)
        if row.runner not in RUNNERS:
            return self._bury(row, _no_runner(row))
        try:
            worker = RUNNERS[row.runner].start(job_id)
        except OSError as error:
            _log.exception("no worker could be started for job %s", job_id)
            return self._bury(row, f"No worker could be started: {error.strerror or 'the system refused'}.")
        if worker:
            self._started[job_id] = worker
        return None

    def _watch_disk(self) -> None:
        """Below the reserve a job stops while its checkpoint can still be written,
        not in the middle of one."""
        try:
            storage.require_space()
        except DiskFull:
            for row in _running():
                with writing() as session:
                    if jobs.set_aside(session, row.id, error=DISK_FULL):
                        notes.add_event(
                            session, row.id, DISK_FULL.message, level="error", data={"code": DISK_FULL.code}
                        )

    def _tell_disk_is_full(self) -> None:
        if time.monotonic() - self._disk_told_at < DISK_EVENT_SECONDS:
            return
        self._disk_told_at = time.monotonic()
        with writing() as session:
            for job_id in session.scalars(select(JobRow.id).where(JobRow.status == "queued")).all():
                notes.add_event(
                    session,
                    job_id,
                    "The disk is nearly full. The job waits until there is space.",
                    level="warn",
                )

    def _see_to(self, row: JobRow) -> None:
        if row.runner not in RUNNERS:
            return self._bury(row, _no_runner(row))
        worker = self._worker(row)
        expired = not self._was_away() and (row.lease_until is None or row.lease_until < now())
        if worker is None and not expired:
            return None  # claimed a moment ago by a server that is gone; its worker may still report itself
        if worker is None or not RUNNERS[row.runner].is_alive(worker):
            return self._bury(row, self._hung.get(str(row.lease_token), DIED))
        if expired and worker.ref:
            # the runner renews the lease of a worker for which a cluster has no room yet
            with reading() as session:
                until = session.get_one(JobRow, row.id).lease_until
            expired = until is None or until < now()
        if expired:
            self._end_hung(row, worker, f"The worker was silent for {jobs.LEASE.seconds} s.")
        elif row.status != "running":
            self._hurry(row, worker)
        elif not self._was_away() and _is_stalled(row):
            self._end_hung(row, worker, f"{HUNG}: no step for {_silence(row)}.")
        return None

    def _was_away(self) -> bool:
        """Whether workers may not have had the time yet to report to a database that is back."""
        return time.monotonic() - self._database_away_at < BACK_SECONDS

    def _end_hung(self, row: JobRow, worker: Worker, reason: str) -> None:
        """End a worker that does nothing any more; once it is gone the job goes on from its checkpoint.

        Tells the owner once.
        """
        _log.warning("ending worker %s of job %s: %s", worker.pid, row.id, reason)
        RUNNERS[row.runner].kill(worker)
        if row.status != "running" or self._hung.get(str(row.lease_token)):
            return
        self._hung[str(row.lease_token)] = reason
        with writing() as session:
            message = f"{row.name}: {reason} Its worker was ended."
            alerts.note(session, user_id=row.user_id, job_id=row.id, kind="stalled", message=message)

    def _hurry(self, row: JobRow, worker: Worker) -> None:
        """A worker whose job was cancelled or paused ends by itself; one that does not is ended."""
        since = self._unwanted.setdefault(str(row.lease_token), time.monotonic())
        # who never began saves nothing
        patience = SAVING_SECONDS if row.status == "paused" and row.worker_pid else GRACE_SECONDS
        if time.monotonic() - since > patience:
            RUNNERS[row.runner].kill(worker)

    def _bury(self, row: JobRow, reason: str) -> None:
        """The worker is gone: back to the queue, or to failed when that happened too often.

        What does not run stays what it is.
        """
        token = str(row.lease_token)
        with writing() as session:
            row = session.get(JobRow, row.id) or row  # resumed since it was read, it has fresh attempts
            got_on = jobs.has_new_checkpoint(session, row)
            if got_on or row.attempts < jobs.MAX_ATTEMPTS:
                ended = jobs.requeue(session, row.id, token=token, fresh=got_on)
                message, level = f"{reason} The job goes on from its last checkpoint.", "warn"
            else:
                ended = jobs.fail(session, row.id, token=token, error=_lost(row, reason))
                message, level = _lost(row, reason).message, "error"
            if ended:
                notes.add_event(session, row.id, message, level=level)
            else:
                jobs.release(session, row.id, token=token)

    def _take_back(self, row: JobRow) -> None:
        """A worker that ended before it could listen gives nothing back itself."""
        worker = self._worker(row)
        if worker and not RUNNERS[row.runner].is_alive(worker):
            with writing() as session:
                jobs.requeue(session, row.id, token=row.lease_token, counts=False)

    def _worker(self, row: JobRow) -> Worker | None:
        if row.runner not in RUNNERS:
            return None
        if row.worker_ref is not None:
            return Worker(row.worker_pid or 0, row.worker_started or 0.0, row.worker_ref)
        if row.worker_pid is not None and row.worker_started is not None:
            return Worker(row.worker_pid, row.worker_started)
        return self._started.get(row.id)

    def _forget(self, held: list[JobRow]) -> None:
        """What is no more.

        A worker whose job was resumed is wanted again: the next pause gives it its whole time to save.
        """
        job_ids, tokens = {row.id for row in held}, {str(row.lease_token) for row in held}
        unwanted = {str(row.lease_token) for row in held if row.status != "running"}
        self._started = {job_id: worker for job_id, worker in self._started.items() if job_id in job_ids}
        self._unwanted = {token: since for token, since in self._unwanted.items() if token in unwanted}
        self._hung = {token: reason for token, reason in self._hung.items() if token in tokens}

    def _clean_up(self) -> None:
        """Once an hour, old checkpoints go by the rule that ``fine_tuning.describe_checkpoint_rule`` says."""
        if time.monotonic() - self._cleaned_at < CLEAN_UP_SECONDS:
            return
        self._cleaned_at = time.monotonic()
        if swept := fine_tuning.sweep_checkpoints(now()):
            _log.info("old checkpoints of %s jobs were removed", swept)

    def _sweep(self) -> None:
        with reading() as session:
            known = set(session.scalars(select(JobRow.id)))
        trash.sweep("jobs", known)

    def _greet(self) -> None:
        for row in _leased():
            worker = self._worker(row)
            if row.status == "running" and worker and RUNNERS[row.runner].is_alive(worker):
                with writing() as session:
                    notes.add_event(session, row.id, "The server is back. The training went on meanwhile.")


_supervisor: Supervisor | None = None


def start() -> None:
    """Start the one supervisor of this server."""
    global _supervisor
    if _supervisor is None:
        _supervisor = Supervisor()
        _supervisor.start()


def stop() -> None:
    global _supervisor
    if _supervisor is not None:
        _supervisor.stop()
        _supervisor = None


DISK_FULL = Error(
    "disk_full", "The server's disk is nearly full, so the job was paused. Free some space, then resume it."
)


def _has_waiting(all_devices: int) -> bool:
    with reading() as session:
        return jobs.has_waiting(session, devices=all_devices)


def _set_aside_too_wide(all_devices: int) -> None:
    with reading() as session:
        rows = jobs.too_wide(session, devices=all_devices)
    for row in rows:
        message = (
            f"The job asks for {row.num_processes} devices and this server has {all_devices} now. "
            f"Start it again with fewer."
        )
        with writing() as session:
            if jobs.set_aside(session, row.id, error=Error("too_many_devices", message)):
                notes.add_event(session, row.id, message, level="error")


def _leased() -> list[JobRow]:
    with reading() as session:
        return list(jobs.leased(session))


def _running() -> list[JobRow]:
    return [row for row in _leased() if row.status == "running"]


def _is_stalled(row: JobRow) -> bool:
    at = now()
    if not health.is_stalled(row, at, validation_share=0.0):
        return False  # nothing has to be asked for nearly always
    return health.is_stalled(row, at, validation_share=_validation_share(row))


def _validation_share(row: JobRow) -> float:
    """Validation rows per training row."""
    if row.validation_version_id is None:
        return row.validation_fraction / (1 - row.validation_fraction)
    with reading() as session:
        learned, held_out = (
            session.get(DatasetVersionRow, v) for v in (row.dataset_version_id, row.validation_version_id)
        )
    return held_out.num_rows / max(1, learned.num_rows) if learned and held_out else 0.0


def _no_runner(row: JobRow) -> str:
    return f"This server has no runner {row.runner!r}; it has {', '.join(RUNNERS)}."


def _silence(row: JobRow) -> str:
    seconds = (now() - (health.last_sign(row) or now())).total_seconds()
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _check(job_id: str) -> None:
    try:
        fine_tuning.admit(job_id)
    except Exception as error:  # the outermost frame of this thread: the job must not stay "validating"
        if db.is_away(error):
            return  # the next round checks it
        _log.exception("job %s could not be checked", job_id)
        with writing() as session:
            jobs.reject(
                session,
                job_id,
                error=Error("internal_error", f"The dataset could not be read ({type(error).__name__})."),
            )


def _lost(row: JobRow, reason: str) -> Error:
    return Error(
        "stalled" if reason.startswith(HUNG) else "worker_lost",
        f"{reason} This happened {row.attempts} times, so the job was given up. "
        "If the server is short of memory, choose a smaller batch size or shorter rows.",
    )
