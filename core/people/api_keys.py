"""Keys by which programs call both APIs: 256 random bits, shown once, kept as a hash.

Rules: at most 50 active keys per user; a revoked or expired key is refused at the next request; a key may be
narrowed to scopes and models and to a number of tokens per calendar month (UTC). A key from before scopes
held on ``/api`` reaches ``/v1`` only, until its scopes are set again. Finding out who calls is
:func:`identify`; which routes a scope names is ``core.api.scopes``'s business, what the key's owner may do
every service's own.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

import sqlalchemy
from pydantic import Field
from sqlalchemy import ColumnElement, bindparam, func, or_, select
from sqlalchemy.orm import Session

from core import clock
from core.db import find_row, reading, writing
from core.errors import Conflict, NotFound, ScopeMissing, Unauthorized
from core.fields import Input, Name100, Name200
from core.listing import Listed, SearchQuery, fetch
from core.people.users import ACCOUNT, User, present
from core.security import digest, new_id, new_token
from core.tables import ApiKeyRow, UserRow

Scope = Literal["chat", "finetune", "files", "query"]
SCOPES: tuple[Scope, ...] = ("chat", "finetune", "files", "query")
MAX_ACTIVE = 50
PREFIX, SHOWN_CHARACTERS = "sk-", 7
USE_NOTED_EVERY = timedelta(minutes=1)  # a write per request would be dear

_UNEXPIRED = or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > bindparam("at"))
# Asked with every request, so it is built once: that takes as long as running it
_BY_KEY = (
    select(
        *ACCOUNT,
        ApiKeyRow.id.label("key_id"),
        ApiKeyRow.scopes,
        ApiKeyRow.reaches_api,
        ApiKeyRow.models,
        ApiKeyRow.monthly_token_limit,
        ApiKeyRow.last_used_at,
    )
    .join(UserRow, UserRow.id == ApiKeyRow.user_id)
    .where(ApiKeyRow.key_hash == bindparam("key_hash"), ApiKeyRow.revoked_at.is_(None), _UNEXPIRED)
)


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]
Models = Annotated[list[Name200], Field(max_length=100)]
Days = Annotated[int, Field(ge=1, le=365)]
Tokens = Annotated[int, Field(ge=1, le=10**12)]


class NewKey(Input):
    """Without ``scopes`` it has all of them, without ``models`` it may call all of its owner's."""

    name: Name100
    expires_in_days: Days | None = None
    scopes: Scopes | None = None
    models: Models | None = None
    monthly_token_limit: Tokens | None = None


class KeyChange(Input):
    """Only the fields that were given are changed. Null for ``models``: all; for ``monthly_token_limit``: no
    limit; for ``expires_in_days``, which count from now: never."""

    name: Name100 = ""
    scopes: Scopes = []
    models: Models | None = None
    monthly_token_limit: Tokens | None = None
    expires_in_days: Days | None = None


