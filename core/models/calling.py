"""From a name to what answers. ``name``, ``name@alias``, ``name@3`` and a ``mdl_`` id are callable; so is the
part before the ``@`` of a custom model, which then pins the version of the model below it. So are the
checkpoints of one's own jobs (``checkpoint_calls``).

A user's own name wins over a shared base's. What another user owns does not exist.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import reading
from core.errors import NotFound
from core.models import checkpoint_calls
from core.models.values import (
    Model,
    ModelVersion,
    latest_version,
    no_such_model,
    present,
    present_version,
    require_weights_model,
)
from core.people.users import User
from core.storage import model_files
from core.tables import ModelAliasRow, ModelRow, ModelVersionRow
from core.weights import Weights


@dataclass(frozen=True)
class Callable:
    """What a name means right now: the model asked for, what answers, and the defaults that go with it.

    ``answering``: the model itself, or the one below a custom one. ``version``: of the one that answers; None
    when it is a model of another server, of which the registry holds no versions.
    """

    name: str
    model: Model
    answering: Model
    version: ModelVersion | None
    system_prompt: str | None
    parameters: dict[str, Any]


def resolve(user: User, name: str) -> Callable:
    """Raises NotFound for an unknown name, alias or version,
    Conflict when the model has no weights any more."""
    with reading() as session:
        if checkpoint_calls.is_meant(name) and _by_name_or_id(session, user.id, name) is None:
            model, at_step = checkpoint_calls.find(session, user.id, name)
            return Callable(name, model, model, at_step, system_prompt=None, parameters={})
        row, pin = _find(session, user.id, name)
        below = require_weights_model(session, row)
        version = _version(session, row, below=below, pin=pin)
        asked, answering = present(session, row), present(session, below)
        shown = present_version(session, version) if version else None
        prompt, parameters = row.system_prompt or below.system_prompt, {**below.parameters, **row.parameters}
        return Callable(name, asked, answering, shown, prompt, parameters)


def location(version_id: str) -> Weights:
    """Raises NotFound when there is no such version, Conflict when an adapter's base is gone.

    Knows checkpoints as well.
    """
    with reading() as session:
        if version_id.startswith("ckpt_"):
            return checkpoint_calls.locate(session, version_id)
        return model_files.locate(session, version_id)


def _find(session: Session, user_id: str, name: str) -> tuple[ModelRow, str | None]:
    """The model and what stands behind the ``@``. A name that itself holds an ``@`` is tried whole first."""
    row = _by_name_or_id(session, user_id, name)
    if row is not None:
        return row, None
    stem, at, pin = name.rpartition("@")
    row = _by_name_or_id(session, user_id, stem) if at else None
    if row is None:
        raise no_such_model()
    return row, pin


def _by_name_or_id(session: Session, user_id: str, text: str) -> ModelRow | None:
    same = (ModelRow.name == text) | (ModelRow.id == text)
    rows = session.scalars(select(ModelRow).where(same, ModelRow.is_visible_to(user_id))).all()
    return min(rows, key=lambda row: (row.id != text, row.owner_id is None), default=None)


def _version(session: Session, row: ModelRow, *, below: ModelRow, pin: str | None) -> ModelVersionRow | None:
    """None for a model of another server, which may answer without a version. Raises NotFound."""
    if pin is None:
        version = latest_version(session, below.id)
        if version is None and below.type == "external":
            return None
    elif pin.isdecimal():
        number = int(pin) if len(pin) < 10 else -1
        version = session.scalar(select(ModelVersionRow).filter_by(model_id=below.id, version=number))
    else:
        alias = session.get(ModelAliasRow, (row.id, pin))
        version = session.get(ModelVersionRow, alias.version_id) if alias else None
    if version is None:
        raise NotFound("There is no such version of this model.")
    return version
