"""What a reader changes, it says: other names, lost digits, zones, units; one column is not cut in two."""

import datetime as dt
import io
import json
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from tests.core.ingest.test_round_trips import stored


def arrow_file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def parquet_file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def test_twins_unnamed_and_long_names_of_a_header_are_named() -> None:
    with stored("t.csv", f"a,a,A,,{'x' * 300}\n1,2,3,4,5\n".encode()) as found:
        names = found.parquet.column_names
        assert names == ["a", "a_1", "A_2", "column4", "x" * 200]
        assert "a (column 2) is called a_1, A (column 3) is called A_2." in found.notes
        assert "Their names were taken, where A and a count as one" in found.notes
        assert "Columns without a name: column4." in found.notes
        assert "more than 200 characters were cut" in found.notes


def test_a_plain_header_needs_no_note() -> None:
    with stored("t.csv", b" a , b\n1,2\n") as found:
        assert found.parquet.column_names == ["a", "b"]
        assert found.notes == ""


@pytest.mark.parametrize("write", [arrow_file, parquet_file])
def test_what_no_table_here_holds_of_arrow_is_said(write: Any) -> None:
    moment = dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC)
    table = pa.table(
        {
            "t": pa.array([moment], pa.timestamp("us", "Europe/Berlin")),
            "utc": pa.array([moment], pa.timestamp("us", "UTC")),
            "lasted": pa.array([[5]], pa.list_(pa.duration("ms"))),
            "word": pa.array(["a"]).dictionary_encode(),
        }
    )
    with stored("t.parquet" if write is parquet_file else "t.arrow", write(table)) as found:
        assert found.notes == (
            "Times are kept as the same instants in UTC, without their zone Europe/Berlin: t. "
            "Durations are kept as whole numbers, in milliseconds: lasted."
        )


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("t.csv", b"t,v\n2024-01-01T10:00:00+02:00,1\n2024-01-01T10:00:00Z,2\n"),
        ("t.jsonl", b'{"t": "2024-01-01T10:00:00+02:00"}\n{"t": "2024-01-01T10:00:00Z"}\n'),
    ],
)
def test_offsets_that_go_are_named_and_those_of_utc_are_not(filename: str, content: bytes) -> None:
    with stored(filename, content) as found:
        assert found.notes == "Times are kept as the same instants in UTC, without their offset: t."
    with stored(filename, content.replace(b"+02:00", b"+00:00")) as found:
        assert found.notes == ""


LONG, INSIDE = "0.1234567890123456789012", "1.00000000000000000001"


@pytest.mark.parametrize("filename", ["t.jsonl", "t.json"])
def test_digits_that_floating_point_loses_are_said_and_text_keeps_them(filename: str) -> None:
    row = f'{{"a": {LONG}, "b": {{"c": [{INSIDE}]}}, "fine": 0.00012345678901234567, "n": 0.5}}'
    content = f"[{row}]" if filename.endswith("json") else f"{row}\n"
    with stored(filename, content.encode()) as found:
        assert "no more than 17 digits: a. Choose Text to keep them all." in found.notes
        assert "Rounded inside, because a number holds no more than 17 digits: b." in found.notes
        assert "fine" not in found.notes
        assert found.parquet.to_pylist()[0]["a"] == float(LONG)
    with stored(filename, content.encode(), types={"a": "VARCHAR"}) as found:
        assert found.parquet.to_pylist()[0]["a"] == LONG
        assert "digits: a" not in found.notes


def test_numbers_of_17_digits_are_no_reason_to_say_anything() -> None:
    rows = [{"x": n / 7e3, "id": 10**17 + n} for n in range(1, 50)]
    with stored("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode()) as found:
        assert found.parquet.to_pylist() == rows
        assert found.notes == ""


def test_whole_numbers_beside_fractions_have_one_note() -> None:
    with stored("t.jsonl", b'{"a": 9007199254740993}\n{"a": 0.5}\n') as found:
        assert found.parquet.to_pylist() == [{"a": "9007199254740993"}, {"a": "0.5"}]
        said = "it has whole numbers beside fractions that floating point would round"
        assert found.notes == f"a is kept as text, because {said}."


@pytest.mark.parametrize("values", [["1,5", "2,25", "3"], ["1.234,50 €", "12,00 €"], ["-1 234,5", "+3,0"]])
def test_a_column_of_decimal_commas_stays_one_column(values: list[str]) -> None:
    with stored("t.csv", "\n".join(["betrag", *values, ""]).encode()) as found:
        assert found.parquet.to_pylist() == [{"betrag": value} for value in values]


def test_two_columns_of_whole_numbers_are_two() -> None:
    with stored("t.csv", b"lat,lon\n1,5\n2,25\n") as found:
        assert found.parquet.to_pylist() == [{"lat": 1, "lon": 5}, {"lat": 2, "lon": 25}]


def test_the_sign_of_a_zero_stays() -> None:
    with stored("t.csv", b"v\n-0\n0\n") as found:
        assert [str(row["v"]) for row in found.parquet.to_pylist()] == ["-0.0", "0.0"]


def workbook(
    rows: list[list[Any]], *, zeros: str = "", sheets: dict[str, list[list[Any]]] | None = None
) -> bytes:
    """``zeros``: a column whose numbers are shown as 00000."""
    book = openpyxl.Workbook()
    for name, table in {"Sheet": rows, **(sheets or {})}.items():
        sheet = book["Sheet"] if name == "Sheet" else book.create_sheet(name)
        for row in table:
            sheet.append(row)
    for cell in book["Sheet"][zeros][1:] if zeros else ():
        cell.number_format = "00000"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_zeros_that_a_workbook_only_shows_are_said() -> None:
    with stored("t.xlsx", workbook([["n", "zip"], [1, 1067], [2, 80331]], zeros="B")) as found:
        assert [row["zip"] for row in found.parquet.to_pylist()] == [1067, 80331]
        assert found.notes == (
            "Shown with zeros in front in the workbook, and read as the numbers that they are: column B."
        )


def test_texts_that_look_so_are_texts_and_need_no_note() -> None:
    with stored("t.xlsx", workbook([["zip"], ["01067"], ["80331"]], zeros="A")) as found:
        assert [row["zip"] for row in found.parquet.to_pylist()] == ["01067", "80331"]
        assert found.notes == ""


def test_the_sheets_that_were_not_read_are_named() -> None:
    content = workbook([["a"], [1]], sheets={"data": [["x"], [1], [2]]})
    with stored("t.xlsx", content) as found:
        assert found.notes == "The sheet 'Sheet' was read; behind it stand 'data'."
    with stored("t.xlsx", content, sheet="data") as found:
        assert (found.parquet.num_rows, found.notes) == (2, "")


def test_a_column_of_several_kinds_is_said() -> None:
    with stored("t.xlsx", workbook([["v"], [1], ["two"], [None], [3.5]])) as found:
        assert [row["v"] for row in found.parquet.to_pylist()] == ["1", "two", "3.5"]
        assert found.notes == "Kept as text, because it holds values of several kinds: v."
