"""The runner on this machine: one child process per job, in a session of its own so that it outlives the server.

What the process prints (library warnings, tracebacks) goes to ``jobs/<id>/output.txt`` for the admin; ``log.txt`` beside it is what
the job's owner reads, and the worker writes it itself.
"""

import subprocess
import sys

import psutil

from core import storage
from core.config import ROOT, child_environment, settings
from core.runners.base import Worker

SAME_START_SECONDS = 1.0  # the operating system rounds a process's start time


class SubprocessRunner:
    """A child process that outlives its parent."""

    name = "subprocess"
    title = "On this machine"

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, job_id: str) -> Worker | None:
        self._collect()
        folder = storage.job_dir(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "output.txt").open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "core.worker", job_id],
                cwd=ROOT,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(child)
        try:
            return Worker(child.pid, psutil.Process(child.pid).create_time())
        except psutil.Error:  # it ended already
            return Worker(child.pid, 0.0)

    def is_alive(self, worker: Worker) -> bool:
        self._collect()
        return _find(worker) is not None

    def stop(self, worker: Worker) -> None:
        if process := _find(worker):
            process.terminate()

    def kill(self, worker: Worker) -> None:
        if process := _find(worker):
            process.kill()

    def _collect(self) -> None:
        """Ended children are taken off the process table; before that they look alive."""
        self._children = [child for child in self._children if child.poll() is None]


def _find(worker: Worker) -> psutil.Process | None:
    try:
        process = psutil.Process(worker.pid)
        same = abs(process.create_time() - worker.started) < SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _environment() -> dict[str, str]:
    chosen = settings()
    return child_environment(
        LUTHIER_DATA_DIR=str(chosen.data_dir),
        LUTHIER_DATABASE_URL=chosen.database_url,
        LUTHIER_TRAINING_THREADS=str(chosen.training_threads),
        LUTHIER_DISK_RESERVE_MB=str(chosen.disk_reserve_mb),
        LUTHIER_COST_PER_HOUR=str(chosen.cost_per_hour),
        LUTHIER_LOG_LEVEL=chosen.log_level,
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        PYTHONUNBUFFERED="1",
    )
