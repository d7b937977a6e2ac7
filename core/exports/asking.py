"""Model versions in forms that run elsewhere: asked for, listed, taken away, deleted.

Making one is the business of a process of its own (``core.exports.worker``), started and looked after by
``queue``. It loads what it made once more and compares greedy answers with the registry's; only what passed
becomes ``ready``. Exports are immutable: the same version, kind and target again is the existing one, unless
it failed. They belong to whoever asked, also those of a base that everybody shares. A token for a hub is
handed to the process and kept nowhere.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import storage
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import Conflict, NotFound, ValidationError
from core.exports import queue
from core.exports.llama_like import NotMapped, lost_window, mapping_of
from core.exports.sizes import estimate
from core.exports.work import WORK
from core.fields import Input
from core.listing import Listed, ListQuery, fetch
from core.models.calling import location
from core.models.values import find, latest_version, require_weights_model
from core.people.users import User
from core.security import new_id
from core.tables import ExportRow, ModelRow, ModelVersionRow
from core.weights import Weights, tokenizer_folder

Kind = Literal["adapter", "merged", "gguf-f16", "gguf-q8_0", "hub"]
Precision = Literal["stored", "float32", "bfloat16", "float16"]
KINDS: tuple[Kind, ...] = ("adapter", "merged", "gguf-f16", "gguf-q8_0", "hub")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class NewExport(Input):
    """``repository`` and ``token`` are for a push to a hub alone, ``precision`` for merged weights."""

    kind: Kind = Field(title="Form", description="What it becomes; the guide says which runs where.")
    version: int | None = Field(None, ge=1, title="Version", description="Left out: the newest.")
    precision: Precision = Field(
        "stored", title="Precision", description="stored: what loses nothing that the version has."
    )
    repository: str | None = Field(
        None, max_length=193, title="Repository", description="organisation/name on the hub"
    )
    private: bool = Field(
        True, title="Private", description="Only you and your organisation see the repository."
    )
    token: str | None = Field(
        None, max_length=500, repr=False, title="Token", description="With write permission; never stored."
    )

    @field_validator("repository")
    @classmethod
    def _repository_is_a_name(cls, repository: str | None) -> str | None:
        if repository is not None and not REPOSITORY.fullmatch(repository):
            raise ValueError("must be organisation/name, in letters, digits, dots, - and _")
        return repository

    @model_validator(mode="after")
    def _push_names_its_target(self) -> "NewExport":
        if self.kind == "hub" and not (self.repository and self.token):
            raise ValueError("a push to the hub needs repository and token")
        return self

    @property
    def target(self) -> str:
        """With version and kind it says what the export is."""
        if self.kind == "hub":
            return str(self.repository)
        return self.precision if self.kind == "merged" and self.precision != "stored" else ""


class ExportList(ListQuery):
    """Newest first."""


@dataclass(frozen=True)
class Export:
    """``checks``: prompt, reference (the registry's answer),
    export (its own answer) and same, for each prompt that was compared.

    ``ahead``: while it waits, how many exports are made before it.

    ``facts``: stage (what it does now), precision, written_by, checked_by, sha256, url of a push.
    """

    id: str
    model_id: str
    model_version_id: str
    version: int  # number of the model's version
    kind: str
    target: str  # repository of a push, precision of merged weights, or empty
    status: str  # waiting, running, ready or failed
    progress: float  # 0 to 1
    ahead: int | None
    error: str | None
    size_bytes: int  # on disk
    checks: list[dict[str, Any]]
    num_same: int  # how many of the checks agree
    facts: dict[str, Any]
    filename: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Offer:
    """A kind a version can be exported as, its size before, or the sentence why not.

    ``peak_bytes``: free disk it needs.
    """

    kind: Kind
    size_bytes: int
    peak_bytes: int
    precision: str
    problem: str | None = None


class Requested(NamedTuple):
    export: Export
    is_new: bool


class ExportFile(NamedTuple):
    path: Path
    filename: str


def list_offers(
    user: User, model_id: str, *, version: int | None = None, precision: Precision = "stored"
) -> list[Offer]:
    """Every kind with its size, in the order in which pages show them.

    Raises NotFound, Conflict (no weights).
    """
    with reading() as session:
        row = _version(session, user, model_id, version)
    weights = location(row.id)
    return [_offer(weights, kind, precision) for kind in KINDS]


def request_export(user: User, model_id: str, new: NewExport) -> Requested:
    """Ask for an export.

    Raises NotFound, Conflict, ValidationError (this kind is not possible, and why), DiskFull.
    """
    with reading() as session:
        version = _version(session, user, model_id, new.version)
        if existing := _existing(session, user, version.id, new):
            return Requested(_present(session, existing), is_new=False)
    offer = _offer(location(version.id), new.kind, new.precision)
    if offer.problem:
        raise ValidationError.of("kind", offer.problem)
    storage.require_space(offer.peak_bytes)
    export_id = new_id("exp")
    queue.QUEUE.keep_token(export_id, new.token)
    with writing() as session:
        if existing := _existing(session, user, version.id, new):  # asked for twice at the same time
            queue.QUEUE.drop_token(export_id)
            return Requested(_present(session, existing), is_new=False)
        row = _insert(session, user, version, new, export_id=export_id, offer=offer)
        requested = Requested(_present(session, row), is_new=True)
    queue.QUEUE.wake()
    return requested


def list_exports(user: User, model_id: str, query: ExportList | None = None) -> Listed[Export]:
    """The caller's exports of all versions of a model."""
    with reading() as session:
        below = require_weights_model(session, find(session, user.id, model_id))
        statement = select(ExportRow).join(ModelVersionRow, ModelVersionRow.id == ExportRow.model_version_id)
        statement = statement.where(ModelVersionRow.model_id == below.id, ExportRow.user_id == user.id)
        sortable = {"created_at": ExportRow.created_at, "size_bytes": ExportRow.size_bytes}
        return fetch(
            session,
            statement,
            query or ExportList(),
            sortable=sortable,
            tie=ExportRow.id,
            present=lambda row: _present(session, row),
        )


def get_export(user: User, export_id: str) -> Export:
    with reading() as session:
        return _present(session, _own(session, user, export_id))


def delete_export(user: User, export_id: str) -> None:
    """One that is being made stops within seconds. What was pushed to a hub stays there."""
    with writing() as session:
        session.delete(_own(session, user, export_id))
    queue.QUEUE.drop_token(export_id)
    storage.remove(storage.export_dir(export_id))


def open_export(user: User, export_id: str) -> ExportFile:
    """The file to take away. Raises Conflict while there is none."""
    export = get_export(user, export_id)
    if export.kind == "hub":
        raise Conflict(f"This export was pushed to {export.target}. Download it from there.")
    path = storage.export_dir(export_id) / export.filename
    if export.status != "ready" or not path.is_file():
        raise Conflict("This export is not ready. Wait until it is, or make it again if it failed.")
    return ExportFile(path, export.filename)


def filename_of(name: str, version: int, kind: str, target: str = "") -> str:
    """``support-bot-v2-merged.zip``, ``support-bot-v2-f16.gguf``"""
    stem = _UNSAFE.sub("-", name).strip("-.")[:80] or "model"
    form = (
        kind.removeprefix("gguf-")
        if kind.startswith("gguf")
        else f"{kind}-{target}"
        if target and kind == "merged"
        else kind
    )
    return f"{stem}-v{version}-{form}.{'gguf' if kind.startswith('gguf') else 'zip'}"


def _version(session: Session, user: User, model_id: str, number: int | None) -> ModelVersionRow:
    model = require_weights_model(session, find(session, user.id, model_id))
    if model.type == "external":
        raise Conflict("This model answers on another server, so there are no weights to export.")
    if number is None:
        version = latest_version(session, model.id)
    else:
        version = session.scalar(select(ModelVersionRow).filter_by(model_id=model.id, version=number))
    if version is None:
        raise NotFound("There is no such version of this model.")
    return version


def _offer(weights: Weights, kind: Kind, precision: Precision) -> Offer:
    try:
        size = estimate(weights, kind, precision)
    except (OSError, ValueError, KeyError):
        return Offer(kind, 0, 0, "", "The files of this version cannot be read, so it cannot be exported.")
    return Offer(kind, size.file_bytes, size.peak_bytes, size.precision, _problem(weights, kind))


def _problem(weights: Weights, kind: Kind) -> str | None:
    if kind == "adapter" and weights.adapter is None:
        return "This version is a whole model, not an adapter. Export it merged."
    if kind.startswith("gguf") and (problem := lost_window(weights.base)):
        return problem
    if kind.startswith("gguf") and not settings().llama_cpp:
        try:
            mapping_of(weights.base, tokenizer_folder(weights))
        except NotMapped as reason:
            return str(reason)
    return None


def _existing(session: Session, user: User, version_id: str, new: NewExport) -> ExportRow | None:
    row = _same(session, user, version_id, new)
    return row if row is not None and row.status != "failed" else None


def _same(session: Session, user: User, version_id: str, new: NewExport) -> ExportRow | None:
    named = {"user_id": user.id, "model_version_id": version_id, "kind": new.kind, "target": new.target}
    return session.scalar(select(ExportRow).filter_by(**named))


def _insert(
    session: Session, user: User, version: ModelVersionRow, new: NewExport, *, export_id: str, offer: Offer
) -> ExportRow:
    """A failed try is replaced by the next one. The file keeps its name when the model gets another."""
    if failed := _same(session, user, version.id, new):
        session.delete(failed)
        session.flush()
    name = session.get_one(ModelRow, version.model_id).name
    facts = {
        "precision": offer.precision,
        "filename": filename_of(name, version.version, new.kind, new.target),
    }
    row = ExportRow(
        id=export_id,
        user_id=user.id,
        model_version_id=version.id,
        kind=new.kind,
        target=new.target,
        status="waiting",
        progress=0.0,
        size_bytes=offer.size_bytes,
        checks=[],
        facts=facts | ({"private": new.private} if new.kind == "hub" else {}),
        created_at=now(),
    )
    session.add(row)
    session.flush()
    return row


def _own(session: Session, user: User, export_id: str) -> ExportRow:
    row = session.get(ExportRow, export_id)
    if row is None or row.user_id != user.id:
        raise NotFound("There is no such export.")
    return row


def _present(session: Session, row: ExportRow) -> Export:
    version = session.get_one(ModelVersionRow, row.model_version_id)
    model = session.get_one(ModelRow, version.model_id)
    return Export(
        id=row.id,
        model_id=model.id,
        model_version_id=version.id,
        version=version.version,
        kind=row.kind,
        target=row.target,
        status=row.status,
        progress=row.progress,
        ahead=WORK.count_ahead(session, row),
        error=row.error,
        size_bytes=row.size_bytes,
        checks=row.checks,
        num_same=sum(1 for check in row.checks if check.get("same")),
        facts=row.facts,
        filename=str(row.facts.get("filename", "")),
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
