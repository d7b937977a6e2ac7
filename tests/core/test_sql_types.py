"""Types are told from their text: what looks like a number,
a date or a text inside of one is none outside."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from core import sql_types
from core.cells import json_safe
from core.datasets import pages
from core.datasets.pages.filters import as_filter
from core.readers.sql import describe
from core.reports import profile, quality
from core.ui.datasets.rows import rows_filter, rows_strip
from core.ui.elements import grid
from core.ui.reports import column_words

NESTED = [
    "DECIMAL(38,0)[]",
    "BIGINT[3]",
    "DATE[][]",
    "TIMESTAMP WITH TIME ZONE[]",
    "STRUCT(a DECIMAL(5,2))",
    'STRUCT("VARCHAR" BIGINT, "DATE" BIGINT)',
    "MAP(DATE, DECIMAL(18,3))",
    "UNION(n BIGINT, d DATE)",
]
PLAIN = {
    "DECIMAL(5,2)": "number",
    "UBIGINT": "number",
    "HUGEINT": "number",
    "FLOAT": "number",
    "DATE": "moment",
    "TIMESTAMP_NS": "moment",
    "TIMESTAMP WITH TIME ZONE": "moment",
    "TIME": "",
    "VARCHAR": "",
    "ENUM('DATE', 'DECIMAL(1,0)')": "",
}


@pytest.mark.parametrize("type_", NESTED)
def test_a_nested_type_is_none_of_the_types_in_it(type_: str) -> None:
    assert sql_types.is_nested(type_)
    tests = (
        sql_types.is_number,
        sql_types.is_whole,
        sql_types.is_decimal,
        sql_types.is_moment,
        sql_types.holds_text,
    )
    assert not any(test(type_) for test in tests)
    assert rows_filter.kind_of(type_) == "nested"
    assert grid.short_type(type_) in ("list", "object", "map", "mixed")


@pytest.mark.parametrize(("type_", "kind"), PLAIN.items())
def test_plain_types_are_what_they_are(type_: str, kind: str) -> None:
    assert not sql_types.is_nested(type_)
    assert (sql_types.is_number(type_), sql_types.is_moment(type_)) == (kind == "number", kind == "moment")
    assert sql_types.leaves(type_) == (type_,)


def test_what_lies_in_a_type_is_found_and_changed_whatever_its_fields_are_called() -> None:
    type_ = 'STRUCT("HUGEINT" HUGEINT, "a ""DATE"" b" DATE, m MAP(VARCHAR, STRUCT(JSON HUGEINT)[]))[]'
    assert sql_types.leaves(type_) == ("HUGEINT", "DATE", "VARCHAR", "HUGEINT")
    assert sql_types.holds_text(type_)
    changed = sql_types.with_leaves(type_, lambda plain: "BIGINT" if plain == "HUGEINT" else plain)
    assert (
        changed
        == 'STRUCT("HUGEINT" BIGINT, "a ""DATE"" b" DATE, "m" MAP(VARCHAR, STRUCT("JSON" BIGINT)[]))[]'
    )
    assert sql_types.with_leaves(type_, str) == type_
    assert sql_types.leaves("GEOMETRY('of an extension')[]") == ("GEOMETRY('of an extension')[]",)


NINES = "9" * 38
DECIMALS = {  # type -> its extremes and something between
    "DECIMAL(1,0)": ("-9", "9", "1"),
    "DECIMAL(9,9)": ("-0.999999999", "0.999999999", "0.5"),
    "DECIMAL(18,0)": (f"-{NINES[:18]}", NINES[:18], "7"),
    "DECIMAL(18,3)": (f"-{NINES[:15]}.999", f"{NINES[:15]}.999", "7"),
    "DECIMAL(38,0)": (f"-{NINES}", NINES, "12345678901234567890123456789012345678"),
    "DECIMAL(38,38)": (f"-0.{NINES}", f"0.{NINES}", "0.1"),
}
SHAPES = {
    "plain": "{}",
    "list": "CASE WHEN i % 3 > 0 THEN [{}, NULL] WHEN i % 2 = 0 THEN [] END",
    "array": "[{0}, {0}]::{1}[2]",
    "lists": "[[{}], [], NULL]",
    "struct": "{{'v': {}, 'w': NULL}}",
    "structs": "[{{'v': {}}}, NULL]",
    "map": "MAP {{'k': {}}}",
    "deep": "{{'a': MAP {{'k': [{{'DATE': {}}}]}}}}",
}


@pytest.mark.parametrize("type_", DECIMALS)
def test_decimals_of_any_size_at_any_depth_are_profiled_examined_and_shown(
    tmp_path: Path, type_: str
) -> None:
    path = tmp_path / "t.parquet"
    low, high, other = DECIMALS[type_]
    value = f"(CASE WHEN i = 0 THEN '{low}' WHEN i = 1 THEN '{high}' ELSE '{other}' END)::{type_}"
    made = "SELECT " + ", ".join(f"{shape.format(value, type_)} AS {name}" for name, shape in SHAPES.items())
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({made} FROM range(9) t(i)) TO '{path}'")
        columns = [{"name": name, "type": kind} for name, kind in describe(connection, f"FROM '{path}'")]
        found = profile.compute(connection, path, columns)
        assert quality.examine(connection, path, columns, profiled=found)["num_rows"] == 9
    page = pages.page(path, columns, num_rows=9)
    cells = parquet.read_table(path).to_pylist(maps_as_pydicts="lossy")
    assert [item["data"] for item in page.items] == json_safe(cells)
    assert [column_words.card(column, 9)["name"] for column in found] == list(SHAPES)
    assert [column["name"] for column in found if column["histogram"]] == ["plain"]
    for number, count in enumerate(found[0]["histogram"]["counts"]):
        wanted = {"plain": as_filter("plain", rows_strip.bar_filter(found[0], number))}
        assert pages.page(path, columns, num_rows=9, where=wanted).total == count


@pytest.mark.parametrize("wanted", [NINES, f"-{NINES}", "1" + "0" * 38, "1" + "0" * 400])
def test_numbers_up_to_38_digits_are_found_and_longer_ones_are_beyond_all(
    tmp_path: Path, wanted: str
) -> None:
    path = tmp_path / "t.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT unnest(['{NINES}', '-{NINES}', '0'])::DECIMAL(38,0) AS v) TO '{path}'"
        )
    columns = [{"name": "v", "type": "DECIMAL(38,0)"}]

    def count(**condition: str) -> int:
        return pages.page(path, columns, num_rows=3, where={"v": as_filter("v", condition)}).total

    assert count(equals=wanted) == (1 if len(wanted) < 40 and not wanted.endswith("0") else 0)
    assert count(max=wanted) == (1 if wanted.startswith("-") else 3)


def test_an_array_with_a_null_is_read_by_others_too(tmp_path: Path) -> None:
    assert sql_types.with_leaves("STRUCT(a FLOAT[3][2])[4]", str) == 'STRUCT("a" FLOAT[][])[]'
    values = pa.table({"v": pa.array([[1, 2], None, [None, 3]], pa.list_(pa.int64(), 2))})
    with duckdb.connect() as connection:
        cast = sql_types.with_leaves(connection.from_arrow(values).types[0], str)
        connection.register("t", values)
        connection.execute(
            f"COPY (SELECT v::{cast} AS v FROM t) TO '{tmp_path / 't.parquet'}' (FORMAT parquet)"
        )
    assert parquet.read_table(tmp_path / "t.parquet")["v"].to_pylist() == values["v"].to_pylist()
