"""Diffs are exact: against counting in plain Python,
on random rows with nulls, NaN, nested values and twins."""

import json
import random
from collections import Counter
from typing import Any

import pytest

from core import datasets, storage
from core.datasets.diffs import computing, diff_versions, guess_match, suggest_keys
from core.datasets.diffs.files import open_diff
from core.errors import Conflict, NotFound, ValidationError
from core.people.users import User
from tests.core.datasets.version_of_sql import make

KINDS = "n BIGINT, x DOUBLE, s VARCHAR, d DATE, tags VARCHAR[], at STRUCT(a INTEGER, b VARCHAR)"


def values(rows: list[tuple[Any, ...]], columns: str = KINDS) -> str:
    """SQL that answers exactly these rows; every value is written as JSON text, NaN as a word."""
    parts = [part.split(" ", 1) for part in columns.replace(", b VARCHAR", "; b VARCHAR").split(", ")]
    casts = [
        f"c{i}{'' if type_ == 'VARCHAR' else '::' + type_.replace(';', ',')} AS {name}"
        for i, (name, type_) in enumerate(parts)
    ]
    listed = ", ".join(f"({n}, {', '.join(map(_cell, row))})" for n, row in enumerate(rows))
    named = ", ".join(["n_", *(f"c{i}" for i in range(len(parts)))])
    return f"SELECT {', '.join(casts)} FROM (VALUES {listed}) t({named}) ORDER BY n_"


def _cell(value: Any) -> str:
    if value is None:
        return "NULL::VARCHAR"
    if isinstance(value, dict):
        return (
            "'{"
            + ", ".join(f"''{k}'': {'NULL' if v is None else json.dumps(v)}" for k, v in value.items())
            + "}'"
        )
    if isinstance(value, list):
        return "'[" + ", ".join("NULL" if v is None else json.dumps(v) for v in value) + "]'"
    return "'" + str(value).replace("'", "''") + "'"


def random_row(chance: random.Random) -> tuple[Any, ...]:
    return (
        chance.choice([None, 0, 1, 2]),
        chance.choice([None, "nan", 0.0, "-0.0", 1.5]),
        chance.choice([None, "", "a", "A"]),
        chance.choice([None, "2024-01-02"]),
        chance.choice([None, [], [None], ["a"]]),
        chance.choice([None, {"a": None, "b": "x"}, {"a": 1, "b": None}]),
    )


def told_apart(row: tuple[Any, ...]) -> str:
    """What equality is here: NaN is itself, minus zero is zero, null and empty are not the same."""
    return repr([0.0 if value == "-0.0" else value for value in row])


@pytest.mark.parametrize("seed", range(4))
def test_whole_rows_are_counted_as_in_a_bag(ada: User, seed: int) -> None:
    chance = random.Random(seed)
    before, after = ([random_row(chance) for _ in range(300)] for _ in range(2))
    old = make(ada, values(before))
    new = make(ada, values(after), dataset_id=old.dataset_id)
    found = datasets.diff(ada, old.dataset_id, 1, 2)
    left, right = (Counter(map(told_apart, rows)) for rows in (before, after))
    assert (found.removed, found.added) == ((left - right).total(), (right - left).total())
    assert (found.unchanged, found.changed, found.samples["changed"]) == ((left & right).total(), 0, [])
    assert new.version == 2


@pytest.mark.parametrize("seed", range(4))
def test_rows_meet_by_their_key(ada: User, seed: int) -> None:
    chance = random.Random(seed)
    before, after = (
        {(key, part): random_row(chance) for key in chance.sample(range(60), 40) for part in ("a", "b")}
        for _ in range(2)
    )
    columns = "k BIGINT, part VARCHAR, " + KINDS
    old = make(ada, values([(*key, *row) for key, row in before.items()], columns))
    new = make(ada, values([(*key, *row) for key, row in after.items()], columns))
    found = diff_versions(ada, old.id, new.id, key=["k", "part"], limit=100)
    both = before.keys() & after.keys()
    changed = {key for key in both if told_apart(before[key]) != told_apart(after[key])}
    assert (found.added, found.removed) == (len(after.keys() - both), len(before.keys() - both))
    assert (found.changed, found.unchanged) == (len(changed), len(both) - len(changed))
    names = ["n", "x", "s", "d", "tags", "at"]
    differing = {
        key: [
            name
            for name, *pair in zip(names, before[key], after[key], strict=True)
            if told_apart((pair[0],)) != told_apart((pair[1],))
        ]
        for key in changed
    }
    assert {tuple(one["key"].values()): one["columns"] for one in found.samples["changed"]} == differing
    assert found.changed_columns == dict(Counter(name for listed in differing.values() for name in listed))


