"""The questions themselves: an answer as rows, as an Arrow stream,
as a version, as a plan; a dataset described."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from pyarrow import parquet

from core import datasets, storage
from core.config import settings
from core.datasets import Dataset, SqlTable, Version
from core.errors import NotFound, ValidationError
from core.fields import parse
from core.people.users import User
from core.query.names import Names
from core.query.turn import QueryProgress, ask, largest_result, limits, private_folder
from core.query.values import (
    MAX_ROWS,
    ArrowResult,
    NewArrowQuery,
    NewQuery,
    Operator,
    QueryPlan,
    QueryResult,
    QueryTable,
    SavedQuery,
)
from core.sql_sandbox import Stop
from core.sql_sandbox.rows import json_rows

SAVING_TAKES = 3  # a saved result may be as long as the dataset, so it gets three times the deadline


def run(
    user: User, new: NewQuery, *, stop: Stop | None = None, progress: QueryProgress | None = None
) -> QueryResult:
    """Answer a query.

    Raises SqlError, QueryTimeout, QueryStopped (``stop`` was set), RateLimited, Unavailable, DiskFull.
    """
    return _run(user, new, Names(datasets.sql_tables(user)), progress or QueryProgress(stop or Stop()))


def run_on(
    user: User, dataset_id: str, sql: str, *, limit: int = 1_000, stop: Stop | None = None
) -> QueryResult:
    """Answer a query in which the dataset's newest version is also called ``data``.

    Raises as :func:`run`, and NotFound.
    """
    tables = datasets.sql_tables(user)
    names = Names(tables, extra={"data": _latest(tables, dataset_id)})
    return _run(user, parse(NewQuery, sql=sql, limit=limit), names, QueryProgress(stop or Stop()))


def describe(user: User, dataset_id: str, *, version: int | None = None) -> QueryResult:
    """One row per column: type, smallest, largest, distinct (approximate), mean, median, share of nulls.

    Raises as :func:`run`.
    """
    tables = datasets.sql_tables(user)
    table = _latest(tables, dataset_id) if version is None else _numbered(tables, dataset_id, version)
    sql = (
        'SELECT column_name, column_type, "min", "max", approx_unique, "avg", q50, null_percentage '
        "FROM (SUMMARIZE data)"
    )
    return _run(
        user, NewQuery(sql=sql, limit=MAX_ROWS), Names([table], extra={"data": table}), QueryProgress()
    )


def arrow(user: User, new: NewArrowQuery, *, stop: Stop | None = None) -> ArrowResult:
    """Answer a query as an Arrow stream that was never in this process's memory. Raises as :func:`run`."""
    progress = QueryProgress(stop or Stop())
    names = Names(datasets.sql_tables(user))
    with private_folder() as folder:
        allowed = limits(rows=new.limit)
        outcome = ask(
            user,
            new.sql,
            names,
            folder=folder,
            limits=allowed,
            progress=progress,
            parameters=new.parameters,
            form="arrow",
        )
        assert outcome.answer.file is not None
        stream = outcome.answer.file.open("rb")
    return ArrowResult(
        stream=stream,
        size_bytes=os.fstat(stream.fileno()).st_size,
        row_count=outcome.answer.rows,
        truncated=outcome.answer.truncated,
        elapsed_ms=progress.elapsed_ms,
        queue_ms=progress.queue_ms,
    )


def plan(
    user: User, new: NewQuery, *, stop: Stop | None = None, progress: QueryProgress | None = None
) -> QueryPlan:
    """Run a query to its end without keeping its rows, and tell what each step cost.

    Raises as :func:`run`.
    """
    progress = progress or QueryProgress(stop or Stop())
    names = Names(datasets.sql_tables(user))
    with private_folder() as folder:
        outcome = ask(
            user,
            new.sql,
            names,
            folder=folder,
            limits=limits(),
            progress=progress,
            parameters=new.parameters,
            form="plan",
        )
    steps = outcome.answer.plan
    total_seconds = sum(map(_seconds, steps)) or 1.0
    return QueryPlan(
        operators=tuple(_operator(step, total_seconds) for step in steps),
        elapsed_ms=progress.elapsed_ms,
        queue_ms=progress.queue_ms,
        bytes_scanned=outcome.bytes_scanned,
        rows_scanned=outcome.rows_scanned,
    )


