"""A table that Python holds already, as a Parquet file:
from pandas, pyarrow or DuckDB, with the types it has there.

Nothing is made smaller or looser on the way: integers beyond 64 bits become decimals and never floating
point, times keep their zones, nested values stay nested. An index that has a name or values of its own
becomes a column.
"""

from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa

from core import sql_types, storage
from core.errors import ValidationError
from core.readers.base import quoted

# pandas.DataFrame | pyarrow.Table | pyarrow.RecordBatch | RecordBatchReader | duckdb.DuckDBPyRelation
Table: TypeAlias = Any
BATCH_ROWS = 100_000


def write_parquet(table: Table) -> Path:
    """A staged Parquet of the table, batch by batch.

    Raises ValidationError when it is no table or cannot be one.
    """
    target = storage.new_staging_path()
    try:
        if isinstance(table, duckdb.DuckDBPyRelation):
            _write_relation(table, target)
        else:
            with duckdb.connect() as connection:
                _write_relation(connection.from_arrow(_widened(_as_reader(table))), target)
    except (pa.ArrowException, duckdb.Error, ValueError, TypeError) as error:
        target.unlink(missing_ok=True)
        raise ValidationError.of(
            "table", f"cannot be kept as a table: {str(error).splitlines()[0][:300]}"
        ) from error
    except BaseException:  # raised again: nobody else knows of the half-written file
        target.unlink(missing_ok=True)
        raise
    return target


def _as_reader(table: Table) -> pa.RecordBatchReader:
    if isinstance(table, pa.RecordBatchReader):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table]).to_reader()
    if isinstance(table, pa.Table):
        return table.to_reader(max_chunksize=BATCH_ROWS)
    if type(table).__module__.split(".")[0] == "pandas" and hasattr(table, "columns"):
        return _from_pandas(table).to_reader(max_chunksize=BATCH_ROWS)
    raise ValidationError.of(
        "table", "must be a pandas DataFrame, a Table or RecordBatchReader of Arrow, or a relation of SQL"
    )


def _from_pandas(frame: Any) -> pa.Table:
    named = frame.rename(columns=str)
    keep_index = (
        any(name is not None for name in frame.index.names) or type(frame.index).__name__ != "RangeIndex"
    )
    return pa.Table.from_pandas(named.reset_index() if keep_index else named, preserve_index=False)


def _widened(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Half floats as floats, and decimals of up to 76 digits
    as those of 38 where they fit: DuckDB has no such types."""
    fields = [field.with_type(_widen(field.type)) for field in reader.schema]
    wanted = pa.schema(fields)
    return reader if wanted.equals(reader.schema) else reader.cast(wanted)


def _widen(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_float16(type_):
        return pa.float32()
    return pa.decimal128(38, type_.scale) if pa.types.is_decimal256(type_) else type_


def _write_relation(relation: Any, target: Path) -> None:
    """Through DuckDB, also for Arrow's tables: its own writer would keep a duration as a bare number."""
    columns = zip(relation.columns, relation.types, strict=True)
    relation.project(", ".join(_kept_whole(name, type_) for name, type_ in columns)).write_parquet(
        str(target), compression="zstd"
    )


def _kept_whole(name: str, type_: Any) -> str:
    """Parquet has no 128-bit integers: they would be written as floating point."""
    stored = sql_types.with_leaves(type_, lambda plain: "DECIMAL(38,0)" if plain in sql_types.HUGE else plain)
    return quoted(name) if stored == str(type_) else f"CAST({quoted(name)} AS {stored}) AS {quoted(name)}"
