"""All that is different between two versions as CSV:
one line per row that was added or removed, two per row that was changed.

``change`` is added, removed, before or after; ``row`` is the number in its version; ``times`` how often a
whole row is there more often on its side. Columns of both versions stand by name. Nothing is held in memory.
The file is made before it is sent: a slow reader must not hold one of the few places for heavy work.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from core import storage
from core.cells import json_safe
from core.datasets import looking, rows
from core.datasets.diffs.columns import is_nested
from core.datasets.diffs.computing import SECONDS, prepare, readable_pair, require_key
from core.datasets.scratch import parquet, scratch
from core.datasets.values import Content, Version
from core.people.users import User
from core.readers.base import quoted

BATCH_ROWS = 2000
SAID = (
    "CASE WHEN lb IS NULL THEN 'removed' WHEN la IS NULL THEN 'added' WHEN side = 0 THEN 'before' "
    "ELSE 'after' END"
)


def open_diff(
    user: User, from_id: str, to_id: str, *, key: Sequence[str] = (), by_row: bool = False
) -> Content:
    """Raises NotFound, Conflict, ValidationError at once;
    what else a diff may raise shows as a broken stream."""
    old, new = readable_pair(user, from_id, to_id)
    require_key(old, new, key, by_row=by_row)
    stem = rows.file_stem(looking.get(user, new.dataset_id).name)
    name = f"{stem} v{old.version} to v{new.version} changes.csv"
    return Content(
        name, "text/csv; charset=utf-8", open_chunks=lambda: _chunks(old, new, list(key), by_row=by_row)
    )


def _chunks(old: Version, new: Version, key: list[str], *, by_row: bool) -> Iterator[bytes]:
    staged = storage.new_staging_path()
    try:
        with staged.open("wb") as file:
            file.writelines(_compared(old, new, key, by_row=by_row))
        yield from Content(staged.name, "", path=staged).chunks
    finally:
        staged.unlink(missing_ok=True)


def _compared(old: Version, new: Version, key: list[str], *, by_row: bool) -> Iterator[bytes]:
    with scratch(SECONDS, of=[old.id, new.id]) as work:
        prepare(work, old, new, key, by_row=by_row)
        names = list(dict.fromkeys(column["name"] for version in (old, new) for column in version.columns))
        yield _lines([["change", "row", "times", *names]])
        reader: Any = work.connection.sql(_select(old, new, names)).to_arrow_reader(BATCH_ROWS)
        for batch in reader:
            columns = [column.to_pylist() for column in batch.columns]
            yield _lines([[json_safe(cell) for cell in row] for row in zip(*columns, strict=True)])


def _select(old: Version, new: Version, names: Sequence[str]) -> str:
    sides = [_side(n, line, version, names) for n, (line, version) in enumerate((("la", old), ("lb", new)))]
    cells = "".join(f", c{i}" for i in range(len(names)))
    place = "coalesce(lb, la), coalesce(la, lb), side"
    return (
        f"SELECT {SAID} AS change, line + 1 AS row, times{cells} FROM ({' UNION ALL '.join(sides)}) "
        f"ORDER BY {place}"
    )


def _side(n: int, line: str, version: Version, names: Sequence[str]) -> str:
    types = {column["name"]: column["type"] for column in version.columns}
    cells = "".join(f", {_text(name, types.get(name))} AS c{i}" for i, name in enumerate(names))
    source = f"pairs JOIN {parquet(version.id)} r ON r.file_row_number = {line}"
    return f"SELECT {n} AS side, la, lb, times, {line} AS line{cells} FROM {source}"


def _text(name: str, type_: str | None) -> str:
    if type_ is None:
        return "NULL::VARCHAR"
    return f"to_json(r.{quoted(name)})::VARCHAR" if is_nested(type_) else f"r.{quoted(name)}::VARCHAR"


def _lines(found: Sequence[Sequence[Any]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(found)
    return out.getvalue().encode()
