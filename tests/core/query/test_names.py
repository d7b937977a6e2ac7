"""The name that SQL is told for a version leads back to it, whatever the user's datasets are called."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from core import datasets, query
from core.people.users import User
from core.query import NewQuery
from core.query.names import Names
from core.sql_sandbox.gate import fold
from core.tables import DatasetVersionRow

Make = Callable[..., DatasetVersionRow]
NAMES = [
    "faq",
    "FAQ",
    "faq@1",
    "faq@2",
    "ds_a",
    "ds_b@1",
    "dsv_0",
    "select",
    "my data",
    'a"b',
    "ä",
    "Ä",
    "data.v2",
]


@dataclass(frozen=True)
class Ready:
    dataset_id: str
    dataset_name: str
    version_id: str
    number: int
    is_latest: bool
    num_rows: int = 1
    columns: list[dict[str, str]] = field(default_factory=list)


def some_tables(chance: random.Random) -> list[Ready]:
    tables: list[Ready] = []
    for letter in "abcd"[: chance.randint(1, 4)]:
        name, newest = chance.choice(NAMES), chance.randint(1, 3)
        tables += [
            Ready(f"ds_{letter}", name, f"dsv_{len(tables) + number}", number, number == newest)
            for number in range(1, newest + 1)
        ]
    return tables


def unquoted(written: str) -> str:
    return written[1:-1].replace('""', '"') if written.startswith('"') else written


@pytest.mark.parametrize("seed", range(200))
def test_a_versions_name_means_it_and_nothing_else(seed: int) -> None:
    tables = some_tables(random.Random(seed))
    names = Names(tables)
    for table in tables:
        written = names.name_of(table.version_id)
        meant = {fold(name): one for name, one in names.mentioned(f"SELECT * FROM {written}").items()}
        assert meant[fold(unquoted(written))] == table, written


def test_tables_of_one_name_are_offered_by_id(ada: User, make_version: Make) -> None:
    """They were offered by their common name, which SQL refuses."""
    first, second = make_version(ada, [{"n": 1}], name="faq"), make_version(ada, [{"n": 2}], name="FAQ")
    alone = make_version(ada, [{"n": 3}], name="my data")
    offered = {table.dataset_id: table.name for table in query.tables(ada)}
    assert offered == {
        first.dataset_id: first.dataset_id,
        second.dataset_id: second.dataset_id,
        alone.dataset_id: '"my data"',
    }
    rows = [query.run(ada, NewQuery(sql=f"SELECT n FROM {name}")).rows for name in offered.values()]
    assert sorted(rows) == [[[1]], [[2]], [[3]]]
    assert query.table_name(ada, alone.id) == '"my data"'
    assert datasets.doubled(ada) == {first.dataset_id, second.dataset_id}


def test_names_are_doubled_as_sql_compares_them(ada: User, bob: User, make_version: Make) -> None:
    """ASCII letters without case, all others as they are: ä and Ä are two names."""
    for owner, name in ((ada, "ä"), (ada, "Ä"), (ada, "b"), (bob, "b")):
        make_version(owner, [{"n": 1}], name=name)
    assert datasets.doubled(ada) == frozenset()
    assert {table.name for table in query.tables(ada)} == {'"ä"', '"Ä"', "b"}


def test_another_users_version_has_no_name(ada: User, bob: User, make_version: Make) -> None:
    theirs = make_version(ada, [{"n": 1}], name="faq")
    assert query.table_name(bob, theirs.id) == theirs.id
