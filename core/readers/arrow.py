"""Arrow IPC, as file or stream, and Feather. Batches are checked before anybody trusts their offsets."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import ipc

from core.cells import json_safe
from core.errors import UnreadableFile, is_full_disk
from core.readers.base import Reading, ReadTask, write_parquet
from core.readers.sql import clean_names, listed, renamings

UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
UTC = ("UTC", "Etc/UTC", "GMT", "Z", "+00:00")
DAMAGED = "The Arrow file is damaged or cut off, so it cannot be read to its end. Write it again."


def read(task: ReadTask) -> Reading:
    try:
        with pa.memory_map(str(task.source)) as mapped:
            schema, batches, layout = _open(mapped)
            reading = Reading(detected={"layout": layout})
            write_batches(schema, batches, task, reading)
    except (pa.ArrowException, duckdb.Error, OSError) as error:
        if isinstance(error, OSError) and is_full_disk(error):  # the disk, not the file
            raise
        raise UnreadableFile(DAMAGED) from error
    return reading


def write_batches(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], task: ReadTask, reading: Reading
) -> None:
    """Into the target, with types that it can hold; what that changes is noted. Raises UnreadableFile for a
    column of a type that nothing can hold, and pa.ArrowException for damaged batches."""
    wanted = _wanted(schema, task, reading)
    task.connection.register(
        "incoming", pa.RecordBatchReader.from_batches(wanted, _checked(batches, wanted, task))
    )
    write_parquet(task, "SELECT * FROM incoming")
    tell_changes(schema, reading)


def tell_changes(schema: pa.Schema, reading: Reading) -> None:
    """What of the types no table here holds, by the guide's own list."""
    for sentence in renamings(schema.names):
        reading.note(sentence)
    changed: dict[str, list[str]] = {}
    for field, name in zip(schema, clean_names(schema.names), strict=True):
        for what in dict.fromkeys(_changes(field.type)):
            changed.setdefault(what, []).append(name)
    for what, names in changed.items():
        reading.note(f"{what}: {listed(names)}.")


def _changes(type_: pa.DataType) -> Iterator[str]:
    if pa.types.is_union(type_):
        yield "Kept as text, because it is a union of types"
    elif pa.types.is_decimal256(type_) and type_.precision > 38:
        yield "Kept as text, because it is numbers of more than 38 digits"
    elif pa.types.is_duration(type_):
        yield f"Durations are kept as whole numbers, in {UNITS[type_.unit]}"
    elif pa.types.is_timestamp(type_) and type_.tz not in (None, *UTC):
        yield f"Times are kept as the same instants in UTC, without their zone {type_.tz}"
    elif pa.types.is_dictionary(type_):
        yield from _changes(type_.value_type)
    elif pa.types.is_nested(type_):
        for place in range(type_.num_fields):
            yield from _changes(type_.field(place).type)


def _open(mapped: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch], str]:
    if mapped.read(6) == b"ARROW1":
        file = ipc.open_file(mapped)
        return file.schema, (file.get_batch(i) for i in range(file.num_record_batches)), "file"
    mapped.seek(0)
    stream = ipc.open_stream(mapped)
    return stream.schema, iter(stream), "stream"


def _wanted(schema: pa.Schema, task: ReadTask, reading: Reading) -> pa.Schema:
    """The types to hand on. Raises UnreadableFile for a column that has none, by its name."""
    fields = []
    for field, name in zip(schema, clean_names(schema.names), strict=True):
        type_ = pa.string() if pa.types.is_union(field.type) else _storable(field.type)
        if not _is_known(pa.field(name, type_), field.type, task):
            kind = str(field.type).partition("<")[0].partition("(")[0].replace("_", " ")
            raise UnreadableFile(
                f"The column {name!r} has a type that no table here can hold ({kind}). "
                "Convert it, or leave it out, and upload the file again."
            )
        fields.append(pa.field(name, type_))
    return pa.schema(fields)


def _is_known(field: pa.Field, was: pa.DataType, task: ReadTask) -> bool:
    """Whether Arrow makes this type of the old one, and DuckDB takes it."""
    try:
        if not pa.types.is_union(was):
            pa.array([], was).cast(field.type)
        task.connection.from_arrow(pa.schema([field]).empty_table()).fetchall()
    except (pa.ArrowException, duckdb.Error):
        return False
    return True


def _checked(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, task: ReadTask
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        batch = _sound(batch)
        task.progress.advance(0)
        columns = [
            _as_text(cells) if pa.types.is_union(cells.type) else _cast(cells, wanted.type)
            for cells, wanted in zip(batch.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Raises pa.ArrowException for damage. A structure that is null may hold anything, such as a place in an
    empty dictionary: it then holds nulls."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        batch.validate()
        columns = [_nulls_inside(column) for column in batch.columns]
        batch = pa.RecordBatch.from_arrays(columns, schema=batch.schema)
        batch.validate(full=True)
    return batch


def _nulls_inside(cells: pa.Array) -> pa.Array:
    """What lies in a null is null, at every depth. ``cells`` must be valid but for what they hold."""
    type_ = cells.type
    if pa.types.is_struct(type_):
        inner = [_nulls_inside(child) for child in cells.flatten()]
        return pa.StructArray.from_arrays(inner, fields=list(type_), mask=cells.is_null())
    if pa.types.is_map(type_):
        items = _nulls_inside(cells.items)
        return pa.MapArray.from_arrays(cells.offsets, cells.keys, items, type=type_, mask=cells.is_null())
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        make = pa.ListArray if pa.types.is_list(type_) else pa.LargeListArray
        return make.from_arrays(cells.offsets, _nulls_inside(cells.values), type=type_, mask=cells.is_null())
    return cells


def _cast(cells: pa.Array, wanted: pa.DataType) -> pa.Array:
    """pyarrow's cast to the very same type is not always a copy: maps of nothing come out broken."""
    return cells if cells.type == wanted else cells.cast(wanted)


def _as_text(cells: pa.Array) -> pa.Array:
    values = (
        value if value is None or isinstance(value, str) else json.dumps(json_safe(value), ensure_ascii=False)
        for value in cells.to_pylist()
    )
    return pa.array(values, pa.string())


def _storable(type_: pa.DataType) -> pa.DataType:
    """DuckDB knows no half floats and no decimals beyond 38 digits, and its intervals are coarser than
    durations: those become whole counts of their unit. Dictionaries become their values: DuckDB cannot read
    them in empty lists. Bytes of one length become bytes of any: DuckDB writes wrong ones beside structures
    that are null. The same inside lists and structures."""
    if pa.types.is_float16(type_):
        return pa.float32()
    if pa.types.is_duration(type_):
        return pa.int64()
    if pa.types.is_fixed_size_binary(type_):
        return pa.binary()
    if pa.types.is_decimal256(type_):
        return pa.decimal128(type_.precision, type_.scale) if type_.precision <= 38 else pa.string()
    if pa.types.is_dictionary(type_):
        return _storable(type_.value_type)
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_storable(field.type)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(_storable(type_.key_type), _storable(type_.item_type))
    if pa.types.is_list(type_):
        return pa.list_(type_.value_field.with_type(_storable(type_.value_type)))
    if pa.types.is_large_list(type_):
        return pa.large_list(type_.value_field.with_type(_storable(type_.value_type)))
    if pa.types.is_fixed_size_list(type_):
        return pa.list_(type_.value_field.with_type(_storable(type_.value_type)), type_.list_size)
    return type_
