"""Pages of rows, filters, search and downloads, on Parquet made here:
what goes in comes out, in the right order."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest

from core import datasets, storage
from core.datasets import Filter, View, pages, views
from core.datasets.pages import files, filters, paging
from core.errors import NotFound, QueryTimeout, ValidationError
from core.people.users import User
from tests.ui.things import make_dataset

Find = Callable[..., list[int]]
Tables = Callable[[str], tuple[Path, list[dict[str, str]]]]
TABLE = """
SELECT * FROM (VALUES
    (1, 9223372036854775807, 1.5::DOUBLE, 'Ünïcode "quoted"', DATE '2024-01-31',
        TIMESTAMPTZ '2024-06-01 12:00:00+02', 0.10::DECIMAL(10,2), true),
    (2, -5, 'nan'::DOUBLE, '', DATE '2024-02-01', NULL, 99999999.99, false),
    (3, 9007199254740993, 'inf'::DOUBLE, NULL, NULL, TIMESTAMPTZ '2024-06-01 23:59:59.5+00', -1.00, NULL),
    (4, NULL, '-inf'::DOUBLE, 'two\nlines 100%_', DATE '0999-12-31',
        TIMESTAMPTZ '2024-06-02 00:00:00+00', NULL, true),
    (5, 0, NULL, 'don''t; DROP TABLE x', DATE '2024-02-01', TIMESTAMPTZ '1969-12-31 00:00:00+00', 7.50, false)
) AS t(id, big, ratio, "té ""xt"", c", day, "at", price, ok)
"""
NESTED = """
SELECT 1 AS id,
    [{'role': 'user', 'content': 'Don''t panic'}, {'role': 'assistant', 'content': NULL}] AS messages,
    MAP {'k 1': 5} AS counts, {'name': 'Ada', 'inner': {'tags': ['x', 'y z']}} AS person,
    '{"free": "text"}'::JSON AS raw, [1, 2] AS numbers
UNION ALL SELECT 2, [], MAP {}, {'name': 'Bob', 'inner': {'tags': []}}, 'null', NULL
"""
TEXT = 'té "xt", c'


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """``tables(sql)``: a Parquet of a query's rows, and its columns. Each is written once."""

    @cache
    def write(sql: str) -> tuple[Path, list[dict[str, str]]]:
        path = tmp_path_factory.mktemp("tables") / "t.parquet"
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)")
            found = connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
        return path, [{"name": row[0], "type": row[1]} for row in found]

    return write


@pytest.fixture
def read(tables: Tables) -> Callable[..., pages.Preview]:
    """``read(sql, **how)``: a page of a table made by ``sql``."""

    def page(sql: str, **how: Any) -> pages.Preview:
        path, columns = tables(sql)
        where = {name: filters.as_filter(name, wanted) for name, wanted in how.pop("where", {}).items()}
        return pages.page(
            path, columns, num_rows=pyarrow.parquet.read_metadata(path).num_rows, where=where, **how
        )

    return page


@pytest.fixture
def find(read: Callable[..., pages.Preview]) -> Find:
    """The line numbers of what is found, in its order."""

    def lines(sql: str = TABLE, **how: Any) -> list[int]:
        found = read(sql, **how)
        assert found.total == len(found.items)
        return [item["line"] for item in found.items]

    return lines


