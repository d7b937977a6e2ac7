"""List, look up, create, change and delete models. Their aliases: ``aliases``.

Rules: names are unique per user (the table says so); base models are read-only, only an admin may remove one
that was added and that nobody uses; nothing is deleted while an alias, an active job or another model stands
on it. Weights go after the rows.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import Select, bindparam, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from core import storage
from core.chat_templates import TemplateFinding
from core.db import find_row, reading, writing
from core.errors import Conflict, InUse, ReadOnly, ValidationError
from core.fields import Input, Name100
from core.listing import Listed, ListQuery, SearchQuery, fetch
from core.models.values import (
    STARTER,
    Model,
    ModelVersion,
    export_ids_of,
    find,
    find_changeable,
    no_such_model,
    present,
    present_version,
    require_weights_model,
)
from core.people.users import User
from core.security import new_id
from core.tables import (
    ACTIVE_STATUSES,
    DatasetRow,
    DatasetVersionRow,
    JobRow,
    ModelAliasRow,
    ModelRow,
    ModelVersionRow,
)
from core.weights import is_ours, real_path

StopText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
LARGEST_SEED = 2**63 - 1
_VISIBLE = select(ModelRow.id).where(
    ModelRow.id == bindparam("model_id"), ModelRow.is_visible_to(bindparam("user_id"))
)


def _of_newest(column: Any) -> Any:
    """This column of the newest version of each model."""
    versions = select(column).where(ModelVersionRow.model_id == ModelRow.id)
    return versions.order_by(ModelVersionRow.version.desc()).limit(1).correlate(ModelRow).scalar_subquery()


_BELOW = aliased(ModelRow)
_DATASET_NAME = (
    select(DatasetRow.name)
    .join(DatasetVersionRow, DatasetVersionRow.dataset_id == DatasetRow.id)
    .where(DatasetVersionRow.id == ModelVersionRow.dataset_version_id)
    .correlate(ModelVersionRow)
    .scalar_subquery()
)
SORTABLE = {
    "created_at": ModelRow.created_at,
    "name": ModelRow.name,
    "type": ModelRow.type,
    "base": select(_BELOW.name)
    .where(_BELOW.id == ModelRow.base_model_id)
    .correlate(ModelRow)
    .scalar_subquery(),
    "size_bytes": _of_newest(ModelVersionRow.size_bytes),
    "version": _of_newest(ModelVersionRow.version),
    "dataset": _of_newest(_DATASET_NAME),
    "method": _of_newest(ModelVersionRow.settings["method"].as_string()),
    "learning_rate": _of_newest(ModelVersionRow.settings[("resolved", "learning_rate")].as_float()),
    "duration": _of_newest(ModelVersionRow.metrics["seconds"].as_float()),
    "num_parameters": _of_newest(ModelVersionRow.num_parameters),
    "train_loss": _of_newest(ModelVersionRow.metrics["train_loss"].as_float()),
    "valid_loss": _of_newest(ModelVersionRow.metrics["valid_loss"].as_float()),
}


class Parameters(Input):
    """How an answer is drawn.

    What is left out falls to the chat's, then the model's, then the server's default.
    """

    temperature: float | None = Field(
        None, ge=0, le=2, title="Temperature", description="0 always takes the likeliest word."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, title="Top p", description="Draw only from the likeliest words of this share."
    )
    top_k: int | None = Field(
        None, ge=0, le=1_000_000, title="Top k", description="Draw only from so many of the likeliest words."
    )
    min_p: float | None = Field(
        None, ge=0, le=1, title="Min p", description="Draw only words this likely, beside the likeliest."
    )
    repetition_penalty: float | None = Field(
        None, gt=0, le=100, title="Repetition penalty", description="Above 1: repeat less of what was said."
    )
    max_tokens: int | None = Field(None, ge=1, le=8192, title="Longest answer", description="In tokens.")
    seed: int | None = Field(
        None, ge=-LARGEST_SEED, le=LARGEST_SEED, title="Seed", description="Same seed, same draw."
    )
    stop: list[StopText] | None = Field(
        None, max_length=4, title="Stop at", description="Up to four texts that end the answer."
    )

    def chosen(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class ModelList(SearchQuery):
    """``dataset_id``: at least one version was trained on it.

    Sizes and losses by which a list is sorted are those of a model's own newest version.
    """

    sort: str = "-created_at"
    type: Literal["base", "custom", "finetuned", "external"] | None = None
    base_model_id: str | None = None
    dataset_id: str | None = None


class VersionList(ListQuery):
    sort: str = "-version"


class NewModel(Input):
    name: Name100
    base_model_id: str
    description: str = Field("", max_length=2000)
    system_prompt: str | None = Field(None, max_length=20_000)
    parameters: Parameters = Field(default_factory=Parameters)


class ModelChange(Input):
    """Only the fields that were given are changed; ``system_prompt`` may be cleared with null."""

    name: Name100 = ""
    description: str = Field("", max_length=2000)
    system_prompt: str | None = Field(None, max_length=20_000)
    parameters: Parameters = Field(default_factory=Parameters)


def list_models(user: User, query: ModelList) -> Listed[Model]:
    statement = select(ModelRow).where(ModelRow.is_visible_to(user.id), query.found_in(ModelRow.name))
    if query.type:
        statement = statement.where(ModelRow.type == query.type)
    if query.base_model_id:
        statement = statement.where(ModelRow.base_model_id == query.base_model_id)
    if query.dataset_id:
        statement = statement.where(ModelRow.id.in_(_trained_on(query.dataset_id)))
    with reading() as session:
        return fetch(
            session,
            statement,
            query,
            sortable=SORTABLE,
            tie=ModelRow.id,
            present=lambda row: present(session, row),
        )


def _trained_on(dataset_id: str) -> Select[str]:
    """Ids of the models with a version made from this dataset."""
    return (
        select(ModelVersionRow.model_id)
        .join(DatasetVersionRow, DatasetVersionRow.id == ModelVersionRow.dataset_version_id)
        .where(DatasetVersionRow.dataset_id == dataset_id)
    )


def get(user: User, model_id: str) -> Model:
    with reading() as session:
        return present(session, find(session, user.id, model_id))


def require(user: User, model_id: str) -> None:
    """Raises NotFound for what is missing or somebody else's."""
    if find_row(_VISIBLE, model_id=model_id, user_id=user.id) is None:
        raise no_such_model()


