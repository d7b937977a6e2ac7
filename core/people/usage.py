"""What was used: one record per reply, query, finished training and stored upload, and sums over them.

Records are written in the transaction of the act they count, and outlive what they name. A deleted dataset is
a storage record with negative bytes. Limits read from here (:func:`tokens_this_month`); enforcing them is
``core.people.token_limits``'s business.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from core import clock
from core.db import reading
from core.people.users import User
from core.tables import ApiKeyRow, ModelRow, UsageRow

GroupBy = Literal["day", "model", "key", "kind"]
Kind = Literal["chat", "training", "query", "storage"]
DEFAULT_DAYS = 30


@dataclass(frozen=True)
class UsageLine:
    """Sums over one group.

    ``group`` is the day (ISO), a model's or key's id (null: none), or a kind; ``label`` is for people.
    """

    group: str | None
    label: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    trained_tokens: int
    training_seconds: float
    query_seconds: float
    stored_bytes: int


def record(
    session: Session,
    *,
    user_id: str,
    kind: Kind,
    model_id: str | None = None,
    api_key_id: str | None = None,
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
    trained_tokens: int = 0,
    seconds: float = 0.0,
    bytes: int = 0,
) -> None:
    """Count one act, in the caller's transaction."""
    session.add(
        UsageRow(
            user_id=user_id,
            kind=kind,
            model_id=model_id,
            api_key_id=api_key_id,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            trained_tokens=trained_tokens,
            seconds=seconds,
            bytes=bytes,
            created_at=clock.now(),
        )
    )


def summary(
    user: User, *, since: datetime | None = None, until: datetime | None = None, group_by: GroupBy = "day"
) -> list[UsageLine]:
    """The caller's own usage from ``since`` (default:
    30 days ago) to before ``until`` (default: now), by group."""
    key, label = _GROUPS[group_by]
    mine = [
        UsageRow.user_id == user.id,
        UsageRow.created_at >= (since or clock.now() - timedelta(days=DEFAULT_DAYS)),
    ]
    if until:
        mine.append(UsageRow.created_at < until)
    statement = select(key, label, *_SUMS).outerjoin(ModelRow, ModelRow.id == UsageRow.model_id)
    statement = statement.outerjoin(ApiKeyRow, ApiKeyRow.id == UsageRow.api_key_id).where(*mine)
    with reading() as session:
        rows = session.execute(statement.group_by(key, label).order_by(key)).all()
    return [_line(*row) for row in rows]


def total(lines: Sequence[UsageLine]) -> UsageLine:
    """The sum over all groups."""
    sums = {
        f.name: sum(getattr(line, f.name) for line in lines)
        for f in fields(UsageLine)
        if f.name not in ("group", "label")
    }
    return UsageLine(group=None, label="total", **sums)


def tokens_this_month(session: Session, key_id: str) -> int:
    """Prompt and completion tokens that this API key has used since the first of the month, UTC."""
    start = clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    used = func.sum(UsageRow.prompt_tokens + UsageRow.completion_tokens)
    return int(
        session.scalar(select(used).where(UsageRow.api_key_id == key_id, UsageRow.created_at >= start)) or 0
    )


_GROUPS: dict[GroupBy, tuple[Any, Any]] = {
    "day": (func.date(UsageRow.created_at), func.date(UsageRow.created_at)),
    "model": (UsageRow.model_id, ModelRow.name),
    "key": (UsageRow.api_key_id, ApiKeyRow.name),
    "kind": (UsageRow.kind, UsageRow.kind),
}


def _sum_where(kind: Kind, column: Any) -> Any:
    return func.coalesce(func.sum(case((UsageRow.kind == kind, column), else_=0)), 0)


_SUMS = (
    func.coalesce(func.sum(case((UsageRow.kind.in_(("chat", "query")), 1), else_=0)), 0),
    func.coalesce(func.sum(UsageRow.prompt_tokens), 0),
    func.coalesce(func.sum(UsageRow.completion_tokens), 0),
    func.coalesce(func.sum(UsageRow.trained_tokens), 0),
    _sum_where("training", UsageRow.seconds),
    _sum_where("query", UsageRow.seconds),
    _sum_where("storage", UsageRow.bytes),
)


def _line(group: Any, label: Any, *sums: Any) -> UsageLine:
    """PostgreSQL gives sums of whole numbers as decimals, which JSON would have as texts."""
    requests, prompt_tokens, completion_tokens, trained_tokens, training_seconds, query_seconds, stored = sums
    name = None if group is None else str(group)
    return UsageLine(
        name,
        str(label) if label is not None else (name or "none"),
        requests=int(requests),
        prompt_tokens=int(prompt_tokens),
        completion_tokens=int(completion_tokens),
        trained_tokens=int(trained_tokens),
        training_seconds=float(training_seconds),
        query_seconds=float(query_seconds),
        stored_bytes=int(stored),
    )
