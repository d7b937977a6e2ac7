"""Uploads, good and hostile: what becomes of them,
what is said, and that nothing of a refused one is left."""

import datetime as dt
import decimal
import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import xlwt
import zstandard
from sqlalchemy import func, select

from core import datasets, storage
from core.config import settings
from core.db import reading
from core.errors import (
    DiskFull,
    LuthierError,
    TooLarge,
    UnreadableFile,
    UnsupportedMediaType,
    ValidationError,
)
from core.ingest import converter
from core.ingest.look import look_in_child
from core.people.users import User
from core.readers import IngestOptions, ReadTask, WorkProgress, big_integers
from core.readers.base import write_parquet
from core.readers.sql import describe
from core.tables import DatasetRow, DatasetVersionRow
from tests.core.uploads.shared import in_process, left_on_disk, rows, types, upload

pytestmark = pytest.mark.usefixtures("in_process")
__all__ = ["in_process"]


def csv_of(count: int) -> bytes:
    return b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(count))


def parquet_bytes(table: Any) -> bytes:
    out = io.BytesIO()
    pa.parquet.write_table(table, out)
    return out.getvalue()


def arrow_bytes(table: Any, *, stream: bool = False) -> bytes:
    out = io.BytesIO()
    writer = pa.ipc.new_stream(out, table.schema) if stream else pa.ipc.new_file(out, table.schema)
    with writer:
        writer.write_table(table)
    return out.getvalue()


def feather_bytes(table: Any) -> bytes:
    out = io.BytesIO()
    pa.feather.write_feather(table, out)
    return out.getvalue()


