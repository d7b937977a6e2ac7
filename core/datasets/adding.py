"""How every version begins: its file is staged, its row written, its conversion awaited.

The file lies where its converter looks for it before the row is there, for whoever looks at the queue next
starts the converter. What goes wrong up to the end leaves neither.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from core import storage
from core.datasets import removing, rows, same_bytes
from core.db import reading
from core.errors import Conflict, NotFound
from core.fields import Input, Note500, parse
from core.ingest import converter
from core.ingest import queue as conversions
from core.people.users import User
from core.security import new_id
from core.storage import upload_size
from core.tables import DatasetRow, DatasetVersionRow, VersionParentRow

SMALL_BYTES = 16 * 2**20  # up to this, an upload is verified within the call


class _Noted(Input):
    note: Note500


@contextmanager
def taking(*files: Path) -> Iterator[None]:
    """Whatever happens, the files that were handed over are not left behind."""
    try:
        yield
    finally:
        for file in files:
            file.unlink(missing_ok=True)


@contextmanager
def staged(row: DatasetVersionRow, file: Path) -> Iterator[None]:
    """Around the writing of its row. Where that fails, the file goes again."""
    if row.sha256:
        with reading() as session:
            same_bytes.share_original(session, file, owner_id=row.created_by, sha256=row.sha256)
    os.replace(file, converter.staged_path(row.id))
    try:
        yield
    except BaseException:  # also what ends the whole process: no row names the file
        converter.staged_path(row.id).unlink(missing_ok=True)
        raise


def finish(row: DatasetVersionRow) -> None:
    """Have it converted; for a small one wait, and when it fails leave nothing and raise its error."""
    if row.original_bytes > SMALL_BYTES:
        conversions.run_in_background(row.id)
        return
    conversions.run_and_wait(row.id)
    with reading() as session:
        settled = session.get(DatasetVersionRow, row.id)
        dataset = session.get(DatasetRow, row.dataset_id)
    if settled is None and dataset is None:
        raise NotFound
    if settled is None:  # the next version forgets the tries that failed
        raise Conflict("This version could not be made, and another one was begun meanwhile. Try again.")
    if settled.status != "ready":
        removing.forget(settled)
        raise conversions.error_of(settled)


def version_row(
    user: User,
    *,
    filename: str,
    file: Path,
    options: dict[str, Any],
    note: str = "",
    sql: str | None = None,
    origin: str = "upload",
) -> DatasetVersionRow:
    """Raises TooLarge and DiskFull for the file, ValidationError for the note."""
    size = file.stat().st_size
    upload_size.require(size)
    storage.require_space(size)
    return DatasetVersionRow(
        id=new_id("dsv"),
        created_by=user.id,
        filename=filename,
        original_bytes=size,
        options=options,
        note=parse(_Noted, note=note).note,
        sql=sql,
        origin=origin,
    )


def name_parents(session: Session, user: User, row: DatasetVersionRow, parents: Sequence[str]) -> None:
    """Say what a version is made from. Raises NotFound and Conflict where that is gone by now.

    Behind it the parents stay until the version is ready: nothing removes what another is being made from.
    """
    for parent in dict.fromkeys(parents):
        rows.require_readable(rows.own_version(session, user.id, parent, lock=True))
        session.add(VersionParentRow(version_id=row.id, parent_id=parent))
    session.flush()
