"""Odd files, each made after a real complaint about some tool: what comes back is what went in, or the answer
says why not.

``odd_files.jsonl`` has one case per line: ``file`` in ``odd_files/``, the name and the options it is uploaded
with, and what to ``expect``:

- ``rows`` (or ``or_rows``, ``rows_any``), ``skipped``, ``cols``, ``names``, ``format``,
  ``columns`` ([name, type]);
- ``values`` ([row, column, value]) of the JSON Lines download, ``values_any`` (one of several such lists),
  ``values_pos`` (column by number), ``values_last``, ``same_rows``, ``instants``, ``jsonl_has``;
- ``csv_same``, ``csv_cells`` of the CSV download, ``pq_same`` of the Parquet;
- ``note``: a note must say this; ``or_note``: with such a note the values may differ;
- ``error``: a refusal must say this; ``or_error``: it may. Each of the four: a text, one of several, or true.

``fault``: what was once wrong with it; the others are among the long tests. A refusal in a library's words is
never right. Keys that a row leaves out count as null.
"""

import csv
import datetime as dt
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from core import datasets
from core.datasets import Dataset
from core.errors import LuthierError, UnreadableFile
from core.people.users import User
from tests.core.uploads.shared import in_process, upload

__all__ = ["in_process"]
HERE = Path(__file__).parent
CASES = [json.loads(line) for line in (HERE / "odd_files.jsonl").open(encoding="utf-8")]
KNOWN = set(
    "rows or_rows rows_any skipped cols names format columns values values_any values_pos values_last "
    "jsonl_has csv_same instants same_rows csv_cells pq_same note or_note error or_error norm_ts".split()
)
FOREIGN = (
    "unsupported internal type",
    "cannot detect file format",
    "traceback",
    "duckdb",
    "pyarrow",
    "arrowinvalid",
    "binder error",
    "conversion error",
    "invalid input error",
    "catalog error",
    "line 1: select",
    "read_csv",
    "read_json",
    "try_cast",
    "ignore_errors",
    "ended unexpectedly",
    "/tmp/",
    "core/",
)
csv.field_size_limit(2**30)


def test_no_expectation_is_misspelt() -> None:
    assert set().union(*(case["expect"] for case in CASES)) <= KNOWN


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["file"], marks=[] if "fault" in case else [pytest.mark.long])
        for case in CASES
    ],
)
def test_an_odd_file_is_read_right_or_refused_in_words(ada: User, case: dict[str, Any]) -> None:
    expected = case["expect"]
    content = (HERE / "odd_files" / case["file"]).read_bytes()
    try:
        dataset = upload(ada, case.get("upload_name", case["file"]), content, **(case.get("options") or {}))
    except LuthierError as error:
        _check_refusal(error, expected)
        return
    seen = _see(ada, dataset)
    assert seen.original == content
    if "note" in expected:
        assert _says(seen.notes, expected["note"]), f"no note with {expected['note']!r}: {seen.notes}"
    if "or_note" in expected and _says(seen.notes, expected["or_note"]):
        return
    assert [problem for check in CHECKS for problem in check(seen, expected)] == []


def _check_refusal(error: LuthierError, expected: dict[str, Any]) -> None:
    lines = [message for _, message in error.lines] if isinstance(error, UnreadableFile) else []
    said = " ".join([error.message, *lines])
    assert not [word for word in FOREIGN if word in said.lower()], said
    wanted = expected.get("error", expected.get("or_error"))
    assert wanted, f"refused: {said}"
    assert _says(said, wanted), said


def _says(text: str, wanted: Any) -> bool:
    if wanted is True:
        return bool(text)
    return any(word.lower() in text.lower() for word in ([wanted] if isinstance(wanted, str) else wanted))


@dataclass(frozen=True)
class Seen:
    """A dataset as its downloads and its answer show it."""

    dataset: Dataset
    notes: str
    original: bytes
    jsonl: str
    rows: list[dict[str, Any]]
    cells: list[list[str]]
    parquet: Any

    def value(self, row: int, column: str) -> Any:
        if row >= len(self.rows):
            return "<no row>"
        is_there = column in {c["name"] for c in self.dataset.columns}
        return self.rows[row].get(column, None if is_there else "<no such column>")


