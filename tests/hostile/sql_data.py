"""Users with tables, made without the converter: only the sandbox is under test here."""

import duckdb

from core import storage
from core.db import writing
from core.people import users as accounts
from core.people.users import Registration, User, register
from core.security import new_id
from core.tables import DatasetRow, DatasetVersionRow
from tests.conftest import PASSWORD


def users(admin: User, count: int) -> list[User]:
    """So many members."""
    accounts.set_registration_mode(admin, "open")
    return [
        register(
            Registration(email=f"user{n}@example.com", password=PASSWORD, name=f"User {n}"),
            address=f"10.1.0.{n}",
        )
        for n in range(count)
    ]


def add_table(user: User, name: str, sql: str) -> DatasetVersionRow:
    """A ready dataset of what ``sql`` gives."""
    version_id = new_id("dsv")
    path = storage.parquet_path(version_id)
    path.parent.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)").fetchall()
        relation = connection.sql(f"SELECT * FROM '{path}'")
        columns = [{"name": n, "type": str(t)} for n, t in zip(relation.columns, relation.types, strict=True)]
        [(count,)] = relation.count("*").fetchall()
    with writing() as session:
        dataset = DatasetRow(id=new_id("ds"), owner_id=user.id, name=name)
        session.add(dataset)
        session.flush()
        row = DatasetVersionRow(
            id=version_id,
            dataset_id=dataset.id,
            created_by=user.id,
            number=1,
            status="ready",
            content_hash="",
            columns=columns,
            num_rows=count,
            num_columns=len(columns),
            format="table",
            training={"format": "table", "ok": False, "num_examples": 0, "errors": []},
        )
        session.add(row)
    return row
