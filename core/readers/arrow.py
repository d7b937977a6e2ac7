"""Arrow IPC, as file or stream, and Feather. Batches are checked before anybody trusts their offsets."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import ipc

from core.errors import UnreadableFile, is_full_disk
from core.readers.base import Reading, ReadTask, write_parquet
from core.readers.sql import clean_names, explain


def read(task: ReadTask) -> Reading:
    try:
        with pa.memory_map(str(task.source)) as mapped:
            schema, batches, layout = _open(mapped)
            schema = pa.schema(
                [_storable(f).with_name(n) for f, n in zip(schema, clean_names(schema.names), strict=True)]
            )
            incoming = pa.RecordBatchReader.from_batches(schema, _checked(batches, schema, task))
            task.connection.register("incoming", incoming)
            write_parquet(task, "SELECT * FROM incoming")
    except (pa.ArrowException, duckdb.Error, OSError) as error:
        if isinstance(error, OSError) and is_full_disk(error):  # the disk, not the file
            raise
        raise UnreadableFile(
            f"The Arrow file is damaged, cut off, or of a kind that cannot be read: {explain(error)}"
        ) from error
    return Reading(detected={"layout": layout})


def _open(mapped: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch], str]:
    if mapped.read(6) == b"ARROW1":
        file = ipc.open_file(mapped)
        return file.schema, (file.get_batch(i) for i in range(file.num_record_batches)), "file"
    mapped.seek(0)
    stream = ipc.open_stream(mapped)
    return stream.schema, iter(stream), "stream"


def _checked(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, task: ReadTask
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        batch.validate(full=True)
        task.progress.advance(0)
        columns = [cells.cast(wanted.type) for cells, wanted in zip(batch.columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _storable(field: pa.Field) -> pa.Field:
    """DuckDB knows no half floats, and its intervals are coarser
    than durations: those become whole counts of their unit."""
    if pa.types.is_float16(field.type):
        return field.with_type(pa.float32())
    return field.with_type(pa.int64()) if pa.types.is_duration(field.type) else field
