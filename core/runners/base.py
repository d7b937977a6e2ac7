"""What a runner is: where the worker of a job runs, and how to see and end it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Worker:
    """A worker process as the database knows it. A pid alone may be somebody else's by now, so its start time goes with it."""

    pid: int
    started: float


class Runner(Protocol):
    """Starts and ends the worker of a job. Workers outlive the server; whoever comes next adopts them by their row."""

    name: str
    title: str

    def start(self, job_id: str) -> Worker | None:
        """Begin ``python -m core.worker JOB_ID`` without waiting for it; None when only the worker itself will know who it is.

        Raises OSError when that is impossible.
        """

    def is_alive(self, worker: Worker) -> bool: ...

    def stop(self, worker: Worker) -> None:
        """Ask it to save and end. One that is gone is fine."""

    def kill(self, worker: Worker) -> None:
        """End it now. One that is gone is fine."""