def create_custom(user: User, new: NewModel) -> Model:
    """A name for a base with its own system prompt and parameters.

    Raises NotFound for the base, Conflict for the name.
    """
    with writing() as session:
        base = find(session, user.id, new.base_model_id)
        _require_new_meaning(session, user, new.name)
        if base.type == "custom":
            raise ValidationError.of("base_model_id", "is itself a custom model: choose the model under it")
        row = ModelRow(
            id=new_id("mdl"),
            owner_id=user.id,
            name=new.name,
            type="custom",
            base_model_id=base.id,
            provider=base.provider,
            description=new.description,
            system_prompt=new.system_prompt,
            parameters=new.parameters.chosen(),
            context_length=base.context_length,
        )
        session.add(row)
        _flush_name(session, new.name)
        return present(session, row)


def update(user: User, model_id: str, change: ModelChange) -> Model:
    with writing() as session:
        row = find_changeable(session, user.id, model_id)
        if "name" in change.model_fields_set and change.name != row.name:
            _require_new_meaning(session, user, change.name)
        for field in change.model_fields_set & {"name", "description", "system_prompt"}:
            setattr(row, field, getattr(change, field))
        if "parameters" in change.model_fields_set:
            row.parameters = change.parameters.chosen()
        _flush_name(session, row.name)
        return present(session, row)


def delete(user: User, model_id: str) -> None:
    """Raises ReadOnly for a base, InUse while an alias, an active job or another model needs it."""
    with writing() as session:
        row = find(session, user.id, model_id)
        if row.type == "base" and (not user.is_admin or row.name == STARTER):
            raise ReadOnly
        _require_unused(session, row)
        folders = session.scalars(select(ModelVersionRow.folder).filter_by(model_id=row.id)).all()
        exported = export_ids_of(session, row.id)
        session.delete(row)
    for folder in filter(is_ours, folders):
        storage.remove(real_path(folder))
    for export_id in exported:
        storage.remove(storage.export_dir(export_id))


