"""What models were made from, by name, and their versions: for lists that show, sort and filter by it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from core.db import reading
from core.models.values import ModelVersion, present_version
from core.people.users import User
from core.tables import DatasetRow, DatasetVersionRow, ModelRow, ModelVersionRow


@dataclass(frozen=True)
class Origins:
    """What a user's models, or jobs, were made from. Id -> name, by the alphabet."""

    bases: dict[str, str]
    datasets: dict[str, str]
    versions: dict[str, str]  # id of a dataset version -> ``faq v2``


def origins(user: User) -> Origins:
    """Of the models that this user sees."""
    below = select(ModelRow.base_model_id).where(ModelRow.is_visible_to(user.id))
    visible = select(ModelRow.id).where(ModelRow.is_visible_to(user.id))
    data = select(ModelVersionRow.dataset_version_id).where(ModelVersionRow.model_id.in_(visible))
    with reading() as session:
        return find_origins(session, user, bases=below, dataset_versions=data)


def find_origins(
    session: Session, user: User, *, bases: Select[str | None], dataset_versions: Select[str | None]
) -> Origins:
    """The names of what these ids stand for. What is gone, or somebody else's, is left out."""
    named = select(ModelRow.id, ModelRow.name).where(ModelRow.id.in_(bases), ModelRow.is_visible_to(user.id))
    version = DatasetVersionRow
    data = (
        select(version.id, version.number, DatasetRow.id, DatasetRow.name)
        .join(DatasetRow, DatasetRow.id == version.dataset_id)
        .where(version.id.in_(dataset_versions), DatasetRow.owner_id == user.id)
        .order_by(DatasetRow.name, version.number)
    )
    found = session.execute(data).tuples().all()
    return Origins(
        bases=dict(session.execute(named.order_by(ModelRow.name)).tuples().all()),
        datasets={dataset_id: name for _, _, dataset_id, name in found},
        versions={version_id: f"{name} v{number}" for version_id, number, _, name in found},
    )


def versions_by_id(user: User, version_ids: Sequence[str]) -> dict[str, ModelVersion]:
    """Id -> version: of those asked for that belong to models this user sees."""
    statement = (
        select(ModelVersionRow)
        .join(ModelRow, ModelRow.id == ModelVersionRow.model_id)
        .where(ModelVersionRow.id.in_(version_ids), ModelRow.is_visible_to(user.id))
    )
    with reading() as session:
        return {row.id: present_version(session, row) for row in session.scalars(statement)}
