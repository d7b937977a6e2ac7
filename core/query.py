"""SQL over a user's datasets: run it, describe a dataset, save a result as a version.

Every query of every user takes this one way, a chat's too. Names resolve among the caller's own and shared datasets only
(``core.query_tables``); the text runs in ``core.sql_sandbox`` under the server's limits. At most ``query_concurrency`` run at once,
the others wait in turn. Each run is recorded as usage, whether it answered or not. Positions in errors count characters from 0.
"""

import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from core import datasets, sql_sandbox, storage, usage
from core.config import settings
from core.datasets import Dataset, SqlTable, Version
from core.db import writing
from core.errors import (
    DiskFull,
    LuthierError,
    NotFound,
    QueryTimeout,
    RateLimited,
    SqlError,
    TooLarge,
    Unavailable,
    ValidationError,
)
from core.fields import Input, parse
from core.query_tables import Names, quoted
from core.security import new_token
from core.sql_sandbox import QueryFailed
from core.sql_sandbox.gate import MAX_CHARACTERS
from core.sql_sandbox.rows import json_rows
from core.sql_sandbox.turns import TooBusy, Turns
from core.users import User

MAX_ROWS = 10_000
MAX_THREADS = 4
SPILL_BYTES = 4 * 2**30  # what a query that does not fit into its memory may put on disk
SAVING_TAKES = 3  # a saved result may be as long as the dataset, so it gets three times the deadline
_turns = Turns()


class NewQuery(Input):
    """One question. ``limit`` cuts the answer, it does not change the query."""

    sql: str = Field(min_length=1, max_length=MAX_CHARACTERS, description="One SELECT, DESCRIBE or SUMMARIZE.")
    limit: int = Field(1_000, ge=1, le=MAX_ROWS, description="Rows to answer at most.")
    parameters: list[Any] | dict[str, Any] | None = Field(None, description="Values for ? and $1, or for $name.")


class SavedQuery(Input):
    """A result to keep: as the first version of a new dataset, or as the next version of one."""

    sql: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    name: str | None = Field(None, min_length=1, max_length=200)
    dataset_id: str | None = None
    note: str = Field("", max_length=500)


@dataclass(frozen=True)
class QueryResult:
    """An answer. ``columns``: {"name", "type"} as DuckDB calls it; ``rows``: what JSON can hold; ``truncated``: there is more."""

    columns: list[dict[str, str]]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    elapsed_ms: int

    @property
    def table(self) -> pa.Table:
        """The same rows as Arrow, with their real types."""
        return self.__dict__["_table"]


@dataclass(frozen=True)
class QueryTable:
    """A table that SQL can name; ``name`` is as it has to be written, with quotes where they are needed."""

    name: str
    dataset_id: str
    columns: list[dict[str, str]]
    num_rows: int


def run(user: User, new: NewQuery) -> QueryResult:
    """Answer a query. Raises SqlError, QueryTimeout, RateLimited, Unavailable, DiskFull."""
    return _run(user, new, Names(datasets.sql_tables(user)))


def run_on(user: User, dataset_id: str, sql: str, *, limit: int = 1_000) -> QueryResult:
    """Answer a query in which the dataset's newest version is also called ``data``. Raises as :func:`run`, and NotFound."""
    tables = datasets.sql_tables(user)
    names = Names(tables, extra={"data": _latest(tables, dataset_id)})
    return _run(user, parse(NewQuery, sql=sql, limit=limit), names)


def describe(user: User, dataset_id: str, *, version: int | None = None) -> QueryResult:
    """One row per column: type, smallest, largest, distinct (approximate), mean, median, share of nulls. Raises as :func:`run`."""
    tables = datasets.sql_tables(user)
    table = _latest(tables, dataset_id) if version is None else _numbered(tables, dataset_id, version)
    sql = 'SELECT column_name, column_type, "min", "max", approx_unique, "avg", q50, null_percentage FROM (SUMMARIZE data)'
    return _run(user, NewQuery(sql=sql, limit=MAX_ROWS), Names([table], extra={"data": table}))


def save(
    user: User, *, sql: str, name: str | None = None, dataset_id: str | None = None, note: str = ""
) -> tuple[Dataset, Version]:
    """Keep a query's whole result. Raises as :func:`run`, and ValidationError, NotFound, TooLarge."""
    new = parse(SavedQuery, sql=sql, name=name, dataset_id=dataset_id, note=note)
    if new.name is None and new.dataset_id is None:
        raise ValidationError.of("name", "give the new dataset a name")
    if new.dataset_id is not None:
        datasets.get(user, new.dataset_id)
    storage.require_space()
    names = Names(datasets.sql_tables(user))
    limits = replace(_limits(), seconds=settings().query_seconds * SAVING_TAKES, file_bytes=_largest_result())
    with _private_folder() as folder:
        answer, used = _ask(user, new.sql, names, folder=folder, limits=limits, saving=True)
        assert answer.file is not None
        parents = sorted({table.version_id for table in used})
        return datasets.create_from_table(
            user,
            name=new.name,
            parquet=answer.file,
            sql=new.sql,
            parents=parents,
            note=new.note,
            dataset_id=new.dataset_id,
        )


