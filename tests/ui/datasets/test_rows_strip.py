"""The strip above a column: a click on a bar finds exactly the rows that the bar counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from core.datasets import Filter, pages
from core.datasets.pages import shares as pages_shares
from core.errors import QueryTimeout
from core.reports import profile
from core.ui.datasets.rows import rows_strip

COLUMNS = {
    "few": "(range % 7)::INTEGER",
    "twenty": "(range % 20)::BIGINT",
    "many": "(range * range)::BIGINT - 500",
    "huge": "9007199254740993 + range",
    "real": "CASE WHEN range % 50 = 0 THEN 'nan'::DOUBLE WHEN range % 50 = 1 THEN NULL ELSE sqrt(range) END",
    "exact": "(range / 8)::DECIMAL(10, 3)",
    "day": "DATE '2024-01-01' + (range % 41)::INTEGER",
    "at": "TIMESTAMP '2024-01-01' + to_microseconds(range * 123456789)",
    "zoned": "TIMESTAMPTZ '1969-12-01 00:00:00+00' + to_seconds(range * 7919)",
    "word": "['red', 'green', '', NULL, 'blue', 'red', 'red'][(range % 7)::INTEGER + 1]",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    path = tmp_path_factory.mktemp("strip") / "t.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        cells = ", ".join(f"{sql} AS {name}" for name, sql in COLUMNS.items())
        connection.execute(f"COPY (SELECT {cells} FROM range(1000)) TO '{path}' (FORMAT parquet)")
        columns = [
            {"name": row[0], "type": row[1]}
            for row in connection.execute(f"DESCRIBE FROM '{path}'").fetchall()
        ]
        return path, profile.compute(connection, path, columns)


@pytest.fixture
def count(table: tuple[Path, list[dict[str, Any]]]) -> Callable[[str, dict[str, Any]], int]:
    path, columns = table

    def total(name: str, wanted: dict[str, Any]) -> int:
        return pages.count(pages.select(path, columns, where={name: Filter.model_validate(wanted)}))

    return total


def column(table: tuple[Path, list[dict[str, Any]]], name: str) -> dict[str, Any]:
    return next(one for one in table[1] if one["name"] == name)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "word"])
def test_a_bar_finds_what_it_counted(table: Any, count: Callable[..., int], name: str) -> None:
    found = column(table, name)
    counts = found["histogram"]["counts"]
    totals = [count(name, rows_strip.bar_filter(found, i)) for i in range(len(counts))]
    # beyond 2^53 and between floats an edge may fall on either side
    slack = 1 if name in ("huge", "real") else 0
    assert all(abs(a - b) <= slack for a, b in zip(totals, counts, strict=True)), (totals, counts)
    assert sum(counts) == count(name, rows_strip.bar_filter(found, 0, len(counts) - 1))


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "word"])
def test_a_chosen_bar_is_marked_and_a_second_click_takes_it_back(table: Any, name: str) -> None:
    found = column(table, name)
    for number in (0, 3, len(found["histogram"]["counts"]) - 1):
        if not found["histogram"]["counts"][number]:
            continue
        wanted = rows_strip.with_bar(found, {"is_null": False}, number, extend=False)
        drawn = rows_strip.strip(found, 1000, wanted)
        assert drawn
        assert [i for i, bar in enumerate(drawn["bars"]) if bar["on"]] == [number]
        assert rows_strip.with_bar(found, wanted, number, extend=False) == {"is_null": False}


def test_shift_takes_the_bars_between(table: Any, count: Callable[..., int]) -> None:
    found = column(table, "few")
    wanted = rows_strip.with_bar(found, rows_strip.with_bar(found, {}, 5, extend=False), 2, extend=True)
    assert wanted == {"min": 2, "max": 5}
    assert count("few", wanted) == sum(found["histogram"]["counts"][2:6])


def test_commonest_values_come_and_go(table: Any, count: Callable[..., int]) -> None:
    found = column(table, "word")
    assert found["top_values"][0]["value"] == "red"
    wanted = rows_strip.with_value(found, {}, 0)
    assert (wanted, count("word", wanted)) == ({"one_of": ["red"]}, found["top_values"][0]["count"])
    both = rows_strip.with_value(found, wanted, 1)
    assert len(both["one_of"]) == 2
    assert rows_strip.with_value(found, rows_strip.with_value(found, both, 0), 1) == {}
    drawn = rows_strip.strip(found, 1000, wanted)
    assert drawn
    assert [top["on"] for top in drawn["tops"]] == [True, False]
    assert drawn["nulls"] == "14% null"
    assert rows_strip.with_nulls(rows_strip.with_nulls({})) == {}


def test_a_strip_says_what_it_knows() -> None:
    assert rows_strip.strip(None, 10, {}) is None
    assert rows_strip.strip({"name": "a", "type": "VARCHAR", "nulls": None}, 10, {}) is None
    empty = {"name": "a", "type": "BLOB", "nulls": 10, "distinct": 0}
    drawn = rows_strip.strip(empty, 10, {"min": "x"})
    assert drawn
    assert drawn["note"] == "nothing but nulls"
    assert [rows_strip.share(*pair) for pair in ((0, 9), (1, 1000), (999, 1000), (5, 5), (1, 3))] == [
        "0%",
        "<1%",
        ">99%",
        "100%",
        "33%",
    ]


@pytest.fixture
def shares(table: tuple[Path, list[dict[str, Any]]]) -> Callable[..., dict[str, Any] | None]:
    path, columns = table

    def counted(**where: dict[str, Any]) -> dict[str, Any] | None:
        filters = {name: Filter.model_validate(wanted) for name, wanted in where.items()}
        chosen = pages.select(path, columns, where=filters)
        statistics = {one["name"]: one for one in columns}
        return pages_shares.of(chosen, columns, statistics, values=rows_strip.TOPS)

    return counted


@pytest.mark.parametrize("name", COLUMNS)
def test_each_part_of_a_strip_counts_the_rows_that_pass(
    table: Any, count: Callable[..., int], shares: Callable[..., Any], name: str
) -> None:
    found, of_all, passing = column(table, name), shares()[name], shares(few={"max": 2})[name]
    path, columns = table
    if found["histogram"]:
        assert of_all.bars == found["histogram"]["counts"]
        few = Filter.model_validate({"max": 2})
        for number in range(len(of_all.bars)) if name not in ("huge", "real", "few") else ():
            where = {"few": few, name: Filter.model_validate(rows_strip.bar_filter(found, number))}
            assert passing.bars[number] == pages.count(pages.select(path, columns, where=where))
        assert 0 < sum(passing.bars) < sum(of_all.bars)
    else:
        assert of_all.values == [one["count"] for one in found["top_values"][: rows_strip.TOPS]]
        red, *others = passing.values
        assert (red, sum(others)) == (count("few", {"equals": 0}), count("few", {"equals": 2}))
    drawn = rows_strip.strip(found, 1000, {}, part=passing)
    assert drawn
    parts = drawn.get("bars") or drawn["tops"]
    assert all(part["part"] is not None for part in parts)
    assert any(" of " in part.get("label", part.get("count", "")) for part in parts)


def test_nothing_that_passes_is_zero_everywhere(shares: Callable[..., Any]) -> None:
    for one in shares(few={"min": 1000}).values():
        assert not any([*(one.bars or []), *one.values])


def test_what_takes_too_long_is_left_out_and_not_asked_again_at_once(
    shares: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def too_slow(*_: Any) -> None:
        tries.append(1)
        raise QueryTimeout

    pages_shares.forget()
    monkeypatch.setattr(pages_shares, "_counted", too_slow)
    assert [shares(few={"max": 1}), shares(few={"max": 1})] == [None, None]
    assert len(tries) == 1
    monkeypatch.setattr(pages_shares, "TRIED_AGAIN", 0.0)
    assert shares(few={"max": 1}) is None
    assert len(tries) == 2


def test_what_was_counted_is_remembered(shares: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first = shares(few={"max": 3})
    monkeypatch.setattr(pages_shares, "_counted", None)
    assert shares(few={"max": 3}) is first