def test_values_stay_what_they_are(read: Callable[..., pages.Preview]) -> None:
    rows = [item["data"] for item in read(TABLE).items]
    assert [row["big"] for row in rows] == [9223372036854775807, -5, 9007199254740993, None, 0]
    assert [row[TEXT] for row in rows] == [
        'Ünïcode "quoted"',
        "",
        None,
        "two\nlines 100%_",
        "don't; DROP TABLE x",
    ]
    assert [row["ratio"] for row in rows] == [1.5, None, None, None, None]  # JSON knows no others
    assert rows[0]["at"] == "2024-06-01T10:00:00+00:00"
    assert [row["day"] for row in rows] == ["2024-01-31", "2024-02-01", None, "0999-12-31", "2024-02-01"]
    exact = [item["data"] for item in read(TABLE, present=lambda value: value).items]
    assert [str(row["ratio"]) for row in exact] == ["1.5", "nan", "inf", "-inf", "None"]
    assert exact[0]["at"] == datetime(2024, 6, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("where", "lines"),
    [
        ({"big": {"equals": 9007199254740993}}, [3]), ({"big": {"equals": 9007199254740992}}, []),
        ({"big": {"equals": "9007199254740993"}}, [3]), ({"big": {"min": 0.5}}, [1, 3]),
        ({"big": {"max": -4.5}}, [2]), ({"big": {"above": -5, "below": 1}}, [5]),
        ({"big": {"min": 10**30}}, []), ({"big": {"max": 10**30}}, [1, 2, 3, 5]),
        ({"big": {"min": -(10**60)}}, [1, 2, 3, 5]), ({"big": {"max": 9.223372036854776e18}}, [1, 2, 3, 5]),
        ({"big": {"not_equals": 0}}, [1, 2, 3, 4]), ({"big": {"equals": 0.5}}, []),
        ({"big": {"outside": [-5, 10]}}, [1, 3, 4]), ({"ratio": {"min": 0}}, [1, 3]),
        ({"ratio": {"max": 2}}, [1, 4]), ({"ratio": {"equals": "nan"}}, [2]),
        ({"ratio": {"outside": [0, 2]}}, [2, 3, 4, 5]), ({"ratio": {"equals": "inf"}}, [3]),
        ({"ratio": {"is_null": True}}, [5]), ({"price": {"min": 0.1, "max": 7.5}}, [1, 5]),
        ({"price": {"above": 7.499}}, [2, 5]), ({"price": {"equals": 7.501}}, []),
        ({"price": {"one_of": [0.1, "7.50", 3]}}, [1, 5]), ({"price": {"none_of": [0.1, 7.5]}}, [2, 3, 4]),
        ({TEXT: {"contains": "ünïcode"}}, [1]), ({TEXT: {"contains": "100%_"}}, [4]),
        ({TEXT: {"contains": "DON'T"}}, [5]), ({TEXT: {"not_contains": "e"}}, [2, 3]),
        ({TEXT: {"starts_with": "TWO\n"}}, [4]), ({TEXT: {"equals": ""}}, [2]),
        ({TEXT: {"equals": "x' OR 1=1 --"}}, []), ({TEXT: {"is_null": True}}, [3]),
        ({TEXT: {"one_of": ["", "nope"]}}, [2]), ({TEXT: {"contains": ""}}, [1, 2, 4, 5]),
        ({TEXT: {"none_of": []}}, [1, 2, 3, 4, 5]), ({TEXT: {"one_of": []}}, []),
        ({"day": {"min": "2024-02-01"}}, [2, 5]), ({"day": {"below": "2024-02-01"}}, [1, 4]),
        ({"day": {"contains": "2024-02"}}, [2, 5]),
        ({"at": {"min": "2024-06-01", "max": "2024-06-01 23:59:59.999999"}}, [1, 3]),
        ({"at": {"equals": "2024-06-01 12:00:00+02"}}, [1]), ({"at": {"below": "1970-01-01"}}, [5]),
        ({"ok": True}, [1, 4]), ({"ok": {"one_of": ["false"]}}, [2, 5]),
        ({"ok": {"not_equals": True}}, [2, 3, 5]), ({"ok": None}, [3]),
        ({"ok": True, "big": {"is_null": False}}, [1]),
    ],
)  # fmt: skip
def test_filters_take_what_they_say(find: Find, where: dict[str, Any], lines: list[int]) -> None:
    assert find(where=where) == lines


@pytest.mark.parametrize(
    ("search", "lines"),
    [
        ("ÜNÏCODE", [1]), ("quoted ünï", [1]), ('"quoted"', [1]), ("quoted two", []), ("100%_", [4]),
        ("  ", [1, 2, 3, 4, 5]), ("t;", [5]), ("lines\t100", [4]), ("true", []), ("2024", []),
    ],
)  # fmt: skip
def test_the_search_takes_words_literally(find: Find, search: str, lines: list[int]) -> None:
    assert find(search=search) == lines


@pytest.mark.parametrize(
    ("search", "lines"),
    [
        ("don't", [1]),
        ("panic ada", [1]),
        ("y z", [1]),
        ("BOB", [2]),
        ("free", [1]),
        ("k 1", [1]),
        ("tags", []),
        ("content", []),
    ],
)
def test_the_search_looks_into_nested_values_but_not_at_their_names(
    find: Find, search: str, lines: list[int]
) -> None:
    assert find(NESTED, search=search) == lines


@pytest.mark.parametrize(
    ("where", "lines"),
    [
        ({"messages": {"contains": "don't PANIC"}}, [1]), ({"person": {"not_contains": "ada"}}, [2]),
        ({"numbers": None}, [2]), ({"counts": {"contains": "k"}}, [1]), ({"numbers": {"contains": "2"}}, [1]),
        ({"raw": {"contains": '"text"'}}, [1]),
    ],
)  # fmt: skip
def test_nested_values_are_filtered_by_their_text(
    find: Find, where: dict[str, Any], lines: list[int]
) -> None:
    assert find(NESTED, where=where) == lines


