"""What the footer of a Parquet says of its columns, at once, while their profile is still computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyarrow.parquet import ParquetFile

from core.reports import profile

FOOTER_CHUNKS = 50_000  # a footer that describes more than this is not read for a page


def from_footer(parquet: Path, columns: Sequence[profile.Column]) -> list[profile.ColumnProfile]:
    """What the footer says: nulls, min and max per plain column. No data is read."""
    profiles = {column["name"]: {**column, **profile.NOTHING} for column in columns}
    with ParquetFile(parquet) as file:
        footer = file.metadata
        plain = {footer.schema.column(i).path: i for i in range(footer.num_columns)}
        groups = range(
            footer.num_row_groups if footer.num_row_groups * footer.num_columns <= FOOTER_CHUNKS else 0
        )
        for name, profiled in profiles.items():
            if name in plain and len(groups):
                profiled.update(
                    _footer_of([footer.row_group(g).column(plain[name]).statistics for g in groups])
                )
    return list(profiles.values())


def _footer_of(statistics: Sequence[Any]) -> dict[str, Any]:
    """Of all row groups together; nothing where one of them has none."""
    if not all(one is not None and one.has_null_count for one in statistics):
        return {}
    facts: dict[str, Any] = {"nulls": sum(one.null_count for one in statistics)}
    bounded = [one for one in statistics if one.has_min_max]
    if bounded and all(one.has_min_max or one.num_values == 0 for one in statistics):
        facts |= {
            "min": profile.json_cell(min(one.min for one in bounded)),
            "max": profile.json_cell(max(one.max for one in bounded)),
        }
    return facts
