"""What came in goes out: properties of the converter and the downloads, over tables and rows of every kind.

What no download holds as it was is in the guide's type table, and here in :func:`plain`.
"""

import base64
import contextlib
import csv
import datetime as dt
import decimal
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from core.datasets.pages import files
from core.ingest.converter import Converted, convert
from core.readers import IngestOptions, WorkProgress
from tests.core.ingest.strategies import JSON_ROWS, tables, without_views, written_tables

pytestmark = pytest.mark.slow  # minutes of thousands of small conversions, seconds of a few
EXAMPLES = [
    pytest.param(25, id="some"),
    pytest.param(2000, id="many", marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
]


@dataclass(frozen=True)
class Stored:
    """A file as it came in, and its downloads."""

    converted: Converted
    jsonl: list[dict[str, Any]]
    csv: list[list[str]]
    parquet: pa.Table

    @property
    def notes(self) -> str:
        return " ".join(self.converted.detected.get("notes", []))

    def type_of(self, name: str) -> str:
        return next(column["type"] for column in self.converted.columns if column["name"] == name)


@contextlib.contextmanager
def stored(filename: str, content: bytes, **options: Any) -> Iterator[Stored]:
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "file").write_bytes(content)
        draft = folder / "draft"
        draft.mkdir()
        with duckdb.connect() as connection:
            converted = convert(
                folder / "file", filename, draft,
                options=IngestOptions(**options), connection=connection, progress=WorkProgress(),
            )  # fmt: skip
        parquet = draft / "data.parquet"
        lines = b"".join(files.jsonl_chunks(parquet)).decode().split("\n")[:-1]
        text = io.StringIO(b"".join(files.csv_chunks(parquet)).decode(), newline="")
        yield Stored(
            converted,
            [json.loads(line, parse_constant=_refuse) for line in lines],
            list(csv.reader(text)),
            pq.read_table(parquet),
        )
    finally:
        shutil.rmtree(folder)