class KeyList(SearchQuery):
    include_revoked: bool = False


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret; ``prefix`` is what people recognise it by.

    ``models`` None: all of its owner's. ``reaches_api`` False: made before scopes held on ``/api``.
    """

    id: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    scopes: list[str]
    reaches_api: bool
    models: list[str] | None
    monthly_token_limit: int | None


@dataclass(frozen=True)
class Caller:
    """A program: the user it acts for, and the key that narrows what it may do."""

    user: User
    key_id: str
    scopes: frozenset[str]
    reaches_api: bool
    models: frozenset[str] | None
    monthly_token_limit: int | None


def create(user: User, new: NewKey) -> tuple[ApiKey, str]:
    """The key and its secret, which no later call tells. Raises Conflict above 50 active keys."""
    secret, at = PREFIX + new_token(), clock.now()
    row = ApiKeyRow(
        id=new_id("key"),
        user_id=user.id,
        name=new.name,
        key_hash=digest(secret),
        prefix=secret[:SHOWN_CHARACTERS],
        scopes=_in_order(new.scopes or SCOPES),
        models=new.models,
        monthly_token_limit=new.monthly_token_limit,
        created_at=at,
        expires_at=_in_days(new.expires_in_days, at),
    )
    with writing() as session:
        _require_room(session, user)
        session.add(row)
    return _present(row), secret


def update(user: User, key_id: str, change: KeyChange) -> ApiKey:
    """From the next request on. Setting the scopes makes them hold on ``/api``, too.

    Raises NotFound, also for a revoked key, Conflict when an expired key would be the 51st active one.
    """
    given = change.model_fields_set
    with writing() as session:
        row = session.scalar(select(ApiKeyRow).where(*_unrevoked(user, key_id)))
        if row is None:
            raise _no_such_key()
        if row.expires_at and row.expires_at <= clock.now() and "expires_in_days" in given:
            _require_room(session, user)
        for field in given & {"name", "models", "monthly_token_limit"}:
            setattr(row, field, getattr(change, field))
        if "scopes" in given:
            row.scopes, row.reaches_api = _in_order(change.scopes), True
        if "expires_in_days" in given:
            row.expires_at = _in_days(change.expires_in_days, clock.now())
        return _present(row)


def list_keys(user: User, query: KeyList | None = None) -> Listed[ApiKey]:
    query = query or KeyList()
    statement = select(ApiKeyRow).where(ApiKeyRow.user_id == user.id, query.found_in(ApiKeyRow.name))
    if not query.include_revoked:
        statement = statement.where(ApiKeyRow.revoked_at.is_(None))
    sortable = {
        "created_at": ApiKeyRow.created_at,
        "name": ApiKeyRow.name,
        "last_used_at": ApiKeyRow.last_used_at,
    }
    with reading() as session:
        return fetch(session, statement, query, sortable=sortable, tie=ApiKeyRow.id, present=_present)


def revoke(user: User, key_id: str) -> None:
    """Refused from the next request on. Raises NotFound, also when it is revoked already."""
    mine = sqlalchemy.update(ApiKeyRow).where(*_unrevoked(user, key_id))
    with writing() as session:
        if session.scalar(mine.values(revoked_at=clock.now()).returning(ApiKeyRow.id)) is None:
            raise _no_such_key()


def identify(key: str) -> Caller:
    """Who calls with this key. Raises Unauthorized when it is unknown, revoked or expired."""
    at = clock.now()
    row = find_row(_BY_KEY, key_hash=digest(key), at=at)
    if row is None:
        raise Unauthorized("The API key is wrong, revoked or expired.")
    if not row.last_used_at or at - row.last_used_at >= USE_NOTED_EVERY:
        with writing() as session:
            noted = sqlalchemy.update(ApiKeyRow).where(ApiKeyRow.id == row.key_id)
            session.execute(noted.values(last_used_at=at))
    models = None if row.models is None else frozenset(row.models)
    scopes = frozenset(row.scopes)
    return Caller(present(row), row.key_id, scopes, row.reaches_api, models, row.monthly_token_limit)


def require_scope(caller: Caller, *enough: Scope) -> None:
    """Raises ScopeMissing unless the key has one of these scopes."""
    if caller.scopes.isdisjoint(enough):
        raise ScopeMissing(f"This key may not be used for this: it lacks the scope {' or '.join(enough)}.")


def require_api(caller: Caller, enough: Collection[Scope]) -> None:
    """As ``require_scope``, for ``/api``, where no scopes are enough for what is for people.

    Raises ScopeMissing.
    """
    if not enough:
        raise ScopeMissing("API keys may not be used for this: sign in and send the token you get, instead.")
    if not caller.reaches_api:
        raise ScopeMissing(
            "This key was made for /v1 only. Set its scopes again on the page API keys: this needs the scope "
            f"{' or '.join(enough)}."
        )
    require_scope(caller, *enough)


def may_call(caller: Caller, names: Iterable[str]) -> bool:
    """Whether the key's allow-list holds the model under any of these names."""
    return caller.models is None or not caller.models.isdisjoint(names)


def _require_room(session: Session, user: User) -> None:
    active = (ApiKeyRow.user_id == user.id, ApiKeyRow.revoked_at.is_(None), _UNEXPIRED)
    count = select(func.count()).select_from(ApiKeyRow).where(*active)
    if (session.scalar(count, {"at": clock.now()}) or 0) >= MAX_ACTIVE:
        raise Conflict(f"You have {MAX_ACTIVE} active keys. Revoke one that is no longer used first.")


def _unrevoked(user: User, key_id: str) -> tuple[ColumnElement[bool], ...]:
    return (ApiKeyRow.id == key_id, ApiKeyRow.user_id == user.id, ApiKeyRow.revoked_at.is_(None))


def _no_such_key() -> NotFound:
    return NotFound("There is no such key.")


def _in_order(scopes: Iterable[Scope]) -> list[Scope]:
    return sorted(set(scopes), key=SCOPES.index)


def _in_days(days: int | None, at: datetime) -> datetime | None:
    return at + timedelta(days=days) if days else None


def _present(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        scopes=list(row.scopes),
        reaches_api=row.reaches_api,
        models=row.models,
        monthly_token_limit=row.monthly_token_limit,
    )
