"""The rows of datasets and versions: who owns which, what they are called, and which version a dataset shows.

Everything here runs in the caller's session; ``core.datasets`` holds the use cases. Names need not be unique; a name taken from a
file gets a number when its owner has one like it. A file name is only ever shown, it never becomes a path.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, aliased, defer

from core.clock import now
from core.datasets.values import Dataset, SqlTable, present
from core.errors import Conflict, InUse, NotFound
from core.listing import contains
from core.security import new_id
from core.tables import ACTIVE_STATUSES, DatasetRow, DatasetVersionRow, JobRow, VersionParentRow

MAX_FILENAME_BYTES = 255
MAX_NAME = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*]+')


def display_name(filename: str) -> str:
    """The last path component, without control characters, at most 255 bytes; ``upload`` when nothing is left."""
    name = _CONTROL.sub("", re.split(r"[/\\]", filename)[-1])
    if len(name.encode()) > MAX_FILENAME_BYTES:
        stem, dot, suffix = name.rpartition(".")
        keep = MAX_FILENAME_BYTES - len((dot + suffix).encode()) if len(suffix) < 16 else MAX_FILENAME_BYTES
        kept = (stem if len(suffix) < 16 else name).encode()[:keep].decode(errors="ignore")
        name = kept + (dot + suffix if len(suffix) < 16 else "")
    return "upload" if name in ("", ".", "..") else name


def file_stem(name: str) -> str:
    """A dataset's name as the stem of a download."""
    return _UNSAFE.sub("_", name).strip(" .")[:100] or "dataset"


def free_name(session: Session, owner_id: str, wanted: str) -> str:
    """``wanted``, or with 2, 3 … behind it when the owner has that already (letter case does not tell them apart)."""
    wanted = wanted.strip()[: MAX_NAME - 8] or "dataset"
    taken = {name.lower() for name in session.scalars(select(DatasetRow.name).where(DatasetRow.owner_id == owner_id))}
    candidates = (wanted if number == 1 else f"{wanted} {number}" for number in range(1, len(taken) + 2))
    return next(name for name in candidates if name.lower() not in taken)


def own(session: Session, owner_id: str, dataset_id: str) -> DatasetRow:
    row = session.get(DatasetRow, dataset_id)
    if row is None or row.owner_id != owner_id:
        raise NotFound
    return row


def own_version(session: Session, owner_id: str, version_id: str) -> DatasetVersionRow:
    statement = _versions_of(owner_id).where(DatasetVersionRow.id == version_id).options(defer(DatasetVersionRow.profile))
    row = session.scalar(statement)
    if row is None:
        raise NotFound
    return row


def numbered(session: Session, owner_id: str, dataset_id: str, number: int | None) -> DatasetVersionRow:
    """A version by its number; without one the newest ready. Raises Conflict when none is ready."""
    dataset = own(session, owner_id, dataset_id)
    if number is None:
        statement = select(DatasetVersionRow).join(DatasetRow, DatasetRow.id == DatasetVersionRow.dataset_id)
        shown_id = _shown_id().correlate(DatasetRow).scalar_subquery()
        shown = session.scalar(statement.where(DatasetRow.id == dataset.id, DatasetVersionRow.id == shown_id))
        if shown is None or shown.status != "ready":
            raise Conflict(_not_ready(shown))
        return shown
    version = DatasetVersionRow
    row = session.scalar(select(version).where(version.dataset_id == dataset.id, version.number == number))
    if row is None:
        raise NotFound
    return row


def insert(session: Session, owner_id: str, name: str, description: str, version: DatasetVersionRow) -> None:
    """A new dataset with its first version."""
    dataset = DatasetRow(id=new_id("ds"), owner_id=owner_id, name=name, description=description)
    session.add(dataset)
    session.flush()
    append(session, dataset, version)


def append(session: Session, dataset: DatasetRow, version: DatasetVersionRow) -> None:
    """The next version of a dataset. Numbers of failed tries are not used again."""
    highest = session.scalar(select(func.max(DatasetVersionRow.number)).where(DatasetVersionRow.dataset_id == dataset.id))
    version.dataset_id, version.number = dataset.id, (highest or 0) + 1
    dataset.updated_at = now()
    session.add(version)
    session.flush()