@pytest.mark.parametrize(
    ("order_by", "lines"),
    [
        ("big", [2, 5, 3, 1, 4]), ("-big", [1, 3, 5, 2, 4]), ("ratio", [4, 1, 3, 2, 5]),
        (TEXT, [2, 5, 4, 1, 3]), (f"-{TEXT}", [1, 4, 5, 2, 3]), ("day", [4, 1, 2, 5, 3]),
        ("-ok", [1, 4, 2, 5, 3]), ("price", [3, 1, 5, 2, 4]),
    ],
)  # fmt: skip
def test_sorting_puts_nulls_last_and_keeps_the_files_order_among_equals(
    find: Find, order_by: str, lines: list[int]
) -> None:
    assert find(order_by=order_by) == lines


def test_only_rows_of_given_numbers(find: Find, read: Callable[..., pages.Preview]) -> None:
    assert find(lines=[5, 2, 99]) == [2, 5]
    assert find(lines=[]) == []
    assert find(lines=[1, 2, 3], where={"big": {"max": 0}}, order_by="-id") == [2]
    assert read(TABLE, lines=[2], only=["id"]).items == [{"line": 2, "data": {"id": 2}}]


def test_pages_meet_each_other_across_row_groups(read: Callable[..., pages.Preview]) -> None:
    table = "SELECT range AS n, (range * 7919) % 10007 AS mixed FROM range(10007)"
    for how, key in (({}, "n"), ({"order_by": "mixed"}, "mixed"), ({"where": {"n": {"min": 5}}}, "n")):
        found = [read(table, limit=100, offset=offset, **how) for offset in (0, 2000, 4090, 9950)]
        start = 5 if "where" in how else 0
        for page in found:
            assert [item["data"][key] for item in page.items] == [
                start + page.offset + i for i in range(min(100, page.total - page.offset))
            ]
    assert read(table, offset=20000).items == []


def test_an_empty_table_has_an_empty_page(read: Callable[..., pages.Preview]) -> None:
    empty = "SELECT 1 AS a, 'x' AS b WHERE false"
    for how in ({}, {"order_by": "a"}, {"search": "x"}, {"where": {"a": 1}}, {"lines": [1]}):
        found = read(empty, **how)
        assert (found.items, found.total) == ([], 0)
        assert [column["name"] for column in found.columns] == ["a", "b"]


def test_long_texts_are_read_only_as_far_as_asked(read: Callable[..., pages.Preview]) -> None:
    found = read("SELECT repeat('ä', 5000) AS t, 12345 AS n", cut=10)
    assert found.items[0]["data"] == {"t": "ä" * 10, "n": 12345}


