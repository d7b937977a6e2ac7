"""The texts in a Parquet, batch by batch, however deep they lie:
cells, items of lists, fields, the messages of a chat."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

from core.reports.quality.base import Lines, TextBatch

BATCH_BYTES = 32 * 2**20  # of values in memory, as the file states them
FEWEST_ROWS, MOST_ROWS = 64, 16_384
MAX_CHARACTERS = 20_000  # of one text; what comes later is not looked at
DEEPEST = 20
ROLE_FIELDS = ("role", "name", "tool_call_id")  # of a message: they are not said


def batches(
    parquet: Path, columns: Sequence[str], row_groups: Sequence[int] | None = None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of the first row, from 1; rows) of the given row groups, or of all."""
    with ParquetFile(parquet) as file:
        footer = file.metadata
        for group in range(footer.num_row_groups) if row_groups is None else row_groups:
            line = 1 + sum(footer.row_group(before).num_rows for before in range(group))
            bytes_per_row = footer.row_group(group).total_byte_size / max(footer.row_group(group).num_rows, 1)
            rows = int(min(max(BATCH_BYTES / max(bytes_per_row, 1), FEWEST_ROWS), MOST_ROWS))
            for batch in file.iter_batches(rows, row_groups=[group], columns=list(columns)):
                yield line, batch
                line += batch.num_rows


def holds_text(type_: pa.DataType) -> bool:
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return True
    return any(holds_text(type_.field(i).type) for i in range(type_.num_fields))


def texts_of(cells: pa.Array, first_line: int, *, without: Collection[str] = ()) -> TextBatch:
    """All texts in these cells, nulls left out, and those in fields of the names ``without``.

    Numbers as they are written.
    """
    parts = list(_leaves(cells, np.arange(first_line, first_line + len(cells)), 0, without))
    if not parts:
        return TextBatch(pa.array([], pa.string()), np.empty(0, np.int64), np.empty(0, np.int64))
    texts = pa.concat_arrays([part for part, _ in parts])
    encoded = pc.dictionary_encode(texts)
    at = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    values = encoded.dictionary
    if (pc.max(pc.utf8_length(values)).as_py() or 0) > MAX_CHARACTERS:
        values = pc.utf8_slice_codeunits(values, 0, MAX_CHARACTERS)
    return TextBatch(values, at, np.concatenate([lines for _, lines in parts]))


def matching(values: pa.Array, pattern: str) -> NDArray[np.bool_]:
    """Which texts an expression (RE2: its time is linear) is found in."""
    return pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False).astype(bool)


def _leaves(
    cells: pa.Array, lines: Lines, depth: int, without: Collection[str]
) -> Iterator[tuple[pa.Array, Lines]]:
    if isinstance(cells.type, pa.BaseExtensionType):  # JSON
        cells = cells.storage
    type_ = cells.type
    present = cells.is_valid().to_numpy(zero_copy_only=False)
    if (
        pa.types.is_map(type_)
        or pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
    ):
        if depth < DEEPEST:
            yield from _items(cells, lines, depth, without)
    elif pa.types.is_struct(type_):
        for name, part in _fields(cells.filter(pa.array(present))) if depth < DEEPEST else ():
            if name not in without:
                yield from _leaves(part, lines[present], depth + 1, without)
    elif holds_text(type_) or pa.types.is_integer(type_) or pa.types.is_decimal(type_):
        yield pc.cast(cells.drop_null(), pa.large_string()), lines[present]


def _fields(cells: pa.StructArray) -> Iterator[tuple[str, pa.Array]]:
    return zip([field.name for field in cells.type], cells.flatten(), strict=True)


def _items(
    cells: pa.Array, lines: Lines, depth: int, without: Collection[str]
) -> Iterator[tuple[pa.Array, Lines]]:
    if pa.types.is_map(cells.type):
        cells = cells.cast(
            pa.list_(pa.struct([("key", cells.type.key_type), ("value", cells.type.item_type)]))
        )
    owners = pc.list_parent_indices(cells).to_numpy(zero_copy_only=False)
    yield from _leaves(pc.list_flatten(cells), lines[owners], depth + 1, without)