Store = Callable[..., AbstractContextManager[Stored]]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def run(examples: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """The same examples each time when there are few; else others, with the way to get them again printed."""
    known = settings(
        max_examples=examples,
        derandomize=examples < 100,
        print_blob=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    known(given(strategy)(check))()


def is_same(ours: Any, theirs: Any) -> bool:
    """Equal as JSON: true is not 1, and numbers are numbers."""
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return ours == theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(is_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_rows_of_json_come_back(examples: int) -> None:
    run(examples, JSON_ROWS, lambda rows: check_json(rows))


def check_json(rows: list[dict[str, Any]], store: Store = stored) -> None:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with store("t.jsonl", content.encode()) as found:
        names = {name for row in rows for name in row}
        assert len(found.jsonl) == len(rows)
        for row, back in zip(rows, found.jsonl, strict=True):
            assert set(back) == names
            for name in names:
                _check_value(row.get(name), back[name], name, found)


def _check_value(value: Any, back: Any, name: str, found: Stored) -> None:
    if "several kinds" in found.notes and found.type_of(name) == "VARCHAR" and not isinstance(value, str):
        back = None if back is None else json.loads(back)
    elif found.type_of(name).startswith(("DATE", "TIMESTAMP")) and value is not None:
        value, back = (dt.datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (value, back))
    assert is_same(value, back), (name, found.type_of(name), value, back, found.notes)


@pytest.mark.parametrize("filename", ["t.parquet", "t.arrow"])
@pytest.mark.parametrize("beside", [None, [1]])
def test_a_null_structure_of_typeless_nulls_beside_a_list(filename: str, beside: list[int] | None) -> None:
    """Found by the property below: in Parquet it came back as a structure that is there."""
    lists = pa.array([beside, [2]], pa.list_(pa.int8()))
    inner = pa.StructArray.from_arrays([pa.nulls(2)], names=["x"], mask=pa.array([True, False]))
    outer = pa.StructArray.from_arrays([lists, inner], names=["a", "b"])
    check_table(filename, pa.table({"c": outer, "typeless": pa.nulls(2)}))


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("filename", ["t.parquet", "t.arrow"])
def test_a_table_of_arrow_comes_back(filename: str, examples: int) -> None:
    run(examples, tables(), lambda table: check_table(filename, table))


IN_NULLS = {
    "bytes of one length": pa.table(
        {
            "x": pa.array(
                [None, {"a": None, "b": None}, {"a": b"\0\0\1", "b": None}],
                pa.struct([("a", pa.binary(3)), ("b", pa.int8())]),
            )
        }
    ),
    "a place in an empty dictionary": pa.table(
        {
            "x": pa.ListArray.from_arrays(
                pa.array([0, 1]),
                pa.StructArray.from_arrays(
                    [
                        pa.DictionaryArray.from_arrays(
                            pa.array([0], pa.int32()), pa.array([], pa.string()), safe=False
                        )
                    ],
                    names=["a"],
                    mask=pa.array([True]),
                ),
            )
        }
    ),
    "a map of nothing": pa.table(
        {"x": pa.array([[("k", None), ("l", None)]], pa.map_(pa.string(), pa.null()))}
    ),
}


@pytest.mark.parametrize("filename", ["t.parquet", "t.arrow"])
@pytest.mark.parametrize("table", IN_NULLS.values(), ids=IN_NULLS)
def test_what_lies_in_a_null_changes_nothing(table: pa.Table, filename: str) -> None:
    check_table(filename, table)


def check_table(filename: str, table: pa.Table, store: Store = stored) -> None:
    with store(filename, _written(filename, table)) as found:
        wanted, in_parquet = _rows(table), _rows(found.parquet)
        assert in_parquet == wanted
        assert found.jsonl == [{name: as_json(value) for name, value in row.items()} for row in wanted]
        names, *rows = found.csv
        assert names == table.schema.names
        cells = [dict(zip(names, row or [""], strict=True)) for row in rows]
        assert [
            {name: json.loads(row[name]) if is_nested(value[name]) else row[name] for name in names}
            for row, value in zip(cells, wanted, strict=True)
        ] == [{name: as_csv(row[name]) for name in names} for row in wanted]


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    return [
        {field.name: plain(row[field.name], field.type) for field in table.schema}
        for row in table.to_pylist()
    ]


def _written(filename: str, table: pa.Table) -> bytes:
    out = io.BytesIO()
    if filename.endswith(".parquet"):  # which has no views; pyarrow cannot write those in lists
        schema = pa.schema([field.with_type(without_views(field.type)) for field in table.schema])
        columns = [pa.array(table[field.name].to_pylist(), field.type) for field in schema]
        pq.write_table(pa.table(columns, schema=schema), out)
    else:
        with ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


def plain(value: Any, type_: pa.DataType) -> Any:
    """A value as a version holds it, by the guide's type table. ``type_``: what it was in the file."""
    if value is None:
        return None
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(milliseconds=1)
    if isinstance(value, dt.datetime):
        moment = value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
        return moment.astimezone(dt.UTC) if moment.tzinfo else moment
    if isinstance(value, dict):
        return {name: plain(part, type_.field(name).type) for name, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return {key: plain(part, type_.item_type) for key, part in value}
    if isinstance(value, list):
        return {} if pa.types.is_map(type_) else [plain(part, type_.value_type) for part in value]
    if pa.types.is_decimal256(type_):
        return f"{value:f}"
    return value


def as_json(value: Any) -> Any:
    """A version's value in JSON Lines."""
    if isinstance(value, decimal.Decimal):
        is_exact = value == value.to_integral_value() or decimal.Decimal(repr(float(value))) == value
        return json.loads(f"{value:f}") if is_exact else f"{value:f}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: as_json(part) for name, part in value.items()}
    return [as_json(part) for part in value] if isinstance(value, list) else value


def is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


def as_csv(value: Any) -> Any:
    """A version's value in CSV; nested ones are JSON there."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if is_nested(value):
        return as_json(value)
    return str(as_json(value))


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("filename", ["t.csv", "t.jsonl"])
def test_the_order_of_rows_changes_nothing(filename: str, examples: int) -> None:
    run(examples, written_tables(), lambda tables: check_order(filename, *tables))


def check_order(
    filename: str, rows: list[list[str]], shuffled: list[list[str]], store: Store = stored
) -> None:
    names = [f"the {word} name" for word in ("first", "second", "third", "fourth")[: len(rows[0])]]
    with (
        store(filename, _as_text(filename, names, rows), **_header(filename)) as one,
        store(filename, _as_text(filename, names, shuffled), **_header(filename)) as other,
    ):
        assert one.converted.columns == other.converted.columns
        assert one.converted.detected.get("notes") == other.converted.detected.get("notes")
        assert one.converted.content_hash == other.converted.content_hash
        assert sorted(map(json.dumps, one.jsonl)) == sorted(map(json.dumps, other.jsonl))


def _header(filename: str) -> dict[str, bool]:
    """Said, since a first row of data may look like a question."""
    return {"header": True} if filename.endswith(".csv") else {}


def _as_text(filename: str, names: list[str], rows: list[list[str]]) -> bytes:
    if filename.endswith(".jsonl"):
        return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows).encode()
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue().encode()
