"""What a user's jobs were made from, by name: for lists that show and filter by it."""

from sqlalchemy import select

from core.db import reading
from core.models.origins import Origins, find_origins
from core.people.users import User
from core.tables import JobRow


def origins(user: User) -> Origins:
    mine = JobRow.user_id == user.id
    with reading() as session:
        return find_origins(
            session,
            user,
            bases=select(JobRow.base_model_id).where(mine),
            dataset_versions=select(JobRow.dataset_version_id).where(mine),
        )
