"""Where versions come from and what was made of them:
a graph of versions, jobs and models around one dataset.

It holds all versions of the dataset, everything they were made from, everything that was made from them, and
the jobs and models that learned from any of these. All of it belongs to the dataset's owner. At most
``MOST_NODES``; then ``is_cut`` says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, defer

from core.datasets import rows
from core.db import reading
from core.people.users import User
from core.tables import DatasetRow, DatasetVersionRow, JobRow, ModelRow, ModelVersionRow, VersionParentRow

MOST_NODES = 80
MADE_BY = {
    "query": "SQL",
    "edit": "edit",
    "append": "append",
    "split": "split",
    "python": "Python",
    "upload": "upload",
}


@dataclass(frozen=True)
class Node:
    """``kind``: version, job or model. ``title`` and ``text`` are for people. ``of``: the dataset's or
    model's id. ``status``: ready, processing, failed or removed; a job's own; ready for models."""

    id: str
    kind: str
    title: str
    text: str
    of: str
    status: str
    number: int = 0


@dataclass(frozen=True)
class Edge:
    """``to`` was made from ``from_`` by ``how``: SQL, edit, append,
    split, training; "then" only follows it in the same dataset."""

    from_: str
    to: str
    how: str


@dataclass(frozen=True)
class Lineage:
    nodes: list[Node]
    edges: list[Edge]
    is_cut: bool = False


def lineage(user: User, dataset_id: str) -> Lineage:
    """Raises NotFound."""
    with reading() as session:
        rows.own(session, user.id, dataset_id)
        own = select(DatasetVersionRow.id).where(
            DatasetVersionRow.dataset_id == dataset_id, rows.is_listed(dataset_id)
        )
        start = list(session.scalars(own.order_by(DatasetVersionRow.number.desc()).limit(MOST_NODES)))
        version_ids = _related(session, start)
        versions, edges = _versions(session, version_ids)
        jobs, job_edges = _jobs(session, version_ids)
        models, model_edges = _models(session, user.id, version_ids, {job.id for job in jobs})
        nodes = [*versions, *jobs, *models]
        shown = {node.id for node in nodes[:MOST_NODES]}
        kept = [
            edge for edge in (*edges, *job_edges, *model_edges) if edge.from_ in shown and edge.to in shown
        ]
        return Lineage(nodes[:MOST_NODES], kept, len(nodes) > MOST_NODES)


def _related(session: Session, start: Iterable[str]) -> set[str]:
    """These versions, their ancestors and their descendants."""
    link, version_ids = VersionParentRow, set(start)
    for known, other in ((link.version_id, link.parent_id), (link.parent_id, link.version_id)):
        edge = set(start)
        while edge and len(version_ids) < MOST_NODES:
            edge = set(session.scalars(select(other).where(known.in_(edge)))) - version_ids
            version_ids |= edge
    return version_ids


def _versions(session: Session, version_ids: set[str]) -> tuple[list[Node], list[Edge]]:
    version = DatasetVersionRow
    versions = session.execute(
        select(version, DatasetRow.name)
        .join(DatasetRow, DatasetRow.id == version.dataset_id)
        .where(version.id.in_(version_ids))
        .options(defer(version.profile))
        .order_by(version.created_at, version.number)
    ).all()
    nodes = [
        Node(
            row.id,
            "version",
            f"{name} · version {row.number}",
            row.note or f"{row.num_rows:,} row{'' if row.num_rows == 1 else 's'}",
            row.dataset_id,
            "removed" if row.removed_at else row.status,
            row.number,
        )
        for row, name in versions
    ]
    how = {row.id: MADE_BY.get(row.origin, row.origin) for row, _ in versions}
    links = session.scalars(select(VersionParentRow).where(VersionParentRow.version_id.in_(version_ids)))
    edges = [
        Edge(link.parent_id, link.version_id, how[link.version_id]) for link in links if link.parent_id in how
    ]
    return nodes, edges + _followers([row for row, _ in versions], {edge.to for edge in edges})


def _followers(found: list[DatasetVersionRow], have_parents: set[str]) -> list[Edge]:
    """An upload has no parent, yet it follows the version before it."""
    last: dict[str, str] = {}
    edges = []
    for row in sorted(found, key=lambda row: row.number):
        if row.dataset_id in last and row.id not in have_parents:
            edges.append(Edge(last[row.dataset_id], row.id, "then"))
        last[row.dataset_id] = row.id
    return edges


def _jobs(session: Session, version_ids: set[str]) -> tuple[list[Node], list[Edge]]:
    reads = or_(JobRow.dataset_version_id.in_(version_ids), JobRow.validation_version_id.in_(version_ids))
    jobs = session.scalars(select(JobRow).where(reads).order_by(JobRow.created_at)).all()
    nodes = [Node(job.id, "job", job.name, f"fine-tuning, {job.status}", job.id, job.status) for job in jobs]
    pairs = [(job, job.dataset_version_id, "training") for job in jobs]
    pairs += [(job, job.validation_version_id, "validation") for job in jobs]
    return nodes, [Edge(version_id, job.id, how) for job, version_id, how in pairs if version_id]


def _models(
    session: Session, user_id: str, version_ids: set[str], job_ids: set[str]
) -> tuple[list[Node], list[Edge]]:
    version = ModelVersionRow
    versions = session.execute(
        select(version, ModelRow.name)
        .join(ModelRow, ModelRow.id == version.model_id)
        .where(ModelRow.owner_id == user_id, version.dataset_version_id.in_(version_ids))
        .order_by(version.created_at)
    ).all()
    nodes = [
        Node(row.id, "model", f"{name} · version {row.version}", "model", row.model_id, "ready", row.version)
        for row, name in versions
    ]
    edges = [
        Edge(
            row.finetune_job_id if row.finetune_job_id in job_ids else row.dataset_version_id or "",
            row.id,
            "training",
        )
        for row, _ in versions
    ]
    return nodes, edges
