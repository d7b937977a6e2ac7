"""A version's rows going out as CSV or JSON Lines, in chunks: no file is written and no table is held in memory.

Values leave as they are: a cell that looks like a formula is data, and whoever opens it in a spreadsheet decides.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.cells import json_safe

BATCH_ROWS = 2000


def csv_chunks(parquet: Path) -> Iterator[bytes]:
    """UTF-8, comma, a header row; nested values as JSON, nulls empty, times ISO 8601."""
    names, batches = _open(parquet)
    yield _csv_lines([names])
    for rows in batches:
        yield _csv_lines([[_csv_cell(row[name]) for name in names] for row in rows])


def jsonl_chunks(parquet: Path) -> Iterator[bytes]:
    """One object per line, UTF-8."""
    _, batches = _open(parquet)
    for rows in batches:
        yield "".join(json.dumps(json_safe(row), ensure_ascii=False) + "\n" for row in rows).encode()


def _open(parquet: Path) -> tuple[list[str], Iterator[list[dict[str, Any]]]]:
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(parquet)

    def batches() -> Iterator[list[dict[str, Any]]]:
        with file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield batch.to_pylist(maps_as_pydicts="lossy")

    return list(file.schema_arrow.names), batches()


def _csv_lines(rows: list[list[Any]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return json.dumps(json_safe(value), ensure_ascii=False)
    return value if isinstance(value, float) else json_safe(value)
