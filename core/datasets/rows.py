"""The rows of datasets and versions: who owns which, what they are called, and which version a dataset shows.

Nearly everything here runs in the caller's session; ``core.datasets`` holds the use cases. Names need not be
unique; a name taken from a file gets a number when its owner has one like it. A file name is only ever shown,
it never becomes a path.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session, aliased, defer

from core.clock import now
from core.datasets.values import Dataset, SqlTable, Version, present, present_version
from core.db import reading
from core.errors import Conflict, NotFound
from core.security import new_id
from core.tables import DatasetRow, DatasetVersionRow, UserRow, VersionParentRow

MAX_FILENAME_BYTES = 255
MAX_NAME = 200
EDITS = "these edits"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*]+')
_other = aliased(DatasetVersionRow)
# The version a dataset shows: its newest with rows, else its newest try. Built once, as that takes as long as
# asking it
_SHOWN_ID = (
    select(_other.id)
    .where(_other.dataset_id == DatasetRow.id)
    .order_by(and_(_other.status == "ready", _other.removed_at.is_(None)).desc(), _other.number.desc())
    .limit(1)
    .correlate(DatasetRow)
    .scalar_subquery()
)
_SHOWN = (
    select(DatasetVersionRow)
    .join(DatasetRow, DatasetRow.id == DatasetVersionRow.dataset_id)
    .where(DatasetVersionRow.id == _SHOWN_ID)
)


def display_name(filename: str) -> str:
    """The last path component, without control characters,
    at most 255 bytes; ``upload`` when nothing is left."""
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
    """``wanted``, or with 2, 3 … behind it when the owner has
    that already (letter case does not tell them apart)."""
    wanted = wanted.strip()[: MAX_NAME - 8] or "dataset"
    taken = {
        name.lower()
        for name in session.scalars(select(DatasetRow.name).where(DatasetRow.owner_id == owner_id))
    }
    candidates = (wanted if number == 1 else f"{wanted} {number}" for number in range(1, len(taken) + 2))
    return next(name for name in candidates if name.lower() not in taken)


def own(session: Session, owner_id: str, dataset_id: str) -> DatasetRow:
    row = session.get(DatasetRow, dataset_id)
    if row is None or row.owner_id != owner_id:
        raise NotFound
    return row


def lock(session: Session, owner_id: str, dataset_id: str) -> DatasetRow:
    """The dataset, for what adds a version to it or takes one away: these wait for each other.

    SQLite's writers do so anyway; elsewhere two would find the same number free.
    """
    row = session.get(DatasetRow, dataset_id, with_for_update=True)
    if row is None or row.owner_id != owner_id:
        raise NotFound
    return row


def own_version(session: Session, owner_id: str, version_id: str, *, lock: bool = False) -> DatasetVersionRow:
    """``lock``: it is neither removed nor deleted before the transaction is over."""
    statement = (
        _versions_of(owner_id)
        .where(DatasetVersionRow.id == version_id)
        .options(defer(DatasetVersionRow.profile))
    )
    if lock:
        statement = statement.with_for_update(read=True, of=DatasetVersionRow)
    row = session.scalar(statement)
    if row is None:
        raise NotFound
    return row


def numbered(session: Session, owner_id: str, dataset_id: str, number: int | None) -> DatasetVersionRow:
    """A version by its number; without one the newest ready. Raises Conflict when none is ready."""
    dataset = own(session, owner_id, dataset_id)
    if number is None:
        shown = session.scalar(_SHOWN.where(DatasetRow.id == dataset.id))
        if shown is None:
            raise Conflict(_not_ready("failed"))
        require_readable(shown)
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
    """The next version of a dataset.

    Tries that failed are forgotten now, so that people see numbers without gaps.
    """
    version_row = DatasetVersionRow
    session.execute(
        delete(version_row).where(version_row.dataset_id == dataset.id, version_row.status == "failed")
    )
    highest = session.scalar(
        select(func.max(DatasetVersionRow.number)).where(DatasetVersionRow.dataset_id == dataset.id)
    )
    version.dataset_id, version.number = dataset.id, (highest or 0) + 1
    dataset.updated_at = now()
    session.add(version)
    session.flush()


def is_listed(dataset_id: str) -> ColumnElement[bool]:
    """Whether people see a version of this dataset: a failed try only while nothing newer is ready."""
    version = DatasetVersionRow
    newest_ready = (
        select(func.max(_other.number))
        .where(_other.dataset_id == dataset_id, _other.status == "ready")
        .scalar_subquery()
    )
    return or_(version.status != "failed", version.number > func.coalesce(newest_ready, 0))


def matching(owner_id: str, *, format_: str | None, status: str | None) -> Select[DatasetRow]:
    """A user's datasets, joined with the version each of them shows."""
    version = DatasetVersionRow
    statement = select(DatasetRow).join(version, version.id == _SHOWN_ID)
    conditions: list[ColumnElement[bool]] = [DatasetRow.owner_id == owner_id]
    if format_:
        conditions.append(version.format == format_)
    if status:
        conditions.append(version.status == status)
    return statement.where(*conditions)


