"""A ready version of whatever a query of ours answers,
without an upload: for tests of what versions are used for."""

import functools
from typing import Any

import duckdb

from core import storage
from core.datasets import Version, get_version, rows
from core.db import writing
from core.people.users import User
from core.readers.base import describe, literal
from core.security import new_id
from core.tables import DatasetRow, DatasetVersionRow


@functools.cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """One for all: to open it takes longer than to write a small file."""
    return duckdb.connect()


def make(
    user: User, answer: str, *, dataset_id: str | None = None, name: str = "things", **fields: Any
) -> Version:
    """The next version of ``dataset_id``, or the first
    of a new dataset, with the rows that ``answer`` (SQL) has."""
    version_id = new_id("dsv")
    path = storage.parquet_path(version_id)
    path.parent.mkdir(parents=True)
    with _duckdb().cursor() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({answer}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
        source = f"read_parquet({literal(str(path))})"
        columns = [
            {"name": column, "type": type_} for column, type_ in describe(connection, f"FROM {source}")
        ]
        ((num_rows,),) = connection.execute(f"SELECT count(*) FROM {source}").fetchall()
    row = DatasetVersionRow(
        id=version_id,
        created_by=user.id,
        **{
            "status": "ready",
            "content_hash": version_id,
            "columns": columns,
            "num_rows": num_rows,
            "num_columns": len(columns),
            "size_bytes": path.stat().st_size,
            **fields,
        },
    )
    with writing() as session:
        if dataset_id:
            rows.append(session, rows.own(session, user.id, dataset_id), row)
        else:
            dataset = DatasetRow(id=new_id("ds"), owner_id=user.id, name=name)
            session.add(dataset)
            session.flush()
            rows.append(session, dataset, row)
    return get_version(user, version_id)
