"""Excel workbooks through calamine: one sheet, its first row the header.

Text stays text ("00001"), dates stay dates.

A column of whole numbers becomes integers (Excel knows only floating point), a column of mixed kinds becomes
text.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook

from core.errors import UnreadableFile, ValidationError
from core.readers.base import Reading, ReadTask, write_parquet
from core.readers.sql import clean_names, explain
from core.readers.unpack import count_zip

_EXACT = 2**53


def read(task: ReadTask) -> Reading:
    if task.suffix == ".xlsx":
        count_zip(task.source, progress=task.progress)
    rows, reading = _rows_of_sheet(task)
    task.progress.advance(0.5)
    has_header = task.options.header is not False
    names = (
        [_as_text(cell) or "" for cell in rows[0]]
        if has_header
        else [f"column{i}" for i in range(len(rows[0]))]
    )
    body = [row for row in rows[has_header:] if any(cell != "" for cell in row)]
    if not body:
        raise UnreadableFile("The sheet has a header but no rows.")
    columns = [_column([row[i] for row in body]) for i in range(len(names))]
    task.connection.register("incoming", pa.table(columns, names=clean_names(names)))
    write_parquet(task, "SELECT * FROM incoming")
    reading.detected["header"] = has_header
    return reading


def _rows_of_sheet(task: ReadTask) -> tuple[list[list[Any]], Reading]:
    try:
        with CalamineWorkbook.from_path(str(task.source)) as book:
            name = _choose_sheet(book.sheet_names, task.options.sheet)
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=True)[
                task.options.skip_lines or 0 :
            ]
            reading = Reading(
                detected={
                    "sheet": name,
                    "sheets": list(book.sheet_names),
                    "skip_lines": task.options.skip_lines or 0,
                }
            )
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableFile(
            f"The workbook is damaged, locked, or no Excel file: {explain(error)}"
        ) from error
    if not rows or not rows[0]:
        raise UnreadableFile(
            f"The sheet {name!r} is empty{' below the lines left out' if task.options.skip_lines else ''}."
        )
    return (rows if task.options.skip_lines is not None else _below_titles(rows, reading)), reading


def _below_titles(rows: list[list[Any]], reading: Reading) -> list[list[Any]]:
    """Without the rows above the header that hold a single cell, as titles do."""
    filled = [sum(cell != "" for cell in row) for row in rows[:50]]
    skip = next((i for i, count in enumerate(filled) if count > 1), 0)
    if skip:
        reading.note(f"{skip} row{'s' * (skip > 1)} above the header left out.")
    reading.detected["skip_lines"] = skip
    return rows[skip:]


def _choose_sheet(names: Sequence[str], wanted: str | None) -> str:
    if not names:
        raise UnreadableFile("The workbook has no sheets.")
    if wanted and wanted not in names:
        raise ValidationError.of(
            "options.sheet", f"there is no sheet {wanted!r}; the sheets are {', '.join(names[:20])}"
        )
    return wanted or names[0]


def _column(cells: list[Any]) -> pa.Array:
    """One column with the narrowest type that loses nothing."""
    values = [None if cell == "" else cell for cell in cells]
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        are_whole = all(
            value is None or (float(value).is_integer() and abs(value) <= _EXACT) for value in values
        )
        return pa.array(
            [None if v is None else int(v) for v in values] if are_whole else values,
            pa.int64() if are_whole else pa.float64(),
        )
    if kinds and kinds <= {dt.date, dt.datetime}:
        return pa.array(values) if kinds == {dt.date} else _timestamps(values)
    if len(kinds) == 1 and kinds <= {bool, dt.time, dt.timedelta}:
        return pa.array(values)
    return pa.array([_as_text(value) for value in values], pa.string())


def _timestamps(values: list[Any]) -> pa.Array:
    moments = [
        dt.datetime.combine(v, dt.time()) if isinstance(v, dt.date) and not isinstance(v, dt.datetime) else v
        for v in values
    ]
    if all(moment is None or moment.time() == dt.time() for moment in moments):
        return pa.array([None if moment is None else moment.date() for moment in moments])
    return pa.array(moments, pa.timestamp("us"))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
