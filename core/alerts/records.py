"""Alerts: what the owner of a job should know unwatched:
written where it happens, shown in the app, sent by webhook.

``note`` is called in the transaction that makes the change it tells of, so an alert is written exactly when
the change is. What becomes of those that wait for delivery is ``core.alerts.webhooks``'s business.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from core.clock import now
from core.db import num_changed, reading, writing
from core.errors import NotFound
from core.listing import Listed, ListQuery, fetch
from core.people.users import User
from core.tables import ALERT_KINDS, AlertRow, JobRow, WebhookRow
from core.tables.alert_kinds import Kind

KINDS: tuple[Kind, ...] = tuple(ALERT_KINDS)
PREFIX = "alr_"


class AlertList(ListQuery):
    """``unseen`` true: only those that nobody looked at yet."""

    unseen: bool = False
    job_id: str | None = None


@dataclass(frozen=True)
class Alert:
    """``delivery``: none, waiting, sent or failed; ``delivery_error`` is what the webhook answered last."""

    id: str
    job_id: str
    job_name: str
    kind: Kind
    message: str
    seen_at: datetime | None
    delivery: str
    delivery_error: str | None
    created_at: datetime


def note(session: Session, *, user_id: str, job_id: str, kind: str, message: str) -> None:
    """Write an alert in the caller's transaction;
    it waits for delivery if its owner's webhook asks for this kind."""
    hook = session.get(WebhookRow, user_id)
    waits = hook is not None and kind in hook.kinds
    session.add(
        AlertRow(
            user_id=user_id,
            job_id=job_id,
            kind=kind,
            message=message,
            delivery="waiting" if waits else "none",
            deliver_after=now() if waits else None,
        )
    )


def list_alerts(user: User, query: AlertList | None = None) -> Listed[Alert]:
    """Newest first."""
    query = query or AlertList()
    statement = _of(user)
    if query.unseen:
        statement = statement.where(AlertRow.seen_at.is_(None))
    if query.job_id:
        statement = statement.where(AlertRow.job_id == query.job_id)
    with reading() as session:
        sortable = {"created_at": AlertRow.created_at}
        return fetch(
            session,
            statement,
            query,
            sortable=sortable,
            tie=AlertRow.id,
            present=lambda row: _present(session, row),
        )


def count_unseen(user: User) -> int:
    with reading() as session:
        unseen = select(func.count()).where(AlertRow.user_id == user.id, AlertRow.seen_at.is_(None))
        return session.scalar(unseen) or 0


def newest(user: User, *, after: str | None = None) -> list[Alert]:
    """Unseen alerts that came after the one with this id,
    oldest first, at most 5: for telling them while a page is open."""
    with reading() as session:
        statement = _of(user).where(AlertRow.seen_at.is_(None)).order_by(AlertRow.id.desc()).limit(5)
        if after is not None:
            statement = statement.where(AlertRow.id > _number(after))
        return [_present(session, row) for row in reversed(session.scalars(statement).all())]


def mark_seen(user: User, alert_id: str) -> Alert:
    """Raises NotFound."""
    with writing() as session:
        row = session.scalar(_of(user).where(AlertRow.id == _number(alert_id)))
        if row is None:
            raise NotFound
        row.seen_at = row.seen_at or now()
        session.flush()
        return _present(session, row)


def mark_all_seen(user: User, *, job_id: str | None = None) -> int:
    """All of the user's alerts, or those about one job; returns how many were unseen."""
    change = update(AlertRow).where(AlertRow.user_id == user.id, AlertRow.seen_at.is_(None))
    if job_id:
        change = change.where(AlertRow.job_id == job_id)
    with writing() as session:
        return num_changed(session, change.values(seen_at=now()))


def _of(user: User) -> Select[AlertRow]:
    return select(AlertRow).where(AlertRow.user_id == user.id)


def _number(alert_id: str) -> int:
    digits = alert_id.removeprefix(PREFIX)
    if not alert_id.startswith(PREFIX) or not digits.isascii() or not digits.isdecimal() or len(digits) > 15:
        raise NotFound
    return int(digits)


def _present(session: Session, row: AlertRow) -> Alert:
    job = session.get(JobRow, row.job_id)
    return Alert(
        id=f"{PREFIX}{row.id}",
        job_id=row.job_id,
        job_name=job.name if job else "",
        kind=row.kind,  # type: ignore[arg-type]
        message=row.message,
        seen_at=row.seen_at,
        delivery=row.delivery,
        delivery_error=row.delivery_error,
        created_at=row.created_at,
    )
