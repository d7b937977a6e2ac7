"""The training formats, and how a table is recognised as one.

To add a format: one file with a subclass of :class:`Format`, one line in ``FORMATS``. Detection, mapping
form, API schema, validation and the contract test follow. ``table`` stays last: it takes everything.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import Detail, ValidationError
from core.formats.base import (
    ChatExample,
    Column,
    ColumnMapping,
    Example,
    Format,
    Message,
    PreferenceExample,
    Role,
    Text,
)
from core.formats.chat import ChatFormat
from core.formats.completion import CompletionFormat
from core.formats.preference import PreferenceFormat
from core.formats.table import TableFormat
from core.formats.text import TextFormat

__all__ = [
    "FORMATS",
    "ChatExample",
    "Example",
    "Format",
    "Message",
    "PreferenceExample",
    "Role",
    "Text",
    "check_format",
    "detect",
    "mapped",
    "read_examples",
]

FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (ChatFormat(), PreferenceFormat(), CompletionFormat(), TextFormat(), TableFormat())
}
BATCH_ROWS = 1024


def detect(columns: Sequence[Column]) -> str:
    """The name of the first format that these columns have as they are; ``table`` if none."""
    return next(format_.name for format_ in FORMATS.values() if format_.detect(columns))


def check_format(name: str, columns: Sequence[Column]) -> None:
    """Raises ValidationError when a table was said to have a format that its columns do not have."""
    if name not in FORMATS:
        raise ValidationError.of("format", f"must be auto or one of {', '.join(FORMATS)}")
    if not FORMATS[name].detect(columns):
        needed = " and ".join(role.name for role in FORMATS[name].roles if role.required)
        raise ValidationError.of("format", f"{name} needs {needed}, but the columns are {_names(columns)}")


def mapped(columns: Sequence[Column], mapping: ColumnMapping | None) -> Format:
    """The format a table trains as: its own, or the one that ``mapping`` (role -> column) makes of it.

    Raises ValidationError for a mapping that fits no format, or that names a column that is not there.
    """
    if not mapping:
        return _native(columns)
    present = {column["name"] for column in columns}
    unknown = [
        Detail(f"columns.{role}", f"there is no column {name!r}")
        for role, name in mapping.items()
        if name not in present
    ]
    if unknown:
        raise ValidationError(f"{unknown[0].message}. The columns are {_names(columns)}.", details=unknown)
    if len(set(mapping.values())) < len(mapping):
        raise ValidationError.of("columns", "one column cannot play two roles")
    return _format_with(set(mapping))


def read_examples(
    parquet: Path, format_: Format, mapping: ColumnMapping | None = None, *, first: int = 1
) -> Iterator[tuple[int, Example | list[Detail]]]:
    """Each row of a version in its order, as (line from 1, example) or as (line, what is wrong with it).

    Streams.

    ``first``: the line to begin with; what lies before it is skipped by row groups, not read.
    """
    from pyarrow.parquet import ParquetFile

    with ParquetFile(parquet) as file:
        columns = [{"name": name, "type": ""} for name in file.schema_arrow.names]
        groups, line = _groups_from(file.metadata, first)
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=groups, columns=format_.columns_used(columns, mapping)
        ):
            skipped = min(max(0, first - 1 - line), batch.num_rows)
            line += skipped
            for row in batch.slice(skipped).to_pylist(maps_as_pydicts="lossy"):
                line += 1
                yield line, format_.check_row(row, mapping) or format_.to_example(row, mapping)


def _groups_from(metadata: Any, line: int) -> tuple[list[int], int]:
    """The row groups from the one that holds ``line`` on, and how many rows lie before them."""
    before = 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).num_rows
        if before + size >= line:
            return list(range(group, metadata.num_row_groups)), before
        before += size
    return [], before


def _native(columns: Sequence[Column]) -> Format:
    native = FORMATS[detect(columns)]
    if not native.trainable:
        raise ValidationError.of(
            "columns",
            f"say which column is the prompt and which the completion; the columns are {_names(columns)}",
        )
    return native


def _format_with(roles: set[str]) -> Format:
    for format_ in FORMATS.values():
        allowed = {role.name for role in format_.roles}
        required = {role.name for role in format_.roles if role.required}
        if required and required <= roles <= allowed:
            return format_
    known = "; ".join(
        " + ".join(role.name for role in f.roles if role.required) for f in FORMATS.values() if f.trainable
    )
    raise ValidationError.of("columns", f"map the columns to one of: {known}")


def _names(columns: Sequence[Column]) -> str:
    names = [column["name"] for column in columns]
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