def matching(owner_id: str, *, q: str | None, format_: str | None, status: str | None) -> Select[DatasetRow]:
    """A user's datasets, joined with the version each of them shows."""
    version = DatasetVersionRow
    statement = select(DatasetRow).join(version, version.id == _shown_id().correlate(DatasetRow).scalar_subquery())
    conditions: list[ColumnElement[bool]] = [DatasetRow.owner_id == owner_id]
    if q:
        conditions.append(or_(contains(DatasetRow.name, q), contains(DatasetRow.description, q)))
    if format_:
        conditions.append(version.format == format_)
    if status:
        conditions.append(version.status == status)
    return statement.where(*conditions)


def present_all(session: Session, rows: Sequence[DatasetRow]) -> list[Dataset]:
    """The datasets with the version each shows, in two queries."""
    ids = [row.id for row in rows]
    version = DatasetVersionRow
    shown = session.scalars(
        select(version)
        .join(DatasetRow, DatasetRow.id == version.dataset_id)
        .where(DatasetRow.id.in_(ids), version.id == _shown_id().correlate(DatasetRow).scalar_subquery())
        .options(defer(version.profile))
    )
    by_dataset = {row.dataset_id: row for row in shown}
    return [present(row, by_dataset[row.id]) for row in rows]


def parents_of(session: Session, version_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    statement = select(VersionParentRow).where(VersionParentRow.version_id.in_(version_ids)).order_by(VersionParentRow.parent_id)
    for link in session.scalars(statement):
        found[link.version_id].append(link.parent_id)
    return found


def tables_of(session: Session, owner_id: str) -> list[SqlTable]:
    """Every ready version of a user, the newest of each dataset marked."""
    version = DatasetVersionRow
    rows = session.execute(
        select(DatasetRow.id, DatasetRow.name, version.id, version.number, version.columns, version.num_rows)
        .join(version, version.dataset_id == DatasetRow.id)
        .where(DatasetRow.owner_id == owner_id, version.status == "ready")
    ).all()
    newest: dict[str, int] = {}
    for dataset_id, _, _, number, _, _ in rows:
        newest[dataset_id] = max(number, newest.get(dataset_id, 0))
    return [
        SqlTable(dataset_id, name, version_id, number, number == newest[dataset_id], columns, num_rows)
        for dataset_id, name, version_id, number, columns, num_rows in rows
    ]


def require_unused(session: Session, dataset_id: str, version_ids: Sequence[str]) -> None:
    """Raises InUse while a job that is not over reads one of the versions."""
    job = session.scalar(
        select(JobRow.id).where(
            JobRow.status.in_(ACTIVE_STATUSES),
            or_(
                JobRow.dataset_id == dataset_id,
                JobRow.dataset_version_id.in_(version_ids),
                JobRow.validation_version_id.in_(version_ids),
            ),
        )
    )
    if job:
        raise InUse(f"The dataset is used by job {job}. Cancel the job first, or wait until it is done.")


def _shown_id() -> Select[str]:
    """The version a dataset shows: its newest ready one, else its newest try. To be correlated with DatasetRow."""
    version = aliased(DatasetVersionRow)
    return (
        select(version.id)
        .where(version.dataset_id == DatasetRow.id)
        .order_by((version.status == "ready").desc(), version.number.desc())
        .limit(1)
    )


def _versions_of(owner_id: str) -> Select[DatasetVersionRow]:
    return (
        select(DatasetVersionRow)
        .join(DatasetRow, DatasetRow.id == DatasetVersionRow.dataset_id)
        .where(DatasetRow.owner_id == owner_id)
    )


def _not_ready(row: DatasetVersionRow | None) -> str:
    if row is not None and row.status == "processing":
        return "The dataset is still being converted. Try again in a moment."
    return "The upload of this dataset failed, so it has no rows. Upload the file again."
