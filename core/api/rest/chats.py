"""``/api/chats``: conversations with a model."""

from typing import Annotated

from fastapi import APIRouter, Query

from core import chats
from core.api.deps import CurrentKey, CurrentUser, SignedIn
from core.chats import Chat, ChatChange, ChatList, NewChat
from core.listing import Listed
from core.people import api_keys
from core.people.api_keys import Caller

router = APIRouter(route_class=SignedIn, tags=["chats"])


@router.post("/chats", status_code=201)
def create_chat(new: NewChat, user: CurrentUser, key: CurrentKey) -> Chat:
    """Begin a chat with a model, and with a dataset if wanted: a key needs the scope `query` for that."""
    _require_may_read(key, new.dataset_id)
    return chats.create(user, new)


@router.get("/chats")
def list_chats(user: CurrentUser, query: Annotated[ChatList, Query()]) -> Listed[Chat]:
    """The caller's chats."""
    return chats.list_chats(user, query)


@router.get("/chats/{chat_id}")
def get_chat(chat_id: str, user: CurrentUser) -> Chat:
    """One chat."""
    return chats.get(user, chat_id)


@router.patch("/chats/{chat_id}")
def change_chat(chat_id: str, change: ChatChange, user: CurrentUser, key: CurrentKey) -> Chat:
    """Change the title, model, dataset or system prompt."""
    _require_may_read(key, change.dataset_id)
    return chats.update(user, chat_id, change)


@router.delete("/chats/{chat_id}", status_code=204)
def delete_chat(chat_id: str, user: CurrentUser) -> None:
    """With its messages."""
    chats.delete(user, chat_id)


def _require_may_read(key: Caller | None, dataset_id: str | None) -> None:
    if key and dataset_id is not None:
        api_keys.require_scope(key, "query")
