"""Pages of a version's rows, made by our own SQL over our own Parquet.

No text of a user becomes SQL (see ``filters``).

Row numbers first, then the rows: a page in the middle is a range of row numbers, a sorted page sorts nothing
but them. One DuckDB for all pages of the process, a cursor per page: a fresh one costs 90 ms, four times the
page itself. How many rows a filter finds is remembered, since a version never changes. Whose version it is
was settled before.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb

from core import hardware, storage
from core.cells import json_safe
from core.datasets.pages.filters import Column, Condition, Filter, as_filter, condition_of, require_column
from core.errors import Conflict, QueryTimeout, ValidationError
from core.readers.base import literal, quoted

__all__ = ["MAX_LIMIT", "Filter", "Preview", "as_filter", "page"]
MEMORY_MB = 384
THREADS = hardware.cores(at_most=4)  # of all pages together
MAX_LIMIT = 100
SECONDS = 30.0
COUNTS_KEPT = 500
_counts: OrderedDict[tuple[Any, ...], int] = OrderedDict()


@dataclass(frozen=True)
class Preview:
    """One page: ``items`` are {"line": row number from 1, "data":
    {column: value}}; ``total`` counts the rows that match."""

    items: list[dict[str, Any]]
    total: int
    limit: int
    offset: int
    columns: list[dict[str, str]]


@dataclass(frozen=True)
class Selection:
    """Which rows of a Parquet in which order, and which columns of them, as SQL whose values are bound."""

    source: str
    shown: list[str]
    condition: Condition
    ordering: str  # ends with a comma, or is empty

    def query(self, names: str) -> str:
        """All of it at once, for a download; ``names`` is what to select."""
        order = f" ORDER BY {self.ordering}file_row_number" if self.ordering else ""
        return f"SELECT {names} FROM {self.source} WHERE {self.condition.sql or 'true'}{order}"


def page(
    parquet: Path,
    columns: Sequence[Column],
    *,
    num_rows: int,
    limit: int = 20,
    offset: int = 0,
    only: Sequence[str] | None = None,
    order_by: str | None = None,
    where: Mapping[str, Filter] | None = None,
    search: str | None = None,
    lines: Sequence[int] | None = None,
    present: Callable[[Any], Any] = json_safe,
    cut: int | None = None,
    max_limit: int = MAX_LIMIT,
) -> Preview:
    """``present`` makes of a cell what the caller wants to have;
    of a text at most ``cut`` characters are read.

    Raises QueryTimeout, and ValidationError for an unknown column, a value that does not fit its column, or a
    limit out of range.
    """
    _check_range(limit, offset, max_limit)
    chosen = select(parquet, columns, only=only, order_by=order_by, where=where, search=search, lines=lines)
    with _while_it_is_there(parquet), cursor() as opened:
        total = _count(opened, chosen) if chosen.condition.sql else num_rows
        numbers = _numbers(opened, chosen, limit, offset, total)
        types = {column["name"]: dict(column) for column in columns}
        names = [
            f"left({quoted(n)}, {cut})" if cut and types[n]["type"] == "VARCHAR" else quoted(n)
            for n in chosen.shown
        ]
        rows = _fetch(opened, chosen, numbers, names, present)
    items = [{"line": number + 1, "data": rows[number]} for number in numbers if number in rows]
    return Preview(items, total, limit, offset, [types[name] for name in chosen.shown])


def select(
    parquet: Path,
    columns: Sequence[Column],
    *,
    only: Sequence[str] | None = None,
    order_by: str | None = None,
    where: Mapping[str, Filter] | None = None,
    search: str | None = None,
    lines: Sequence[int] | None = None,
) -> Selection:
    """Raises ValidationError for a column that is not there or a value that cannot be of its type."""
    known = {column["name"]: column for column in columns}
    shown = [require_column(name, known, "columns") for name in only] if only else list(known)
    condition = condition_of(where or {}, search, known)
    if lines is not None:
        condition.add(
            "file_row_number IN (SELECT unnest(CAST(? AS BIGINT[])))", [int(line) - 1 for line in lines]
        )
    source = f"read_parquet({literal(str(parquet))}, file_row_number=true)"
    return Selection(source, shown, condition, _ordering(order_by, known))


@contextmanager
def _while_it_is_there(parquet: Path) -> Iterator[None]:
    """A version may be removed between the look at its row and the look at its file."""
    try:
        yield
    except duckdb.IOException as error:
        if parquet.exists():
            raise
        raise Conflict("These rows were removed while they were read.") from error


@contextmanager
def conversions_named() -> Iterator[None]:
    """What DuckDB says of a value that is not of its column's type, as the reader's mistake."""
    try:
        yield
    except duckdb.ConversionException as error:
        raise ValidationError.of("where", "a value does not fit the type of its column") from error


def connect(*, memory_mb: int = MEMORY_MB) -> duckdb.DuckDBPyConnection:
    """A DuckDB of our own SQL: little memory, spilling into the staging folder, times in UTC."""
    spill = storage.staging_dir() / "spill"
    config: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": THREADS,
        "autoload_known_extensions": False,
        "temp_directory": str(spill),
    }
    connection = duckdb.connect(config=config)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _check_range(limit: int, offset: int, max_limit: int) -> None:
    if not 1 <= limit <= max_limit:
        raise ValidationError.of("limit", f"must be from 1 to {max_limit}")
    if not 0 <= offset <= 10**9:
        raise ValidationError.of("offset", "must be from 0 to 1000000000")


@lru_cache(maxsize=1)
def _shared() -> duckdb.DuckDBPyConnection:
    return connect()


@contextmanager
def cursor(*, seconds: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor of the shared DuckDB that is interrupted at the deadline, after SECONDS if none is said."""
    seconds = seconds or SECONDS
    opened = _shared().cursor()
    opened.execute("SET TimeZone = 'UTC'")
    deadline = threading.Timer(seconds, opened.interrupt)
    deadline.daemon = True
    deadline.start()
    try:
        with conversions_named():
            yield opened
    except duckdb.InterruptException as error:
        raise QueryTimeout(
            f"Finding these rows took longer than {seconds:g} seconds. Filter by fewer columns first."
        ) from error
    finally:
        deadline.cancel()
        opened.close()


