"""Parquet: read to its last page and written anew, so that what we keep is whole and has our row groups."""

from contextlib import suppress

import duckdb
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from core.errors import UnreadableFile
from core.readers import arrow
from core.readers.base import Reading, ReadTask, write_parquet

BATCH_ROWS, WIDE = 10_000, 2_000
MAGIC, ENCRYPTED = b"PAR1", b"PARE"


def read(task: ReadTask) -> Reading:
    with task.source.open("rb") as file:
        begin = file.read(4)
        if begin == ENCRYPTED:
            raise UnreadableFile("The Parquet file is encrypted. Decrypt it and upload it again.")
        if begin != MAGIC:
            raise UnreadableFile("The file is called .parquet but is no Parquet file.")
        file.seek(-4, 2)
        if file.read(4) != MAGIC:
            raise UnreadableFile("The Parquet file is cut off: its end is missing. Upload it again.")
    reading = Reading()
    try:
        if _is_misread(task):
            with ParquetFile(task.source) as file:
                arrow.write_batches(file.schema_arrow, file.iter_batches(BATCH_ROWS), task, reading)
        else:
            write_parquet(task, "SELECT * FROM read_parquet(?, hive_partitioning=false)", [str(task.source)])
    except (duckdb.Error, pa.ArrowException) as error:
        raise UnreadableFile(
            "The Parquet file cannot be read to its end: it is damaged, or stores values in a way that is "
            "not known here. Write it again, without encryption and with plain types."
        ) from error
    _tell_changes(task, reading)
    (num_rows,) = task.connection.execute(
        "SELECT num_rows FROM parquet_file_metadata(?)", [str(task.source)]
    ).fetchall()[0]
    reading.num_rows = num_rows
    return reading


def _tell_changes(task: ReadTask, reading: Reading) -> None:
    """As Arrow's own schema has it, which is in most Parquet files; nothing of a file that pyarrow cannot
    open, or that is very wide."""
    if reading.detected.get("notes") or len(task.columns) > WIDE:
        return
    with suppress(pa.ArrowException, OSError), ParquetFile(task.source) as file:
        arrow.tell_changes(file.schema_arrow, reading)


def _is_misread(task: ReadTask) -> bool:
    """Whether DuckDB would read something else without a word: of decimals with more than the 38 digits that
    its own hold it makes floating point, and a null structure of typeless nulls beside a list becomes one
    that is there and holds nulls."""
    has_long, has_typeless = task.connection.execute(
        "SELECT bool_or(precision > 38), bool_or(logical_type = 'NullType()') FROM parquet_schema(?)",
        [str(task.source)],
    ).fetchall()[0]
    return bool(has_long or (has_typeless and _has_typeless_inside(task)))


def _has_typeless_inside(task: ReadTask) -> bool:
    """Whether typeless nulls lie in a structure or list. A column of nothing else is read well."""
    with ParquetFile(task.source) as file:
        leaves = [file.schema.column(place) for place in range(len(file.schema))]
    return any(leaf.logical_type.type == "UNKNOWN" and leaf.max_definition_level > 1 for leaf in leaves)
