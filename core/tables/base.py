"""What all rows share: names of constraints, times in UTC, ids and references.

"Model" never means a row: a model is an AI model, and ``models`` is the table of them. Times are UTC. Ids are
opaque and prefixed.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.clock import now

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
Json = dict[str, Any]
BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in an INTEGER PRIMARY KEY


class Utc(TypeDecorator[datetime]):
    """A timestamp that goes in and comes out as aware UTC, also on SQLite, which has no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


def one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v) for v in values)})", name=column)


def id_() -> Mapped[str]:
    return mapped_column(String(64), primary_key=True)


def ref(target: str, *, ondelete: str = "CASCADE", nullable: bool = False) -> Mapped[Any]:
    return mapped_column(ForeignKey(target, ondelete=ondelete), index=True, nullable=nullable)


class Row(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: Utc, Json: JSON, list[Any]: JSON, int: BigInteger}


class WorkRow:
    """What a row says whose work is done by a child process (``core.processes.claimed``)."""

    status: Mapped[str] = mapped_column(String(16), default="waiting", index=True)
    progress: Mapped[float] = mapped_column(default=0.0)  # 0 to 1
    worker_pid: Mapped[int | None]  # of the process that has claimed it
    # when that process began, in seconds since 1970: a pid alone may be somebody else's by now
    worker_started: Mapped[float | None]
    heartbeat_at: Mapped[datetime | None]  # when that process last said that it works
    created_at: Mapped[datetime] = mapped_column(default=now)