@pytest.mark.parametrize(
    "wrong",
    [
        {"where": {"big": {"min": "many"}}}, {"where": {"day": {"min": "yesterday"}}},
        {"where": {"ok": {"equals": "maybe"}}}, {"where": {"at": {"one_of": ["2024-13-01"]}}},
        {"where": {"gone": {"equals": 1}}}, {"order_by": "-gone"}, {"only": ["gone"]}, {"limit": 0},
        {"limit": 101}, {"offset": -1}, {"where": {"ratio": {"min": "1; DROP TABLE x"}}},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(read: Callable[..., pages.Preview], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(TABLE, **wrong)


def test_a_search_that_takes_too_long_is_stopped(
    read: Callable[..., pages.Preview], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "SECONDS", 0.02)
    with pytest.raises(QueryTimeout, match="longer than"):
        read("SELECT repeat(md5(range::VARCHAR), 20) AS t FROM range(200000)", search="zzz yyy xxx www vvv")
    monkeypatch.setattr(paging, "SECONDS", 30)
    assert read(TABLE).total == 5


@pytest.mark.parametrize(
    "view",
    [
        View(), View(version=3, order_by="-x", search="a b"), View(columns=["a", "b"]),
        View(columns=["a,b", "[c"]), View(columns=["[c"]),
        View(where={"ü \"'": Filter(one_of=["x", 1, True], is_null=False)}, finding="pii:e-mail"),
        View(where={"a": Filter(min=0.5)}),
    ],
)  # fmt: skip
def test_a_view_survives_its_address(view: View) -> None:
    assert views.from_query(views.to_query(view)) == view


@pytest.mark.parametrize(
    "query",
    [{"where": "{"}, {"where": "[]"}, {"cols": "[1"}, {"version": "x"}, {"where": '{"a": {"min": {}}}'}],
)
def test_an_address_that_is_no_view_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        views.from_query(query)


@pytest.fixture
def chosen(tables: Tables) -> Callable[..., pages.Selection]:
    """``chosen(sql, **how)``: the rows of a download."""

    def select(sql: str, **how: Any) -> pages.Selection:
        path, columns = tables(sql)
        where = {name: filters.as_filter(name, wanted) for name, wanted in how.pop("where", {}).items()}
        return pages.select(path, columns, where=where, **how)

    return select


def test_a_file_of_a_view_holds_its_rows_in_its_order(chosen: Callable[..., pages.Selection]) -> None:
    rows = chosen(TABLE, where={"big": {"is_null": False}}, order_by="-big", only=["id", TEXT, "big"])
    written = list(csv.reader(io.StringIO(b"".join(files.csv_chunks(rows)).decode(), newline="")))
    assert written[0] == ["id", TEXT, "big"]
    assert [row[0] for row in written[1:]] == ["1", "3", "5", "2"]
    lines = [json.loads(line) for line in b"".join(files.jsonl_chunks(rows)).decode().splitlines()]
    assert [(line["id"], line["big"]) for line in lines] == [
        (1, 2**63 - 1),
        (3, 9007199254740993),
        (5, 0),
        (2, -5),
    ]
    table = pyarrow.parquet.read_table(io.BytesIO(b"".join(files.parquet_chunks(rows))))
    assert table.to_pydict() == {
        "id": [1, 3, 5, 2],
        TEXT: [line[TEXT] for line in lines],
        "big": [line["big"] for line in lines],
    }


def test_csv_tells_null_from_the_empty_text(chosen: Callable[..., pages.Selection]) -> None:
    rows = chosen(TABLE, only=["id", TEXT, "ok"], lines=[2, 3])
    assert (
        b"".join(files.csv_chunks(rows)).decode()
        == f'id,"{TEXT.replace(chr(34), chr(34) * 2)}",ok\n2,"",false\n3,,\n'
    )


def test_parquet_keeps_every_type_and_is_written_in_pieces(
    chosen: Callable[..., pages.Selection], tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROWS_IN_GROUP", 2000)
    sql = (
        "SELECT range AS n, md5(range::VARCHAR) AS t, '{\"a\": 1}'::JSON AS j, uuid() "
        "AS u, 1.5::DECIMAL(38,2) AS d, "
        "now() AS z, [range] AS l, INTERVAL 1 DAY AS i FROM range(9000)"
    )
    rows = chosen(sql, where={"n": {"min": 1000}})
    pieces = [piece for piece in files.parquet_chunks(rows) if piece]
    assert len(pieces) >= 4
    (tmp_path / "out.parquet").write_bytes(b"".join(pieces))
    assert pyarrow.parquet.read_metadata(tmp_path / "out.parquet").num_rows == 8000
    with duckdb.connect() as connection:
        described = [
            f"DESCRIBE SELECT * EXCLUDE (i) FROM '{path}'"
            for path in (tables(sql)[0], tmp_path / "out.parquet")
        ]
        types = [connection.execute(statement).fetchall() for statement in described]
    assert types[0] == types[1]


def test_a_view_without_rows_is_still_a_file(chosen: Callable[..., pages.Selection]) -> None:
    rows = chosen(TABLE, where={"id": -1}, only=["id", "at"])
    assert b"".join(files.csv_chunks(rows)) == b"id,at\n"
    assert b"".join(files.jsonl_chunks(rows)) == b""
    assert pyarrow.parquet.read_table(io.BytesIO(b"".join(files.parquet_chunks(rows)))).num_rows == 0


def test_a_view_belongs_to_its_owner(ada: User, bob: User) -> None:
    made = make_dataset(ada, [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}])
    view = View(where={"a": Filter(equals="2")}, columns=["b"])
    assert datasets.rows_of(ada, made.dataset_id, view).items == [{"line": 2, "data": {"b": "y"}}]
    content = datasets.open_view(ada, made.dataset_id, view, as_="csv")
    assert (content.filename, b"".join(content.chunks)) == ("faq (part).csv", b"b\ny\n")
    with pytest.raises(ValidationError):
        datasets.open_view(ada, made.dataset_id, view, as_="original")
    with pytest.raises(ValidationError):
        datasets.open_view(ada, made.dataset_id, View(where={"gone": Filter()}), as_="csv")
    for look in (
        lambda: datasets.rows_of(bob, made.dataset_id, view),
        lambda: datasets.open_view(bob, made.dataset_id, view, as_="csv"),
    ):
        with pytest.raises(NotFound):
            look()
    assert not [path for path in storage.staging_dir().rglob("*") if path.is_file()]
