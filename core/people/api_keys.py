"""Keys by which programs call ``/v1``: 256 random bits, shown once, kept as a hash.

Rules: at most 50 active keys per user; a revoked or expired key is refused at the next request; a key may be
narrowed to scopes and models and to a number of tokens per calendar month (UTC). Finding out who calls is
:func:`identify`, what the key may do the ``require_…`` functions; what its owner may do is every service's
own business.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import bindparam, func, or_, select, update

from core import clock
from core.db import find_row, reading, writing
from core.errors import Conflict, Forbidden, NotFound, Unauthorized
from core.fields import Input, Name100
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
        ApiKeyRow.models,
        ApiKeyRow.monthly_token_limit,
        ApiKeyRow.last_used_at,
    )
    .join(UserRow, UserRow.id == ApiKeyRow.user_id)
    .where(ApiKeyRow.key_hash == bindparam("key_hash"), ApiKeyRow.revoked_at.is_(None), _UNEXPIRED)
)


class NewKey(Input):
    name: Name100
    expires_in_days: int | None = Field(None, ge=1, le=365)
    scopes: list[Scope] | None = Field(None, min_length=1, max_length=len(SCOPES))
    models: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(None, max_length=100)
    monthly_token_limit: int | None = Field(None, ge=1, le=10**12)


class KeyList(SearchQuery):
    include_revoked: bool = False


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret; ``prefix`` is what people recognise it by.

    ``models`` None: all of its owner's.
    """

    id: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    scopes: list[str]
    models: list[str] | None
    monthly_token_limit: int | None


@dataclass(frozen=True)
class Caller:
    """A program: the user it acts for, and the key that narrows what it may do."""

    user: User
    key_id: str
    scopes: frozenset[str]
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
        scopes=sorted(set(new.scopes or SCOPES), key=SCOPES.index),
        models=new.models,
        monthly_token_limit=new.monthly_token_limit,
        created_at=at,
        expires_at=at + timedelta(days=new.expires_in_days) if new.expires_in_days else None,
    )
    active = (ApiKeyRow.user_id == user.id, ApiKeyRow.revoked_at.is_(None), _UNEXPIRED)
    count = select(func.count()).select_from(ApiKeyRow).where(*active)
    with writing() as session:
        if (session.scalar(count, {"at": clock.now()}) or 0) >= MAX_ACTIVE:
            raise Conflict(f"You have {MAX_ACTIVE} active keys. Revoke one that is no longer used first.")
        session.add(row)
    return _present(row), secret


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
    mine = update(ApiKeyRow).where(
        ApiKeyRow.id == key_id, ApiKeyRow.user_id == user.id, ApiKeyRow.revoked_at.is_(None)
    )
    with writing() as session:
        if session.scalar(mine.values(revoked_at=clock.now()).returning(ApiKeyRow.id)) is None:
            raise NotFound("There is no such key.")


def identify(key: str) -> Caller:
    """Who calls with this key. Raises Unauthorized when it is unknown, revoked or expired."""
    at = clock.now()
    row = find_row(_BY_KEY, key_hash=digest(key), at=at)
    if row is None:
        raise Unauthorized("The API key is wrong, revoked or expired.")
    if not row.last_used_at or at - row.last_used_at >= USE_NOTED_EVERY:
        with writing() as session:
            session.execute(update(ApiKeyRow).where(ApiKeyRow.id == row.key_id).values(last_used_at=at))
    models = None if row.models is None else frozenset(row.models)
    return Caller(present(row), row.key_id, frozenset(row.scopes), models, row.monthly_token_limit)


def require_scope(caller: Caller, scope: Scope) -> None:
    if scope not in caller.scopes:
        raise Forbidden(f"This key may not be used for this: it lacks the scope {scope}.")


def may_call(caller: Caller, names: Iterable[str]) -> bool:
    """Whether the key's allow-list holds the model under any of these names."""
    return caller.models is None or not caller.models.isdisjoint(names)


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
        models=row.models,
        monthly_token_limit=row.monthly_token_limit,
    )
