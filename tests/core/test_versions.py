"""New versions from old ones: edits and appends keep order and types and refuse what does not fit; removed versions say so."""

import datetime as dt
from typing import Any

import pytest

from core import datasets, storage
from core.datasets import Edits
from core.errors import Conflict, InUse, NotFound, ValidationError
from core.users import User
from tests.core.uploads import in_process, stage
from tests.core.version_of_sql import make

__all__ = ["in_process"]
KINDS = """SELECT i AS n, i + 0.25 AS x, 'row ' || i AS s, DATE '2024-01-01' + i::INTEGER AS d, i % 2 = 0 AS ok,
    (i / 4)::DECIMAL(9,2) AS price, [i, NULL] AS l, {'a': i, 'b': 'x'} AS o, TIMESTAMP '2024-01-01 10:00:00' AS t
    FROM range(5) r(i)"""


def edit(user: User, version_id: str, **edits: Any) -> Any:
    return datasets.edit(user, version_id, Edits.model_validate(edits))


def data(user: User, version: Any) -> list[dict[str, Any]]:
    return [item["data"] for item in datasets.preview(user, version.dataset_id, version=version.version, limit=100).items]


# Edits -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_process")
def test_cells_change_rows_come_and_go_and_types_stay(ada: User) -> None:
    old = make(ada, KINDS)
    before = data(ada, old)
    changes: dict[str, Any] = {
        "n": 70, "x": 1.5, "s": "", "d": "2020-02-29", "ok": False, "price": "12.50", "l": [1, 2], "o": {"a": None, "b": "y"},
        "t": "2020-01-01 00:00:01",
    }  # fmt: skip
    cells = [{"line": 2, "column": name, "value": value} for name, value in changes.items()]
    cells += [{"line": 5, "column": "s", "value": None}, {"line": 5, "column": "s", "value": "last word"}]
    new = edit(ada, old.id, cells=cells, deleted=[1, 3], added=[{"n": 9}, {"s": "new", "l": []}], note="mended")
    shown = {**before[1], **changes, "price": 12.5, "t": "2020-01-01T00:00:01"}
    empty = dict.fromkeys(changes)
    assert data(ada, new) == [
        shown, before[3], {**before[4], "s": "last word"}, {**empty, "n": 9}, {**empty, "s": "new", "l": []},
    ]  # fmt: skip
    assert new.columns == old.columns
    assert (new.version, new.origin, new.parents, new.note, new.author["name"]) == (2, "edit", [old.id], "mended", "Ada")
    assert new.options == {"edit": {"cells": 11, "added": 2, "deleted": 2}}
    assert data(ada, old) == before
    assert not list(storage.staging_dir().iterdir())


@pytest.mark.usefixtures("in_process")
def test_rows_stay_in_order_when_a_large_version_is_edited(ada: User) -> None:
    old = make(ada, "SELECT i AS n, i % 7 AS k FROM range(300000) t(i)")
    lines = list(range(1, 300_000, 37))
    new = edit(ada, old.id, cells=[{"line": n, "column": "k", "value": -1} for n in lines], deleted=[2, 299_999], added=[{"n": -5}])
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(storage.parquet_path(new.id))
    changed = {n - 1 for n in lines}
    numbers = [n for n in range(300_000) if n not in (1, 299_998)]
    assert table["n"].to_pylist() == [*numbers, -5]
    assert table["k"].to_pylist() == [*(-1 if n in changed else n % 7 for n in numbers), None]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("n", "many", "'many' is not a whole number (BIGINT)"),
        ("n", 1.5, "'1.5' is not a whole number"),
        ("n", "", "is not a whole"),
        ("n", 1180591620717411303424, "is not a whole number"),
        ("x", "1,5", "is not a number"),
        ("o", {"a": 1.5, "b": "x"}, "is not a value of"),
        ("o", {"c": 1}, "is not a value of"),
        ("l", [1, "x"], "is not a value of"),
        ("d", "31.12.2024", "is not a date such as"),
        ("d", "2024-01-01 12:00:00", "is not a date"),
        ("d", "2024-02-30", "is not a date"),
        ("ok", "perhaps", "is not true or false"),
        ("price", "1.005", "is not a number (DECIMAL(9,2))"),
        ("price", "99999999.5", "is not a number"),
        ("l", "x", "is not a value of"),
        ("l", {"a": 1}, "is not a value of"),
        ("o", [1], "is not a value of"),
        ("t", "noon", "is not a point in time"),
    ],
)
def test_a_value_of_another_type_is_refused_by_row_and_column(ada: User, column: str, value: Any, said: str) -> None:
    old = make(ada, KINDS)
    with pytest.raises(ValidationError) as caught:
        edit(ada, old.id, cells=[{"line": 3, "column": column, "value": value}], added=[{"s": "fine"}, {"n": "no"}])
    assert [detail.field for detail in caught.value.details] == [f"row 3, column {column}", "new row 2, column n"]
    assert said in caught.value.details[0].message
    assert datasets.version_of(ada, old.dataset_id).id == old.id
    assert not list(storage.staging_dir().iterdir())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "nothing is changed"),
        ({"cells": [{"line": 6, "column": "n", "value": 1}]}, "there is no row 6"),
        ({"deleted": [0]}, "there is no row 0"),
        ({"added": [{"nope": 1}]}, "no column 'nope'"),
        ({"deleted": [1, 2, 3, 4, 5]}, "at least one row"),
    ],
)
def test_edits_that_make_no_sense_are_refused(ada: User, wrong: dict[str, Any], said: str) -> None:
    old = make(ada, KINDS)
    with pytest.raises(ValidationError, match=said):
        edit(ada, old.id, **wrong)


@pytest.mark.usefixtures("in_process")
def test_edits_of_an_older_version_are_refused_unless_meant(ada: User, bob: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    with pytest.raises(Conflict, match="newest version is 2, and these edits are for version 1"):
        edit(ada, old.id, added=[{"n": 3}])
    new = edit(ada, old.id, added=[{"n": 3}], force=True)
    assert (new.version, data(ada, new)) == (3, [{"n": 1}, {"n": 3}])
    with pytest.raises(NotFound):
        edit(bob, old.id, added=[{"n": 3}])


__all__ += ["InUse", "dt", "stage"]
