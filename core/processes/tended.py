"""The parent's side of a row's work: a queue that starts children, oldest row first, and looks after them.

One thread of the server does it: it is woken by who asks for work and by each child that ends, and looks by
itself often while there is work, seldom while not. A child that died leaves its row failed, with the reason;
one that died before it claimed its row is started once more. After a restart of the server, what died with
the last one is done again (or told, where it cannot be), and processes of the last server that still live
are left to finish. Without a running server (a script, a test) work waits, or is done by ``finish``.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Load, defer

from core.config import settings, sibling_environment
from core.db import reading, writing
from core.processes import children, living
from core.processes.children import Child, Program
from core.processes.claimed import Key, Work, is_settled
from core.processes.rounds import Rounds
from core.tables import WorkRow

BUSY_SECONDS = 0.5
IDLE_SECONDS = 30.0
LOGGED_CHARACTERS = 4000
R = TypeVar("R", bound=WorkRow)
log = logging.getLogger(__name__)


class TendedQueue(ABC, Generic[R]):
    """``name`` is the thread's, ``log_name`` begins the name of each child's log; ``slots`` run at a time.

    ``is_repeatable``: what died with its server is done again by the next one.
    """

    name: str
    log_name: str
    slots: int
    program: Program
    is_repeatable = True
    deferred: tuple[str, ...] = ()  # large columns that are not read

    def __init__(self) -> None:
        self.children: dict[Key, Child] = {}
        self._tried: set[Key] = set()  # started, and ended before it had claimed its row
        self._changed = threading.Condition()
        self._wakes = 0
        self._thread: threading.Thread | None = None
        self._ticking = threading.Lock()

    @property
    def is_running(self) -> bool:
        """A thread looks after it: this is a server."""
        return self._thread is not None

    @property
    @abstractmethod
    def work(self) -> Work[R]: ...

    def may_start(self, row: R, open_rows: list[R]) -> bool:
        """Whether one that waits can be started now. It may be failed instead."""
        return True

    def environment(self, row: R) -> Mapping[str, str]:
        return sibling_environment()

    def stdin(self, row: R) -> str:
        return ""

    def ended(self, key: Key) -> None:
        """A child is gone, and its row settled."""

    def sweep(self, alive: set[Key], waiting: set[Key]) -> None:
        """At the start of a server: remove what processes left that are gone."""

    def tick(self, only: Key | None = None) -> bool:
        """Look once. True while something runs or waits. ``only``: this row, and children of one's own."""
        with self._ticking:
            self._settle_ended()
            open_rows = [row for row in self.list_open() if only in (None, self.work.key_of(row))]
            rows = [row for row in open_rows if not self._settle_dead(row)]
            running = set(self.children)
            running |= {self.work.key_of(row) for row in rows if row.worker_pid is not None}
            for row in rows:
                key = self.work.key_of(row)
                # asked of all, so that what can never be started is told at once
                if key not in running and self.may_start(row, rows) and len(running) < self.slots:
                    self._start(row, key)
                    running.add(key)
            return bool(rows or self.children)

    def finish(self, key: Key) -> None:
        """Return when a row is settled. Where no thread looks after the queue, the caller does."""
        self.wake()
        while True:
            wakes = self._wakes
            if not self.is_running:
                self.tick(only=key)
            if is_settled(self.work, key) and (self.is_running or key not in self.children):
                return
            self._wait(wakes, BUSY_SECONDS)

    def recover(self) -> None:
        """At the start of a server, before anything is asked for. Begins to look after the queue."""
        rows = self.list_open()
        alive = {self.work.key_of(row) for row in rows if is_alive(row)}
        for row in rows:
            if row.worker_pid is not None and self.work.key_of(row) not in alive:
                self._repeat(row)
        self.sweep(alive, {self.work.key_of(row) for row in self.list_open()} - alive)
        for output in _logs().glob(f"{self.log_name}-*.log"):
            if output not in {self.log_path(key) for key in alive}:
                output.unlink(missing_ok=True)
        self.run()

    def run(self) -> None:
        """Begin to look, in a thread."""
        self.shut_down()
        self._thread = threading.Thread(target=self._loop, daemon=True, name=self.name)
        self._thread.start()

    def shut_down(self) -> None:
        """Stop looking. Processes that run go on; the next server finds them."""
        thread, self._thread = self._thread, None
        self.wake()
        if thread is not None:
            thread.join(timeout=5)

    def wake(self) -> None:
        with self._changed:
            self._wakes += 1
            self._changed.notify_all()

    def list_open(self) -> list[R]:
        """What waits or runs, oldest first."""
        work = self.work
        unread: list[Load] = [defer(getattr(work.row, name)) for name in self.deferred]  # type: ignore[misc]
        statement = select(work.row).where(work.is_open).options(*unread)
        with reading() as session:
            return list(session.scalars(statement.order_by(work.row.created_at, *work.key_columns)))

    def log_path(self, key: Key) -> Path:
        """What the child prints."""
        folder = _logs()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.log_name}-{'-'.join(key).replace(':', '-')}.log"

    def _start(self, row: R, key: Key) -> None:
        try:
            self.children[key] = children.start(
                self.program,
                *key,
                output=self.log_path(key),
                environment=self.environment(row),
                stdin=self.stdin(row),
                then=self.wake,
            )
        except OSError as error:
            log.error("no process for the %s %s could be started: %s", self.work.name, " ".join(key), error)
            self.work.fail(key, self.work.crashed, pid=None)
            self.wake()

    def _settle_ended(self) -> None:
        """Children that have ended. Without effect on a row that its child has settled."""
        for key, child in [(key, child) for key, child in self.children.items() if child.poll() is not None]:
            del self.children[key]
            self._note_output(key, child.wait())
            if not self._is_unclaimed(key) or key in self._tried:
                self._tried.discard(key)
                if self.work.fail(key, self.work.crashed, pid=child.pid):
                    self.wake()  # who waits for it
            else:
                self._tried.add(key)  # it died before it had begun, which is no fault of the work
            self.ended(key)

    def _settle_dead(self, row: R) -> bool:
        """A process that is not a child of this server. True: its row is failed now."""
        key = self.work.key_of(row)
        if row.worker_pid is None or key in self.children or is_alive(row):
            return False
        ended = self.work.fail(key, self.work.crashed, pid=row.worker_pid)
        if ended:
            self.ended(key)
            self.wake()
        return ended

    def _repeat(self, row: R) -> None:
        work, key = self.work, self.work.key_of(row)
        if not self.is_repeatable:
            work.fail(key, work.crashed, pid=row.worker_pid)
            return
        work.clean(key)
        fresh = {"status": work.waiting, "progress": 0.0, "worker_pid": None, "worker_started": None}
        with writing() as session:
            work.change(session, key, work.is_open, work.row.worker_pid == row.worker_pid, **fresh)

    def _is_unclaimed(self, key: Key) -> bool:
        with reading() as session:
            row = session.scalar(select(self.work.row).where(self.work.is_row(key), self.work.is_waiting))
        return row is not None

    def _note_output(self, key: Key, code: int) -> None:
        """What a process said before it went wrong belongs into the server's log; its own file goes."""
        path = self.log_path(key)
        if code != 0:
            output = path.read_text(errors="replace")[-LOGGED_CHARACTERS:] if path.exists() else ""
            log.error("the %s %s ended with code %s: %s", self.work.name, " ".join(key), code, output)
        path.unlink(missing_ok=True)

    def _loop(self) -> None:
        rounds = Rounds(log, f"{self.name} could not be looked after")
        while self._thread is threading.current_thread():
            wakes = self._wakes
            try:
                with rounds.watched():
                    busy = self.tick()
            except Exception as error:  # the thread must go on: outermost loop
                rounds.failed(error)
                busy = False
            self._wait(wakes, BUSY_SECONDS if busy else IDLE_SECONDS)

    def _wait(self, seen: int, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._wakes != seen, timeout=seconds)


def is_alive(row: WorkRow) -> bool:
    """Whether the process that has claimed it still runs."""
    return living.is_alive(row.worker_pid, row.worker_started)


def _logs() -> Path:
    return settings().data_dir / "logs"
