"""Chats and their messages."""

from datetime import datetime

from sqlalchemy import JSON, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import now
from core.tables.base import Json, Row, id_, one_of, ref


class ChatRow(Row):
    __tablename__ = "chats"
    __table_args__ = (Index("ix_chats_user_id_updated_at", "user_id", "updated_at"),)
    id: Mapped[str] = id_()
    user_id: Mapped[str] = ref("users.id")
    title: Mapped[str] = mapped_column(String(200), default="New chat")
    model_id: Mapped[str | None] = ref("models.id", ondelete="SET NULL", nullable=True)
    checkpoint: Mapped[str | None] = mapped_column(String(80))  # who answers instead of a model: ftj_…:step-N
    dataset_id: Mapped[str | None] = ref("datasets.id", ondelete="SET NULL", nullable=True)
    system_prompt: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class MessageRow(Row):
    """One message. ``state`` generating: a reply that still grows; its owner is the server, not a page.

    Messages with one parent are siblings: another answer to a question, or a question in other words. Of each
    such group at most one is shown; what is shown is one line from a chat's beginning, in the order of
    ``position``.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("chat_id", "position"),
        one_of("role", "user", "assistant", "system"),
        one_of("state", "generating", "complete"),
    )
    id: Mapped[str] = id_()
    chat_id: Mapped[str] = ref("chats.id")
    position: Mapped[int]
    # what it follows; no reference, because a deleted message hands its own parent on
    parent_id: Mapped[str | None] = mapped_column(String(64), index=True)
    shown: Mapped[bool] = mapped_column(default=True)
    role: Mapped[str] = mapped_column(String(16))
    content: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), default="complete", index=True)
    stop_requested: Mapped[bool] = mapped_column(default=False)
    model_id: Mapped[str | None] = ref("models.id", ondelete="SET NULL", nullable=True)
    checkpoint: Mapped[str | None] = mapped_column(String(80))  # who answered instead of a model
    finish_reason: Mapped[str | None] = mapped_column(String(16))  # stop, length, cancelled, error
    error: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    left_out: Mapped[int | None]  # messages before it that the model has not read
    usage: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    table: Mapped[Json | None] = mapped_column(
        JSON(none_as_null=True)
    )  # what /sql and /describe answered: columns, rows, truncated
    created_at: Mapped[datetime] = mapped_column(default=now)
