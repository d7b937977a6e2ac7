"""What a job's owner should be told even when nobody watches. One row per alert, written in the caller's transaction."""

from sqlalchemy.orm import Session

from core.tables import AlertRow


def note(session: Session, *, user_id: str, job_id: str, kind: str, message: str) -> None:
    """``kind``: finished, failed, paused, nan, diverged or stalled."""
    session.add(AlertRow(user_id=user_id, job_id=job_id, kind=kind, message=message))