def list_versions(user: User, model_id: str, query: VersionList | None = None) -> Listed[ModelVersion]:
    """Newest first. A custom model lists the versions of the model below it."""
    with reading() as session:
        below = require_weights_model(session, find(session, user.id, model_id))
        statement = select(ModelVersionRow).where(ModelVersionRow.model_id == below.id)
        sortable = {"version": ModelVersionRow.version, "created_at": ModelVersionRow.created_at}
        return fetch(
            session,
            statement,
            query or VersionList(),
            sortable=sortable,
            tie=ModelVersionRow.id,
            present=partial(present_version, session),
        )


def template_findings(version_id: str) -> list[TemplateFinding] | None:
    """What is known about the chat template of a version; None where it was never checked."""
    with reading() as session:
        row = session.get(ModelVersionRow, version_id)
        known = row.settings.get("chat_template") if row else None
    return None if known is None else [TemplateFinding(**finding) for finding in known]


def keep_template_findings(version_id: str, findings: Sequence[TemplateFinding]) -> None:
    """Of a version that came before templates were checked."""
    with writing() as session:
        if row := session.get(ModelVersionRow, version_id):
            row.settings = {**row.settings, "chat_template": [asdict(finding) for finding in findings]}


def _require_new_meaning(session: Session, user: User, name: str) -> None:
    """Raises Conflict for a name that calls a version of another model by its number or its alias.

    From now on it would call this one.
    """
    stem, _, pin = name.rpartition("@")
    named = select(ModelRow.id).where(ModelRow.name == stem, ModelRow.is_visible_to(user.id))
    if pin.isdecimal():
        is_called = stem and session.scalar(named.limit(1))
    else:
        is_called = session.scalar(
            select(ModelAliasRow.model_id)
            .where(ModelAliasRow.alias == pin, ModelAliasRow.model_id.in_(named))
            .limit(1)
        )
    if is_called:
        raise Conflict(f"{name} calls a version of the model {stem} already. Choose another name.")


def _flush_name(session: Session, name: str) -> None:
    """uq_models_owner_id_name and uq_models_shared_name are the only constraints a valid model can break."""
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(f"You already have a model named {name}. Choose another name.") from error


def _require_unused(session: Session, row: ModelRow) -> None:
    versions = select(ModelVersionRow.id).where(ModelVersionRow.model_id == row.id)
    pointing = (
        select(ModelRow, ModelAliasRow.alias)
        .join(ModelAliasRow, ModelAliasRow.model_id == ModelRow.id)
        .where(ModelAliasRow.version_id.in_(versions))
    )
    for model, alias in session.execute(pointing.limit(1)):
        if model.owner_id != row.owner_id:  # a base, and somebody's custom model on it
            raise InUse(f"Aliases of other models point at {row.name}.")
        raise InUse(f"{model.name}@{alias} points at this model. Remove the alias first.")
    if session.scalar(select(exists().where(ModelAliasRow.model_id == row.id))):
        raise InUse(f"{row.name} has an alias. Remove it first.")
    needs_it = (
        (JobRow.base_model_id == row.id)
        | (JobRow.base_version_id.in_(versions))
        | (JobRow.model_id == row.id)
    )
    if job := session.scalar(select(JobRow.id).where(needs_it, JobRow.status.in_(ACTIVE_STATUSES)).limit(1)):
        raise InUse(
            f"{row.name} is used by job {job}. Cancel the job first."
            if row.owner_id
            else f"{row.name} is used by a job."
        )
    trained_on_it = (ModelVersionRow.base_version_id.in_(versions)) & (ModelVersionRow.kind == "adapter")
    stands_on_it = ((ModelRow.base_model_id == row.id) & (ModelRow.type == "custom")) | ModelRow.id.in_(
        select(ModelVersionRow.model_id).where(trained_on_it)
    )
    if name := session.scalar(select(ModelRow.name).where(stands_on_it, ModelRow.id != row.id).limit(1)):
        raise InUse(
            f"{name} stands on {row.name}. Delete that first."
            if row.owner_id
            else f"Other models stand on {row.name}."
        )
