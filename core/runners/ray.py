"""The runner on a Ray cluster: the same worker as a job
of its Job Submission API, on whichever node has room.

Data, checkpoints and results go through ``LUTHIER_DATA_DIR``, which all nodes share, and progress through the
metadata database, which all nodes reach; Ray only places the worker, says whether it lives and ends it. What
the worker must know and nobody else may read (the address of the database) lies beside the job in a file of
its own, not in what Ray's dashboard shows. The submission's id is written into the job's row before the
cluster hears of it, so that no crash in between leaves a worker that nobody knows.

A server that stops leaves its jobs on the cluster alone; the next one finds them by their rows.
"""

import logging
import os
import shlex
import time
from pathlib import Path
from urllib.parse import urlsplit

from core import jobs, storage
from core.config import ROOT, settings, shared_settings
from core.db import reading, writing
from core.runners.base import Worker, worker_command
from core.runners.ray_jobs import RayJobs, Unreachable
from core.security import new_token
from core.tables import JobRow

LOOK_SECONDS = 2.0  # a status is asked for at most this often
REST_SECONDS = 10.0  # and a cluster that did not answer is left alone for so long
HOLD_SECONDS = 15.0  # how often the lease of a job that waits in the cluster is renewed
SAVE_SECONDS = 60  # between Ray's SIGTERM and its SIGKILL: time to save a checkpoint
ALIVE = ("PENDING", "RUNNING")
ON_THE_HEAD = {"node:__internal_head__": 0.001}
HERE = ("127.0.0.1", "localhost", "::1")
_log = logging.getLogger(__name__)


class RayRunner:
    """A job of an existing Ray cluster, found by ``LUTHIER_RAY_ADDRESS``."""

    name = "ray"
    title = "On the Ray cluster"
    help = (
        "A node of an existing Ray cluster that has room, named by `LUTHIER_RAY_ADDRESS`. "
        "It goes on while the server is away."
    )

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, bool]] = {}  # ref -> when it was looked at, whether it lived
        self._held: dict[str, float] = {}
        self._ended: dict[str, float] = {}  # ref -> when the cluster was asked to end it
        self._lost: set[str] = set()  # to be ended, but the cluster could not be told

    def problem(self) -> str | None:
        chosen = settings()
        if not chosen.ray_address:
            return "No Ray cluster is configured. An admin sets LUTHIER_RAY_ADDRESS; the guide says how."
        if (
            not chosen.database_url.startswith("postgresql")
            and urlsplit(chosen.ray_address).hostname not in HERE
        ):
            return (
                "The nodes of the Ray cluster cannot reach the metadata database: it is SQLite, "
                "a file of this machine. An admin moves it to PostgreSQL (LUTHIER_DATABASE_URL); "
                "the guide says how."
            )
        return None

    def start(self, job_id: str) -> Worker | None:
        if problem := self.problem():
            raise Unreachable(problem.rstrip("."))
        with reading() as session:
            num_processes = session.get_one(JobRow, job_id).num_processes
        ref = f"{job_id}-{new_token()[:8]}"
        with writing() as session:
            if not jobs.note_ref(session, job_id, ref=ref):
                return None  # paused or cancelled just now
        _cluster().submit(
            ref,
            _entrypoint(job_id, num_processes),
            runtime_env={"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(SAVE_SECONDS)}},
            metadata={"luthier_job": job_id},
            **_room(num_processes),
        )
        return Worker(0, 0.0, ref)

    def is_alive(self, worker: Worker) -> bool:
        """A cluster that does not answer is believed to go on: whether it does, the worker's lease tells."""
        if worker.ref is None:
            return False  # nothing that was handed to a cluster
        ref, at = worker.ref, time.monotonic()
        if ref in self._lost:
            return False
        looked, alive = self._seen.get(ref, (-LOOK_SECONDS, True))
        if at - looked < LOOK_SECONDS:
            return alive
        try:
            status = _cluster().status(ref)
        except Unreachable as error:
            _log.warning("the status of %s is not known: %s", ref, error.strerror)
            self._seen[ref] = (at + REST_SECONDS - LOOK_SECONDS, alive)
            return alive
        self._seen[ref] = (at, status in ALIVE)
        if status == "PENDING":
            self._hold(ref)
        return status in ALIVE

    def stop(self, worker: Worker) -> None:
        self._end(worker)

    def kill(self, worker: Worker) -> None:
        """Ray knows one way to end a job: it asks, and kills after ``SAVE_SECONDS``.

        A cluster that is away loses the worker.
        """
        if not self._end(worker):
            self._lost.add(str(worker.ref))

    def _end(self, worker: Worker) -> bool:
        """Whether the cluster has been told, or need not be."""
        if worker.ref is None:
            return True
        ref, at = worker.ref, time.monotonic()
        if at - self._ended.get(ref, -SAVE_SECONDS) < SAVE_SECONDS:
            return True
        try:
            _cluster().stop(ref)
        except Unreachable as error:
            _log.warning("%s could not be ended: %s", ref, error.strerror)
            return False
        self._ended[ref] = at
        self._seen.pop(ref, None)
        return True

    def _hold(self, ref: str) -> None:
        if time.monotonic() - self._held.get(ref, -HOLD_SECONDS) >= HOLD_SECONDS:
            self._held[ref] = time.monotonic()
            with writing() as session:
                jobs.hold(session, ref)


def _cluster() -> RayJobs:
    chosen = settings()
    if not chosen.ray_address:
        raise Unreachable("no Ray cluster is configured: set LUTHIER_RAY_ADDRESS")
    return RayJobs(chosen.ray_address, chosen.ray_token)


def _room(num_processes: int) -> dict[str, object]:
    """What the node must have free.

    All processes of a job run on one; without PostgreSQL that is the head, this machine.
    """
    chosen = settings()
    room: dict[str, object] = {
        "entrypoint_num_cpus": chosen.ray_cpus * num_processes,
        "entrypoint_num_gpus": chosen.ray_gpus * num_processes,
    }
    if not chosen.database_url.startswith("postgresql"):
        room["entrypoint_resources"] = ON_THE_HEAD
    return room


def _entrypoint(job_id: str, num_processes: int) -> str:
    """A shell command: go to Luthier's folder, read the settings, become the worker.

    It prints where a local worker does.
    """
    folder = storage.job_dir(job_id)
    folder.mkdir(parents=True, exist_ok=True)
    known = _write_settings(folder, num_processes)
    enter = f"cd {shlex.quote(str(ROOT))} && set -a && . {shlex.quote(str(known))} && set +a"
    command = shlex.join(worker_command(job_id, num_processes))
    return f"{enter} && exec {command} >> {shlex.quote(str(folder / 'output.txt'))} 2>&1"


def _write_settings(folder: Path, num_processes: int) -> Path:
    """The worker's environment as a file that only its owner reads."""
    values = {
        **shared_settings(),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    if num_processes > 1:
        values |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    path = folder / "worker.env"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path
