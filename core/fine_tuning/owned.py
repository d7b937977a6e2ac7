"""The jobs a user owns, as rows, in the caller's session. Another user's job looks missing everywhere."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.people.users import User
from core.tables import JobRow


def find(session: Session, user: User, job_id: str) -> JobRow:
    """Raises NotFound."""
    row = session.scalar(select(JobRow).where(JobRow.id == job_id, JobRow.user_id == user.id))
    if row is None:
        raise NotFound
    return row
