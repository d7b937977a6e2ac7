"""The work of a row in a table, and the child's side of it: claim, report while it runs, settle last.

``Work`` names the table, and what is said where it fails. Every change is one guarded UPDATE: a row is
claimed once, and after that only the process that has it says how far it is and how it ended. Whoever finds
its row gone, or given to somebody else, stops: nobody waits for what it does. A database that is away is
waited for, so that no work is lost to it.

In the row: ``waiting`` until a process claims it, ``running`` while that works, then ``ready`` or ``failed``.
Who starts these processes and looks after them is ``tended``.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psutil
from sqlalchemy import ColumnElement, and_, func, inspect, select, tuple_, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.clock import now
from core.config import settings
from core.db import is_away, num_changed, reading, when_there, writing
from core.errors import LuthierError
from core.tables import WorkRow

Key = tuple[str, ...]  # the primary key of a row
Values = dict[str, Any]  # column -> value
PATIENCE_SECONDS = 3600.0  # how long a child waits for a database that is away
R = TypeVar("R", bound=WorkRow)
T = TypeVar("T")
log = logging.getLogger(__name__)


def _say_error(error: LuthierError) -> Values:
    return {"error": error.message, "finished_at": now()}


def _nothing(_key: Key) -> None:
    """It leaves nothing behind."""


@dataclass(frozen=True)
class Work(Generic[R]):
    """One kind of work for children.

    ``name`` is said in logs. ``waiting`` and ``running`` may be the same word: the process in the row tells
    them apart. ``crashed`` is told where a process died, ``unforeseen`` where it met an error that nobody
    knows. ``failure`` makes columns of an error, ``clean`` removes what a process that failed left behind.
    """

    name: str
    row: type[R]
    crashed: LuthierError
    unforeseen: LuthierError
    waiting: str = "waiting"
    running: str = "running"
    failure: Callable[[LuthierError], Values] = _say_error
    clean: Callable[[Key], None] = _nothing

    def is_row(self, key: Key) -> ColumnElement[bool]:
        return and_(*(column == part for column, part in zip(self.key_columns, key, strict=True)))

    @property
    def key_columns(self) -> list[InstrumentedAttribute[str]]:
        return [getattr(self.row, column.key) for column in inspect(self.row).primary_key]

    @property
    def is_waiting(self) -> ColumnElement[bool]:
        return and_(self.row.status == self.waiting, self.row.worker_pid.is_(None))

    @property
    def is_open(self) -> ColumnElement[bool]:
        """It waits or runs."""
        return self.row.status.in_({self.waiting, self.running})

    def claim(self, key: Key) -> R | None:
        """For the process that does it. None: somebody else has it, or nobody wants it any more."""
        me = psutil.Process()
        claimed = {"worker_pid": me.pid, "worker_started": me.create_time(), "heartbeat_at": now()}
        with writing() as session:
            if not self.change(session, key, self.is_waiting, status=self.running, progress=0.0, **claimed):
                return None
            return session.scalar(select(self.row).where(self.is_row(key)))

    def beat(self, key: Key, *guards: ColumnElement[bool], **values: Any) -> bool:
        """Say that it goes on. False: it should not."""
        with writing() as session:
            return self.change(session, key, self._is_mine, *guards, heartbeat_at=now(), **values)

    def settle(self, session: Session, key: Key, *guards: ColumnElement[bool], **values: Any) -> bool:
        """It is done. False: nobody waits for it, and what it has made should go."""
        done = {"status": "ready", "progress": 1.0, "heartbeat_at": now()}
        return self.change(session, key, self._is_mine, *guards, **done, **values)

    def fail(self, key: Key, error: LuthierError, *, pid: int | None) -> bool:
        """End what waits, or what the process ``pid`` has.

        False: it is over already, or somebody else's by now.
        """
        has_it = self.row.worker_pid.is_(None) | (self.row.worker_pid == pid)
        with writing() as session:
            ended = self.change(session, key, self.is_open, has_it, status="failed", **self.failure(error))
        if ended:
            self.clean(key)
        return ended

    def count_ahead(self, session: Session, row: R) -> int | None:
        """How many that wait will be started before it. None when it does not wait."""
        if row.status != self.waiting or row.worker_pid is not None:
            return None
        order = (self.row.created_at, *self.key_columns)
        before = tuple_(*order) < tuple_(row.created_at, *self.key_of(row))
        return session.scalar(select(func.count()).where(self.is_waiting, before)) or 0

    def key_of(self, row: R) -> Key:
        return tuple(getattr(row, column.key) for column in self.key_columns)

    def change(self, session: Session, key: Key, *guards: ColumnElement[bool], **values: Any) -> bool:
        """One guarded UPDATE. False: the row is gone, or a guard does not hold."""
        statement = update(self.row).where(self.is_row(key), *guards)
        return bool(num_changed(session, statement.values(**values)))

    @property
    def _is_mine(self) -> ColumnElement[bool]:
        return and_(self.row.status == self.running, self.row.worker_pid == os.getpid())


def run(
    work: Work[R],
    key: Key,
    do: Callable[[R], None],
    explain: Callable[[Exception], LuthierError | None] = lambda _error: None,
) -> bool:
    """Claim a row, do its work and settle it, whatever happens: the outermost loop of a child.

    ``do`` settles it when all is well. ``explain`` makes a sentence of an error that is no LuthierError.
    False: something is wrong here, and the log of the process says more.
    """
    row = when_there(lambda: work.claim(key), seconds=PATIENCE_SECONDS)
    if row is None:
        return True
    try:
        do(row)
    except LuthierError as error:
        _fail(work, key, error)
    except Exception as error:  # whatever it is, its row must say that it failed
        log.exception("%s %s", work.name, " ".join(key))
        _fail(work, key, explain(error) or work.unforeseen)
        return False
    return True


def _fail(work: Work[R], key: Key, error: LuthierError) -> None:
    when_there(lambda: work.fail(key, error, pid=os.getpid()), seconds=PATIENCE_SECONDS)


@contextmanager
def beating(
    beat: Callable[[], bool], stop: Callable[[threading.Event], None], *, every: float
) -> Iterator[None]:
    """While the block runs, a second thread calls ``beat`` each ``every`` seconds.

    Once that is False ``stop`` is called, with an event that says whether the block has ended. The row is
    settled behind the block, never in it: a beat that finds it settled would take it for somebody else's.
    """
    done = threading.Event()

    def look() -> None:
        while not done.wait(every):
            try:
                is_wanted = beat()
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise
                continue
            if not is_wanted:
                stop(done)
                return

    thread = threading.Thread(target=look, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def write_end(write: Callable[[Session], T]) -> T:
    """What settles a row, in a transaction of its own: tried again while the database is away.

    Not where nobody knows whether it was written: a second time it would find its row settled.
    """
    is_in_doubt = False

    def once() -> T:
        nonlocal is_in_doubt
        try:
            with writing() as session:
                written = write(session)
                is_in_doubt = True
            return written
        except DBAPIError as error:
            if is_in_doubt:
                raise RuntimeError(
                    "the database broke off before it said whether the end was kept"
                ) from error
            raise

    return when_there(once, seconds=PATIENCE_SECONDS)


def start_program(niceness: int = 0) -> None:
    """What a child does first: log into its own file, and let people's clicks come first."""
    logging.basicConfig(level=settings().log_level, format="%(asctime)s %(levelname)s %(message)s")
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)


def is_settled(work: Work[R], key: Key) -> bool:
    """It is over, in whatever way; or its row is gone."""
    with reading() as session:
        return session.scalar(select(func.count()).where(work.is_row(key), work.is_open)) == 0
