"""Chats and messages as they are stored: list, read, make, change, delete.

Who answers is in ``answering``, which messages stand beside each other in ``siblings``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session

from core import clock, datasets, models
from core.chats import replies, siblings
from core.db import reading, writing
from core.errors import NotFound
from core.fields import Input, Name200, require_something
from core.listing import Listed, SearchQuery, fetch
from core.models import Parameters
from core.people.users import User
from core.security import new_id
from core.tables import ChatRow, MessageRow

DEFAULT_TITLE = "New chat"  # until the first message gives it a name
TITLE_LENGTH = 60
_SHOWN = (MessageRow.chat_id == ChatRow.id) & MessageRow.shown
_MESSAGES = select(func.count()).where(_SHOWN).correlate(ChatRow).scalar_subquery()
_CHATS = select(ChatRow, _MESSAGES)
_CHAT = _CHATS.where(ChatRow.id == bindparam("chat_id"), ChatRow.user_id == bindparam("user_id"))


class NewChat(Input):
    """``model_id``: a model, or a checkpoint as ``ftj_…:step-N``."""

    model_id: str
    title: Name200 = DEFAULT_TITLE
    dataset_id: str | None = None
    system_prompt: str | None = Field(None, max_length=20_000)
    parameters: Parameters = Field(default_factory=Parameters)


class ChatChange(Input):
    """Only the fields that were given are changed.

    ``dataset_id`` and ``system_prompt`` are cleared with null.
    """

    title: Name200 = DEFAULT_TITLE
    model_id: str = ""
    dataset_id: str | None = None
    system_prompt: str | None = Field(None, max_length=20_000)
    parameters: Parameters = Field(default_factory=Parameters)


class ChatList(SearchQuery):
    model_id: str | None = None
    dataset_id: str | None = None


class NewMessage(Input):
    """``replaces``: a message that this one is said instead of; with what followed it, it stays as a sibling.
    ``content`` must not be blank."""

    chat_id: str
    content: Annotated[str, Field(min_length=1, max_length=100_000), AfterValidator(require_something)]
    role: Literal["user", "system"] = "user"
    generate: bool = True
    stream: bool = False
    replaces: str | None = Field(None, max_length=64)
    parameters: Parameters = Field(default_factory=Parameters)


class MessageList(SearchQuery):
    chat_id: str
    sort: str = "created_at"
    role: Literal["user", "assistant", "system"] | None = None


@dataclass(frozen=True)
class Chat:
    id: str
    title: str
    model_id: str | None  # who answers: a model, or a checkpoint as ftj_…:step-N
    dataset_id: str | None  # what /sql and /describe ask
    system_prompt: str | None
    parameters: dict[str, Any]  # those that were set, by name
    message_count: int  # of all roles, as they are shown
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Message:
    """``state`` generating: a reply that still grows. ``error``: ``{"code", "message"}`` of a reply that
    failed. ``table``: what a query answered. ``siblings``: the ids of all that may stand in its place,
    oldest first. ``left_out``: messages before a reply that its model has not read, because the
    conversation is longer than its context."""

    id: str
    chat_id: str
    role: str  # user, assistant or system
    content: str
    model_id: str | None  # who answered
    finish_reason: str | None  # stop, length, cancelled or error
    usage: dict[str, int] | None  # tokens: prompt_tokens, completion_tokens, total_tokens
    state: str  # generating or complete
    error: dict[str, str] | None
    table: dict[str, Any] | None
    siblings: Sequence[str]
    left_out: int
    created_at: datetime


@dataclass(frozen=True)
class Sent:
    message: Message
    reply: Message | None


def create(user: User, new: NewChat) -> Chat:
    """Raises NotFound for a model or dataset that is not the user's to see."""
    _require_model(user, new.model_id)
    _require_dataset(user, new.dataset_id)
    fields = {**new.model_dump(exclude={"parameters", "model_id"}), "parameters": new.parameters.chosen()}
    with writing() as session:
        row = ChatRow(id=new_id("chat"), user_id=user.id, **who_answers(new.model_id), **fields)
        session.add(row)
        session.flush()
        return _present(row, messages=0)


