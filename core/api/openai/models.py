"""``/v1/models``: what this key may call, by every name it may call it."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter

from core import models
from core.api.openai.deps import CurrentCaller, WithKey
from core.api.openai.errors import UnknownModel
from core.errors import Conflict, NotFound, ValidationError
from core.models import Callable, Model, ModelList
from core.people import api_keys
from core.people.api_keys import Caller

router = APIRouter(route_class=WithKey, tags=["models"])
PAGE = 100


@router.get("/models")
def list_models(caller: CurrentCaller) -> dict[str, Any]:
    """Names, and names with an alias; ``name@3`` is callable as well. Not paged, as the SDKs expect."""
    entries = {
        name: _entry(model, name)
        for model in sorted(_all(caller), key=lambda model: model.owner_id is not None)  # own names win
        for name in [model.openai_id, *(f"{model.name}@{alias}" for alias in model.aliases)]
        if api_keys.may_call(caller, model.names(name))
    }
    for name in sorted(caller.models or ()):  # a key may be for one version, or one checkpoint, alone
        if name not in entries and (model := _only_as(caller, name)):
            entries[name] = _entry(model, name)
    return {"object": "list", "data": list(entries.values()), "has_more": False}


@router.get("/models/{name:path}")
def get_model(name: str, caller: CurrentCaller) -> dict[str, Any]:
    """One model this key may call."""
    return _entry(require_callable(caller, name).model, name)


@router.delete("/models/{name:path}")
def delete_model(name: str, caller: CurrentCaller) -> dict[str, Any]:
    """Delete an own model with all of its versions.

    Raises like ``/api``: bases are read-only; and ValidationError for the name of a version, an alias or a
    checkpoint, because more than these would go.
    """
    model = require_callable(caller, name).model
    if name not in (model.id, model.name) or model.type == "checkpoint":
        raise ValidationError.of(
            "model",
            f"{name!r} names a version, an alias or a checkpoint. Only a whole model can be deleted here: "
            "give its name alone",
        )
    models.delete(caller.user, model.id)
    return {"id": name, "object": "model", "deleted": True}


def require_callable(caller: Caller, name: str) -> Callable:
    """What this name means for the key's owner.

    Raises UnknownModel, also for what the key's allow-list leaves out.
    """
    try:
        callable_model = models.resolve(caller.user, name)
    except NotFound as error:
        raise UnknownModel(f"The model {name!r} does not exist or you do not have access to it.") from error
    if not api_keys.may_call(caller, callable_model.model.names(name)):
        raise UnknownModel(f"The model {name!r} does not exist or you do not have access to it.")
    return callable_model


def _all(caller: Caller) -> Iterator[Model]:
    """Every model that can answer, oldest first."""
    offset = 0
    while True:
        page = models.list_models(caller.user, ModelList(limit=PAGE, offset=offset, sort="created_at"))
        yield from (
            model for model in page.items if model.latest_version or _answers_elsewhere(caller, model)
        )
        offset += PAGE
        if offset >= page.total:
            return


def _only_as(caller: Caller, name: str) -> Model | None:
    """The model that the key may call by this name and not by the model's own; None where there is none."""
    try:
        model = models.resolve(caller.user, name).model
    except (NotFound, Conflict):
        return None
    return None if api_keys.may_call(caller, model.names(model.id)) else model


def _answers_elsewhere(caller: Caller, model: Model) -> bool:
    """Whether a model without a version answers all the same, because its weights are on another server."""
    try:
        models.resolve(caller.user, model.id)
    except (NotFound, Conflict):
        return False
    return True


def _entry(model: Model, name: str) -> dict[str, Any]:
    owner = "luthier" if model.owner_id is None else model.owner_id
    return {"id": name, "object": "model", "created": int(model.created_at.timestamp()), "owned_by": owner}