def tables(user: User) -> list[QueryTable]:
    """The newest version of every dataset the user may query, by name."""
    found = sorted((t for t in datasets.sql_tables(user) if t.is_latest), key=lambda t: (t.dataset_name.lower(), t.dataset_id))
    return [QueryTable(quoted(t.dataset_name), t.dataset_id, list(t.columns), t.num_rows) for t in found]


def _run(user: User, new: NewQuery, names: Names) -> QueryResult:
    started = time.monotonic()
    with _private_folder() as folder:
        limits = replace(_limits(), rows=new.limit)
        answer, _ = _ask(user, new.sql, names, folder=folder, limits=limits, parameters=new.parameters)
    assert answer.table is not None
    rows = json_rows(answer.table)
    result = QueryResult(answer.columns, rows, len(rows), answer.truncated, round((time.monotonic() - started) * 1000))
    result.__dict__["_table"] = answer.table  # beside the fields: an API must not try to serialise it
    return result


def _ask(
    user: User,
    sql: str,
    names: Names,
    *,
    folder: Path,
    limits: sql_sandbox.Limits,
    parameters: list[Any] | dict[str, Any] | None = None,
    saving: bool = False,
) -> tuple[sql_sandbox.Answer, list[SqlTable]]:
    """The sandbox's answer and the tables it read."""
    mentioned: Mapping[str, Any] = names.mentioned(sql)
    files = {name: storage.parquet_path(table.version_id) for name, table in mentioned.items()}
    with _a_turn(user), _recorded(user):
        try:
            answer = sql_sandbox.run(sql, tables=_existing(files), folder=folder, limits=limits, parameters=parameters, save=saving)
        except QueryFailed as failed:
            raise _translated(failed, sql, names, limits, saving=saving) from None
        except sql_sandbox.SandboxUnavailable:
            raise Unavailable("Queries cannot be run right now. Try again in a moment.") from None
    return answer, [mentioned[name] for name in answer.used]


@contextmanager
def _a_turn(user: User) -> Iterator[None]:
    wait = settings().query_seconds
    turn = _turns.take(user.id, places=settings().query_concurrency, seconds=wait)
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


@contextmanager
def _private_folder() -> Iterator[Path]:
    """The only place a query may write to; gone afterwards. What a dead server left is swept from staging at start."""
    storage.require_space()
    folder = storage.staging_dir() / f"sql-{new_token()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _limits() -> sql_sandbox.Limits:
    return sql_sandbox.Limits(
        seconds=settings().query_seconds,
        memory_mb=settings().query_memory_mb,
        threads=min(MAX_THREADS, os.cpu_count() or 1),
        file_bytes=max(2**20, min(SPILL_BYTES, _free_bytes() // (settings().query_concurrency + 1))),
    )


def _largest_result() -> int:
    return max(2**20, min(settings().max_expanded_mb * 2**20, _free_bytes()))


def _free_bytes() -> int:
    return shutil.disk_usage(settings().data_dir).free - settings().disk_reserve_mb * 2**20


def _existing(files: Mapping[str, Path]) -> dict[str, Path]:
    for name, path in files.items():
        if not path.is_file():
            raise Unavailable(f'The file of "{name}" is missing on the server. Ask the admin to restore it from a backup.')
    return dict(files)


def _translated(failed: QueryFailed, sql: str, names: Names, limits: sql_sandbox.Limits, *, saving: bool) -> LuthierError:
    failure = failed.failure
    if failure.kind == "unknown_tables":
        first = failed.unknown[0]
        return SqlError(names.explain(first.parts), position=_characters(sql, first.position))
    if failure.kind == "timeout":
        return QueryTimeout(
            f"The query took longer than {limits.seconds:g} seconds and was stopped. Filter earlier, or ask for less."
        )
    if failure.kind in ("memory", "died"):
        what = "ran out of memory" if failure.kind == "memory" else "was stopped, most likely because it ran out of memory"
        return SqlError(f"The query {what}: one query may use {limits.memory_mb} MiB. Filter earlier, or select fewer columns.")
    if failure.kind == "disk":
        return DiskFull()
    if failure.kind == "size":
        message = f"The result is larger than one query may write ({limits.file_bytes / 2**30:.1f} GiB)."
        return TooLarge(message) if saving else SqlError(message)
    advice = names.quoting_advice(sql) if "syntax error" in failure.message.lower() else ""
    return SqlError(failure.message + advice, position=_characters(sql, failure.position))


def _characters(sql: str, position: int | None) -> int | None:
    """DuckDB counts bytes, people count characters."""
    return None if position is None else len(sql.encode("utf-8", "surrogatepass")[:position].decode("utf-8", "ignore"))


def _latest(found: list[SqlTable], dataset_id: str) -> SqlTable:
    for table in found:
        if table.dataset_id == dataset_id and table.is_latest:
            return table
    raise NotFound


def _numbered(found: list[SqlTable], dataset_id: str, number: int) -> SqlTable:
    for table in found:
        if table.dataset_id == dataset_id and table.number == number:
            return table
    raise NotFound
