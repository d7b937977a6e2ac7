"""The rows of a version as examples, with their lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import Detail
from core.formats.base import ColumnMapping, Example, Format, types_of, unpacked
from core.formats.tally import RowTally

BATCH_ROWS = 1024


def read_examples(
    parquet: Path,
    format_: Format,
    mapping: ColumnMapping | None = None,
    *,
    first: int = 1,
    tally: RowTally | None = None,
) -> Iterator[tuple[int, Example | list[Detail]]]:
    """Each row of a version in its order, as (line from 1, example) or as (line, what is wrong with it).

    Streams. Without a mapping the columns are those by which the format is known.

    ``first``: the line to begin with; what lies before it is skipped by row groups, not read. ``tally``:
    counts the rows that go by.
    """
    from pyarrow.parquet import ParquetFile

    with ParquetFile(parquet) as file:
        columns = columns_of(file.schema_arrow)
        mapping = mapping or format_.own_mapping(columns)
        used = format_.columns_used(columns, mapping)
        types = types_of(columns)
        as_json = [name for name in used if types[name] == "JSON"]
        groups, line = _groups_from(file.metadata, first)
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=used):
            skipped = min(max(0, first - 1 - line), batch.num_rows)
            line += skipped
            for row in batch.slice(skipped).to_pylist(maps_as_pydicts="lossy"):
                line += 1
                for name in as_json:
                    # a text among structures is kept in quotes, so this is the list and not the text
                    if row[name] == "[]" or (row[name] or "")[:1] == '"':
                        row[name] = unpacked(row[name])
                example = format_.check_row(row, mapping) or format_.to_example(row, mapping)
                if tally is not None:
                    tally.add(example, format_.left_out(row, mapping))
                yield line, example


def _groups_from(metadata: Any, line: int) -> tuple[list[int], int]:
    """The row groups from the one that holds ``line`` on, and how many rows lie before them."""
    before = 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        if before + size >= line:
            return list(range(group, metadata.num_row_groups)), before
        before += size
    return [], before


def columns_of(schema: Any) -> list[dict[str, str]]:
    """The columns of a file, as a version has them."""
    return [{"name": field.name, "type": _type_of(field.type)} for field in schema]


def _type_of(type_: Any) -> str:
    """The DuckDB type of a column of a file, as far as a layout asks for it."""
    from pyarrow import types

    if types.is_list(type_) or types.is_large_list(type_):
        return f"{_type_of(type_.value_type)}[]"
    if types.is_struct(type_):
        return f"STRUCT({', '.join(_quoted(field.name) + ' ' + _type_of(field.type) for field in type_)})"
    if types.is_map(type_):
        return f"MAP({_type_of(type_.key_type)}, {_type_of(type_.item_type)})"
    if getattr(type_, "extension_name", "") == "arrow.json":
        return "JSON"
    return "VARCHAR" if types.is_string(type_) or types.is_large_string(type_) else "BIGINT"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
