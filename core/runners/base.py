"""What a runner is: where the worker of a job runs, and how to see and end it."""

import sys
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Worker:
    """A worker process as the database knows it.

    A pid alone may be somebody else's by now, so its start time goes with it.

    ``ref``: what a runner beyond this machine knows it by; pid and start time then belong to the machine
    where it runs.
    """

    pid: int
    started: float
    ref: str | None = None


class Runner(Protocol):
    """Starts and ends the worker of a job.

    Workers outlive the server; whoever comes next adopts them by their row.
    """

    name: str
    title: str

    def problem(self) -> str | None:
        """Why no job can be given to it on this server, and what to do about that; None when one can."""

    def start(self, job_id: str) -> Worker | None:
        """Begin ``python -m core.workers.worker JOB_ID`` without waiting for it;
        None: only the worker itself will know who it is.

        Raises OSError when that is impossible.
        """

    def is_alive(self, worker: Worker) -> bool: ...

    def stop(self, worker: Worker) -> None:
        """Ask it to save and end. One that is gone is fine."""

    def kill(self, worker: Worker) -> None:
        """End it now. One that is gone is fine."""


LAUNCHER = "torch.distributed.run"
WORKER = "core.workers.worker"
# by which a running one is found; the second is what earlier releases started
WORKER_NAMES = (WORKER, "core.worker")


def worker_command(job_id: str, num_processes: int) -> list[str]:
    """The worker alone, or torchrun around one worker per device of a machine.

    torchrun starts no worker again: one that dies ends the others, and the supervisor resumes the job from
    its checkpoint. It finds a free port by itself and talks to its workers over the loopback address only.
    """
    worker = ["-m", WORKER, job_id]
    if num_processes == 1:
        return [sys.executable, *worker]
    group = [
        "--standalone",
        "--local-addr",
        "127.0.0.1",
        "--nproc-per-node",
        str(num_processes),
        "--max-restarts",
        "0",
    ]
    return [sys.executable, "-m", LAUNCHER, *group, *worker]