def list_chats(user: User, query: ChatList) -> Listed[Chat]:
    statement = _CHATS.where(ChatRow.user_id == user.id, query.found_in(ChatRow.title))
    if query.model_id is not None:
        statement = statement.where(
            or_(ChatRow.model_id == query.model_id, ChatRow.checkpoint == query.model_id)
        )
    if query.dataset_id is not None:
        statement = statement.where(ChatRow.dataset_id == query.dataset_id)
    sortable = {"created_at": ChatRow.created_at, "updated_at": ChatRow.updated_at, "title": ChatRow.title}
    with reading() as session:
        return fetch(session, statement, query, sortable=sortable, tie=ChatRow.id, present=_present)


def get(user: User, chat_id: str) -> Chat:
    with reading() as session:
        return _find_and_present(session, user, chat_id)


def update(user: User, chat_id: str, change: ChatChange) -> Chat:
    fields_set = change.model_fields_set
    get(user, chat_id)  # a chat that is not there is reported before a model that is not there
    if "model_id" in fields_set:
        _require_model(user, change.model_id)
    if "dataset_id" in fields_set:
        _require_dataset(user, change.dataset_id)
    with writing() as session:
        row = find(session, user, chat_id)
        for field in fields_set - {"parameters", "model_id"}:
            setattr(row, field, getattr(change, field))
        for field, value in who_answers(change.model_id).items() if "model_id" in fields_set else ():
            setattr(row, field, value)
        if "parameters" in fields_set:
            row.parameters = change.parameters.chosen()
        session.flush()
        return _find_and_present(session, user, chat_id)


def delete(user: User, chat_id: str) -> None:
    """With its messages; a reply being written ends."""
    with writing() as session:
        row = find(session, user, chat_id)
        growing = session.scalars(select(MessageRow.id).filter_by(chat_id=row.id, state="generating")).all()
        session.delete(row)
    for message_id in growing:
        replies.stop(message_id)


def list_messages(user: User, query: MessageList) -> Listed[Message]:
    """The conversation as it is shown."""
    with reading() as session:
        chat = find(session, user, query.chat_id)
        statement = select(MessageRow).where(
            MessageRow.chat_id == chat.id, MessageRow.shown, query.found_in(MessageRow.content)
        )
        if query.role:
            statement = statement.where(MessageRow.role == query.role)
        # position counts up with created_at and has no ties
        rows = fetch(
            session,
            statement,
            query,
            sortable={"created_at": MessageRow.position},
            tie=MessageRow.id,
            present=lambda row: row,
        )
        beside = siblings.of(session, chat.id, rows.items)
    return Listed([present_message(row, beside) for row in rows.items], rows.total, rows.limit, rows.offset)


def get_message(user: User, message_id: str) -> Message:
    with reading() as session:
        row = find_message(session, user, message_id)
        return present_message(row, siblings.of(session, row.chat_id, [row]))


def delete_message(user: User, message_id: str) -> None:
    """What followed it follows what was before it."""
    with writing() as session:
        siblings.remove(session, find_message(session, user, message_id))
    replies.stop(message_id)


def show(user: User, message_id: str) -> None:
    """Show this message and what followed it, in place of its sibling and what followed that.

    Raises Conflict while a reply is being written.
    """
    with writing() as session:
        row = find_message(session, user, message_id)
        find(session, user, row.chat_id, lock=True)
        replies.require_nobody_writes(is_generating(session, row.chat_id))
        siblings.show(session, row)


def rewind(user: User, message_id: str) -> None:
    """Delete a message and all that ever followed it; a sibling takes its place."""
    with writing() as session:
        growing = siblings.remove_with_followers(session, find_message(session, user, message_id))
    for gone in growing:
        replies.stop(gone)


