"""A version's rows going out as CSV, JSON Lines or Parquet,
in chunks: no file is written and no table is held in memory.

Values leave as they are: a cell that looks like a formula is data, and whoever opens it in a spreadsheet
decides. In CSV null is an empty field and the empty string a quoted one, as our own reader understands them.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from core.datasets.pages import paging
from core.datasets.pages.cell_texts import csv_writer, json_writer
from core.datasets.pages.paging import Selection
from core.readers.base import quoted

BATCH_ROWS = 2000
ROWS_IN_GROUP = 100_000
BYTES_IN_GROUP = 32_000_000
MEMORY_MB = 512  # of one download that has to sort; beyond that it spills to disk
TEXT_IN_PARQUET = ("INTERVAL", "TIME WITH TIME ZONE")  # types that Arrow cannot hand to Parquet
Rows = Path | Selection


def csv_chunks(rows: Rows) -> Iterator[bytes]:
    """UTF-8, comma, a header row; nested values as JSON, times ISO 8601."""
    yield from csv_of(*_open(rows))


def csv_of(schema: Any, batches: Iterable[Any]) -> Iterator[bytes]:
    """The same of Arrow record batches."""
    yield _csv_lines([schema.names])
    writers = [csv_writer(field.type) for field in schema]
    for batch in batches:
        columns = [list(map(write, cells)) for write, cells in zip(writers, _columns(batch), strict=True)]
        yield _csv_lines(zip(*columns, strict=True))


def jsonl_chunks(rows: Rows) -> Iterator[bytes]:
    """One object per line, UTF-8."""
    schema, batches = _open(rows)
    writers = [json_writer(field.type) for field in schema]
    keys = [json.dumps(name, ensure_ascii=False) + ": " for name in schema.names]
    for batch in batches:
        columns = [
            [key + write(cell) for cell in cells]
            for key, write, cells in zip(keys, writers, _columns(batch), strict=True)
        ]
        yield "".join("{" + ", ".join(row) + "}\n" for row in zip(*columns, strict=True)).encode()


def parquet_chunks(rows: Selection) -> Iterator[bytes]:
    """A Parquet file as it is written, a row group at a time; types as they are in the version."""
    from pyarrow import PythonFile, Table
    from pyarrow.parquet import ParquetWriter

    sink = _Sink()
    schema, batches = _read_exactly(rows)
    with ParquetWriter(PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        for group in _grouped(batches):
            writer.write_table(Table.from_batches(group, schema))
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """Where the Parquet writer writes to; whoever streams takes it away."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._at += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._at

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def taken(self) -> bytes:
        content, self._parts = b"".join(self._parts), []
        return content


def _grouped(batches: Iterator[Any]) -> Iterator[list[Any]]:
    """Batches put together to row groups of a useful size."""
    group: list[Any] = []
    for batch in batches:
        group.append(batch)
        if sum(b.num_rows for b in group) >= ROWS_IN_GROUP or sum(b.nbytes for b in group) >= BYTES_IN_GROUP:
            yield group
            group = []
    if group:
        yield group


def _open(rows: Rows) -> tuple[Any, Iterator[Any]]:
    """The Arrow schema, and record batches."""
    from pyarrow.parquet import ParquetFile

    if isinstance(rows, Selection):
        return _read_exactly(rows)
    file = ParquetFile(rows)

    def batches() -> Iterator[Any]:
        with file:
            yield from file.iter_batches(BATCH_ROWS)

    return file.schema_arrow, batches()


def _read_exactly(chosen: Selection) -> tuple[Any, Iterator[Any]]:
    """With JSON and UUID as what they are; the schema first."""
    connection = paging.connect(memory_mb=MEMORY_MB)
    connection.execute("SET arrow_lossless_conversion = true")
    plain = connection.sql(chosen.query("*"), params=chosen.condition.values)
    types = dict(zip(plain.columns, map(str, plain.types), strict=True))
    names = [
        quoted(n) if types[n] not in TEXT_IN_PARQUET else f"CAST({quoted(n)} AS VARCHAR) AS {quoted(n)}"
        for n in chosen.shown
    ]
    reader = connection.sql(chosen.query(", ".join(names)), params=chosen.condition.values).to_arrow_reader(
        BATCH_ROWS
    )

    def batches() -> Iterator[Any]:
        with closing(connection), paging.conversions_named():
            yield from reader

    return reader.schema, batches()


def _columns(batch: Any) -> list[list[Any]]:
    return [column.to_pylist(maps_as_pydicts="lossy") for column in batch.columns]


def _csv_lines(rows: Any) -> bytes:
    return "".join(",".join(map(_csv_field, row)) + "\n" for row in rows).encode()


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    is_plain = text and text == text.strip() and not any(mark in text for mark in ',"\n\r')
    return text if is_plain else '"' + text.replace('"', '""') + '"'