def _see(user: User, dataset: Dataset) -> Seen:
    def content(kind: Any) -> bytes:
        return b"".join(datasets.open_content(user, dataset.id, as_=kind).chunks)

    original, jsonl = content("original"), content("jsonl").decode()
    return Seen(
        dataset=dataset,
        notes=" ".join(datasets.version_of(user, dataset.id).detected.get("notes") or []),
        original=original,
        jsonl=jsonl,
        rows=[json.loads(line, parse_constant=_refuse) for line in jsonl.split("\n") if line],
        cells=list(csv.reader(io.StringIO(content("csv").decode(), newline=""))),
        parquet=pq.read_table(io.BytesIO(content("parquet"))),
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def check_shape(seen: Seen, expected: dict[str, Any]) -> Iterator[str]:
    dataset = seen.dataset
    names = [column["name"] for column in dataset.columns]
    if "error" in expected and "or_rows" not in expected:
        yield f"must be refused with {expected['error']!r}"
    if not len(seen.rows) == seen.parquet.num_rows == dataset.num_rows:
        yield f"rows: {dataset.num_rows}, in JSON Lines {len(seen.rows)}, in Parquet {seen.parquet.num_rows}"
    told = {
        "rows": dataset.num_rows,
        "or_rows": dataset.num_rows,
        "skipped": dataset.skipped_rows,
        "cols": dataset.num_columns,
        "names": names,
        "format": dataset.format,
    }
    for key, value in told.items():
        if key in expected and value != expected[key]:
            yield f"{key}: {value}, must be {expected[key]}"
    if dataset.num_rows not in expected.get("rows_any", [dataset.num_rows]):
        yield f"rows: {dataset.num_rows}, must be one of {expected['rows_any']}"
    types = {column["name"]: column["type"] for column in dataset.columns}
    for name, type_ in expected.get("columns", []):
        if type_ and types.get(name) != type_:
            yield f"type of {name}: {types.get(name)}, must be {type_}"


def check_values(seen: Seen, expected: dict[str, Any]) -> Iterator[str]:
    for row, column, value in expected.get("values", []):
        if not _same(seen.value(row, column), value, expected):
            yield f"row {row} {column}: {seen.value(row, column)!r}, must be {value!r}"
    choices = expected.get("values_any")
    if choices and not any(
        all(_same(seen.value(i, k), x, expected) for i, k, x in choice) for choice in choices
    ):
        yield f"none of the allowed values: {[seen.value(i, k) for i, k, _ in choices[0]]}"
    for row, number, value in expected.get("values_pos", []):
        column = seen.dataset.columns[number]["name"]
        if not _same(seen.value(row, column), value, expected):
            yield f"row {row} column {number}: {seen.value(row, column)!r}, must be {value!r}"
    if "values_last" in expected:
        column, value = expected["values_last"]
        if seen.rows[-1].get(column) != value:
            yield f"last row: {seen.rows[-1]}"
    for row, column, moment in expected.get("instants", []):
        shown = str(seen.value(row, column)).replace("Z", "+00:00")
        if dt.datetime.fromisoformat(shown) != dt.datetime.fromisoformat(moment):
            yield f"instant {column}: {shown}, must be {moment}"
    for uploaded, row in zip(expected.get("same_rows", []), seen.rows, strict=False):
        if uploaded != row:
            yield f"not as uploaded: {row}"
    if expected.get("jsonl_has", "") not in seen.jsonl:
        yield f"{expected['jsonl_has']!r} is not in {seen.jsonl[:150]}"


def check_downloads(seen: Seen, expected: dict[str, Any]) -> Iterator[str]:
    if expected.get("csv_same"):
        text = seen.original.decode("utf-8-sig")
        if list(csv.reader(io.StringIO(text, newline=""))) != seen.cells:
            yield f"the CSV differs from the upload: {seen.cells[:4]}"
    for row, column, cell in expected.get("csv_cells", []):
        shown = seen.cells[row + 1][seen.cells[0].index(column)]
        if shown != cell:
            yield f"CSV row {row} {column}: {shown!r}, must be {cell!r}"
    if expected.get("pq_same"):
        source = pq.read_table(io.BytesIO(seen.original))
        for number, name in enumerate(source.schema.names):
            was, is_now = (
                [str(_in_utc(value)) for value in table.column(number).to_pylist()]
                for table in (source, seen.parquet)
            )
            if was != is_now:
                yield f"Parquet column {name}: {is_now[:5]}, must be {was[:5]}"


CHECKS = (check_shape, check_values, check_downloads)


def _in_utc(value: Any) -> Any:
    """An instant, whatever its zone is called."""
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        return value
    return value.astimezone(dt.UTC)


def _same(shown: Any, wanted: Any, expected: dict[str, Any]) -> bool:
    if expected.get("norm_ts") and isinstance(shown, str):
        shown = shown.replace("T", " ")
    if isinstance(wanted, bool) or isinstance(shown, bool):
        return shown is wanted
    return bool(shown == wanted) and isinstance(shown, str) == isinstance(wanted, str)
