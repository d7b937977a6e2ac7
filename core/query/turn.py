"""One query's way to the sandbox: its turn, its limits, its private folder, its line in the usage.

At most ``query_concurrency`` queries run at once, the others wait in a fair queue. Whoever asks can follow
and stop his query through its :class:`QueryProgress`.
"""

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core import datasets, hardware, sql_sandbox, storage
from core.config import settings
from core.datasets import SqlTable
from core.db import writing
from core.errors import Conflict, QueryStopped, RateLimited, Unavailable
from core.people import usage
from core.people.users import User
from core.query.names import Names
from core.query.words import translated
from core.security import new_token
from core.sql_sandbox import Limits, QueryFailed, SandboxResult, Stop, Stopped
from core.sql_sandbox.answers import Form
from core.sql_sandbox.turns import TooBusy, Turns

MAX_THREADS = 4
SPILL_BYTES = 4 * 2**30  # what a query that does not fit into its memory may put on disk
turns = Turns()


@dataclass
class QueryProgress:
    """What is going on with one query.

    ``place``: how many will begin until it does (1 is next), 0 while it runs, None before.
    """

    stop: Stop = field(default_factory=Stop)
    place: int | None = None
    began: float = field(default_factory=time.monotonic)
    ran_from: float | None = None

    def tell(self, place: int) -> None:
        self.place = place
        if place == 0:
            self.ran_from = time.monotonic()

    @property
    def queue_ms(self) -> int:
        """How long it waited for its place, or waits by now."""
        return round(((self.ran_from or time.monotonic()) - self.began) * 1000)

    @property
    def elapsed_ms(self) -> int:
        """How long it has been at work since it left the queue."""
        return round((time.monotonic() - (self.ran_from or time.monotonic())) * 1000)


@dataclass(frozen=True)
class AnsweredQuery:
    """The sandbox's answer and the tables it read."""

    answer: SandboxResult
    used: list[SqlTable]

    @property
    def bytes_scanned(self) -> int:
        return int(self.answer.scanned.get("bytes", 0))

    @property
    def rows_scanned(self) -> int:
        """With a filter in the scan DuckDB counts what passed it;
        looked at were the rows of the row groups that it opened."""
        named = dict(zip(self.answer.used, self.used, strict=True))
        return sum(
            _rows_of(scan, named[scan["table"]].num_rows) for scan in self.answer.scanned.get("tables", ())
        )


def ask(
    user: User,
    sql: str,
    names: Names,
    *,
    folder: Path,
    limits: Limits,
    progress: QueryProgress,
    parameters: list[Any] | dict[str, Any] | None = None,
    form: Form = "table",
) -> AnsweredQuery:
    """Wait for a turn and run.

    Raises SqlError, QueryTimeout, QueryStopped, RateLimited, Unavailable, DiskFull, TooLarge, and Conflict
    where a table goes meanwhile.
    """
    mentioned: Mapping[str, Any] = names.mentioned(sql)
    files = _existing(user, mentioned)
    try:
        with _a_turn(user, progress), _recorded(user):
            answer = sql_sandbox.run(
                sql,
                tables=files,
                folder=folder,
                limits=limits,
                parameters=parameters,
                form=form,
                stop=progress.stop,
            )
    except QueryFailed as failed:
        _require_not_removed(user, mentioned)
        raise translated(failed, user, sql, names, limits=limits, saving=form == "parquet") from None
    except Stopped:
        raise QueryStopped from None
    except sql_sandbox.SandboxUnavailable:
        raise Unavailable("Queries cannot be run right now. Try again in a moment.") from None
    return AnsweredQuery(answer, [mentioned[name] for name in answer.used])


@contextmanager
def private_folder() -> Iterator[Path]:
    """The only place a query may write to; gone afterwards.

    What a dead server left is swept from staging at start.
    """
    storage.require_space()
    folder = storage.staging_dir() / f"sql-{new_token()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def limits(**changed: Any) -> Limits:
    """What the server's settings give one query."""
    defaults = Limits(
        seconds=settings().query_seconds,
        memory_mb=settings().query_memory_mb,
        threads=hardware.cores(at_most=MAX_THREADS),
        file_bytes=max(2**20, min(SPILL_BYTES, _free_bytes() // (settings().query_concurrency + 1))),
    )
    return replace(defaults, **changed)


def largest_result() -> int:
    """Bytes that a saved result may have."""
    return max(2**20, min(settings().max_expanded_mb * 2**20, _free_bytes()))


@contextmanager
def _a_turn(user: User, progress: QueryProgress) -> Iterator[None]:
    wait = settings().query_seconds
    places = settings().query_concurrency
    turn = turns.take(user.id, places=places, seconds=wait, stop=progress.stop, tell=progress.tell)
    try:
        turn.__enter__()
    except TooBusy:
        message = "Too many queries are running on this server. Wait for some to finish, then try again."
        raise RateLimited(message, retry_after=math.ceil(wait)) from None
    try:
        yield
    finally:
        turn.__exit__(None, None, None)


@contextmanager
def _recorded(user: User) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        with writing() as session:
            usage.record(session, user_id=user.id, kind="query", seconds=time.monotonic() - started)


def _free_bytes() -> int:
    return shutil.disk_usage(settings().data_dir).free - settings().disk_reserve_mb * 2**20


def _existing(user: User, tables: Mapping[str, Any]) -> dict[str, Path]:
    files = {name: storage.parquet_path(table.version_id) for name, table in tables.items()}
    for name, path in files.items():
        if not path.is_file():
            _require_not_removed(user, tables)
            raise Unavailable(
                f'The file of "{name}" is missing on the server. Ask the admin to restore it from a backup.'
            )
    return files


def _require_not_removed(user: User, tables: Mapping[str, Any]) -> None:
    """Asked when a query has failed: files go after the rows that name them."""
    if all(storage.parquet_path(table.version_id).is_file() for table in tables.values()):
        return
    there = {table.version_id for table in datasets.sql_tables(user)}
    for name, table in tables.items():
        if table.version_id not in there:
            raise Conflict(f'"{name}" was deleted while it was queried.')


def _rows_of(scan: Mapping[str, Any], num_rows: int) -> int:
    if not scan["filtered"] or not scan["of_groups"]:
        return min(int(scan["rows"]), num_rows)
    return max(int(scan["rows"]), round(num_rows * scan["groups"] / scan["of_groups"]))
