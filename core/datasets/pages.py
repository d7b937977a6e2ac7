"""Pages of a version's rows, made by our own SQL over our own Parquet. No text of a user becomes SQL.

Column names are checked against the version and quoted, values are bound, a filter is a structure per column. A page in the middle
is found by row number instead of OFFSET (measured: 63 ms against 165), a sorted page by sorting row numbers only and fetching its
rows afterwards. Whose version it is was settled before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pydantic
from pydantic import Field

from core.cells import json_safe
from core.errors import ValidationError
from core.fields import Input
from core.profile import is_number
from core.readers.base import literal, quoted

MEMORY_MB = 512
MAX_LIMIT = 100
Scalar = bool | int | float | str
Column = Mapping[str, str]


class Filter(Input):
    """What one column must satisfy; everything given must hold. ``contains`` is literal and ignores case."""

    contains: str | None = None
    equals: Scalar | None = None
    min: Scalar | None = None
    max: Scalar | None = None
    is_null: bool | None = None
    one_of: list[Scalar] | None = Field(None, max_length=1000)


@dataclass(frozen=True)
class Preview:
    """One page: ``items`` are {"line": row number from 1, "data": {column: value}}; ``total`` counts the rows that match."""

    items: list[dict[str, Any]]
    total: int
    limit: int
    offset: int
    columns: list[dict[str, str]]


def as_filter(name: str, wanted: Any) -> Filter:
    """A filter as it comes: a Filter, its dict, a plain value (equals), or None (is null)."""
    if isinstance(wanted, Filter):
        return wanted
    try:
        if isinstance(wanted, Mapping):
            return Filter.model_validate(dict(wanted))
        return Filter(is_null=True) if wanted is None else Filter(equals=wanted)
    except pydantic.ValidationError as error:
        message = "must be a value, or contains, equals, min, max, is_null, one_of"
        raise ValidationError.of(f"where.{name[:100]}", message) from error


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
) -> Preview:
    """Raises ValidationError for an unknown column, a value that does not fit its column, or a limit out of range."""
    _check_range(limit, offset)
    known = {column["name"]: dict(column) for column in columns}
    shown = [_known(name, known, "columns") for name in only] if only else list(known)
    condition, values = _condition(where or {}, known)
    source = f"read_parquet({literal(str(parquet))}, file_row_number=true)"
    with _connection() as connection:
        try:
            total = num_rows if not values and not condition else _count(connection, source, condition, values)
            lines = _lines(connection, source, condition, values, _ordering(order_by, known), limit, offset)
            rows = _fetch(connection, source, shown, lines)
        except duckdb.ConversionException as error:
            raise ValidationError.of("where", "a value does not fit the type of its column") from error
    items = [{"line": line + 1, "data": rows[line]} for line in lines]
    return Preview(items, total, limit, offset, [known[name] for name in shown])


def _check_range(limit: int, offset: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise ValidationError.of("limit", f"must be from 1 to {MAX_LIMIT}")
    if not 0 <= offset <= 10**9:
        raise ValidationError.of("offset", "must be from 0 to 1000000000")


def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"memory_limit": f"{MEMORY_MB}MB", "threads": 2, "autoload_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _known(name: str, known: Mapping[str, Any], field: str) -> str:
    if name not in known:
        raise ValidationError.of(field, f"there is no column {name[:100]!r}")
    return name


def _ordering(order_by: str | None, known: Mapping[str, Any]) -> str:
    if not order_by:
        return ""
    descending = order_by.startswith("-") and order_by not in known
    name = _known(order_by.removeprefix("-") if descending else order_by, known, "order_by")
    return f"{quoted(name)} {'DESC' if descending else 'ASC'} NULLS LAST, "


def _condition(where: Mapping[str, Filter], known: Mapping[str, Column]) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []
    for name, wanted in where.items():
        cell, type_ = quoted(_known(name, known, "where")), known[name]["type"]
        cast = f"CAST(? AS {type_})" if is_number(type_) or _is_simple(type_) else "?"
        compared = cell if cast != "?" else f"CAST({cell} AS VARCHAR)"
        if wanted.contains is not None:
            parts.append(f"contains(lower(CAST({cell} AS VARCHAR)), lower(?))")
            values.append(wanted.contains)
        for operator, value in (("=", wanted.equals), (">=", wanted.min), ("<=", wanted.max)):
            if value is not None:
                parts.append(f"{compared} {operator} {cast}")
                values.append(_bound(value))
        if wanted.is_null is not None:
            parts.append(f"{cell} IS {'' if wanted.is_null else 'NOT '}NULL")
        if wanted.one_of is not None:
            parts.append(f"{compared} IN ({', '.join([cast] * len(wanted.one_of))})" if wanted.one_of else "false")
            values += [_bound(value) for value in wanted.one_of]
    return " AND ".join(parts), values


def _is_simple(type_: str) -> bool:
    return type_ in ("VARCHAR", "BOOLEAN", "DATE", "TIME", "UUID") or type_.startswith("TIMESTAMP")


def _bound(value: Scalar) -> str:
    """As text; DuckDB casts it to the column's type, or says that it does not fit."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _count(connection: duckdb.DuckDBPyConnection, source: str, condition: str, values: list[Any]) -> int:
    (total,) = connection.execute(f"SELECT count(*) FROM {source} WHERE {condition}", values).fetchall()[0]
    return int(total)


def _lines(
    connection: duckdb.DuckDBPyConnection, source: str, condition: str, values: list[Any], ordering: str, limit: int, offset: int
) -> list[int]:
    """The row numbers of a page, in its order."""
    if not condition and not ordering:
        found = connection.execute(
            f"SELECT file_row_number FROM {source} WHERE file_row_number >= ? AND file_row_number < ? ORDER BY 1",
            [offset, offset + limit],
        )
    else:
        found = connection.execute(
            f"SELECT file_row_number FROM {source} WHERE {condition or 'true'} ORDER BY {ordering}file_row_number LIMIT ? OFFSET ?",
            [*values, limit, offset],
        )
    return [row[0] for row in found.fetchall()]


def _fetch(connection: duckdb.DuckDBPyConnection, source: str, shown: Sequence[str], lines: list[int]) -> dict[int, dict[str, Any]]:
    if not lines:
        return {}
    names = ", ".join(f"{quoted(name)} AS c{i}" for i, name in enumerate(shown))
    wanted = ", ".join(str(int(line)) for line in lines)
    table: Any = connection.sql(
        f"SELECT file_row_number, {names} FROM {source} WHERE file_row_number BETWEEN ? AND ? AND file_row_number IN ({wanted})",
        params=[min(lines), max(lines)],
    ).to_arrow_table()
    return {
        row["file_row_number"]: {name: json_safe(row[f"c{i}"]) for i, name in enumerate(shown)}
        for row in table.to_pylist(maps_as_pydicts="lossy")
    }
