"""``/api/messages``: say something in a chat, and read what was said."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from core import chats, models
from core.api import errors, streaming
from core.api.deps import CurrentKey, CurrentUser, SignedIn
from core.api.last_resort import request_id_of
from core.chats import Message, MessageList, NewMessage, Sent
from core.errors import Conflict, NotFound, Unavailable
from core.listing import Listed
from core.models import Model
from core.people import api_keys
from core.people.api_keys import Caller
from core.people.users import User

router = APIRouter(route_class=SignedIn, tags=["messages"])
_message, _sent = TypeAdapter(Message), TypeAdapter(Sent)


@router.post("/messages", status_code=201, response_model=Sent)
async def send_message(new: NewMessage, user: CurrentUser, key: CurrentKey, request: Request) -> Response:
    """Store a message and, unless ``generate`` is false, have it answered.

    With ``stream``: 200 and server-sent events. A key's models and tokens hold.
    """
    if key:
        await run_in_threadpool(_require_may_ask, key, new)
    key_id = key.key_id if key else None
    if not (new.stream and new.generate):
        sent = await streaming.collect(
            request, lambda stop: iter([chats.send(user, new, api_key_id=key_id, stop=stop)])
        )
        if not sent:  # the client closed the connection, which has ended the reply
            raise Unavailable("The answer was cut off. Try again.")
        return JSONResponse(_sent.dump_python(sent[0], mode="json"), status_code=201)
    request_id = request_id_of(request.scope)
    return await streaming.respond(
        lambda stop: _events(user, new, stop, request_id=request_id, key_id=key_id),
        say_error=lambda error: streaming.event({"type": "error", "error": errors.body(error, request_id)}),
    )


@router.get("/messages")
def list_messages(user: CurrentUser, query: Annotated[MessageList, Query()]) -> Listed[Message]:
    """Oldest first."""
    return chats.list_messages(user, query)


@router.get("/messages/{message_id}")
def get_message(message_id: str, user: CurrentUser) -> Message:
    """One message, also while it still grows."""
    return chats.get_message(user, message_id)


@router.delete("/messages/{message_id}", status_code=204)
def delete_message(message_id: str, user: CurrentUser) -> None:
    """Remove one message."""
    chats.delete_message(user, message_id)


def _require_may_ask(key: Caller, new: NewMessage) -> None:
    """Raises ScopeMissing for a command about a dataset without the scope for it, NotFound for a model that
    the key's list leaves out."""
    chat = chats.get(key.user, new.chat_id)
    if not new.generate:
        return
    if new.role == "user" and chats.is_command(new.content):
        if chat.dataset_id:
            api_keys.require_scope(key, "query")
        return
    asked = _model_of(key.user, chat.model_id)
    if asked and not api_keys.may_call(key, asked.names(chat.model_id or asked.id)):
        raise NotFound("There is no such model.")


def _model_of(user: User, model_id: str | None) -> Model | None:
    """None for one that is gone: the service says so."""
    with suppress(NotFound, Conflict):
        return models.resolve(user, model_id).model if model_id else None
    return None


def _events(
    user: User, new: NewMessage, stop: streaming.Stop, *, request_id: str, key_id: str | None
) -> Iterator[str]:
    """The message, the reply's pieces, the reply.

    A client that hangs up ends the reply; what there is of it stays.
    """
    sent = chats.start(user, new, api_key_id=key_id)
    ended = sent.reply is None
    try:
        yield streaming.event({"type": "message", "message": _message.dump_python(sent.message, mode="json")})
        for piece in chats.tail(user, sent.reply.id) if sent.reply else ():
            ended = isinstance(piece, Message)
            if stop():
                return
            if isinstance(piece, Message):
                yield _last_event(piece, request_id)
            elif piece.text:
                yield streaming.event({"type": "delta", "content": piece.text})
    finally:
        if sent.reply and not ended:
            chats.stop(user, sent.reply.id)


def _last_event(reply: Message, request_id: str) -> str:
    if reply.error:
        return streaming.event({"type": "error", "error": {**reply.error, "request_id": request_id}})
    return streaming.event({"type": "done", "reply": _message.dump_python(reply, mode="json")})
