"""Keeping tables that the server has written itself: a query's result, an edit, the parts of a split."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from core.datasets import adding, removing, rows
from core.datasets.looking import get, get_version
from core.datasets.values import Dataset, Version
from core.db import writing
from core.errors import LuthierError
from core.people.users import User
from core.tables import DatasetVersionRow


@dataclass(frozen=True)
class Result:
    """A Parquet file to keep: as the next version of ``dataset_id``, else as a new dataset.

    ``name`` of a new one; without it a free one is found. ``origin``: as in a version.
    """

    parquet: Path
    origin: str
    dataset_id: str | None = None
    name: str | None = None
    description: str = ""
    note: str = ""
    sql: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


Place = Callable[[Session, Result], Result]


def _as_it_is(_session: Session, result: Result) -> Result:
    return result


def create_from_table(
    user: User,
    *,
    parquet: Path,
    name: str | None = None,
    description: str = "",
    sql: str | None = None,
    parents: Sequence[str] = (),
    note: str = "",
    dataset_id: str | None = None,
    origin: str | None = None,
    options: dict[str, Any] | None = None,
    newest: Version | None = None,
) -> tuple[Dataset, Version]:
    """Keep a query's result: as a new dataset, or as the next version of ``dataset_id``.

    ``parquet`` is taken over.

    ``parents`` are the versions it read, all the user's own. ``origin``: unless given, query when there is
    ``sql``, else python. ``newest``: only while this is the dataset's newest version, else Conflict. Raises
    NotFound, ValidationError, TooLarge, DiskFull, UnreadableFile.
    """
    made_by = origin or ("query" if sql else "python")
    result = Result(parquet, made_by, dataset_id, name, description, note, sql, options or {})
    return keep(user, [result], parents=parents, newest=newest)[0]


def keep(
    user: User,
    results: Sequence[Result],
    *,
    parents: Sequence[str],
    newest: Version | None = None,
    place: Place = _as_it_is,
) -> list[tuple[Dataset, Version]]:
    """All of them or, when one fails, none. Their files are taken over.

    ``place`` says in the transaction that adds a version where it belongs: what it sees cannot change before
    the version is there. Raises as :func:`create_from_table` does.
    """
    with adding.taking(*(result.parquet for result in results)), ExitStack() as unless_written:
        made = [(result, _row_of(user, result)) for result in results]
        for result, row in made:
            unless_written.enter_context(adding.staged(row, result.parquet))
        with writing() as session:
            for result, row in made:
                _add(session, user, place(session, result), row, newest)
                adding.name_parents(session, user, row, parents)
    try:
        for _, row in made:
            adding.finish(row)
    except LuthierError:
        for _, row in made:
            removing.take_back(row.id)
        raise
    return [(get(user, row.dataset_id), get_version(user, row.id)) for _, row in made]


def _row_of(user: User, result: Result) -> DatasetVersionRow:
    return adding.version_row(
        user,
        filename="result.parquet",
        file=result.parquet,
        options={**result.options, "keep_original": False},  # the table itself is the original
        note=result.note,
        sql=result.sql,
        origin=result.origin,
    )


def _add(
    session: Session, user: User, result: Result, row: DatasetVersionRow, newest: Version | None
) -> None:
    if result.dataset_id is None:
        title = result.name or rows.free_name(session, user.id, "query result")
        rows.insert(session, user.id, title[:200], result.description, row)
        return
    dataset = rows.lock(session, user.id, result.dataset_id)
    if newest:
        rows.require_newest(session, newest)
    rows.append(session, dataset, row)
