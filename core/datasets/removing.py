"""Removing versions and datasets: what uses them, who forbids it, and what stays.

Rules kept here: nothing goes while an active job reads it or a model alias stands on it; a dataset keeps at
least one version with rows (to lose the last one, delete the dataset); a removed version loses its files for
good, while its row stays with number, note, hash and parents, so that lineage and old jobs can still say what
they were made from. What may go by itself: ``retention``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.orm import Session, defer

from core import storage
from core.clock import now
from core.datasets import rows
from core.datasets.values import SqlTable
from core.db import reading, writing
from core.errors import Conflict, InUse
from core.ingest import converter
from core.ingest import queue as conversions
from core.people import usage
from core.people.users import User
from core.tables import (
    ACTIVE_STATUSES,
    ChatRow,
    DatasetRow,
    DatasetVersionRow,
    JobRow,
    ModelAliasRow,
    ModelRow,
    ModelVersionRow,
    VersionParentRow,
    VersionReportRow,
)

LISTED = 100


@dataclass(frozen=True)
class Use:
    """Something that uses a dataset or a version.

    ``blocks``: it must go first. ``kind``: job, alias, model, version or chat.

    ``name`` is for people; ``id`` is the job's, model's, version's or chat's.
    """

    kind: str
    id: str
    name: str
    blocks: bool = False


def uses(user: User, dataset_or_version_id: str) -> list[Use]:
    """What uses a dataset (``ds_…``) or one version (``dsv_…``), what blocks first. Raises NotFound."""
    with reading() as session:
        if dataset_or_version_id.startswith("dsv_"):
            return _uses(session, None, [rows.own_version(session, user.id, dataset_or_version_id).id])
        rows.own(session, user.id, dataset_or_version_id)
        ids = select(DatasetVersionRow.id).where(DatasetVersionRow.dataset_id == dataset_or_version_id)
        return _uses(session, dataset_or_version_id, list(session.scalars(ids)))


def delete_version(user: User, version_id: str) -> None:
    """Remove the files of a version; its row stays. A try that failed goes without a trace.

    Raises NotFound, InUse, Conflict (still being made, removed already, or the last one with rows).
    """
    with writing() as session:
        row = rows.own_version(session, user.id, version_id)
        rows.lock(session, user.id, row.dataset_id)
        if row.status == "failed":
            session.execute(delete(DatasetVersionRow).where(DatasetVersionRow.id == row.id))
        else:
            rows.require_readable(row)
            _require_another(session, row)
            require_unused(session, None, [row.id])
            _require_no_child_on_the_way(session, row)
            mark_removed(session, row, f"by {user.name or user.email}")
    remove_files(version_id)


def removed_tables(user: User) -> list[SqlTable]:
    """Versions that SQL cannot name any more because their files are gone; ``why`` says when and how.

    For error messages.
    """
    version = DatasetVersionRow
    with reading() as session:
        versions = session.execute(
            select(version, DatasetRow.name)
            .join(DatasetRow, DatasetRow.id == version.dataset_id)
            .where(DatasetRow.owner_id == user.id, version.removed_at.is_not(None))
            .options(defer(version.profile))
        ).all()
    return [
        SqlTable(
            row.dataset_id, name, row.id, row.number, False, row.columns, row.num_rows, why=rows.removal(row)
        )
        for row, name in versions
    ]


def require_unused(session: Session, dataset_id: str | None, version_ids: Sequence[str]) -> None:
    """Raises InUse while an active job reads one of the versions or an alias stands on one."""
    blocking = [use for use in _uses(session, dataset_id, version_ids) if use.blocks]
    if not blocking:
        return
    what, first = "dataset" if dataset_id else "version", blocking[0]
    if first.kind == "job":
        raise InUse(f"The {what} is used by job {first.id}. Cancel the job first, or wait until it is done.")
    raise InUse(
        f"The model alias {first.name} stands on this {what}. Remove the alias first, "
        f"or point it at another model version."
    )


def needed(session: Session, version_ids: Iterable[str]) -> set[str]:
    """Those of the versions that an active job, an alias or a version on its way needs."""
    wanted = set(version_ids)
    jobs = session.execute(
        select(JobRow.dataset_version_id, JobRow.validation_version_id).where(
            JobRow.status.in_(ACTIVE_STATUSES)
        )
    ).all()
    aliased = session.scalars(
        select(ModelVersionRow.dataset_version_id).where(
            ModelVersionRow.id.in_(select(ModelAliasRow.version_id))
        )
    )
    read = {version_id for pair in jobs for version_id in pair if version_id}
    parents = {parent_id for _, parent_id in session.execute(_being_made_from(list(wanted)))}
    return wanted & (read | set(filter(None, aliased)) | parents)


def mark_removed(session: Session, row: DatasetVersionRow, why: str) -> None:
    """The row first, the files after it:
    a crash in between leaves files that the sweep at the next start takes."""
    row.removed_at, row.removed_why = now(), why[:200]
    session.execute(delete(VersionReportRow).where(VersionReportRow.version_id == row.id))
    usage.record(
        session,
        user_id=row.created_by,
        kind="storage",
        bytes=-storage.folder_bytes(storage.version_dir(row.id)),
    )


def remove_files(version_id: str) -> None:
    storage.remove(storage.version_dir(version_id))
    converter.staged_path(version_id).unlink(missing_ok=True)
    conversions.QUEUE.log_path((version_id,)).unlink(missing_ok=True)


def forget_failed(version_id: str) -> None:
    """Remove a try that failed, and its dataset when it holds nothing else:
    the upload it was made of is tried again."""
    with reading() as session:
        row = session.get(DatasetVersionRow, version_id)
    if row is not None and row.status == "failed":
        forget(row)


def take_back(version_id: str) -> None:
    """Remove a version made a moment ago as one part of what failed;
    its dataset too when it holds nothing else."""
    with reading() as session:
        row = session.get(DatasetVersionRow, version_id)
    if row is not None:
        forget(row)


def forget(row: DatasetVersionRow) -> None:
    """Remove a version as if it had never been made, and its dataset when it holds nothing else."""
    with writing() as session:
        session.execute(delete(DatasetVersionRow).where(DatasetVersionRow.id == row.id))
        left = session.scalar(
            select(func.count())
            .select_from(DatasetVersionRow)
            .where(DatasetVersionRow.dataset_id == row.dataset_id)
        )
        if not left:
            session.execute(delete(DatasetRow).where(DatasetRow.id == row.dataset_id))
    remove_files(row.id)


def _require_another(session: Session, row: DatasetVersionRow) -> None:
    version = DatasetVersionRow
    others = select(func.count()).where(
        version.dataset_id == row.dataset_id,
        version.id != row.id,
        version.status == "ready",
        version.removed_at.is_(None),
    )
    if not session.scalar(others):
        raise Conflict("This is the only version with rows. Delete the whole dataset instead.")


def _require_no_child_on_the_way(session: Session, row: DatasetVersionRow) -> None:
    if session.execute(_being_made_from([row.id]).limit(1)).first():
        raise InUse(
            f"Version {row.number} is just being made into another one. Wait until that is ready, "
            "then try again."
        )


def _being_made_from(version_ids: Sequence[str]) -> Select[str, str]:
    """(id of the version, id of its parent) while the first is not ready and may have to read the second."""
    version, link = DatasetVersionRow, VersionParentRow
    return (
        select(version.id, link.parent_id)
        .join(link, link.version_id == version.id)
        .where(link.parent_id.in_(version_ids), version.status == "processing")
    )


def _uses(session: Session, dataset_id: str | None, version_ids: Sequence[str]) -> list[Use]:
    all_uses = [
        *_jobs(session, dataset_id, version_ids),
        *_models(session, version_ids),
        *_children(session, version_ids),
        *_chats(session, dataset_id),
    ]
    return sorted(all_uses, key=lambda use: not use.blocks)


def _jobs(session: Session, dataset_id: str | None, version_ids: Sequence[str]) -> list[Use]:
    reads: list[ColumnElement[bool]] = [
        JobRow.dataset_version_id.in_(version_ids),
        JobRow.validation_version_id.in_(version_ids),
    ]
    if dataset_id:
        reads.append(JobRow.dataset_id == dataset_id)
    jobs = session.execute(
        _newest(select(JobRow.id, JobRow.name, JobRow.status).where(or_(*reads)), JobRow.created_at)
    )
    return [Use("job", job_id, name, status in ACTIVE_STATUSES) for job_id, name, status in jobs]


def _models(session: Session, version_ids: Sequence[str]) -> list[Use]:
    statement = (
        select(ModelRow.id, ModelRow.name, ModelVersionRow.version, ModelAliasRow.alias)
        .join(ModelVersionRow, ModelVersionRow.model_id == ModelRow.id)
        .join(ModelAliasRow, ModelAliasRow.version_id == ModelVersionRow.id, isouter=True)
        .where(ModelVersionRow.dataset_version_id.in_(version_ids))
    )
    return [
        Use("alias", model_id, f"{name}@{alias}", True)
        if alias
        else Use("model", model_id, f"{name} version {number}")
        for model_id, name, number, alias in session.execute(_newest(statement, ModelVersionRow.created_at))
    ]


def _children(session: Session, version_ids: Sequence[str]) -> list[Use]:
    """Versions that were made from these, as far as they are in other datasets or stay."""
    version = DatasetVersionRow
    statement = (
        select(version.id, DatasetRow.name, version.number)
        .join(DatasetRow, DatasetRow.id == version.dataset_id)
        .where(
            version.id.in_(
                select(VersionParentRow.version_id).where(VersionParentRow.parent_id.in_(version_ids))
            )
        )
        .where(version.id.not_in(version_ids), version.removed_at.is_(None))
    )
    return [
        Use("version", version_id, f"{name} version {number}")
        for version_id, name, number in session.execute(_newest(statement, version.created_at))
    ]


def _chats(session: Session, dataset_id: str | None) -> list[Use]:
    if not dataset_id:
        return []
    chats = session.execute(
        _newest(select(ChatRow.id, ChatRow.title).where(ChatRow.dataset_id == dataset_id), ChatRow.updated_at)
    )
    return [Use("chat", chat_id, title) for chat_id, title in chats]


def _newest(statement: Any, moment: Any) -> Any:
    return statement.order_by(moment.desc()).limit(LISTED)
