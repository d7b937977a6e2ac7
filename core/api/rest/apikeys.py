"""``/api/apikeys``: keys by which programs call both APIs. Made and changed by people who are signed in."""

from dataclasses import dataclass, fields
from typing import Annotated

from fastapi import APIRouter, Query, Response

from core.api.deps import CurrentUser, SignedIn
from core.listing import Listed
from core.people import api_keys
from core.people.api_keys import ApiKey, KeyChange, KeyList, NewKey

router = APIRouter(route_class=SignedIn, tags=["apikeys"])


@dataclass(frozen=True)
class CreatedKey(ApiKey):
    """The only answer that holds the key itself."""

    key: str


@router.post("/apikeys", status_code=201)
def create_key(new: NewKey, user: CurrentUser, response: Response) -> CreatedKey:
    """``key`` is shown here and never again."""
    api_key, secret = api_keys.create(user, new)
    response.headers["Cache-Control"] = "no-store"
    return CreatedKey(**{field.name: getattr(api_key, field.name) for field in fields(api_key)}, key=secret)


@router.get("/apikeys")
def list_keys(user: CurrentUser, query: Annotated[KeyList, Query()]) -> Listed[ApiKey]:
    """The caller's keys, without their secrets."""
    return api_keys.list_keys(user, query)


@router.patch("/apikeys/{key_id}")
def change_key(key_id: str, change: KeyChange, user: CurrentUser) -> ApiKey:
    """Change the name, scopes, models, tokens per month or the days until it expires.

    It holds from the next request on.
    """
    return api_keys.update(user, key_id, change)


@router.delete("/apikeys/{key_id}", status_code=204)
def revoke_key(key_id: str, user: CurrentUser) -> None:
    """Refused from the next request on."""
    api_keys.revoke(user, key_id)