def xlsx_bytes(*sheets: tuple[str, list[list[Any]]]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for title, cells in sheets:
        sheet = book.create_sheet(title)
        for row in cells:
            sheet.append(row)
    book.save(out)
    return out.getvalue()


def xls_bytes(cells: list[list[Any]]) -> bytes:
    book, out = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("Tabelle 1")
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            sheet.write(i, j, cell)
    book.save(out)
    return out.getvalue()


def zip_bytes(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


TABLE = pa.table({"n": [1, 2, 3], "s": ["a", None, "c"]})
BOMB = b"0" * (3 * 2**20)


BEYOND = 2**63  # one more than 64 bits with a sign hold
BOTH_SIGNS: dict[str, tuple[list[Any], str]] = {
    "column": ([5, -3, None], "BIGINT"),
    "late": ([*range(30_000), -1], "BIGINT"),
    "extremes": ([BEYOND - 1, -BEYOND], "BIGINT"),
    "list": ([[1, -1], [], None, [None]], "BIGINT[]"),
    "lists": ([[[1, -2], [3, 4]], [], [None, [-5]]], "BIGINT[][]"),
    "field": ([{"a": 1}, {"a": -1}], "STRUCT(a BIGINT)"),
    "fields": ([[{"a": 1}, {"a": -1}], [None]], "STRUCT(a BIGINT)[]"),
    "deep": (
        [{"m": {"k": [[{"x": 1}]]}}, {"m": {"k": [[{"x": -1}]]}}],
        "STRUCT(m STRUCT(k STRUCT(x BIGINT)[][]))",
    ),
    "named like types": (
        [{"HUGEINT": 1, "DATE": "2024-01-01"}, {"HUGEINT": -1, "DATE": "2024-01-02"}],
        "STRUCT(HUGEINT BIGINT, DATE VARCHAR)",
    ),
    "beyond": ([BEYOND, -1], "DECIMAL(38,0)"),
    "beyond in a list": ([[BEYOND, -1]], "DECIMAL(38,0)[]"),
    "beyond in one field": (
        [{"big": BEYOND, "small": 1}, {"big": -1, "small": -1}],
        "STRUCT(big DECIMAL(38,0), small BIGINT)",
    ),
    "beyond in items": (
        [[{"a": [BEYOND], "b": [1]}], [{"a": [-1], "b": [-1]}]],
        "STRUCT(a DECIMAL(38,0)[], b BIGINT[])[]",
    ),
    "with a fraction": ([1, -1, 1.5], "DOUBLE"),
    "with a fraction in a list": ([[1, -1, 1.5]], "DOUBLE[]"),
}


@pytest.mark.parametrize("shape", BOTH_SIGNS)
def test_whole_numbers_of_both_signs_are_whole_numbers_of_64_bits(ada: User, shape: str) -> None:
    values, type_ = BOTH_SIGNS[shape]
    table = [{"v": value, "other": [1, -1]} for value in values]
    is_array = len(shape) % 2  # of both layouts some
    text = json.dumps(table) if is_array else "".join(json.dumps(row) + "\n" for row in table)
    dataset = upload(ada, "v.json", text)
    assert types(dataset) == {"v": type_, "other": "BIGINT[]"}
    assert exact(dataset) == table


@pytest.mark.parametrize("number", [-BEYOND - 1, -(10**19) + 1, 2 * BEYOND, 10**38, -(10**38)])
def test_whole_numbers_that_no_type_of_json_holds_keep_their_digits(ada: User, number: int) -> None:
    dataset = upload(ada, "v.jsonl", f'{{"v": {number}, "w": [{number}]}}\n{{"v": 1, "w": [-1]}}\n')
    assert types(dataset) == {"v": "VARCHAR", "w": "JSON"}
    assert [row["v"] for row in rows(ada, dataset)] == [str(number), "1"]
    assert str(number) in str(rows(ada, dataset)[0]["w"])


def test_integers_of_128_bits_are_kept_as_narrowly_as_they_fit(tmp_path: Path) -> None:
    """No file that is read today brings 39 digits, but another version of DuckDB may."""
    task = ReadTask(
        tmp_path, ".x", tmp_path / "t.parquet", tmp_path, IngestOptions(), duckdb.connect(), WorkProgress()
    )
    big = "170141183460469231731687303715884105727"
    nested = f"MAP {{1::HUGEINT: [{{'x': {'9' * 38}::HUGEINT, 'y': {big}::HUGEINT}}]}}"
    with task.connection:
        write_parquet(task, f"SELECT {big}::HUGEINT AS a, 1::HUGEINT AS b, {nested} AS c")
        table = pa.parquet.read_table(task.target)
        stored = dict(describe(task.connection, f"FROM '{task.target}'"))
    assert stored == {"a": "VARCHAR", "b": "BIGINT", "c": "MAP(BIGINT, STRUCT(x DECIMAL(38,0), y VARCHAR)[])"}
    row = {"a": big, "b": 1, "c": [(1, [{"x": decimal.Decimal("9" * 38), "y": big}])]}
    assert table.to_pylist() == [row]


def test_values_are_not_looked_at_while_64_bits_are_enough(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("the values were looked at")

    monkeypatch.setattr(big_integers, "exactly", forbidden)
    assert types(upload(ada, "v.jsonl", '{"v": [1, -1]}\n')) == {"v": "BIGINT[]"}


def exact(dataset: datasets.Dataset) -> list[dict[str, Any]]:
    """The rows as they are stored; decimals without a fraction as whole numbers."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        if isinstance(value, list):
            return [plain(part) for part in value]
        return int(value) if isinstance(value, decimal.Decimal) else value

    with reading() as session:
        version_id = session.scalars(
            select(DatasetVersionRow.id).where(DatasetVersionRow.dataset_id == dataset.id)
        ).one()
    table = pa.parquet.read_table(storage.parquet_path(version_id))
    return [plain(row) for row in table.to_pylist()]


def test_a_csv_with_numbers_of_both_signs_is_as_before(ada: User) -> None:
    assert types(upload(ada, "v.csv", "n\n5\n-3\n")) == {"n": "BIGINT"}


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_decimals_in_lists_and_fields_keep_their_types(ada: User, kind: str) -> None:
    cell, one = decimal.Decimal("-12.50"), pa.decimal128(38, 2)
    table = pa.table(
        {
            "list": pa.array([[cell, None], [], None], pa.list_(one)),
            "array": pa.array([[cell, cell], None, [None, cell]], pa.list_(one, 2)),
            "field": pa.array([{"a": cell}, None, {"a": None}], pa.struct([("a", one)])),
            "map": pa.array([[("k", cell)], [], None], pa.map_(pa.string(), one)),
        }
    )
    dataset = upload(ada, f"d.{kind}", parquet_bytes(table) if kind == "parquet" else arrow_bytes(table))
    number = "DECIMAL(38,2)"
    assert types(dataset) == {
        "list": f"{number}[]",
        "array": f"{number}[]",
        "field": f"STRUCT(a {number})",
        "map": f"MAP(VARCHAR, {number})",
    }
    assert exact(dataset)[0]["list"] == [-12, None]
    assert [column["nulls"] for column in datasets.profile(ada, dataset.id).columns] == [1, 1, 1, 1]
    assert dataset.num_rows == 3


@pytest.mark.parametrize(
    ("cell", "type_"),
    [
        (2_932_897, pa.date32()),  # 10000-01-01
        (-719_163, pa.date32()),  # the last day of the year 0
        (2**62, pa.timestamp("us")),
        (2**60, pa.timestamp("us", "UTC")),
        ([2**40], pa.list_(pa.timestamp("s"))),
        ([{"a": 2_932_897}], pa.list_(pa.struct([("a", pa.date32())]))),
        ([("k", [None, 2_932_897])], pa.map_(pa.string(), pa.list_(pa.date32()))),
    ],
)
def test_years_that_no_page_can_show_are_refused_by_row_or_read_as_text(
    ada: User, cell: Any, type_: pa.DataType
) -> None:
    content = parquet_bytes(pa.table({"n": [1, 2], "at": pa.array([None, cell], type_)}))
    with pytest.raises(
        UnreadableFile, match=r"^Row 2: column 'at': .* outside the years 1 to 9999"
    ) as caught:
        upload(ada, "t.parquet", content)
    assert [line for line, _ in caught.value.lines] == [2]
    assert upload(ada, "t.parquet", content, types={"at": "VARCHAR"}).num_rows == 2


def test_the_first_and_the_last_day_are_read(ada: User) -> None:
    days = [dt.date(1, 1, 1), dt.date(9999, 12, 31)]
    times = [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999)]
    zoned = pa.array(
        [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, tzinfo=dt.UTC)],
        pa.timestamp("us", "UTC"),
    )
    dataset = upload(
        ada, "t.parquet", parquet_bytes(pa.table({"d": days, "t": times, "l": [days, None], "z": zoned}))
    )
    assert [row["d"] for row in exact(dataset)] == days


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_times_of_any_precision_and_zone_are_read_and_profiled(
    ada: User, kind: str, zone: str | None, unit: str
) -> None:
    times = pa.array([0, 1_000, None], pa.timestamp(unit, zone))
    table = pa.table({"t": times, "l": pa.array([[0], None, []], pa.list_(times.type))})
    dataset = upload(ada, f"t.{kind}", parquet_bytes(table) if kind == "parquet" else arrow_bytes(table))
    found = datasets.profile(ada, dataset.id)
    assert (found.status, found.columns[0]["nulls"], found.columns[0]["histogram"] is not None) == (
        "ready",
        1,
        True,
    )
    assert len(rows(ada, dataset)) == 3


def test_a_profile_that_fails_ends_no_conversion(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflow(*_: Any, **__: Any) -> None:
        raise duckdb.OutOfRangeException("Overflow")

    monkeypatch.setattr("core.reports.profile.compute", overflow)
    dataset = upload(ada, "v.csv", "n\n1\n")
    assert (dataset.status, datasets.profile(ada, dataset.id).status) == ("ready", "waiting")
    assert rows(ada, dataset) == [{"n": 1}]


def test_what_nobody_foresaw_is_not_blamed_on_the_files_size(
    ada: User, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(converter, "content_hash", broken)
    with pytest.raises(UnreadableFile, match="a reason that is not known here") as caught:
        upload(ada, "v.csv", "n\n1\n")
    assert "too much" not in caught.value.message
    assert "a fault of ours" in caplog.text


@pytest.mark.parametrize(
    ("name", "num_rows", "expected"),
    [
        ("stocks.csv", 560, {"symbol": "VARCHAR", "date": "DATE", "price": "DOUBLE"}),
        ("seattle-weather.csv", 1461, {"date": "DATE", "precipitation": "DOUBLE", "weather": "VARCHAR"}),
        ("zipcodes.csv", 42049, {"zip_code": "VARCHAR", "latitude": "DOUBLE"}),
        ("birdstrikes.csv", 10000, {"Flight Date": "DATE", "Cost Total $": "BIGINT"}),
        ("movies.json", 3201, {"Title": "VARCHAR", "US Gross": "BIGINT", "IMDB Rating": "DOUBLE"}),
        (
            "gapminder.json",
            682,
            {"year": "BIGINT", "country": "VARCHAR", "pop": "BIGINT", "life_expect": "DOUBLE"},
        ),
        ("flights-200k.arrow", 200_000, {"delay": "SMALLINT", "distance": "SMALLINT", "time": "FLOAT"}),
        ("gsm8k-train.jsonl", 7473, {"question": "VARCHAR", "answer": "VARCHAR"}),
        ("gsm8k-test.jsonl", 1319, {"question": "VARCHAR", "answer": "VARCHAR"}),
    ],
)
def test_real_files_come_in_with_their_rows_and_types(
    ada: User, shared_file: Any, name: str, num_rows: int, expected: dict[str, str]
) -> None:
    content = shared_file(name).read_bytes()
    dataset = upload(ada, name, content)
    assert dataset.num_rows == num_rows
    assert expected.items() <= types(dataset).items()
    assert dataset.size_bytes == len(content)
    assert not dataset.skipped_rows


@pytest.mark.parametrize(
    ("filename", "content", "expected_types", "expected_rows"),
    [
        ("z.csv", "zip,n\n00501,1\n10001,2\n", ["VARCHAR", "BIGINT"], [["00501", 1], ["10001", 2]]),
        ("big.csv", "id\n12345678901234567890\n1\n", ["DECIMAL(38,0)"], [[12345678901234567890], [1]]),
        ("huge.csv", f"id\n{'9' * 45}\n1\n", ["VARCHAR"], [["9" * 45], ["1"]]),
        ("sep.csv", "sep=;\na;b\n1,5;2\n", ["VARCHAR", "BIGINT"], [["1,5", 2]]),
        ("semi.csv", "a;b\n1,5;2\n3,5;4\n", ["VARCHAR", "BIGINT"], [["1,5", 2], ["3,5", 4]]),
        ("tab.tsv", "a\tb\n1\tx,y\n", ["BIGINT", "VARCHAR"], [[1, "x,y"]]),
        ("pipe.txt", "a|b\n1|x\n2|y\n", ["BIGINT", "VARCHAR"], [[1, "x"], [2, "y"]]),
        ("prose.txt", "Once, there was\n\na bicycle.\n", ["VARCHAR"], [["Once, there was"], ["a bicycle."]]),
        ("one.csv", "name\nann\nbob\n", ["VARCHAR"], [["ann"], ["bob"]]),
        (
            "preamble.csv",
            "Report\nmade in 2024\na,b,c\n1,2,3\n4,5,6\n",
            ["BIGINT"] * 3,
            [[1, 2, 3], [4, 5, 6]],
        ),
        ("mixed.csv", "a,b\r\n1,2\n3,4\r\n", ["BIGINT"] * 2, [[1, 2], [3, 4]]),
        ("cr.csv", "a,b\r1,2\r3,4\r", ["BIGINT"] * 2, [[1, 2], [3, 4]]),
        (
            "inner.csv",
            'a,b\r\n1,"x\ny"\r\n2,"say ""hi"""\r\n',
            ["BIGINT", "VARCHAR"],
            [[1, "x\ny"], [2, 'say "hi"']],
        ),
        ("slash.csv", 'a,b\n1,"say \\"hi\\""\n2,y\n', ["BIGINT", "VARCHAR"], [[1, 'say "hi"'], [2, "y"]]),
        ("formula.csv", "a,b\n1,=1+1\n2,@x\n", ["BIGINT", "VARCHAR"], [[1, "=1+1"], [2, "@x"]]),
        ("trail.csv", "a,b\n1,2,\n3,4,\n", ["BIGINT"] * 2, [[1, 2], [3, 4]]),
        ("blank.csv", "a,b\n1,2\n\n3,4\n\n", ["BIGINT"] * 2, [[1, 2], [3, 4]]),
        ("long.csv", f"a,b\n1,{'x' * 3_000_000}\n2,y\n", ["BIGINT", "VARCHAR"], None),
        ("bom.csv", b"\xef\xbb\xbfa,b\n1,\xc3\xa9\n", ["BIGINT", "VARCHAR"], [[1, "é"]]),
        ("wide.csv", "a,b\n1,é\n".encode("utf-16"), ["BIGINT", "VARCHAR"], [[1, "é"]]),
        ("wide2.csv", "a,b\n1,é\n2,o\n".encode("utf-16-le"), ["BIGINT", "VARCHAR"], [[1, "é"], [2, "o"]]),
        (
            "latin.csv",
            "a,b\n1,Köln\n2,Düsseldorf\n".encode("cp1252"),
            ["BIGINT", "VARCHAR"],
            [[1, "Köln"], [2, "Düsseldorf"]],
        ),
        (
            "array.json",
            '[{"a": 1}, {"a": 2, "b": {"c": [1]}}]',
            ["BIGINT", "STRUCT(c BIGINT[])"],
            [[1, None], [2, {"c": [1]}]],
        ),
        ("one.json", '{"a": 1}', ["BIGINT"], [[1]]),
        ("pretty.json", '{\n  "a": 1\n}\n{\n  "a": 2\n}\n', ["BIGINT"], [[1], [2]]),
        ("array.jsonl", '[{"a": 1},\n{"a": 2}]', ["BIGINT"], [[1], [2]]),
        ("gaps.ndjson", '{"a": 1}\n\n{"a": 2}\n', ["BIGINT"], [[1], [2]]),
        ("mixed.jsonl", '{"a": 1}\n{"a": "x"}\n{"a": true}\n', ["VARCHAR"], [["1"], ["x"], ["true"]]),
        ("zeros.jsonl", '{"zip": "00501"}\n{"zip": "00502"}\n', ["VARCHAR"], [["00501"], ["00502"]]),
        (
            "big.jsonl",
            '{"id": 123456789012345678901234567890}\n{"id": 1}\n',
            ["VARCHAR"],
            [["123456789012345678901234567890"], ["1"]],
        ),
        (
            "big.json",
            '[{"id": 123456789012345678901234567890},\n {"id": 1}]',
            ["VARCHAR"],
            [["123456789012345678901234567890"], ["1"]],
        ),
        (
            "taught.csv",
            "prompt,completion\n1+0.5?,1.50\nok?,yes\n",
            ["VARCHAR"] * 2,
            [["1+0.5?", "1.50"], ["ok?", "yes"]],
        ),
        (
            "taught2.csv",
            "question,answer\nok?,yes\nno?,no\n",
            ["VARCHAR"] * 2,
            [["ok?", "yes"], ["no?", "no"]],
        ),
        ("yes.csv", "a,b\nyes,TRUE\nno,false\n", ["VARCHAR", "BOOLEAN"], [["yes", True], ["no", False]]),
        (
            "hex.csv",
            "a,b\n0x1F,1234567890123456.78\n0x20,1.5\n",
            ["VARCHAR"] * 2,
            [["0x1F", "1234567890123456.78"], ["0x20", "1.5"]],
        ),
        (
            "dates.jsonl",
            '{"d": "2024-01-01", "t": "10:30", "completion": "2024-01-01"}',
            ["DATE", "VARCHAR", "VARCHAR"],
            [["2024-01-01", "10:30", "2024-01-01"]],
        ),
        (
            "deepdate.jsonl",
            '{"a": {"when": "2024-01-01"}, "b": [true]}',
            ['STRUCT("when" VARCHAR)', "BOOLEAN[]"],
            [[{"when": "2024-01-01"}, [True]]],
        ),
        (
            "empty.csv",
            'a,b,c\n1,,\n"","",""\n3,x,"y"\n',
            ["BIGINT", "VARCHAR", "VARCHAR"],
            [[1, None, None], [None, "", ""], [3, "x", "y"]],
        ),
        ("nothing.csv", 'a,b\n1,\n2,""\n', ["BIGINT", "VARCHAR"], [[1, None], [2, ""]]),
        (
            "days.csv",
            "d,t\nJan 1 2000,1/2/2000 5:03 PM\nFeb 29 2000,13/2/2000 5:04 AM\n",
            ["DATE", "TIMESTAMP"],
            [["2000-01-01", "2000-02-01T17:03:00"], ["2000-02-29", "2000-02-13T05:04:00"]],
        ),
        (
            "zone.csv",
            "t,u\n2024-01-01T10:00:00+02:00,2024-01-01 10:00\n2024-07-01T10:00:00Z,2024-01-01 10:00:01.5\n",
            ["TIMESTAMP WITH TIME ZONE", "TIMESTAMP"],
            [
                ["2024-01-01T08:00:00+00:00", "2024-01-01T10:00:00"],
                ["2024-07-01T10:00:00+00:00", "2024-01-01T10:00:01.500000"],
            ],
        ),
        (
            "plus.csv",
            "a,b,c\n+49301,12e5,1_000\n+49302,13e5,2_000\n",
            ["VARCHAR"] * 3,
            [["+49301", "12e5", "1_000"], ["+49302", "13e5", "2_000"]],
        ),
        (
            "years.csv",
            "land,1990,1991\nA,1,2\nB,3,4\n",
            ["VARCHAR", "BIGINT", "BIGINT"],
            [["A", 1, 2], ["B", 3, 4]],
        ),
        (
            "zone.jsonl",
            '{"t": "2024-01-01T10:00:00+02:00"}\n',
            ["TIMESTAMP WITH TIME ZONE"],
            [["2024-01-01T08:00:00+00:00"]],
        ),
        (
            "empty.jsonl",
            '{"a": "", "b": null}\n{"a": "x", "b": ""}\n',
            ["VARCHAR"] * 2,
            [["", None], ["x", ""]],
        ),
        ("bigger.jsonl", '{"id": 9223372036854775807}\n', ["BIGINT"], [[9223372036854775807]]),
        (
            "nulls.jsonl",
            '{"a": 1, "b": null}\n{"a": 2, "b": null}\n',
            ["BIGINT", "VARCHAR"],
            [[1, None], [2, None]],
        ),
        ("nan.jsonl", '{"a": NaN}\n{"a": 1.5}\n', ["DOUBLE"], [[None], [1.5]]),
        ("t.parquet", parquet_bytes(TABLE), ["BIGINT", "VARCHAR"], [[1, "a"], [2, None], [3, "c"]]),
        ("t.arrow", arrow_bytes(TABLE), ["BIGINT", "VARCHAR"], [[1, "a"], [2, None], [3, "c"]]),
        ("s.arrow", arrow_bytes(TABLE, stream=True), ["BIGINT", "VARCHAR"], [[1, "a"], [2, None], [3, "c"]]),
        ("t.feather", feather_bytes(TABLE), ["BIGINT", "VARCHAR"], [[1, "a"], [2, None], [3, "c"]]),
        (
            "d.arrow",
            arrow_bytes(pa.table({"c": pa.array(["x", "y"]).dictionary_encode()})),
            ["VARCHAR"],
            [["x"], ["y"]],
        ),
        ("b.csv.gz", gzip.compress(csv_of(2)), ["BIGINT"] * 2, [[0, 0], [1, 1]]),
        (
            "two.csv.gz",
            gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n") + b"\0" * 9,
            ["BIGINT"] * 2,
            [[1, 2], [3, 4]],
        ),
        ("b.csv.zst", zstandard.compress(csv_of(2)), ["BIGINT"] * 2, [[0, 0], [1, 1]]),
        ("b.zip", zip_bytes(data__csv=csv_of(2), __MACOSX=b""), ["BIGINT"] * 2, [[0, 0], [1, 1]]),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 and "." in value else "",
)
def test_an_odd_but_honest_file_comes_in(
    ada: User,
    filename: str,
    content: bytes | str,
    expected_types: list[str],
    expected_rows: list[list[Any]] | None,
) -> None:
    dataset = upload(ada, filename, content)
    assert list(types(dataset).values()) == expected_types
    if expected_rows is not None:
        assert [list(row.values()) for row in rows(ada, dataset)] == expected_rows


def test_excel_keeps_text_dates_and_numbers_apart(ada: User) -> None:
    day = dt.datetime(2024, 2, 1)
    cells = [["id", "n", "x", "day", "at", "mixed", "yes"]]
    cells += [["00001", 1, 1.5, day, day.replace(hour=9), 1, True], ["00002", 2, 2, day, day, "a", False]]
    dataset = upload(ada, "book.xlsx", xlsx_bytes(("First", cells), ("Second", [["a"], [1]])))
    assert types(dataset) == {
        "id": "VARCHAR", "n": "BIGINT", "x": "DOUBLE", "day": "DATE", "at": "TIMESTAMP", "mixed": "VARCHAR",
        "yes": "BOOLEAN",
    }  # fmt: skip
    assert rows(ada, dataset)[0] == {
        "id": "00001", "n": 1, "x": 1.5, "day": "2024-02-01", "at": "2024-02-01T09:00:00", "mixed": "1",
        "yes": True,
    }  # fmt: skip
    assert datasets.version_of(ada, dataset.id).detected["sheets"] == ["First", "Second"]
    assert types(
        upload(ada, "book.xlsx", xlsx_bytes(("First", cells), ("Second", [["a"], [1]])), sheet="Second")
    ) == {"a": "BIGINT"}


def test_an_old_excel_file_comes_in(ada: User) -> None:
    assert rows(ada, upload(ada, "old.xls", xls_bytes([["a", "b"], [1, "x"], [2, "y"]]))) == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_twin_and_empty_column_names_are_told_apart(ada: User) -> None:
    assert list(types(upload(ada, "twins.csv", "a,a,,A\n1,2,3,4\n"))) == ["a", "a_1", "column3", "A_2"]
    assert list(types(upload(ada, "twins.xlsx", xlsx_bytes(("s", [["a", "A", None], [1, 2, 3]]))))) == [
        "a",
        "A_1",
        "column3",
    ]


def test_what_was_decided_is_told(ada: User) -> None:
    german = upload(ada, "g.csv", "tag;ort\n01/02/2024;Köln\n03/04/2024;Bonn\n".encode("cp1252"))
    detected = datasets.version_of(ada, german.id).detected
    assert detected["encoding"] == "cp1252"
    assert detected["delimiter"] == ";"
    assert detected["date_format"] == "%d/%m/%Y"
    assert any("not UTF-8" in note for note in detected["notes"])
    assert any("day first" in note for note in detected["notes"])
    assert rows(ada, german)[0] == {"tag": "2024-02-01", "ort": "Köln"}


def test_the_user_may_decide_otherwise(ada: User) -> None:
    american = upload(ada, "a.csv", "d,n\n01/02/2024,1\n03/04/2024,2\n", date_format="%m/%d/%Y")
    assert rows(ada, american)[0]["d"] == "2024-01-02"
    assert rows(ada, upload(ada, "h.csv", "a,b\n1,2\n", header=False))[0] == {"column0": "a", "column1": "b"}
    assert rows(ada, upload(ada, "d.csv", "a;b|c\n1;2|3\n", delimiter="|")) == [{"a;b": "1;2", "c": 3}]
    assert rows(ada, upload(ada, "e.csv", "a,b\n1,й\n".encode("koi8-r"), encoding="koi8-r"))[0]["b"] == "й"


def test_types_look_at_the_whole_file(ada: User) -> None:
    """The sniffer's default sample ends after 20,480 rows."""
    body = "".join(f"{10000 + i},{i}\n" for i in range(30_000))
    dataset = upload(ada, "late.csv", f"zip,n\n{body}00501,n/a\n")
    assert types(dataset) == {"zip": "VARCHAR", "n": "VARCHAR"}
    late = "".join('{"a": 1}\n' for _ in range(30_000)) + '{"a": 1.5, "b": "x"}\n'
    assert types(upload(ada, "late.jsonl", late)) == {"a": "DOUBLE", "b": "VARCHAR"}


def test_skipped_rows_are_counted_and_listed(ada: User) -> None:
    dataset = upload(
        ada, "ragged.csv", 'a,b,c\n1,2,3\n4,5\n"x\ny",8,9\n6,7,8,9\n10,11,12\n', skip_bad_rows=True
    )
    assert (dataset.num_rows, dataset.skipped_rows) == (3, 2)
    assert [error["line"] for error in dataset.errors] == [3, 6]
    assert dataset.errors[0]["message"] == "2 values where the first row has 3 (from column 3)"
    rejects = storage.version_dir(dataset.latest_version_id or "") / "rejects.jsonl"
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [3, 6]
    lines = upload(ada, "bad.jsonl", '{"a":1}\n{"a":2,}\nnope\n[1]\n{"a":3}\n', skip_bad_rows=True)
    assert (lines.num_rows, [error["line"] for error in lines.errors]) == (2, [2, 3, 4])


@pytest.mark.parametrize(
    ("filename", "content", "kind", "message"),
    [
        ("empty.csv", b"", UnreadableFile, "is empty"),
        ("blank.csv", b" \n\n", UnreadableFile, "is empty"),
        ("empty.jsonl", b"\n", UnreadableFile, "is empty"),
        ("none.json", b"[]", UnreadableFile, "no rows"),
        ("header.csv", b"a,b,c\n", UnreadableFile, "no rows"),
        ("header.xlsx", xlsx_bytes(("s", [["a", "b"]])), UnreadableFile, "no rows"),
        ("blank.xlsx", xlsx_bytes(("s", [])), UnreadableFile, "is empty"),
        ("empty.csv.gz", gzip.compress(b""), UnreadableFile, "is empty"),
        ("binary.csv", bytes(range(1, 256)) * 50, UnreadableFile, "binary"),
        ("nul.csv", b"a,b\n1,x\0y\n", UnreadableFile, "NUL"),
        ("pdf.csv", b"%PDF-1.7 ...", UnreadableFile, "is a PDF"),
        ("picture.json", b"\x89PNG\r\n\x1a\n", UnreadableFile, "is a picture"),
        ("page.csv", b"<!DOCTYPE html><html></html>", UnreadableFile, "is a web page"),
        ("page.xls", b"<html><table></table></html>", UnreadableFile, "is a web page"),
        ("really.csv", parquet_bytes(TABLE), UnreadableFile, "is a Parquet file"),
        ("really.parquet", csv_of(9), UnreadableFile, "but is text. Rename it to .csv"),
        ("really.csv", b'{"a": 1}\n', UnreadableFile, "holds JSON"),
        ("really.json", csv_of(9), UnreadableFile, "Line 1: not valid JSON"),
        ("really.gz.csv", gzip.compress(csv_of(9)), UnreadableFile, "is a gzip"),
        ("really.csv.gz", csv_of(9), UnreadableFile, "cut off or damaged"),
        ("really.xlsx", b"a\tb\n1\t2\n", UnreadableFile, "but is text. Rename it to .tsv"),
        ("really.arrow", b"\x01\x02" * 99, UnreadableFile, "Arrow file is damaged"),
        ("cut.csv.gz", gzip.compress(csv_of(9999))[:-20], UnreadableFile, "cut off"),
        ("cut.csv.zst", zstandard.compress(csv_of(9999))[:-20], UnreadableFile, "cut off"),
        ("cut.csv.zip", zip_bytes(a__csv=csv_of(9999))[:-40], UnreadableFile, "cut off"),
        ("cut.parquet", parquet_bytes(TABLE)[:-6], UnreadableFile, "cut off"),
        ("cut.arrow", arrow_bytes(TABLE)[:-60], UnreadableFile, "cut off"),
        ("cut.xlsx", xlsx_bytes(("s", [["a"], [1]]))[:-50], UnreadableFile, "damaged"),
        ("cut.jsonl", b'{"a":1}\n{"a":2', UnreadableFile, "Line 2: not valid JSON"),
        ("cut.json", b'[{"a":1},\n{"a":2}', UnreadableFile, "Line 2: not valid JSON"),
        (
            "two.zip",
            zip_bytes(a__csv=b"a\n1\n", b__csv=b"a\n1\n"),
            UnsupportedMediaType,
            "2 files (a.csv, b.csv)",
        ),
        ("none.zip", zip_bytes(), UnreadableFile, "holds no file"),
        ("exe.zip", zip_bytes(a__exe=b"MZ"), UnsupportedMediaType, "not supported"),
        (
            "nested.zip",
            zip_bytes(a__zip=zip_bytes(a__csv=b"a\n1\n")),
            UnsupportedMediaType,
            "another archive",
        ),
        ("data.exe", b"MZ", UnsupportedMediaType, "not supported"),
        ("data.gz", gzip.compress(csv_of(9)), UnsupportedMediaType, "not supported"),
        ("data", csv_of(9), UnsupportedMediaType, "not supported"),
        ("bomb.csv.gz", gzip.compress(BOMB), TooLarge, "expands to more than"),
        ("bomb.csv.zst", zstandard.compress(BOMB), TooLarge, "expands to more than"),
        ("bomb.zip", zip_bytes(a__csv=BOMB), TooLarge, "expands to more than"),
        ("bomb.xlsx", zip_bytes(a__xml=BOMB), TooLarge, "expands to more than"),
        (
            "ragged.csv",
            b"a,b,c\n1,2,3\n4,5\n6,7,8\n",
            UnreadableFile,
            "Line 3: 2 values where the first row has 3",
        ),
        (
            "ragged.csv",
            b"a,b\n1,2\n3,4,5\n",
            UnreadableFile,
            "Line 3: 3 values where the first row has 2 (from column 3)",
        ),
        ("open.csv", b'a,b\n1,"2\n3,4\n', UnreadableFile, "Line 2: a quote is opened and never closed"),
        ("quote.csv", b'a,b\n1,"x"y\n2,z\n', UnreadableFile, "Line 2: a quote ends in the middle"),
        ("twice.jsonl", b'{"a":1}\n{"a":2,"a":3}\n', UnreadableFile, "Line 2: the key 'a' stands twice"),
        ("list.jsonl", b'{"a":1}\n[1]\n', UnreadableFile, "Line 2: must be an object"),
        ("list.json", b'[{"a":1}, 2]', UnreadableFile, "must be an object"),
        ("deep.jsonl", b'{"a":' + b"[" * 500 + b"]" * 500 + b"}\n", UnreadableFile, "levels deep"),
        ("half.jsonl", b'{"a":"\\ud800"}\n', UnreadableFile, "surrogate"),
        (
            "one.csv",
            "a,b\n1,é\n2,ü\n".encode() + b"3,\xff\n",
            UnreadableFile,
            "Line 4: a byte that is not UTF-8",
        ),
        ("nothing.jsonl", b"{}\n{}\n", UnreadableFile, "have no fields"),
        (
            "bytes.csv",
            b"a,b\n1,\xff\xfe\x80\n",
            UnreadableFile,
            "Line 2: a byte that is not UTF-8 at character 3.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_a_hostile_file_is_refused_with_a_sentence_and_leaves_nothing(
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    filename: str,
    content: bytes,
    kind: type[LuthierError],
    message: str,
) -> None:
    monkeypatch.setattr("core.readers.unpack.settings", lambda: SmallCap)
    options = {"encoding": "utf-8"} if filename == "bytes.csv" else {}
    with pytest.raises(kind) as caught:
        upload(ada, filename, content, **options)
    assert type(caught.value) is kind
    assert message in caught.value.message
    assert not any(
        word in caught.value.message.lower() for word in ("duckdb", "pyarrow", "/tmp", "select ", "exception")
    )
    assert left_on_disk() == []
    assert count(DatasetRow) == count(DatasetVersionRow) == 0


class SmallCap:
    max_expanded_mb = 1


def count(table: Any) -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_zip_that_lies_about_its_size_is_counted(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.readers.unpack.settings", lambda: SmallCap)
    honest = zip_bytes(a__csv=BOMB)
    lying = honest.replace(struct.pack("<I", len(BOMB)), struct.pack("<I", 10))
    assert lying != honest
    with pytest.raises(LuthierError) as caught:
        upload(ada, "lie.zip", lying)
    assert isinstance(caught.value, (TooLarge, UnreadableFile))
    assert left_on_disk() == []


def test_up_to_a_hundred_bad_lines_are_listed(ada: User) -> None:
    with pytest.raises(UnreadableFile) as caught:
        upload(ada, "many.csv", "a,b\n" + "1\n" * 300)
    assert len(caught.value.lines) == 100
    assert caught.value.lines[0] == (2, "1 value where the first row has 2 (from column 2)")
    assert "and 299 more rows" in caught.value.message


def test_a_sheet_that_is_not_there_is_named(ada: User) -> None:
    with pytest.raises(ValidationError) as caught:
        upload(ada, "b.xlsx", xlsx_bytes(("One", [["a"], [1]])), sheet="Two")
    assert "there is no sheet 'Two'; the sheets are One" in caught.value.message
    assert left_on_disk() == []


def test_a_date_format_that_does_not_fit_is_refused(ada: User) -> None:
    with pytest.raises(LuthierError):
        upload(ada, "d.csv", "d\n2024-13-45\n", date_format="%Q")
    assert left_on_disk() == []


@pytest.mark.parametrize(("options"), [{"delimiter": "ab"}, {"encoding": "klingon"}, {"delimiter": '"'}])
def test_options_are_checked_before_anything_happens(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"delimiter|encoding"):
        datasets.IngestOptions(**options)  # type: ignore[arg-type]


def test_a_stated_format_must_fit(ada: User) -> None:
    with pytest.raises(LuthierError) as caught:
        upload(ada, "t.csv", csv_of(2), format="chat")
    assert "chat needs messages" in caught.value.message
    assert left_on_disk() == []
    assert upload(ada, "t.csv", "prompt,completion\n2+2?,4\n", format="completion").format == "completion"


def test_a_full_disk_leaves_nothing(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: Any, **__: Any) -> None:
        raise duckdb.IOException('IO Error: Could not write file "/x": No space left on device')

    monkeypatch.setattr("core.readers.base._run_copy", no_space)
    with pytest.raises(DiskFull):
        upload(ada, "t.csv", csv_of(2))
    assert left_on_disk() == []
    monkeypatch.setenv("LUTHIER_DISK_RESERVE_MB", str(10**9))
    settings.cache_clear()
    with pytest.raises(DiskFull):
        upload(ada, "t.csv", csv_of(2))
    assert left_on_disk() == []


def test_the_content_hash_ignores_order_and_file_kind_but_not_twins(ada: User) -> None:
    def hash_of(name: str, content: str | bytes) -> str | None:
        return datasets.version_of(ada, upload(ada, name, content).id).content_hash

    first = hash_of("a.csv", "a,b\n1,x\n2,y\n")
    assert hash_of("b.csv", "a,b\n2,y\n1,x\n") == first
    assert hash_of("c.jsonl", '{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n') == first
    assert hash_of("d.csv", "a,b\n1,x\n2,z\n") != first
    assert hash_of("e.csv", "a,b\n1,x\n2,y\n3,w\n3,w\n") != hash_of("f.csv", "a,b\n1,x\n2,y\n")
    assert hash_of("g.csv", "a,b\n3,w\n3,w\n") != hash_of("h.csv", "a,b\n4,v\n4,v\n")


def test_a_training_report_names_lines_and_fields(ada: User) -> None:
    lines = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 3
    lines += [{"messages": [{"role": "user", "content": "a"}, {"role": "asistant", "content": "b"}]}]
    dataset = upload(ada, "chat.jsonl", "\n".join(map(json.dumps, lines)))
    assert dataset.format == "chat"
    assert dataset.training is not None
    assert (dataset.training["ok"], dataset.training["num_examples"]) == (False, 3)
    assert dataset.training["errors"][0] == {
        "line": 4, "field": "messages[1].role", "message": "'asistant' is not one of system, user, assistant",
    }  # fmt: skip


def test_words_that_are_taught_stay_as_they_were_written(ada: User) -> None:
    said = [
        {"role": "user", "content": [{"type": "text", "text": "when?"}]},
        {"role": "assistant", "content": "2024-01-01"},
    ]
    lines = [{"messages": said}, {"messages": [{"role": "user", "content": "yo"}, said[1]]}]
    dataset = upload(ada, "chat.jsonl", "\n".join(map(json.dumps, lines)))
    assert (dataset.format, dataset.training and dataset.training["ok"]) == ("chat", True)
    examples = [example for _, example in datasets.training_preview(ada, dataset.latest_version_id or "")]
    contents = [[message["content"] for message in vars(example)["messages"]] for example in examples]
    assert contents == [["when?", "2024-01-01"], ["yo", "2024-01-01"]]


def test_a_title_above_an_excel_table_is_left_out(ada: User) -> None:
    sheet = xlsx_bytes(("s", [["Report of 2024"], [], ["a", "b"], [1, 2]]))
    assert rows(ada, upload(ada, "t.xlsx", sheet)) == [{"a": 1, "b": 2}]


def test_lines_above_an_excel_table_are_left_out_as_the_user_says(ada: User) -> None:
    content = xlsx_bytes(("s", [["a", "b"], ["x", "y"], [1, 2]]))
    dataset = upload(ada, "t.xlsx", content, skip_lines=1)
    assert rows(ada, dataset) == [{"x": 1, "y": 2}]
    assert [column["name"] for column in upload(ada, "t.xlsx", content, skip_lines=0).columns] == ["a", "b"]


def test_the_original_bytes_are_kept(ada: User, tmp_path: Path) -> None:
    content = b"a,b\r\n1,2\r\n"
    dataset = upload(ada, "t.csv", content)
    assert storage.original_path(dataset.latest_version_id or "").read_bytes() == content


def test_a_look_shows_what_will_be_done(tmp_path: Path) -> None:
    path = tmp_path / "staged"
    path.write_text('id,when,x\n007,Jan 1 2000,"1,5"\nabc,Feb 2 2001,\n9\n')
    options = datasets.IngestOptions(types={"id": "BIGINT"}, names={"x": "y"}, decimal=",")
    seen = look_in_child(path, "t.csv", options)
    assert seen.error
    assert seen.error["lines"] == [[4, "1 value where the first row has 3 (from column 2)"]]
    assert seen.columns[0] == {"name": "id", "type": "BIGINT", "source": "id", "detected": "VARCHAR"}
    assert seen.columns[2] == {"name": "y", "type": "DOUBLE", "source": "x", "detected": "DOUBLE"}
    assert seen.rows == [{"id": 7, "when": "2000-01-01", "y": 1.5}]
    assert seen.detected["date_format"] == "%b %d %Y"
    skipping = look_in_child(path, "t.csv", options.model_copy(update={"skip_bad_rows": True}))
    assert (skipping.error, skipping.num_rows, [line for line, _ in skipping.skipped]) == (None, 1, [4, 3])


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_chosen_types_and_names_hold_for_every_kind_of_file(ada: User, suffix: str) -> None:
    table = pa.table({"n": ["1", "2", "x"], "m": ["a", "b", "c"]})
    content = {"csv": b"n,m\n1,a\n2,b\nx,c\n", "parquet": parquet_bytes(table)}.get(
        suffix, b'{"n":"1","m":"a"}\n{"n":"2","m":"b"}\n{"n":"x","m":"c"}\n'
    )
    with pytest.raises(UnreadableFile, match="column 'n': 'x' does not fit the type whole number"):
        upload(ada, f"t.{suffix}", content, types={"n": "BIGINT"})
    kept = upload(
        ada, f"t.{suffix}", content, types={"n": "BIGINT"}, names={"m": "n", "n": "m"}, skip_bad_rows=True
    )
    assert rows(ada, kept) == [{"m": 1, "n": "a"}, {"m": 2, "n": "b"}]
    assert kept.skipped_rows == 1


def test_words_for_missing_values_and_lines_above_are_as_the_user_says(ada: User) -> None:
    content = "made by x,1\nn,word\n1,NA\n-,x\n"
    dataset = upload(ada, "t.csv", content, skip_lines=1, null_values=["NA", "-"])
    assert types(dataset) == {"n": "BIGINT", "word": "VARCHAR"}
    assert rows(ada, dataset) == [{"n": 1, "word": None}, {"n": None, "word": "x"}]
