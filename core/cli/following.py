"""A job watched from a shell until it ends, and, where no server runs, looked after here."""

import sys
import time
from collections.abc import Callable

from core import fine_tuning
from core.cli import output
from core.db import reading
from core.fine_tuning import Job
from core.people.users import User
from core.runners import RUNNERS, Worker
from core.tables import JobRow
from core.workers.supervisor import Supervisor

LOOK_SECONDS = 0.5
LINE_SECONDS = 10.0  # between two lines about progress where the output is no terminal
PAGE = 100
EXIT = {"succeeded": 0, "failed": 1, "cancelled": 1, "paused": 3}


def watch(user: User, job: Job, *, quiet: bool = False, tick: Callable[[], None] | None = None) -> int:
    """Show events and progress until the job has ended or is paused.

    Returns the exit status. ``tick`` is called at every look.
    """
    line, shown = _Line(quiet), 0
    while True:
        if tick:
            tick()
        job = fine_tuning.get(user, job.id)
        shown = _show_events(user, job, shown, line)
        if job.status in EXIT:
            break
        line.draw(describe(job))
        time.sleep(LOOK_SECONDS)
    line.end()
    if not quiet:
        output.note(_outcome(job))
    return EXIT[job.status]


def run(user: User, job: Job, *, quiet: bool = False) -> int:
    """Look after the queue from here until this job has ended: for a machine on which no server runs.

    Turns and limits are the queue's, so jobs before this one are started first. A running server may do the
    same beside it: whoever claims a job runs it. Ctrl+C asks the worker to save; the job then waits in the
    queue.
    """
    supervisor = Supervisor()
    try:
        return watch(user, job, quiet=quiet, tick=supervisor.tick)
    except KeyboardInterrupt:
        _ask_to_save(job.id)
        print(file=sys.stderr)
        output.note(f"The training saves and waits in the queue. Go on: python -m core watch {job.id} --run")
        raise


def describe(job: Job) -> str:
    """``running  step 120/300  40%  loss 1.234  2,100 tok/s  2 min left`` in at most 80 characters."""
    parts = [job.status]
    if job.status == "running" and job.total_steps:
        parts += [f"step {job.step:,}/{job.total_steps:,}", f"{job.progress:.0%}"]
        parts += [f"loss {job.train_loss:.4g}"] if job.train_loss is not None else []
        parts += [f"valid {job.valid_loss:.4g}"] if job.valid_loss is not None else []
        parts += [f"{job.tokens_per_second:,.0f} tok/s"] if job.tokens_per_second else []
        parts += [f"{output.short_seconds(job.eta_seconds)} left"] if job.eta_seconds is not None else []
    return "  ".join(parts)[: output.WIDTH - 1]


class _Line:
    """One line that is drawn over in a terminal, and a line now and then elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._last, self._at = quiet, "", -LINE_SECONDS
        self._is_terminal = sys.stderr.isatty()

    def draw(self, text: str) -> None:
        if self._quiet or text == self._last:
            return
        if self._is_terminal:
            print(f"\r{text:<{output.WIDTH - 1}}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._at < LINE_SECONDS:
            return
        else:
            self._at = time.monotonic()
            output.note(text)
        self._last = text

    def end(self) -> None:
        """What follows begins on a line of its own."""
        if self._is_terminal and self._last:
            print(f"\r{'':<{output.WIDTH - 1}}\r", end="", file=sys.stderr, flush=True)
        self._last = ""

    def above(self, text: str) -> None:
        if not self._quiet:
            self.end()
            output.note(text)


def _show_events(user: User, job: Job, shown: int, line: _Line) -> int:
    """Print what is new; returns how many have been shown."""
    events = fine_tuning.events(user, job.id, fine_tuning.EventList(limit=PAGE, offset=shown)).items
    for event in events:
        mark = "" if event.level == "info" else f"{event.level}: "
        line.above(f"{event.created_at.astimezone():%H:%M:%S}  {mark}{event.message}")
    return shown + len(events)


def _outcome(job: Job) -> str:
    if job.status == "succeeded":
        return f"The model is {job.name} ({job.model_id})."
    if job.error:
        return f"{job.status}: {job.error['message']}"
    return f"The job is {job.status}."


def _ask_to_save(job_id: str) -> None:
    with reading() as session:
        row = session.get_one(JobRow, job_id)
    if row.worker_pid and row.worker_started:
        RUNNERS[row.runner].stop(Worker(row.worker_pid, row.worker_started, row.worker_ref))
