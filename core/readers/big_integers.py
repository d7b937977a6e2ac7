"""Where integers of 128 bits go, which Parquet would make floating point: into 64 bits, 38 digits, or text.

DuckDB takes a JSON column for HUGEINT as soon as one of its numbers is negative and another is not, so nearly
always 64 bits are enough. That is tried first, while the file is read; only where a value does not fit, the
values are looked at, each field of a nested column by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb

from core import sql_types
from core.readers.sql import literal, quoted

Columns = Sequence[tuple[str, str]]
_DIGITS_38 = 10**38 - 1


def are_in(columns: Columns) -> bool:
    return any(leaf in sql_types.HUGE for _, type_ in columns for leaf in sql_types.leaves(type_))


def in_64_bits(columns: Columns) -> list[tuple[str, str]]:
    return _with_big_ones(columns, lambda: "BIGINT")


def exactly(
    connection: duckdb.DuckDBPyConnection, select: str, parameters: Sequence[Any], columns: Columns
) -> list[tuple[str, str]]:
    """The columns with the narrowest type for each of their big integers that holds all of its values.

    Reads all rows.
    """
    values = [
        value for name, type_ in columns for value in _big_values(quoted(name), sql_types.parsed(type_), 0)
    ]
    bounds = ", ".join(f"min(list_min({value})), max(list_max({value}))" for value in values)
    extremes = iter(connection.execute(f"SELECT {bounds} FROM ({select})", list(parameters)).fetchall()[0])
    wanted = iter([_narrowest(low, high) for low, high in zip(extremes, extremes, strict=True)])
    return _with_big_ones(columns, lambda: next(wanted))


def _with_big_ones(columns: Columns, next_type: Callable[[], str]) -> list[tuple[str, str]]:
    def stored(plain: str) -> str:
        return next_type() if plain in sql_types.HUGE else plain

    return [(name, sql_types.with_leaves(type_, stored)) for name, type_ in columns]


def _narrowest(low: int | None, high: int | None) -> str:
    if low is None or high is None or (low >= -(2**63) and high < 2**63):
        return "BIGINT"
    return "DECIMAL(38,0)" if low >= -_DIGITS_38 and high <= _DIGITS_38 else "VARCHAR"


def _big_values(cell: str, type_: Any, depth: int) -> Iterator[str]:
    """SQL for the list of the values of each big integer in a cell, in the order of ``sql_types.leaves``."""
    inside = sql_types.children(type_)
    if not inside:
        yield from [f"[{cell}]"] * (str(type_) in sql_types.HUGE)
    elif type_.id in ("struct", "union"):
        for name, child in inside:
            yield from _big_values(f"{type_.id}_extract({cell}, {literal(name)})", child, depth)
    else:
        lists = [f"map_keys({cell})", f"map_values({cell})"] if type_.id == "map" else [cell]
        for items, (_, child) in zip(lists, inside, strict=True):
            for value in _big_values(f"x{depth}", child, depth + 1):
                yield f"flatten(list_transform({items}, lambda x{depth}: {value}))"
