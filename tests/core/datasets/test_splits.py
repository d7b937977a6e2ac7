"""Splits keep equal rows together, hold their shares
and repeat themselves; leak reports find what is on both sides."""

import hashlib
import json
import random
from collections import Counter
from typing import Any

import pyarrow.parquet
import pytest

from core import datasets, storage
from core.datasets.leaks import leaks
from core.datasets.splits import NewSplit, count_split, split
from core.errors import NotFound, ValidationError
from core.fields import parse
from core.people.users import User
from tests.core.datasets.version_of_sql import make
from tests.core.uploads.shared import in_process

__all__ = ["in_process"]
NUMBERED = "SELECT (i % 700) AS n, 'text ' || (i % 700) AS s, {} AS kind FROM range(2000) t(i)"
SOME_NULL = NUMBERED.format("CASE WHEN i % 7 = 0 THEN NULL ELSE i % 3 END")
TWINS = NUMBERED.format("(i % 700) % 3")


def rows_of(user: User, dataset_id: str) -> list[dict[str, Any]]:
    version = datasets.version_of(user, dataset_id)
    table: Any = pyarrow.parquet.read_table(storage.parquet_path(version.id))
    return table.to_pylist()


def part_by_hand(row: dict[str, Any], seed: int) -> str:
    """The rule, once more and without DuckDB: the last eight bytes of the MD5 as a share of all."""
    text = f"{seed}:" + json.dumps(dict(sorted(row.items())), separators=(",", ":"), ensure_ascii=False)
    share = int.from_bytes(hashlib.md5(text.encode()).digest()[8:], "little") / 2**64
    return "train" if share < 0.7 else "validation" if share < 0.9 else "test"


@pytest.mark.usefixtures("in_process")
def test_parts_are_cut_by_content_and_seed(ada: User) -> None:
    source, seed = make(ada, SOME_NULL, name="faq"), 5
    new = parse(NewSplit, train=0.7, validation=0.2, test=0.1, seed=seed)
    counts = count_split(ada, source.id, new)
    made = split(ada, source.id, new)
    assert [dataset.name for dataset in made] == ["faq train", "faq validation", "faq test"]
    parts = {dataset.name.removeprefix("faq "): rows_of(ada, dataset.id) for dataset in made}
    assert counts.rows == {part: len(rows) for part, rows in parts.items()}
    everything = pyarrow.parquet.read_table(storage.parquet_path(source.id)).to_pylist()
    for part, rows in parts.items():
        # in the order of the source, too
        assert rows == [row for row in everything if part_by_hand(row, seed) == part]
    version = datasets.version_of(ada, made[0].id)
    assert (version.origin, version.parents, version.options["split"]["seed"]) == ("split", [source.id], seed)
    assert version.columns == source.columns


@pytest.mark.usefixtures("in_process")
def test_splitting_again_makes_next_versions_and_old_rows_stay_on_their_side(ada: User) -> None:
    source = make(ada, "SELECT i AS n FROM range(300) t(i)", name="faq")
    new = parse(NewSplit, train=0.5, validation=0, test=0.5)
    first = split(ada, source.id, new)
    before = {dataset.id: {row["n"] for row in rows_of(ada, dataset.id)} for dataset in first}
    grown = make(ada, "SELECT i AS n FROM range(600) t(i)", dataset_id=source.dataset_id)
    second = split(ada, grown.id, new)
    assert [(d.id, d.version) for d in second] == [(d.id, 2) for d in first]
    for dataset in second:
        assert before[dataset.id] == {row["n"] for row in rows_of(ada, dataset.id) if row["n"] < 300}


def test_strata_keep_their_shares(ada: User) -> None:
    chance = random.Random(1)
    kinds = [chance.choice(["a"] * 80 + ["b"] * 15 + ["c"] * 5) for _ in range(4000)]
    listed = ", ".join(f"({n}, '{kind}')" for n, kind in enumerate(kinds))
    source = make(ada, f"SELECT * FROM (VALUES {listed}) t(n, kind)")
    counts = count_split(
        ada, source.id, parse(NewSplit, train=0.6, validation=0.2, test=0.2, stratify="kind")
    )
    for stratum in counts.strata:
        total = Counter(kinds)[stratum["value"]]
        for part, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
            assert abs(stratum[part] - share * total) <= 1
    assert sum(counts.rows.values()) == 4000
    assert [stratum["value"] for stratum in counts.strata] == ["a", "b", "c"]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("options", [{"by": ["s"]}, {"stratify": "kind"}])
