"""Who may do how much: users, sessions, invitations, keys, what they used."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import now
from core.tables.base import BigId, Json, Row, id_, one_of, ref


class UserRow(Row):
    __tablename__ = "users"
    __table_args__ = (one_of("role", "admin", "member"),)
    id: Mapped[str] = id_()
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="")
    password_hash: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16), default="member")
    # API tokens issued before are refused: sign out everywhere
    tokens_valid_from: Mapped[datetime] = mapped_column(default=now)
    # but for the one with this jti: whoever changes the password stays signed in
    kept_token: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class SessionRow(Row):
    """A signed-in browser. The cookie holds the token, this row its hash."""

    __tablename__ = "sessions"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = ref("users.id")
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class TicketRow(Row):
    """A single-use ticket by which a page asks the browser to fetch its cookie. Lives 30 seconds."""

    __tablename__ = "session_tickets"
    ticket_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = ref("users.id")
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RevokedTokenRow(Row):
    """An API token that was signed out before it expired."""

    __tablename__ = "revoked_tokens"
    jti: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AttemptRow(Row):
    """A failed sign-in or a successful registration, for throttling."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_kind_address_created_at", "kind", "address", "created_at"),
        one_of("kind", "login", "register"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(16))
    email: Mapped[str] = mapped_column(String(254))
    address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


class InvitationRow(Row):
    __tablename__ = "invitations"
    id: Mapped[str] = id_()
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_by: Mapped[str] = ref("users.id")
    note: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_by: Mapped[str | None] = ref("users.id", ondelete="SET NULL", nullable=True)
    revoked_at: Mapped[datetime | None]


class ServerSettingRow(Row):
    """What the admin decides in the browser; wins over the environment."""

    __tablename__ = "server_settings"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Json]


class ApiKeyRow(Row):
    __tablename__ = "api_keys"
    id: Mapped[str] = id_()
    user_id: Mapped[str] = ref("users.id")
    name: Mapped[str] = mapped_column(String(100))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(16))
    scopes: Mapped[list[Any]]
    # whether the scopes hold on /api, too: False for keys from before they did
    reaches_api: Mapped[bool] = mapped_column(default=True)
    models: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    monthly_token_limit: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class UsageRow(Row):
    """One metered act: a reply, a query, a finished training, a stored upload."""

    __tablename__ = "usage_records"
    __table_args__ = (
        one_of("kind", "chat", "training", "query", "storage"),
        Index("ix_usage_records_user_id_created_at", "user_id", "created_at"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = ref("users.id")
    api_key_id: Mapped[str | None] = ref("api_keys.id", ondelete="SET NULL", nullable=True)
    # no reference: the record outlives the model
    model_id: Mapped[str | None] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    completion_tokens: Mapped[int] = mapped_column(default=0)
    trained_tokens: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    bytes: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
