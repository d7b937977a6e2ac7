"""The profile of a version: what each column holds, in values JSON can carry."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from core import profile
from core.cells import json_safe


def profiled(tmp_path: Path, select: str) -> dict[str, dict[str, object]]:
    target = tmp_path / "t.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{target}' (FORMAT parquet)")
        described = connection.execute(f"DESCRIBE FROM '{target}'").fetchall()
        columns = [{"name": row[0], "type": row[1]} for row in described]
        found = profile.compute(connection, target, columns)
    json.dumps(found, allow_nan=False)
    return {str(column["name"]): column for column in found}


def test_numbers_are_summed_up(tmp_path: Path) -> None:
    found = profiled(tmp_path, "SELECT i AS n, i / 2 AS x FROM range(1000) t(i)")["n"]
    assert (found["nulls"], found["min"], found["max"], found["mean"]) == (0, 0, 999, 499.5)
    assert abs(int(found["distinct"]) - 1000) < 100  # type: ignore[call-overload]
    quantiles = found["quantiles"]
    assert isinstance(quantiles, dict)
    assert quantiles["p50"] == pytest.approx(499.5, abs=10)
    histogram = found["histogram"]
    assert isinstance(histogram, dict)
    assert (len(histogram["edges"]), sum(histogram["counts"])) == (21, 1000)
    assert histogram["counts"] == [50] * 20


def test_whole_numbers_with_few_values_get_a_bar_each(tmp_path: Path) -> None:
    histogram = profiled(tmp_path, "SELECT i % 5 AS stars FROM range(50) t(i)")["stars"]["histogram"]
    assert histogram == {"edges": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "counts": [10] * 5}


def test_nulls_and_not_a_number_do_no_harm(tmp_path: Path) -> None:
    found = profiled(
        tmp_path,
        "SELECT * FROM (VALUES (1.0::DOUBLE, NULL::INTEGER, 1::DOUBLE), ('nan', NULL, 'inf'), (NULL, NULL, 3)) t(x, empty, y)",
    )
    assert (found["x"]["nulls"], found["x"]["mean"], found["x"]["max"]) == (1, 1.0, 1.0)
    assert (found["empty"]["nulls"], found["empty"]["min"], found["empty"]["histogram"]) == (3, None, None)
    assert (found["y"]["min"], found["y"]["max"]) == (1.0, 3.0)


def test_texts_dates_and_structures(tmp_path: Path) -> None:
    found = profiled(
        tmp_path,
        "SELECT CASE WHEN i < 6 THEN 'a' ELSE 'b' END AS s, DATE '2024-01-01' + i::INTEGER AS d, {'k': [i]} AS deep, "
        "i % 2 = 0 AS even, i::DECIMAL(10,2) AS money, now() AS at, 'x'::BLOB AS raw FROM range(10) t(i)",
    )
    assert found["s"]["top_values"] == [{"value": "a", "count": 6}, {"value": "b", "count": 4}]
    assert (found["d"]["min"], found["d"]["max"]) == ("2024-01-01", "2024-01-10")
    assert sum(found["d"]["histogram"]["counts"]) == 10  # type: ignore[index]
    assert (found["deep"]["nulls"], found["deep"]["distinct"]) == (0, 10)
    assert found["money"]["mean"] == 4.5
    assert found["even"]["top_values"] == [{"value": False, "count": 5}, {"value": True, "count": 5}]


def test_column_names_are_only_names(tmp_path: Path) -> None:
    names = ['"', "n", "cell", "v", "total", "a0", "count(*)", "x; DROP TABLE t", "ünï"]
    select = ", ".join(f"i % 2 AS {profile.quoted(name)}" for name in names)
    found = profiled(tmp_path, f"SELECT {select} FROM range(10) t(i)")
    assert list(found) == names
    assert all(column["top_values"] == [{"value": 0, "count": 5}, {"value": 1, "count": 5}] for column in found.values())


def test_of_a_very_wide_table_the_first_columns_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "WIDE", 60)
    found = profiled(tmp_path, f"SELECT {', '.join(f'i AS c{n}' for n in range(70))} FROM range(5) t(i)")
    assert [column["distinct"] for column in found.values()] == [5] * 60 + [None] * 10
    assert found["c0"]["histogram"]
    assert found["c59"]["histogram"] is None
    assert found["c69"] == {"name": "c69", "type": "BIGINT", **profile.NOTHING}


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        (float("nan"), None), (float("-inf"), None), (Decimal("1.50"), 1.5),
        (Decimal("12345678901234567890"), 12345678901234567890),
        (Decimal("1.00000000000000000001"), "1.00000000000000000001"), (Decimal("NaN"), None), (2**70, 2**70),
        (b"abc", "<3 bytes>"),
        (dt.date(2024, 1, 2), "2024-01-02"), (dt.datetime(2024, 1, 2, 3), "2024-01-02T03:00:00"), (True, True),
        ({1: [float("inf")]}, {"1": [None]}), (dt.timedelta(days=1), "1 day, 0:00:00"),
    ],
)  # fmt: skip
def test_cells_are_json_safe(value: object, safe: object) -> None:
    assert json_safe(value) == safe