def save(
    user: User,
    *,
    sql: str,
    name: str | None = None,
    dataset_id: str | None = None,
    note: str = "",
    progress: QueryProgress | None = None,
) -> tuple[Dataset, Version]:
    """Keep a query's whole result. Raises as :func:`run`, and ValidationError, NotFound, TooLarge."""
    new = parse(SavedQuery, sql=sql, name=name, dataset_id=dataset_id, note=note)
    if new.name is None and new.dataset_id is None:
        raise ValidationError.of("name", "give the new dataset a name")
    if new.dataset_id is not None:
        datasets.get(user, new.dataset_id)
    storage.require_space()
    names = Names(datasets.sql_tables(user))
    allowed = limits(seconds=settings().query_seconds * SAVING_TAKES, file_bytes=largest_result())
    with private_folder() as folder:
        outcome = ask(
            user,
            new.sql,
            names,
            folder=folder,
            limits=allowed,
            progress=progress or QueryProgress(),
            form="parquet",
        )
        assert outcome.answer.file is not None
        if parquet.read_metadata(outcome.answer.file).num_rows == 0:
            raise ValidationError.of("sql", "gives no rows, so there is nothing to keep")
        parents = sorted({table.version_id for table in outcome.used})
        return datasets.create_from_table(
            user,
            name=new.name,
            parquet=outcome.answer.file,
            sql=new.sql,
            parents=parents,
            note=new.note,
            dataset_id=new.dataset_id,
        )


def tables(user: User) -> list[QueryTable]:
    """The newest version of every dataset the user may query, by name; by id where several have that name."""
    names = Names(datasets.sql_tables(user))
    newest = [table for table in names.tables if table.is_latest]
    newest.sort(key=lambda table: (table.dataset_name.lower(), table.dataset_id))
    return [
        QueryTable(names.name_of(table.version_id), table.dataset_id, list(table.columns), table.num_rows)
        for table in newest
    ]


def first_query(table: str) -> str:
    """A query to start from; ``table`` as it has to be written."""
    return f"SELECT *\nFROM {table}\nLIMIT 100"


def table_name(user: User, version_id: str) -> str:
    """What SQL calls a version of the user's: the shortest name that means it alone, quoted if need be."""
    return Names(datasets.sql_tables(user)).name_of(version_id)


def _run(user: User, new: NewQuery, names: Names, progress: QueryProgress) -> QueryResult:
    with private_folder() as folder:
        allowed = limits(rows=new.limit)
        outcome = ask(
            user, new.sql, names, folder=folder, limits=allowed, progress=progress, parameters=new.parameters
        )
    assert outcome.answer.table is not None
    rows = json_rows(outcome.answer.table)
    return QueryResult(
        table=outcome.answer.table,
        columns=outcome.answer.columns,
        rows=rows,
        row_count=len(rows),
        truncated=outcome.answer.truncated,
        elapsed_ms=progress.elapsed_ms,
        queue_ms=progress.queue_ms,
        bytes_scanned=outcome.bytes_scanned,
        rows_scanned=outcome.rows_scanned,
        dataset_ids=tuple(dict.fromkeys(table.dataset_id for table in outcome.used)),
    )


def _operator(step: Mapping[str, Any], whole: float) -> Operator:
    return Operator(
        name=step["operator"],
        rows=step["rows"],
        estimate=step["estimate"],
        seconds=step["seconds"],
        share=step["seconds"] / whole,
        details=tuple((key, text) for key, text in step["details"]),
        children=tuple(_operator(child, whole) for child in step["children"]),
    )


def _seconds(step: Mapping[str, Any]) -> float:
    return float(step["seconds"]) + sum(map(_seconds, step["children"]))


def _latest(found: Iterable[SqlTable], dataset_id: str) -> SqlTable:
    for table in found:
        if table.dataset_id == dataset_id and table.is_latest:
            return table
    raise NotFound


def _numbered(found: Iterable[SqlTable], dataset_id: str, number: int) -> SqlTable:
    for table in found:
        if table.dataset_id == dataset_id and table.number == number:
            return table
    raise NotFound
