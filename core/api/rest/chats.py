"""``/api/chats``: conversations with a model."""

from typing import Annotated

from fastapi import APIRouter, Query

from core import chats
from core.api.deps import CurrentUser, SignedIn
from core.chats import Chat, ChatChange, ChatList, NewChat
from core.listing import Listed

router = APIRouter(route_class=SignedIn, tags=["chats"])


@router.post("/chats", status_code=201)
def create_chat(new: NewChat, user: CurrentUser) -> Chat:
    """Begin a chat with a model, and with a dataset if wanted."""
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
def change_chat(chat_id: str, change: ChatChange, user: CurrentUser) -> Chat:
    """Change the title, model, dataset or system prompt."""
    return chats.update(user, chat_id, change)


@router.delete("/chats/{chat_id}", status_code=204)
def delete_chat(chat_id: str, user: CurrentUser) -> None:
    """With its messages."""
    chats.delete(user, chat_id)
