"""Who answers a message, and what the watchers of a reply see.

A message that is a command (``core.chats.commands``) is answered without any model; every other by the
chat's model. One reply at a time per chat. All that can be refused is refused before anything is stored.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import models
from core.chats import replies, siblings, sources
from core.chats.records import (
    Chat,
    Message,
    NewMessage,
    Sent,
    add_message,
    find,
    find_message,
    get,
    get_message,
    is_generating,
    name_after,
    present_message,
    rewind,
    who_answers,
)
from core.chats.replies import Bill, ReplyTable
from core.db import reading, writing
from core.errors import Conflict, LuthierError, NotFound, OutOfTokens, Unavailable, class_of
from core.people import token_limits
from core.people.users import User
from core.providers.base import Delta, Finish
from core.tables import ChatRow, MessageRow

Answering = models.Callable | Literal["command"]
STALE_SECONDS = 60.0  # a reply that another process writes and that has not grown for so long is given up on
POLL_SECONDS = 0.25


def start(user: User, new: NewMessage, *, api_key_id: str | None = None) -> Sent:
    """Store a message and, if asked for, begin the reply; returns at once.

    Raises NotFound for the chat or the message to replace, Conflict when the model was deleted, another reply
    is being written or the message to replace is not shown, OutOfTokens, Unavailable.
    """
    chat = get(user, new.chat_id)
    is_command = new.role == "user" and sources.is_command(new.content)
    answering = _answering(user, chat, is_command) if new.generate else None
    if isinstance(answering, models.Callable):
        token_limits.require_some_left(api_key_id)
    with writing() as session:
        row = find(session, user, chat.id, lock=True)
        if answering or new.replaces:
            replies.require_nobody_writes(is_generating(session, row.id))
        parent_id = _make_place(session, user, new)
        message = add_message(session, row, role=new.role, content=new.content, parent_id=parent_id)
        if new.role == "user":
            name_after(row, new.content)
        reply = _add_reply(session, row, answering, message.id) if answering else None
        shown = [present_message(one, siblings.of(session, row.id, [one])) for one in (message, reply) if one]
    if reply and answering:
        _begin(user, chat, reply, answering, parameters=new.parameters.chosen(), api_key_id=api_key_id)
    return Sent(shown[0], shown[1] if reply else None)


def send(
    user: User,
    new: NewMessage,
    *,
    api_key_id: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Sent:
    """As ``start``, but waits for the whole reply; one that ``stop`` ends is what there was of it.

    Raises what made the reply fail; a failed exchange without text is not kept.
    """
    sent = start(user, new, api_key_id=api_key_id)
    if sent.reply is None:
        return sent
    while not replies.wait(sent.reply.id, seconds=POLL_SECONDS):
        if stop():
            replies.stop(sent.reply.id)
    reply = get_message(user, sent.reply.id)
    if reply.error and not reply.content:
        rewind(user, sent.message.id)
    if reply.error:
        code = reply.error["code"]
        kind = LuthierError if code == LuthierError.code else class_of(code) or Unavailable
        error = kind(reply.error["message"])
        if isinstance(error, OutOfTokens):
            error.retry_after = token_limits.seconds_to_next_month()
        raise error
    return Sent(sent.message, reply)


def regenerate(user: User, chat_id: str) -> Message:
    """Write another reply to the last question, or the missing one; one that is there becomes its sibling.

    Raises Conflict when there is nothing to answer.
    """
    chat = get(user, chat_id)
    asked = select(MessageRow).where(
        MessageRow.chat_id == chat_id, MessageRow.shown, MessageRow.role != "assistant"
    )
    with reading() as session:
        question = session.scalar(asked.order_by(MessageRow.position.desc()).limit(1))
    if question is None:
        raise Conflict("There is no message to answer yet. Write one first.")
    answering = _answering(user, chat, sources.is_command(question.content))
    with writing() as session:
        row = find(session, user, chat_id, lock=True)
        replies.require_nobody_writes(is_generating(session, chat_id))
        siblings.hide_from(session, chat_id, question.position + 1)
        reply = _add_reply(session, row, answering, question.id)
        message = present_message(reply, siblings.of(session, chat_id, [reply]))
    _begin(user, chat, reply, answering, parameters={}, api_key_id=None)
    return message


def tail(user: User, message_id: str) -> Iterator[Delta | Message]:
    """The text so far, then what comes, then the finished Message.

    A Delta, if need be an empty one, comes at least every 0.25 s.

    Closing the iterator leaves the reply alone; ``stop`` ends it.
    """
    message = get_message(user, message_id)
    growing = replies.watch(message_id)
    yield from growing if growing is not None else _watch_row(user, message)
    yield get_message(user, message_id)


def stop(user: User, message_id: str) -> None:
    """End a reply; what is there stays. One that is complete already is left as it is."""
    with writing() as session:
        find_message(session, user, message_id).stop_requested = True
    replies.stop(message_id)


def warm(user: User, model_id: str) -> None:
    """Begin loading a model that will probably be asked next; returns at once.

    One that cannot answer says so when it is asked.
    """
    with suppress(NotFound, Conflict):
        sources.warm(models.resolve(user, model_id))


def complete(
    user: User,
    *,
    model: models.Callable,
    messages: Sequence[dict[str, str]],
    parameters: dict[str, Any],
    api_key_id: str | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Delta | Finish]:
    """Answer a conversation that is not stored; only its cost is. Closing the iterator cancels the answer.

    Raises Conflict, ContextLengthExceeded, ValidationError, OutOfTokens, RateLimited, Unavailable, when the
    first piece is asked for or later.
    """
    replies.require_room()
    sources.require(model)
    bill, started = Bill(user.id, model.model.id, api_key_id), time.monotonic()
    reserved = token_limits.reserve(api_key_id, sources.tokens_at_most(model, messages, parameters))
    closing = False
    events = sources.from_model(
        model,
        messages,
        parameters=parameters,
        forget=False,
        stop=lambda: closing or stop(),
        user_id=user.id,
        most_tokens=reserved.tokens,
    )
    finish = Finish("cancelled")
    try:
        for event in events:
            finish = event if isinstance(event, Finish) else finish
            yield event
    except OutOfTokens as error:
        error.retry_after = reserved.retry_after
        raise
    except GeneratorExit:
        closing = True
        with suppress(LuthierError):  # what goes wrong now concerns nobody
            finish = next((event for event in events if isinstance(event, Finish)), finish)
        raise
    finally:
        try:
            with writing() as session:
                replies.charge(session, bill, finish.usage, seconds=time.monotonic() - started)
        finally:
            reserved.release()


def _answering(user: User, chat: Chat, is_command: bool) -> Answering:
    """Who will answer. All that can be refused is refused here, before anything is stored."""
    replies.require_room()
    if is_command:
        return "command"
    if chat.model_id is None:
        raise Conflict("The model of this chat was deleted. Choose another model for it.")
    try:
        callable_model = models.resolve(user, chat.model_id)
    except NotFound as error:
        raise Conflict("What answered in this chat was deleted. Choose another model for it.") from error
    sources.require(callable_model)
    return callable_model


def _begin(
    user: User,
    chat: Chat,
    reply: MessageRow,
    answering: Answering,
    *,
    parameters: dict[str, Any],
    api_key_id: str | None,
) -> None:
    """From here on the reply's thread owns it; also what goes wrong
    while the conversation is put together ends the reply."""

    def answer(stop: Callable[[], bool]) -> Iterator[Delta | ReplyTable | Finish]:
        history, older = _history(chat.id, before=reply.position)
        if not history:  # the chat was deleted before its reply began
            yield Finish("cancelled")
            return
        if answering == "command":
            question = next(row.content for row in reversed(history) if row.role == "user")
            yield from sources.from_command(user, chat.dataset_id, question)
            return
        messages = sources.conversation(history, system_prompt=chat.system_prompt)
        chosen = {**chat.parameters, **parameters}
        reserved = token_limits.reserve(api_key_id, sources.tokens_at_most(answering, messages, chosen))
        if bill:
            bill.keeps(reserved)
        events = sources.from_model(
            answering,
            messages,
            parameters=chosen,
            forget=True,
            stop=stop,
            user_id=user.id,
            most_tokens=reserved.tokens,
        )
        for event in events:
            if isinstance(event, Finish):
                event = replace(event, left_out=event.left_out + older)
            yield event

    bill = None if answering == "command" else Bill(user.id, chat.model_id, api_key_id)
    replies.begin(reply.id, answer, bill=bill)


def _history(chat_id: str, *, before: int) -> tuple[list[MessageRow], int]:
    """The newest messages before a reply, oldest first, and how many are older than these."""
    mine = (MessageRow.chat_id == chat_id, MessageRow.shown, MessageRow.position < before)
    newest_first = select(MessageRow).where(*mine).order_by(MessageRow.position.desc())
    with reading() as session:
        rows = session.scalars(newest_first.limit(sources.LONGEST_HISTORY)).all()
        count = session.scalar(select(func.count()).select_from(MessageRow).where(*mine)) or 0
    return list(reversed(rows)), count - len(rows)


def _make_place(session: Session, user: User, new: NewMessage) -> str | None:
    """What a new message follows. What it replaces is shown no more, with all that followed."""
    if new.replaces is None:
        last = siblings.last_shown(session, new.chat_id)
        return last.id if last else None
    old = find_message(session, user, new.replaces)
    if old.chat_id != new.chat_id or old.role != new.role:
        raise NotFound("There is no such message.")
    if not old.shown:
        raise Conflict("This message is not shown any more, so it cannot be replaced.")
    siblings.hide_from(session, new.chat_id, old.position)
    return old.parent_id


def _watch_row(user: User, message: Message) -> Iterator[Delta]:
    """For a reply that no thread of this process writes: complete already, or another process's."""
    yield Delta(message.content)
    sent, given_up = len(message.content), time.monotonic() + STALE_SECONDS
    while message.state == "generating" and time.monotonic() < given_up:
        time.sleep(POLL_SECONDS)
        message = get_message(user, message.id)
        if len(message.content) > sent:
            given_up = time.monotonic() + STALE_SECONDS
        yield Delta(message.content[sent:])
        sent = len(message.content)


def _add_reply(session: Session, chat: ChatRow, answering: Answering, question_id: str) -> MessageRow:
    who = who_answers(None if answering == "command" else chat.checkpoint or chat.model_id)
    return add_message(
        session, chat, role="assistant", content="", state="generating", parent_id=question_id, **who
    )
