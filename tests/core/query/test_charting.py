"""The numbers of a chart: over all rows, in bins that are said."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from core import query, sql_sandbox
from core.errors import SqlError
from core.people.users import User
from core.query import WantedChart
from core.query.charting import BINS, MOST_COLOURS, MOST_MARKS, MOST_WORDS

NUMBERS = "SELECT range AS n, range % 7 AS part, 'w' || (range % 500) AS word FROM range(20000)"


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    yield
    sql_sandbox.shut_down()


def drawn(user: User, sql: str, x: str, y: str, summary: str, kind: Any, colour: str = "") -> query.ChartData:
    return query.chart(user, sql, WantedChart(x, y, colour, summary, kind))


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("count", 20_000),
        ("sum", 199_990_000),
        ("mean", 9999.5),
        ("median", 9999.5),
        ("min", 0),
        ("max", 19_999),
    ],
)
def test_every_row_counts(ada: User, summary: str, expected: float) -> None:
    data = drawn(ada, f"SELECT *, 'all' AS one FROM ({NUMBERS})", "one", "n", summary, "nominal")
    assert data.table.to_pydict() == {"x": ["all"], "y": [expected]}
    assert (data.num_rows, data.notes) == (20_000, ("Computed over all 20,000 rows.",))


def test_many_numbers_are_put_into_bins_that_hold_all_of_them(ada: User) -> None:
    data = drawn(ada, NUMBERS, "n", "n", "count", "quantitative")
    assert 20 <= data.table.num_rows <= BINS + 1
    assert sum(data.table["y"].to_pylist()) == 20_000
    assert data.table["x"].to_pylist()[:3] == [0, 200, 400]
    assert "n in bins of 200." in data.notes


def test_few_numbers_are_drawn_one_by_one(ada: User) -> None:
    data = drawn(ada, NUMBERS, "part", "n", "max", "quantitative")
    table = data.table.to_pydict()
    assert table == {"x": list(range(7)), "y": [max(range(part, 20_000, 7)) for part in range(7)]}
    assert len(data.notes) == 1


@pytest.mark.parametrize(
    ("step", "unit"), [("1 second", "minute"), ("5 minutes", "hour"), ("2 hours", "day"), ("3 days", "month")]
)
def test_times_are_put_into_whole_pieces(ada: User, step: str, unit: str) -> None:
    sql = f"SELECT TIMESTAMP '2024-01-01' + range * INTERVAL '{step}' AS moment, range AS n FROM range(2000)"
    data = drawn(ada, sql, "moment", "n", "count", "temporal")
    assert sum(data.table["y"].to_pylist()) == 2000
    assert f"moment by {unit}." in data.notes


def test_of_many_words_the_most_frequent_are_drawn_and_that_is_said(ada: User) -> None:
    sql = f"SELECT * FROM ({NUMBERS}) UNION ALL SELECT 1, 1, 'often' FROM range(300)"
    data = drawn(ada, sql, "word", "n", "count", "nominal", "part")
    assert len(set(data.table["x"].to_pylist())) == MOST_WORDS
    assert "often" in data.table["x"].to_pylist()
    assert f"Only the {MOST_WORDS} most frequent values of word are drawn." in data.notes
    many = drawn(ada, NUMBERS, "part", "n", "count", "nominal", "word")
    assert len(set(many.table["colour"].to_pylist())) == MOST_COLOURS
    assert f"Only the {MOST_COLOURS} most frequent values of word are drawn." in many.notes


def test_single_rows_are_a_sample_that_is_the_same_each_time(ada: User) -> None:
    first = drawn(ada, NUMBERS, "n", "part", "", "quantitative")
    assert first.table.num_rows == MOST_MARKS
    assert 9_000 < sum(first.table["x"].to_pylist()) / MOST_MARKS < 11_000
    assert first.notes == (f"A random sample of {MOST_MARKS:,} of 20,000 rows.",)
    assert drawn(ada, NUMBERS, "n", "part", "", "quantitative").table.equals(first.table)


def test_missing_values_are_values(ada: User) -> None:
    sql = "SELECT * FROM (VALUES (NULL, 1), ('a', 2), (NULL, 3)) AS t(word, n)"
    table = drawn(ada, sql, "word", "n", "sum", "nominal").table
    assert sorted(zip(table["x"].to_pylist(), table["y"].to_pylist(), strict=True), key=str) == [
        ("a", 2),
        (None, 4),
    ]


@pytest.mark.parametrize("name", ['we"ird', "a.b[0]", "x", "y", "num_rows", "SELECT"])
def test_any_column_name_can_be_drawn(ada: User, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    data = drawn(
        ada, f"SELECT range AS {quoted} FROM range(3) -- all;", name, name, "sum", "quantitative", name
    )
    assert data.table["y"].to_pylist() == [0, 1, 2]


def test_a_mistake_is_a_sentence(ada: User) -> None:
    with pytest.raises(SqlError):
        drawn(ada, "SELECT nothing FROM nowhere", "nothing", "nothing", "", "nominal")


def test_no_rows_are_no_marks(ada: User) -> None:
    data = drawn(ada, "SELECT 1 AS n WHERE false", "n", "n", "count", "quantitative")
    assert isinstance(data.table, pa.Table)
    assert (data.table.num_rows, data.num_rows) == (0, 0)
