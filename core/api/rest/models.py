"""``/api/models``: the registry: models, their versions and aliases."""

from typing import Annotated

from fastapi import APIRouter, Query

from core import models
from core.api.deps import Admin, CurrentUser, SignedIn
from core.listing import Listed
from core.models import (
    AliasMove,
    Model,
    ModelChange,
    ModelList,
    ModelVersion,
    MoveList,
    NewAlias,
    NewBase,
    NewModel,
    VersionList,
)

router = APIRouter(route_class=SignedIn, tags=["models"])
admin = APIRouter(route_class=Admin, tags=["models"])


@router.get("/models")
def list_models(user: CurrentUser, query: Annotated[ModelList, Query()]) -> Listed[Model]:
    """Own models and the shared bases."""
    return models.list_models(user, query)


@router.post("/models", status_code=201)
def create_model(new: NewModel, user: CurrentUser) -> Model:
    """A custom model: a base or tuned model with a system prompt and parameters of its own."""
    return models.create_custom(user, new)


@admin.post("/models/bases", status_code=201)
def add_base(new: NewBase, user: CurrentUser) -> Model:
    """Add a base for everybody: a folder or a GGUF file on the server, or a hub id. Only an admin may.

    Answers when the model has been looked at; a GGUF file is unpacked and a hub model downloaded first.
    """
    return models.add_base(user, new)


@router.get("/models/{model_id}")
def get_model(model_id: str, user: CurrentUser) -> Model:
    """One model."""
    return models.get(user, model_id)


@router.patch("/models/{model_id}")
def change_model(model_id: str, change: ModelChange, user: CurrentUser) -> Model:
    """Change the name, description, system prompt or parameters."""
    return models.update(user, model_id, change)


@router.delete("/models/{model_id}", status_code=204)
def delete_model(model_id: str, user: CurrentUser) -> None:
    """Remove a model with all of its versions."""
    models.delete(user, model_id)


@router.get("/models/{model_id}/versions")
def list_versions(
    model_id: str, user: CurrentUser, query: Annotated[VersionList, Query()]
) -> Listed[ModelVersion]:
    """The versions of a model, newest first."""
    return models.list_versions(user, model_id, query)


@router.put("/models/{model_id}/aliases/{alias}")
def set_alias(model_id: str, alias: str, new: NewAlias, user: CurrentUser) -> Model:
    """Point an alias such as ``production`` at a version; ``name@alias`` is callable at once.

    Moving one needs a ``reason``, which goes into its log.
    """
    return models.set_alias(user, model_id, alias, new)


@router.get("/models/{model_id}/aliases/{alias}/moves")
def list_moves(
    model_id: str, alias: str, user: CurrentUser, query: Annotated[MoveList, Query()]
) -> Listed[AliasMove]:
    """Every change of an alias, newest first: ``from`` and ``to`` are numbers of versions, null where it was
    made or removed."""
    return models.list_moves(user, model_id, alias, query)


@router.delete("/models/{model_id}/aliases/{alias}", status_code=204)
def drop_alias(model_id: str, alias: str, user: CurrentUser) -> None:
    """Remove an alias; the version it pointed at stays."""
    models.drop_alias(user, model_id, alias)
