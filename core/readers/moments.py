"""Days and times outside the years 1 to 9999: DuckDB and Parquet hold them, Python and JSON readers do not,
so no page could show them. They are refused by column and row; as text they may come in. And what is said of
times with an offset.
"""

import re
from collections.abc import Iterable, Mapping

from core import sql_types
from core.errors import UnreadableFile
from core.readers.base import Reading, ReadTask
from core.readers.questions import NoteOffer, as_text
from core.readers.sql import describe, listed, literal, quoted

_OFFSET = re.compile(r"[+-](?=[0-9:]*[1-9])[0-9]{2}(?::?[0-9]{2})?$")  # not of UTC
_LAST = "9999-12-31 23:59:59.999999"
_NANOSECONDS = "_NS"  # at the end of a type: they reach from 1677 to 2262, and the bounds would not fit


def require_known_years(task: ReadTask) -> None:
    """Raises UnreadableFile for the first value of the target that lies outside."""
    source = f"read_parquet({literal(str(task.target))}, file_row_number=true)"
    columns = describe(task.connection, f"FROM read_parquet({literal(str(task.target))})")
    tests = {
        name: test for name, type_ in columns if (test := _outside(quoted(name), sql_types.parsed(type_), 0))
    }
    if not tests:
        return
    rows = ", ".join(f"min(file_row_number) FILTER ({test})" for test in tests.values())
    first_rows = task.connection.execute(f"SELECT {rows} FROM {source}").fetchall()[0]
    for name, row in zip(tests, first_rows, strict=True):
        if row is None:
            continue
        read = f"SELECT {quoted(name)}::VARCHAR FROM {source} WHERE file_row_number = {row}"
        ((value,),) = task.connection.execute(read).fetchall()
        message = f"column {name!r}: {value[:60]!r} lies outside the years 1 to 9999"
        advice = "Mend the file, or choose the type Text for this column."
        raise UnreadableFile(f"Row {row + 1:,}: {message}. {advice}", lines=[(row + 1, message)])


def _outside(cell: str, type_: sql_types.Type, depth: int) -> str | None:
    """SQL that is true for a cell with such a value, however deep; None for a type that can hold none."""
    inside = sql_types.children(type_)
    if not inside:
        plain = str(type_)
        is_watched = sql_types.is_moment(plain) and not plain.endswith(_NANOSECONDS)
        return (
            f"({cell} < '0001-01-01'::{plain} OR {cell} > '{_LAST}'::TIMESTAMP::{plain})"
            if is_watched
            else None
        )
    if type_.id in ("struct", "union"):
        parts = [
            _outside(f"{type_.id}_extract({cell}, {literal(name)})", child, depth) for name, child in inside
        ]
    else:
        lists = [f"map_keys({cell})", f"map_values({cell})"] if type_.id == "map" else [cell]
        parts = [
            f"len(list_filter({items}, lambda x{depth}: {test})) > 0"
            for items, (_, child) in zip(lists, inside, strict=True)
            if (test := _outside(f"x{depth}", child, depth + 1))
        ]
    return " OR ".join(f"coalesce({part}, false)" for part in parts if part) or None


def tell_offsets(reading: Reading, cells: Mapping[str, Iterable[str]]) -> None:
    """That times with other offsets than UTC's become instants. ``cells``: some of each column with such
    times, as they are written."""
    names = [name for name, written in cells.items() if any(map(_OFFSET.search, written))]
    if names:
        reading.note(
            f"Times are kept as the same instants in UTC, without their offset: {listed(names)}.",
            NoteOffer("Read as text instead", as_text(names)),
        )
