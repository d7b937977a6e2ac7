"""``/api/messages``: say something in a chat, and read what was said."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.responses import JSONResponse, Response

from core import chats
from core.api import errors, streaming
from core.api.deps import CurrentUser, SignedIn
from core.api.last_resort import request_id_of
from core.chats import Message, MessageList, NewMessage, Sent
from core.errors import Unavailable
from core.listing import Listed
from core.people.users import User

router = APIRouter(route_class=SignedIn, tags=["messages"])
_message, _sent = TypeAdapter(Message), TypeAdapter(Sent)


@router.post("/messages", status_code=201, response_model=Sent)
async def send_message(new: NewMessage, user: CurrentUser, request: Request) -> Response:
    """Store a message and, unless ``generate`` is false, have it answered.

    With ``stream``: 200 and server-sent events.
    """
    if not (new.stream and new.generate):
        sent = await streaming.collect(request, lambda stop: iter([chats.send(user, new, stop=stop)]))
        if not sent:  # the client closed the connection, which has ended the reply
            raise Unavailable("The answer was cut off. Try again.")
        return JSONResponse(_sent.dump_python(sent[0], mode="json"), status_code=201)
    request_id = request_id_of(request.scope)
    return await streaming.respond(
        lambda stop: _events(user, new, stop, request_id),
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


def _events(user: User, new: NewMessage, stop: streaming.Stop, request_id: str) -> Iterator[str]:
    """The message, the reply's pieces, the reply.

    A client that hangs up ends the reply; what there is of it stays.
    """
    sent = chats.start(user, new)
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