@pytest.mark.parametrize("seed", range(4))
def test_rows_meet_by_their_numbers(ada: User, seed: int) -> None:
    chance = random.Random(seed)
    before = [random_row(chance) for _ in range(chance.randint(5, 40))]
    after = [row if chance.random() < 0.7 else random_row(chance) for row in before][: chance.randint(3, 40)]
    after += [random_row(chance) for _ in range(chance.randint(0, 5))]
    old, new = make(ada, values(before)), make(ada, values(after))
    found = diff_versions(ada, old.id, new.id, by_row=True, limit=100)
    both = min(len(before), len(after))
    changed = [n for n in range(both) if told_apart(before[n]) != told_apart(after[n])]
    assert (found.added, found.removed) == (len(after) - both, len(before) - both)
    assert (found.changed, found.unchanged) == (len(changed), both - len(changed))
    assert [one["to_line"] for one in found.samples["changed"]] == [n + 1 for n in changed]
    rows = b"".join(open_diff(ada, old.id, new.id, by_row=True).chunks).decode().splitlines()
    assert sum(row.startswith("before,") for row in rows) == len(changed)
    with pytest.raises(ValidationError):
        diff_versions(ada, old.id, new.id, key=["n"], by_row=True)


NINE = "FROM range(9) t(i)"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (f"i AS id, i % 3 AS v {NINE}", f"i AS id, i % 3 + (i = 4)::INT AS v {NINE}", "id"),
        (f"i % 2 AS a, i % 3 AS v {NINE}", f"i % 2 AS a, i % 3 + (i = 4)::INT AS v {NINE}", "row"),
        (f"i % 2 AS a, i % 3 AS v {NINE}", f"i % 2 AS a, i % 3 AS v {NINE} WHERE i <> 4", "whole"),
        (f"i % 2 AS a {NINE}", "i % 2 AS a FROM range(12) t(i)", "row"),
        (f"'q' || i AS q, -i AS a {NINE}", f"if(i = 4, '', 'q' || i) AS q, -i AS a {NINE}", "row"),
    ],
)  # fmt: skip
def test_the_way_in_which_the_fewest_rows_differ_is_guessed(
    ada: User, before: str, after: str, expected: str
) -> None:
    old, new = make(ada, "SELECT " + before), make(ada, "SELECT " + after)
    key, by_row = guess_match(ada, old.id, new.id)
    assert (key[0] if key else "row" if by_row else "whole") == expected


def test_samples_show_rows_side_by_side(ada: User) -> None:
    old = make(ada, "SELECT i AS id, 'row ' || i AS s FROM range(5) t(i)")
    new = make(
        ada, "SELECT i AS id, CASE WHEN i = 3 THEN 'other' ELSE 'row ' || i END AS s FROM range(1, 6) t(i)"
    )
    found = diff_versions(ada, old.id, new.id, key=["id"])
    assert found.samples["removed"] == [{"line": 1, "data": {"id": 0, "s": "row 0"}, "times": 1}]
    assert found.samples["added"] == [{"line": 5, "data": {"id": 5, "s": "row 5"}, "times": 1}]
    assert found.samples["changed"] == [
        {
            "key": {"id": 3}, "from": {"id": 3, "s": "row 3"}, "to": {"id": 3, "s": "other"},
            "columns": ["s"], "from_line": 4, "to_line": 3,
        }
    ]  # fmt: skip


def test_all_differences_leave_as_csv(ada: User) -> None:
    old = make(ada, "SELECT i AS id, 'row ' || i AS s, [i] AS l FROM range(5) t(i)", name="my things")
    new = make(
        ada,
        (
            "SELECT i AS id, 'x' AS t, CASE WHEN i = 3 THEN 'other' ELSE 'row ' || i END AS s "
            "FROM range(1, 6) t(i)"
        ),
    )
    content = open_diff(ada, old.id, new.id, key=["id"])
    assert content.filename == "things v1 to v1 changes.csv"
    assert b"".join(content.chunks).decode().splitlines() == [
        "change,row,times,id,s,l,t",
        "removed,1,1,0,row 0,[0],",
        "before,4,1,3,row 3,[3],",
        "after,3,1,3,other,,x",
        "added,5,1,5,row 5,,x",
    ]
    bags = open_diff(
        ada, old.id, make(ada, "SELECT i AS id FROM range(5) t(i) UNION ALL SELECT 4 UNION ALL SELECT 4").id
    )
    assert b"".join(bags.chunks).decode().splitlines()[1:] == ["added,5,2,4,,"]
    assert not list(storage.staging_dir().iterdir())


def test_the_same_rows_in_another_order_are_no_difference(ada: User) -> None:
    old = make(ada, "SELECT i, 'x' AS s FROM range(50) t(i)")
    new = make(ada, "SELECT i, 'x' AS s FROM range(50) t(i) ORDER BY i DESC")
    assert diff_versions(ada, old.id, new.id).is_same
    assert diff_versions(ada, old.id, old.id, key=["i"]).is_same


