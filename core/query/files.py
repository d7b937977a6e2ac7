"""An answer as a file to take away: what was shown, nothing more."""

import csv
import io
import json
from typing import Any

from pyarrow import parquet

from core.query.values import QueryResult


def as_csv(result: QueryResult) -> bytes:
    """UTF-8 with a header; null is nothing, nested values are JSON."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow([column["name"] for column in result.columns])
    writer.writerows([_cell(value) for value in row] for row in result.rows)
    return sink.getvalue().encode("utf-8", "replace")


def as_parquet(result: QueryResult) -> bytes:
    """With the real types of the columns."""
    sink = io.BytesIO()
    parquet.write_table(result.table, sink, compression="zstd")
    return sink.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