def find(session: Session, user: User, chat_id: str, *, lock: bool = False) -> ChatRow:
    """``lock``: until the end of the transaction,
    so that positions are given out one after the other (SQLite locks anyway)."""
    mine = select(ChatRow).filter_by(id=chat_id, user_id=user.id)
    row = session.scalar(mine.with_for_update() if lock else mine)
    if row is None:
        raise _no_such_chat()
    return row


def find_message(session: Session, user: User, message_id: str) -> MessageRow:
    mine = select(MessageRow).join(ChatRow).where(MessageRow.id == message_id, ChatRow.user_id == user.id)
    row = session.scalar(mine)
    if row is None:
        raise NotFound("There is no such message.")
    return row


def add_message(session: Session, chat: ChatRow, *, parent_id: str | None, **fields: Any) -> MessageRow:
    newest = select(MessageRow).filter_by(chat_id=chat.id).order_by(MessageRow.position.desc()).limit(1)
    last, created_at = session.scalar(newest), clock.now()
    if last:
        created_at = max(created_at, last.created_at + timedelta(microseconds=1))
    row = MessageRow(
        id=new_id("msg"),
        chat_id=chat.id,
        position=last.position + 1 if last else 0,
        parent_id=parent_id,
        created_at=created_at,
        **fields,
    )
    session.add(row)
    chat.updated_at = created_at
    session.flush()
    return row


def name_after(chat: ChatRow, content: str) -> None:
    """A chat that nobody has named is named after its first message."""
    if chat.title == DEFAULT_TITLE:
        chat.title = " ".join(content.split())[:TITLE_LENGTH] or DEFAULT_TITLE


def is_generating(session: Session, chat_id: str) -> bool:
    growing = select(MessageRow.id).filter_by(chat_id=chat_id, state="generating").limit(1)
    return session.scalar(growing) is not None


def who_answers(model_id: str | None) -> dict[str, str | None]:
    """The columns of a row that say it.

    A checkpoint is no model of the registry, so it has a column of its own.
    """
    is_checkpoint = model_id is not None and models.is_reference(model_id)
    return (
        {"model_id": None, "checkpoint": model_id}
        if is_checkpoint
        else {"model_id": model_id, "checkpoint": None}
    )


def _require_model(user: User, model_id: str) -> None:
    if models.is_reference(model_id):
        models.resolve(user, model_id)
    else:
        models.require(user, model_id)


def _require_dataset(user: User, dataset_id: str | None) -> None:
    if dataset_id is not None:
        datasets.get(user, dataset_id)


def _find_and_present(session: Session, user: User, chat_id: str) -> Chat:
    row = session.execute(_CHAT, {"chat_id": chat_id, "user_id": user.id}).one_or_none()
    if row is None:
        raise _no_such_chat()
    return _present(*row)


def _no_such_chat() -> NotFound:
    return NotFound("There is no such chat.")


def _present(row: ChatRow, messages: int) -> Chat:
    return Chat(
        id=row.id,
        title=row.title,
        model_id=row.checkpoint or row.model_id,
        dataset_id=row.dataset_id,
        system_prompt=row.system_prompt,
        parameters=row.parameters,
        message_count=messages,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def present_message(row: MessageRow, beside: Mapping[str | None, Sequence[str]] | None = None) -> Message:
    """``beside``: the ids of the siblings, by their parent."""
    return Message(
        id=row.id,
        chat_id=row.chat_id,
        role=row.role,
        content=row.content,
        model_id=row.checkpoint or row.model_id,
        finish_reason=row.finish_reason,
        usage=row.usage,
        state=row.state,
        error=row.error,
        table=row.table,
        siblings=(beside or {}).get(row.parent_id) or [row.id],
        left_out=row.left_out or 0,
        created_at=row.created_at,
    )