def test_schema_changes_are_listed_and_the_rest_is_compared(ada: User) -> None:
    old = make(ada, "SELECT 1 AS id, 'a' AS gone, 7::BIGINT AS n")
    new = make(ada, "SELECT 7.0::DOUBLE AS n, 1 AS id, true AS fresh")
    found = diff_versions(ada, old.id, new.id, key=["id"])
    assert found.columns == {
        "added": [{"name": "fresh", "type": "BOOLEAN"}],
        "removed": [{"name": "gone", "type": "VARCHAR"}],
        "changed": [{"name": "n", "from": "BIGINT", "to": "DOUBLE"}],
    }
    assert (found.unchanged, found.changed, found.is_same) == (1, 0, False)
    apart = diff_versions(ada, old.id, make(ada, "SELECT 1 AS other").id)
    assert (apart.removed, apart.added) == (1, 1)


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("1::INTEGER", "1::BIGINT", True), ("1::BIGINT", "1.5::DOUBLE", False),
        ("1.50::DECIMAL(9,2)", "1.5::DOUBLE", True),
        ("9007199254740993::BIGINT", "9007199254740992::DOUBLE", False),
        ("100::DECIMAL(9,0)", "100::INTEGER", True), ("'1'", "1::BIGINT", True), ("'01'", "1::BIGINT", False),
        ("DATE '2024-01-02'", "TIMESTAMP '2024-01-02'", True),
        ("TIMESTAMP '2024-01-02'", "TIMESTAMPTZ '2024-01-02 01:00:00+01'", True),
        ("[1]", "[1::BIGINT]", True), ("NULL::VARCHAR", "''", False), ("'nan'::DOUBLE", "'nan'::FLOAT", True),
        ("'{\"a\": 1}'::JSON", "'{\"a\": 2}'::JSON", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", [(), ("id",)])
def test_values_of_another_type_are_compared_by_what_they_mean(
    ada: User, before: str, after: str, is_same: bool, key: tuple[str, ...]
) -> None:
    old, new = make(ada, f"SELECT 1 AS id, {before} AS v"), make(ada, f"SELECT 1 AS id, {after} AS v")
    assert (diff_versions(ada, old.id, new.id, key=key).unchanged == 1) is is_same


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (2, 'c')) t(id, s)",
            "id = 2 is in 2 rows of version 2, first in row 2",
        ),
        ("SELECT * FROM (VALUES (1, 'a'), (NULL, 'b')) t(id, s)", "row 2 of version 2 has no value in 'id'"),
        ("SELECT 1 AS other", "version 2 has no column 'id'"),
    ],
)
def test_a_key_that_is_none_is_refused_with_its_value(ada: User, rows: str, said: str) -> None:
    old = make(ada, "SELECT 1 AS id, 'a' AS s")
    make(ada, rows, dataset_id=old.dataset_id)
    with pytest.raises(ValidationError) as caught:
        datasets.diff(ada, old.dataset_id, 1, 2, key=["id"])
    assert said in caught.value.details[0].message


def test_likely_keys_come_first(ada: User) -> None:
    old = make(
        ada, "SELECT 'n' || i AS name, i % 3 AS three, i AS user_id, i / 2.0 AS x FROM range(100) t(i)"
    )
    assert suggest_keys(ada, old.id, old.id) == ["user_id", "name"]


def test_strangers_and_gone_versions_cannot_be_compared(ada: User, bob: User) -> None:
    old = make(ada, "SELECT 1 AS id")
    new = make(ada, "SELECT 2 AS id", dataset_id=old.dataset_id)
    for call in (
        lambda: datasets.diff(bob, old.dataset_id, 1, 2),
        lambda: diff_versions(bob, old.id, new.id),
    ):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(NotFound):
        datasets.diff(ada, old.dataset_id, 1, 9)
    datasets.delete_version(ada, old.id)
    with pytest.raises(Conflict, match=r"The files of version 1 were removed on .* by Ada"):
        datasets.diff(ada, old.dataset_id, 1, 2)


def test_an_answer_is_worked_out_once_and_leaves_nothing(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = make(ada, "SELECT 1 AS id"), make(ada, "SELECT 2 AS id")
    first = diff_versions(ada, old.id, new.id)
    monkeypatch.setattr(computing, "_compute", lambda *_: pytest.fail("worked out again"))
    assert diff_versions(ada, old.id, new.id) is first
    assert not list(storage.staging_dir().iterdir())


def test_wide_and_odd_columns_are_compared(ada: User) -> None:
    wide = ", ".join(f'{n} AS "c ""{n}"' for n in range(1200))
    old, new = make(ada, f"SELECT {wide}"), make(ada, f"SELECT {wide}, 5 AS c_more")
    found: Any = diff_versions(ada, old.id, new.id)
    assert (found.unchanged, len(found.columns["added"])) == (1, 1)
