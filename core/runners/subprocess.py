"""The runner on this machine: one child process per job,
in a session of its own so that it outlives the server.

A job that shares several devices is a group: torchrun, and one worker per device. The first worker is the one
that the database knows; nothing of a group outlives it, and a group that has lost its launcher is ended,
because nobody would notice the next loss.

What the processes print (library warnings, tracebacks) goes to ``jobs/<id>/output.txt`` for the admin;
``log.txt`` beside it is what the job's owner reads, and the first worker writes it itself.
"""

import os
import subprocess
import sys

import psutil

from core import hardware, storage
from core.config import ROOT, sibling_environment
from core.db import reading
from core.processes import living
from core.runners.base import LAUNCHER, WORKER_NAMES, Worker, worker_command
from core.tables import JobRow

GONE_SECONDS = 5.0  # how long killed processes are waited for


class SubprocessRunner:
    """A child process that outlives its parent, or a group of them that share the steps."""

    name = "subprocess"
    title = "On this machine"
    help = "A process beside the server, or one per device. It outlives the server's restart."

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []

    def problem(self) -> str | None:
        return None

    def start(self, job_id: str) -> Worker | None:
        self._collect()
        # a group whose first worker died may have members that have not noticed yet
        _end(_processes_of(job_id))
        with reading() as session:
            row = session.get(JobRow, job_id)
            num_processes = row.num_processes if row else 1
        folder = storage.job_dir(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "output.txt").open("ab") as output:
            child = subprocess.Popen(
                worker_command(job_id, num_processes),
                cwd=ROOT,
                env=_environment(num_processes),
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
        process = _find(worker)
        if process is None:
            return False
        if _has_lost_its_launcher(process):
            self.kill(worker)
            return False
        return True

    def stop(self, worker: Worker) -> None:
        """The first worker tells the others within a step."""
        if process := _find(worker):
            process.terminate()

    def kill(self, worker: Worker) -> None:
        if process := _find(worker):
            job_id = _job_of(process)
            _end([*(_processes_of(job_id) if job_id else []), process])
        self._collect()

    def _collect(self) -> None:
        """Ended children are taken off the process table; before that they look alive."""
        self._children = [child for child in self._children if child.poll() is None]


def _find(worker: Worker) -> psutil.Process | None:
    return living.find(worker.pid, worker.started)


def _job_of(process: psutil.Process) -> str | None:
    """The job that a worker or a launcher of workers is for, from its command line."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return None
    return words[-1] if len(words) > 2 and words[-3] == "-m" and words[-2] in WORKER_NAMES else None


def _processes_of(job_id: str) -> list[psutil.Process]:
    """Launcher and workers, wherever they stand in the tree:
    torchrun's children are adopted by init when it dies."""
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _job_of(process) == job_id
    ]


def _has_lost_its_launcher(process: psutil.Process) -> bool:
    """Whether this is a worker of a group that torchrun does not look after any more."""
    try:
        is_launcher = LAUNCHER in process.cmdline()
        if is_launcher or "TORCHELASTIC_RUN_ID" not in process.environ():
            return False
        parent = process.parent()
        return parent is None or LAUNCHER not in parent.cmdline()
    except psutil.AccessDenied:  # another user's process: nothing can be said about it
        return False
    except psutil.Error:
        return True


def _end(group: list[psutil.Process]) -> None:
    for process in group:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(group, timeout=GONE_SECONDS)


def _environment(num_processes: int) -> dict[str, str]:
    return sibling_environment(
        HF_HUB_OFFLINE="1",
        PYTHONUNBUFFERED="1",
        **(_group_environment(num_processes) if num_processes > 1 else {}),
    )


def _group_environment(num_processes: int) -> dict[str, str]:
    """Threads are shared out. gloo is told its interface:
    it would look up the host's name, which may not resolve."""
    interface = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return {"OMP_NUM_THREADS": str(max(1, hardware.cores() // num_processes)), **interface}