def newest_upload(session: Session, dataset_id: str) -> DatasetVersionRow | None:
    """The newest version that was made of a file: the next file is read as it was."""
    version = DatasetVersionRow
    statement = select(version).where(
        version.dataset_id == dataset_id, version.status == "ready", version.origin == "upload"
    )
    return session.scalar(statement.order_by(version.number.desc()).limit(1).options(defer(version.profile)))


def present_all(session: Session, rows: Sequence[DatasetRow]) -> list[Dataset]:
    """The datasets with the version each shows, in two queries."""
    ids = [row.id for row in rows]
    shown = session.scalars(_SHOWN.where(DatasetRow.id.in_(ids)).options(defer(DatasetVersionRow.profile)))
    by_dataset = {row.dataset_id: row for row in shown}
    return [present(row, by_dataset[row.id]) for row in rows]


def parents_of(session: Session, version_ids: Sequence[str]) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = defaultdict(list)
    statement = (
        select(VersionParentRow)
        .where(VersionParentRow.version_id.in_(version_ids))
        .order_by(VersionParentRow.parent_id)
    )
    for link in session.scalars(statement):
        parents[link.version_id].append(link.parent_id)
    return parents


def tables_of(session: Session, owner_id: str) -> list[SqlTable]:
    """Every ready version of a user, the newest of each dataset marked."""
    version = DatasetVersionRow
    rows = session.execute(
        select(DatasetRow.id, DatasetRow.name, version.id, version.number, version.columns, version.num_rows)
        .join(version, version.dataset_id == DatasetRow.id)
        .where(DatasetRow.owner_id == owner_id, version.status == "ready", version.removed_at.is_(None))
    ).all()
    newest: dict[str, int] = {}
    for dataset_id, _, _, number, _, _ in rows:
        newest[dataset_id] = max(number, newest.get(dataset_id, 0))
    return [
        SqlTable(dataset_id, name, version_id, number, number == newest[dataset_id], columns, num_rows)
        for dataset_id, name, version_id, number, columns, num_rows in rows
    ]


def present_versions(session: Session, rows: Sequence[DatasetVersionRow]) -> list[Version]:
    """The versions with their parents and the names of their authors, in two queries."""
    parents = parents_of(session, [row.id for row in rows])
    people = session.execute(
        select(UserRow.id, UserRow.name, UserRow.email).where(
            UserRow.id.in_({row.created_by for row in rows})
        )
    )
    names = {user_id: name or email for user_id, name, email in people}
    return [present_version(row, parents[row.id], names.get(row.created_by, "")) for row in rows]


def require_readable(version: Version | DatasetVersionRow) -> None:
    """Raises Conflict, saying why, when a version has no rows to read: not yet, never, or not any more."""
    if version.status != "ready":
        raise Conflict(_not_ready(version.status))
    if version.removed_at:
        number = version.version if isinstance(version, Version) else version.number
        raise Conflict(
            f"The files of version {number} were removed on {removal(version)}. Choose another version."
        )


def require_all_readable(version_ids: Sequence[str]) -> None:
    """Asked when a file could not be read: why, where its version went while it was read.

    Raises NotFound, or Conflict as :func:`require_readable` does. Files go after their rows.
    """
    with reading() as session:
        for version_id in version_ids:
            row = session.get(DatasetVersionRow, version_id, options=[defer(DatasetVersionRow.profile)])
            if row is None:
                raise NotFound
            require_readable(row)


def require_newest(session: Session, base: Version, *, what: str = EDITS) -> None:
    """Raises Conflict when a version newer than this one is there, or being made.

    What is made of this one would not have what is in the other.
    """
    version = DatasetVersionRow
    newer = session.execute(
        select(version.number, version.status)
        .where(version.dataset_id == base.dataset_id, version.number > base.version)
        .where(version.status != "failed", version.removed_at.is_(None))
        .order_by(version.number.desc())
    ).all()
    if any(status == "processing" for _, status in newer):
        raise Conflict(
            "Another version of this dataset is being made. Wait until it is ready, then try again."
        )
    if newer:
        raise Conflict(
            f"The dataset has moved on: its newest version is {newer[0].number}, and {what} are for "
            f"version {base.version}. Look at what is different and make them again on the newest version"
            f"{', or save them over it on purpose' if what == EDITS else ''}."
        )


def removal(version: Version | DatasetVersionRow) -> str:
    """``23 November 2026 by Ada``: when and why the files of a version went."""
    day = f"{version.removed_at:%d %B %Y}".lstrip("0") if version.removed_at else "an unknown day"
    return f"{day} {version.removed_why or ''}".strip()


def _versions_of(owner_id: str) -> Select[DatasetVersionRow]:
    return (
        select(DatasetVersionRow)
        .join(DatasetRow, DatasetRow.id == DatasetVersionRow.dataset_id)
        .where(DatasetRow.owner_id == owner_id)
    )


def _not_ready(status: str) -> str:
    if status == "processing":
        return "The dataset is still being converted. Try again in a moment."
    return "The upload of this dataset failed, so it has no rows. Upload the file again."
