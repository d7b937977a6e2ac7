"""Aliases: names such as ``production`` that point at a version, and the log of how they were moved.

Rules: only aliases of one's own models; moving one needs a reason, making one does not; every change is
written down with who, when, from, to and why. The log stays when an alias is removed, and goes with its
model.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import reading, writing
from core.errors import Conflict, NotFound, ValidationError
from core.fields import Input, require_something
from core.listing import Listed, ListQuery, fetch
from core.models.values import Model, find, find_changeable, present, require_weights_model
from core.people.users import User
from core.tables import AliasMoveRow, ModelAliasRow, ModelRow, ModelVersionRow, UserRow

LARGEST_VERSION = 2**31 - 1  # what the table can hold
Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(require_something)]


class NewAlias(Input):
    """``reason``: why it moves; needed unless the alias is new or stays where it is."""

    version: int = Field(ge=1, le=LARGEST_VERSION)
    reason: Reason | None = None


class MoveList(ListQuery):
    """Newest first."""

    sort: str = "-at"


@dataclass(frozen=True)
class AliasMove:
    """``from_version`` None: the alias was made; ``to_version`` None: it was removed."""

    alias: str
    from_version: Annotated[int | None, Field(serialization_alias="from")]
    to_version: Annotated[int | None, Field(serialization_alias="to")]
    reason: str | None
    by: str | None  # the user's id; None when the account is gone
    by_name: str  # for people: their name, or else their e-mail address
    at: datetime


def set_alias(user: User, model_id: str, alias: str, new: NewAlias) -> Model:
    """Point ``name@alias`` at a version.

    Raises NotFound for the version, ReadOnly for a base, ValidationError for a move without a reason,
    Conflict when a model has this very name.
    """
    _check_alias(alias)
    with writing() as session:
        row = _find_locked(session, user.id, model_id)
        below = require_weights_model(session, row)
        version = session.scalar(select(ModelVersionRow).filter_by(model_id=below.id, version=new.version))
        if version is None:
            raise NotFound("There is no such version of this model.")
        alias_row = session.get(ModelAliasRow, (row.id, alias))
        if alias_row is None:
            _require_new_name(session, user, f"{row.name}@{alias}")
        before = _number(session, alias_row)
        if before != version.version:
            if before is not None and new.reason is None:
                raise ValidationError.of(
                    "reason", f"is needed to move {alias} from version {before} to version {version.version}"
                )
            _note(session, user, row, alias, before=before, after=version.version, reason=new.reason)
        session.merge(ModelAliasRow(model_id=row.id, alias=alias, version_id=version.id))
        session.flush()
        return present(session, row)


def drop_alias(user: User, model_id: str, alias: str) -> None:
    with writing() as session:
        row = _find_locked(session, user.id, model_id)
        alias_row = session.get(ModelAliasRow, (row.id, alias))
        if alias_row is None:
            raise _no_such_alias()
        _note(session, user, row, alias, before=_number(session, alias_row), after=None, reason=None)
        session.delete(alias_row)


def list_moves(user: User, model_id: str, alias: str, query: MoveList | None = None) -> Listed[AliasMove]:
    """How one alias was moved, also one that is gone. Raises NotFound for one that never was."""
    with reading() as session:
        row = find(session, user.id, model_id)
        listed = _fetch(session, row, query or MoveList(), alias=alias)
        if listed.total == 0 and session.get(ModelAliasRow, (row.id, alias)) is None:
            raise _no_such_alias()
        return listed


def list_all_moves(user: User, model_id: str, query: MoveList | None = None) -> Listed[AliasMove]:
    """How all aliases of a model were moved."""
    with reading() as session:
        return _fetch(session, find(session, user.id, model_id), query or MoveList())


def _find_locked(session: Session, user_id: str, model_id: str) -> ModelRow:
    """Changes of one model's aliases wait for each other, so that each is from where the one before ended."""
    row = find_changeable(session, user_id, model_id)
    session.refresh(row, with_for_update=True)
    return row


def _require_new_name(session: Session, user: User, name: str) -> None:
    """Whole names come first, so nobody could call the alias."""
    named = select(ModelRow.id).where(ModelRow.name == name, ModelRow.is_visible_to(user.id))
    if session.scalar(named.limit(1)):
        raise Conflict(
            f"There is a model named {name}, which this name would go on to call. Choose another alias."
        )


def _fetch(session: Session, row: ModelRow, query: MoveList, **only: str) -> Listed[AliasMove]:
    statement = (
        select(AliasMoveRow, UserRow.name, UserRow.email)
        .outerjoin(UserRow, UserRow.id == AliasMoveRow.user_id)
        .where(AliasMoveRow.model_id == row.id, *(AliasMoveRow.alias == alias for alias in only.values()))
    )
    sortable = {"at": AliasMoveRow.created_at}
    return fetch(session, statement, query, sortable=sortable, tie=AliasMoveRow.id, present=_present_move)


def _present_move(row: AliasMoveRow, name: str | None, email: str | None) -> AliasMove:
    return AliasMove(
        alias=row.alias,
        from_version=row.from_version,
        to_version=row.to_version,
        reason=row.reason,
        by=row.user_id,
        by_name=name or email or "a deleted account",
        at=row.created_at,
    )


def _note(
    session: Session,
    user: User,
    row: ModelRow,
    alias: str,
    *,
    before: int | None,
    after: int | None,
    reason: str | None,
) -> None:
    session.add(
        AliasMoveRow(
            model_id=row.id,
            alias=alias,
            from_version=before,
            to_version=after,
            reason=reason,
            user_id=user.id,
        )
    )


def _number(session: Session, alias_row: ModelAliasRow | None) -> int | None:
    """Of the version it points at."""
    return session.get_one(ModelVersionRow, alias_row.version_id).version if alias_row else None


def _check_alias(alias: str) -> None:
    plain = alias.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(alias) <= 64) or alias.isdecimal():
        raise ValidationError.of("alias", "must be up to 64 letters, digits, - and _, and not only digits")


def _no_such_alias() -> NotFound:
    return NotFound("There is no such alias.")
