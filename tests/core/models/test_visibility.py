"""Who sees a model: one rule, asked of a row and of the database."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from core import datasets
from core.db import reading, writing
from core.errors import NotFound
from core.people.users import User
from core.security import new_id
from core.tables import DatasetVersionRow, ModelRow, ModelVersionRow


@pytest.fixture
def models_of(ada: User, bob: User) -> dict[str, ModelRow]:
    """One of Ada's, one of Bob's, one of everybody's; each with a version, whose id is the model's and v."""
    rows = {}
    with writing() as session:
        for name, owner in (("hers", ada.id), ("his", bob.id), ("shared", None)):
            row = ModelRow(id=new_id("mdl"), name=name, owner_id=owner, type="custom" if owner else "base")
            session.add(row)
            session.flush()
            session.add(ModelVersionRow(id=f"{row.id}v", model_id=row.id, version=1, folder="models/none"))
            rows[name] = row
    return rows


def test_row_and_database_say_the_same(ada: User, bob: User, models_of: dict[str, ModelRow]) -> None:
    for user, visible in ((ada, {"hers", "shared"}), (bob, {"his", "shared"})):
        with reading() as session:
            found = set(session.scalars(select(ModelRow.name).where(ModelRow.is_visible_to(user.id))))
        assert found == visible
        assert {name for name, row in models_of.items() if row.is_visible_to(user.id)} == visible


def test_whoever_does_not_see_a_model_measures_no_tokens_with_it(
    ada: User, models_of: dict[str, ModelRow], make_version: Callable[..., DatasetVersionRow]
) -> None:
    version = make_version(ada)
    datasets.token_lengths(ada, version.id, f"{models_of['hers'].id}v")
    datasets.token_lengths(ada, version.id, f"{models_of['shared'].id}v")
    with pytest.raises(NotFound, match="no such model version"):
        datasets.token_lengths(ada, version.id, f"{models_of['his'].id}v")