def test_equal_rows_are_never_on_two_sides(ada: User, options: dict[str, Any]) -> None:
    source = make(ada, TWINS)
    made = split(ada, source.id, parse(NewSplit, seed=3, **options))
    sides = [{tuple(row.values()) for row in rows_of(ada, dataset.id)} for dataset in made]
    assert not any(sides[i] & sides[j] for i in range(3) for j in range(i))
    assert sum(dataset.num_rows for dataset in made) == 2000


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"train": 0.5}, "body"), ({"train": 1, "validation": 0, "test": 0}, "body"),
        ({"train": -1}, "train"), ({"stratify": "nope"}, "stratify"), ({"by": ["nope"]}, "by"),
        ({"stratify": "n"}, "stratify"), ({"seed": -1}, "seed"),
    ],
)  # fmt: skip
def test_a_split_that_makes_no_sense_is_refused(ada: User, wrong: dict[str, Any], field: str) -> None:
    source = make(ada, "SELECT i AS n FROM range(1100) t(i)")
    with pytest.raises(ValidationError) as caught:
        count_split(ada, source.id, parse(NewSplit, **wrong))
    assert caught.value.details[0].field == field


TALE = (
    "of the garden behind the old house in which nobody has lived for as long as anybody in this little "
    "town can remember"
)
LONG = (
    f"'The fox number ' || i || ' jumps over the lazy dog while ' || (i * 7) || ' cats watch it from the "
    f"wall {TALE}'"
)


def test_rows_on_both_sides_are_found(ada: User) -> None:
    train = make(ada, f"SELECT i AS id, {LONG} AS text, 1.0::DOUBLE AS x FROM range(50) t(i)")
    nearly = f"replace({LONG}, 'lazy', 'very lazy')"
    test = make(
        ada,
        (
            f"SELECT i AS id, {LONG} AS text, 1::INTEGER AS x FROM range(45, 50) t(i) UNION ALL "
            f"SELECT 100 + i, {nearly}, 1 FROM range(3) t(i) UNION ALL "
            f"SELECT 200 + i, 'something else ' || i, 1 FROM range(9) t(i)"
        ),
    )
    found = leaks(ada, [train.id, test.id])
    (leak,) = found.leaks
    assert (leak.a, leak.b, leak.exact) == (train.id, test.id, 5)
    assert (found.columns, found.text_columns, found.is_sampled, found.is_clean) == (
        ["id", "text", "x"],
        ["text"],
        False,
        False,
    )
    assert {(one["a_line"], one["b_line"]) for one in leak.examples if one["similarity"] == 1} == {
        (46 + n, 1 + n) for n in range(5)
    }
    near = [one for one in leak.examples if one["similarity"] < 1]
    assert {(1 + n, 6 + n) for n in range(3)} <= {(one["a_line"], one["b_line"]) for one in near}
    assert leak.near >= 3
    by_text = leaks(ada, [test.id, train.id], columns=["text"]).leaks[0]
    assert (by_text.exact, by_text.b) == (5, train.id)


def test_parts_of_a_split_share_no_row(ada: User) -> None:
    parts = [
        make(ada, f"SELECT i AS n, NULL::VARCHAR AS s FROM range(60) t(i) WHERE i % 3 = {part}")
        for part in range(3)
    ]
    found = leaks(ada, [part.id for part in parts])
    assert (len(found.leaks), found.is_clean) == (3, True)


def test_leaks_of_strange_or_unlike_versions_are_refused(ada: User, bob: User) -> None:
    one, other = make(ada, "SELECT 1 AS a"), make(ada, "SELECT 1 AS b")
    for ids, columns in (
        ([one.id], []),
        ([one.id, one.id], []),
        ([one.id, other.id], []),
        ([one.id, other.id], ["a"]),
    ):
        with pytest.raises(ValidationError):
            leaks(ada, ids, columns=columns)
    with pytest.raises(NotFound):
        leaks(bob, [one.id, other.id])


def test_a_part_without_rows_is_refused_and_nothing_is_made(ada: User, bob: User) -> None:
    source = make(ada, "SELECT 1 AS n FROM range(9)")
    with pytest.raises(ValidationError, match="would have no rows"):
        split(ada, source.id, NewSplit())
    assert datasets.list_datasets(ada, datasets.DatasetList()).total == 1
    assert not list(storage.staging_dir().iterdir())
    with pytest.raises(NotFound):
        split(bob, source.id, NewSplit())