def _ordering(order_by: str | None, known: Mapping[str, Any]) -> str:
    if not order_by:
        return ""
    descending = order_by.startswith("-") and order_by not in known
    name = require_column(order_by.removeprefix("-") if descending else order_by, known, "order_by")
    return f"{quoted(name)} {'DESC' if descending else 'ASC'} NULLS LAST, "


def count(chosen: Selection) -> int:
    """How many rows are meant. Raises as :func:`page` does."""
    with cursor() as opened:
        return _count(opened, chosen)


def forget_counts() -> None:
    """For measuring."""
    _counts.clear()


def _count(cursor: duckdb.DuckDBPyConnection, chosen: Selection) -> int:
    key = (chosen.source, chosen.condition.sql, repr(chosen.condition.values))
    if key not in _counts:
        sql = f"SELECT count(*) FROM {chosen.source} WHERE {chosen.condition.sql or 'true'}"
        _counts[key] = int(cursor.execute(sql, chosen.condition.values).fetchall()[0][0])
        while len(_counts) > COUNTS_KEPT:
            _counts.popitem(last=False)
    return _counts[key]


def _numbers(
    cursor: duckdb.DuckDBPyConnection, chosen: Selection, limit: int, offset: int, total: int
) -> list[int]:
    """The row numbers of a page, in its order."""
    if offset >= total:
        return []
    if not chosen.condition.sql and not chosen.ordering:
        return list(range(offset, min(offset + limit, total)))
    result = cursor.execute(
        f"SELECT file_row_number FROM {chosen.source} WHERE {chosen.condition.sql or 'true'} "
        f"ORDER BY {chosen.ordering}file_row_number LIMIT ? OFFSET ?",
        [*chosen.condition.values, limit, offset],
    )
    return [row[0] for row in result.fetchall()]


def _fetch(
    cursor: duckdb.DuckDBPyConnection,
    chosen: Selection,
    numbers: list[int],
    cells: list[str],
    present: Callable[[Any], Any],
) -> dict[int, dict[str, Any]]:
    if not numbers:
        return {}
    names = ", ".join(f"{cell} AS c{i}" for i, cell in enumerate(cells))
    wanted = ", ".join(str(int(number)) for number in numbers)
    is_range = max(numbers) - min(numbers) == len(numbers) - 1
    exactly = "" if is_range else f" AND file_row_number IN ({wanted})"
    table: Any = cursor.sql(
        (
            f"SELECT file_row_number, {names} FROM {chosen.source} WHERE file_row_number BETWEEN ? "
            f"AND ?{exactly}"
        ),
        params=[min(numbers), max(numbers)],
    ).to_arrow_table()
    return {
        row["file_row_number"]: {name: present(row[f"c{i}"]) for i, name in enumerate(chosen.shown)}
        for row in table.to_pylist(maps_as_pydicts="lossy")
    }
