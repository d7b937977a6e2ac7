"""An answer as a file to take away: what was shown, nothing more."""

import io

from pyarrow import parquet

from core.datasets.pages.files import csv_of
from core.query.values import QueryResult


def as_csv(result: QueryResult) -> bytes:
    """As a version is downloaded: null is an empty field, the empty text ``""``, nested values are JSON."""
    return b"".join(csv_of(result.table.schema, result.table.to_batches()))


def as_parquet(result: QueryResult) -> bytes:
    """With the real types of the columns."""
    sink = io.BytesIO()
    parquet.write_table(result.table, sink, compression="zstd")
    return sink.getvalue()
