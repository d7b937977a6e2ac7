"""Alerts: what the owner of a job should know unwatched: written where it happens, shown in the app, sent by webhook."""

from sqlalchemy.orm import Session

from core.clock import now
from core.tables import AlertRow, WebhookRow

KINDS = ("finished", "failed", "paused", "nan", "diverged", "stalled")


def note(session: Session, *, user_id: str, job_id: str, kind: str, message: str) -> None:
    """Write an alert in the caller's transaction; it waits for delivery if its owner's webhook asks for this kind."""
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
