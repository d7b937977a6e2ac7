"""The profile of a version: what each column holds, in values JSON can carry."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from core.cells import json_safe
from core.reports import footer, profile


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


@pytest.mark.parametrize("type_", ["DECIMAL(38,0)", "DECIMAL(38,20)", "DECIMAL(18,0)"])
def test_decimals_with_more_digits_than_a_float_are_all_counted(tmp_path: Path, type_: str) -> None:
    select = (
        f"SELECT (100000000000000003::DECIMAL(38,0) + i * 12345678901)::{type_} AS n FROM range(1000) t(i)"
    )
    found = profiled(tmp_path, select)["n"]
    histogram = found["histogram"]
    assert isinstance(histogram, dict)
    assert sum(histogram["counts"]) == 1000
    assert found["mean"] == pytest.approx(1e17 + 499.5 * 12345678901)


def test_nulls_and_not_a_number_do_no_harm(tmp_path: Path) -> None:
    found = profiled(
        tmp_path,
        (
            "SELECT * FROM (VALUES (1.0::DOUBLE, NULL::INTEGER, 1::DOUBLE), ('nan', NULL, 'inf'), (NULL, "
            "NULL, "
            "3)) t(x, empty, y)"
        ),
    )
    assert (found["x"]["nulls"], found["x"]["mean"], found["x"]["max"]) == (1, 1.0, 1.0)
    assert (found["empty"]["nulls"], found["empty"]["min"], found["empty"]["histogram"]) == (3, None, None)
    assert (found["y"]["min"], found["y"]["max"]) == (1.0, 3.0)
    assert [found[name]["not_finite"] for name in ("x", "empty", "y")] == [1, None, 1]


def test_texts_dates_and_structures(tmp_path: Path) -> None:
    found = profiled(
        tmp_path,
        (
            "SELECT CASE WHEN i < 6 THEN 'a' ELSE 'b' END AS s, DATE '2024-01-01' + i::INTEGER "
            "AS d, {'k': [i]} AS deep, "
            "i % 2 = 0 AS even, i::DECIMAL(10,2) AS money, now() AS at, 'x'::BLOB AS raw FROM range(10) t(i)"
        ),
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
    assert all(
        column["top_values"] == [{"value": 0, "count": 5}, {"value": 1, "count": 5}]
        for column in found.values()
    )


def test_of_a_very_wide_table_the_first_columns_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "WIDE", 60)
    found = profiled(tmp_path, f"SELECT {', '.join(f'i AS c{n}' for n in range(70))} FROM range(5) t(i)")
    assert [column["distinct"] for column in found.values()] == [5] * 60 + [None] * 10
    assert found["c0"]["histogram"]
    assert found["c59"]["histogram"] is None
    assert found["c69"] == {"name": "c69", "type": "BIGINT", **profile.NOTHING}


def test_texts_and_lists_have_lengths_and_what_is_empty_is_counted(tmp_path: Path) -> None:
    found = profiled(
        tmp_path,
        (
            "SELECT repeat('ü', i::INTEGER) AS s, list_value(i, i)[1:(i % 3)] AS l, i - 5 "
            "AS n, NULL::VARCHAR "
            "AS gone "
            "FROM range(11) t(i)"
        ),
    )
    assert found["s"]["lengths"] == {"p5": 0, "p25": 2, "p50": 5, "p75": 7, "p95": 9, "mean": 5.0, "max": 10}
    assert (found["s"]["empty"], found["n"]["empty"], found["gone"]["lengths"]) == (1, None, None)
    assert (found["l"]["lengths"]["max"], found["l"]["empty"]) == (2, 4)  # type: ignore[index]
    assert (found["n"]["zeros"], found["n"]["negatives"]) == (1, 5)
    assert found["s"]["examples"] == ["ü" * n for n in range(1, 6)]
    assert (found["n"]["distinct"], found["n"]["distinct_exact"]) == (11, True)


def test_a_bar_counts_what_a_filter_from_edge_to_edge_finds(tmp_path: Path) -> None:
    values = {
        "d": "round(random() * 123.4, 2)", "m": "(random() * 99)::DECIMAL(10, 2)",
        "f": "(random() * 7)::FLOAT", "n": "(random() * 1e6)::BIGINT", "u": "(random() * 5)::UTINYINT",
        "tiny": "1e-9 * random()", "huge": "-1e300 * random()",
    }  # fmt: skip
    found = profiled(
        tmp_path, f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in values.items())} FROM range(2000)"
    )
    for name, column in found.items():
        histogram, kind = column["histogram"], str(column["type"])
        assert isinstance(histogram, dict)
        compared = kind if kind.startswith(("DECIMAL", "FLOAT")) else "DOUBLE"
        edges = histogram["edges"]
        for at, count in enumerate(histogram["counts"]):
            upper = "<=" if at == len(edges) - 2 else "<"
            (real,) = duckdb.execute(
                (
                    f"SELECT count(*) FROM '{tmp_path / 't.parquet'}' WHERE {name}::{compared} >= CAST(? "
                    f"AS {compared}) "
                    f"AND {name}::{compared} {upper} CAST(? AS {compared})"
                ),
                [str(edges[at]), str(edges[at + 1])],
            ).fetchall()[0]
            assert real == count, (name, at)
        assert all(len(repr(edge)) < 14 for edge in edges[1:-1]), edges


def test_the_footer_tells_nulls_and_bounds_at_once(tmp_path: Path) -> None:
    profiled(
        tmp_path,
        (
            "SELECT nullif(i, 3) AS n, 'w' || i AS s, DATE '2024-01-01' + i::INTEGER AS d, {'k': i} "
            "AS deep, NULL::INTEGER AS gone "
            "FROM range(9) t(i)"
        ),
    )
    types = {"n": "BIGINT", "s": "VARCHAR", "d": "DATE", "deep": "STRUCT(k BIGINT)", "gone": "INTEGER"}
    columns = [{"name": name, "type": type_} for name, type_ in types.items()]
    found = {column["name"]: column for column in footer.from_footer(tmp_path / "t.parquet", columns)}
    assert [(c["nulls"], c["min"], c["max"]) for c in found.values()] == [
        (1, 0, 8), (0, "w0", "w8"), (0, "2024-01-01", "2024-01-09"), (None, None, None), (9, None, None),
    ]  # fmt: skip
    assert set(found["n"]) == {"name", "type", *profile.NOTHING}
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        (float("nan"), None), (float("-inf"), None), (Decimal("1.50"), 1.5),
        (Decimal("12345678901234567890"), 12345678901234567890),
        (Decimal("1.00000000000000000001"), "1.00000000000000000001"), (Decimal("NaN"), None), (2**70, 2**70),
        (b"abc", "<3 bytes>"), (dt.date(2024, 1, 2), "2024-01-02"),
        (dt.datetime(2024, 1, 2, 3), "2024-01-02T03:00:00"), (True, True),
        ({1: [float("inf")]}, {"1": [None]}), (dt.timedelta(days=1), "1 day, 0:00:00"),
    ],
)  # fmt: skip
def test_cells_are_json_safe(value: object, safe: object) -> None:
    assert json_safe(value) == safe
