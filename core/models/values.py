"""What the registry hands out, and how rows become it. Everything here runs in the caller's session."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound, ReadOnly
from core.models.evaluations import metrics_of
from core.tables import ExportRow, ModelAliasRow, ModelRow, ModelVersionRow

STARTER = "luthier-starter"
CUSTOM_DEPTH = 2  # a custom model over a fine-tuned one is fine, over another custom one is not


@dataclass(frozen=True)
class ModelVersion:
    """One set of weights. ``kind`` is full or adapter; ``base_version_id`` what it was trained on."""

    id: str
    model_id: str
    version: int  # counted from 1 in its model
    kind: str
    base_version_id: str | None
    finetune_job_id: str | None
    dataset_version_id: str | None
    metrics: dict[str, Any]  # name -> value; with ``evaluation`` once it was measured
    settings: dict[str, Any]  # training settings, environment and data it came from
    size_bytes: int  # of its folder
    num_parameters: int
    chat_template_sha256: str | None
    created_at: datetime


@dataclass(frozen=True)
class Model:
    """A registry entry. ``latest_version`` and what is below it are None while there are no weights.

    ``starter`` is True for the bundled starter model and everything built on it: it says so wherever it
    answers.
    """

    id: str
    owner_id: str | None  # None: everybody's
    name: str
    type: str  # base, custom, finetuned or external
    base_model_id: str | None
    openai_id: str  # what /v1 calls it
    description: str
    system_prompt: str | None
    parameters: dict[str, Any]  # how it answers unless asked otherwise: temperature and others
    finetune_job_id: str | None
    latest_version: int | None
    latest_version_id: str | None
    aliases: dict[str, int]  # alias -> number of the version
    capabilities: dict[str, bool]  # chat, embeddings, finetune -> whether it can
    context_length: int  # tokens, prompt and answer together
    provider: str  # a name in core.providers
    kind: str | None  # full or adapter
    num_parameters: int
    size_bytes: int  # of the weights
    starter: bool
    created_at: datetime
    updated_at: datetime

    def names(self, called: str) -> set[str]:
        """Those under which a key's list of models may have it when it is called like this."""
        return {called, self.id, self.name, self.openai_id}


def present_version(session: Session, row: ModelVersionRow) -> ModelVersion:
    return ModelVersion(
        id=row.id,
        model_id=row.model_id,
        version=row.version,
        kind=row.kind,
        base_version_id=row.base_version_id,
        finetune_job_id=row.finetune_job_id,
        dataset_version_id=row.dataset_version_id,
        metrics=metrics_of(session, row),
        settings=row.settings,
        size_bytes=row.size_bytes,
        num_parameters=row.num_parameters,
        chat_template_sha256=row.chat_template_sha256,
        created_at=row.created_at,
    )


def present(session: Session, row: ModelRow) -> Model:
    weights = weights_model(session, row)
    latest = latest_version(session, weights.id) if weights else None
    return Model(
        id=row.id,
        owner_id=row.owner_id,
        name=row.name,
        type=row.type,
        base_model_id=row.base_model_id,
        openai_id=row.name,
        description=row.description,
        system_prompt=row.system_prompt,
        parameters=row.parameters,
        finetune_job_id=latest.finetune_job_id if latest and row.type == "finetuned" else None,
        latest_version=latest.version if latest else None,
        latest_version_id=latest.id if latest else None,
        aliases=_aliases(session, row.id),
        capabilities={"chat": True, "embeddings": False, "finetune": row.type not in ("custom", "external")}
        | row.capabilities,
        context_length=row.context_length,
        provider=row.provider,
        kind=latest.kind if latest else None,
        num_parameters=latest.num_parameters if latest else 0,
        size_bytes=latest.size_bytes if latest else 0,
        starter=descends_from_starter(session, row),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def find(session: Session, user_id: str, model_id: str) -> ModelRow:
    """Raises NotFound for what is missing or somebody else's."""
    row = session.scalar(select(ModelRow).where(ModelRow.id == model_id, ModelRow.is_visible_to(user_id)))
    if row is None:
        raise no_such_model()
    return row


def find_changeable(session: Session, user_id: str, model_id: str) -> ModelRow:
    """As ``find``. Raises ReadOnly for a base."""
    row = find(session, user_id, model_id)
    if row.type == "base":
        raise ReadOnly
    return row


def no_such_model() -> NotFound:
    return NotFound("There is no such model.")


def weights_model(session: Session, row: ModelRow) -> ModelRow | None:
    """The model whose versions count: itself, or for a custom model the one below.

    None when that was deleted.
    """
    model: ModelRow | None = row
    for _ in range(CUSTOM_DEPTH):
        if model is None or model.type != "custom":
            return model
        model = session.get(ModelRow, model.base_model_id) if model.base_model_id else None
    return model


def require_weights_model(session: Session, row: ModelRow) -> ModelRow:
    """Raises Conflict when the model below a custom one was deleted."""
    model = weights_model(session, row)
    if model is None:
        raise Conflict(f"The model under {row.name} was deleted. Make a new custom model on another base.")
    return model


def latest_version(session: Session, model_id: str) -> ModelVersionRow | None:
    newest_first = (
        select(ModelVersionRow)
        .where(ModelVersionRow.model_id == model_id)
        .order_by(ModelVersionRow.version.desc())
    )
    return session.scalar(newest_first.limit(1))


def _aliases(session: Session, model_id: str) -> dict[str, int]:
    pairs = (
        select(ModelAliasRow.alias, ModelVersionRow.version)
        .join(ModelVersionRow, ModelVersionRow.id == ModelAliasRow.version_id)
        .where(ModelAliasRow.model_id == model_id)
        .order_by(ModelAliasRow.alias)
    )
    return {row.alias: row.version for row in session.execute(pairs)}


def descends_from_starter(session: Session, row: ModelRow) -> bool:
    seen: set[str] = set()
    model: ModelRow | None = row
    while model is not None and model.base_model_id and model.id not in seen:
        seen.add(model.id)
        model = session.get(ModelRow, model.base_model_id)
    return model is not None and model.owner_id is None and model.name == STARTER


def export_ids_of(session: Session, model_id: str) -> list[str]:
    """For whoever deletes the model: the rows go with its versions, the folders do not."""
    versions = select(ModelVersionRow.id).where(ModelVersionRow.model_id == model_id)
    return list(session.scalars(select(ExportRow.id).where(ExportRow.model_version_id.in_(versions))))
